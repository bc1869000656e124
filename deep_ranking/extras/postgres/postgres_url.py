"""The URL of a PostgreSQL store, read so that no password is ever shown."""

import os
import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from deep_ranking.errors import DeepRankingError, MissingExtraError, reason

INDEX = "deep_ranking"
"""The name of an index whose URL gives none."""

_NAME = re.compile(r"(?!pg_)\w[\w-]{0,62}", re.ASCII)
_PATIENCE = 10  # seconds to reach the server


@dataclass(frozen=True)
class PostgresURL:
    """Where a PostgreSQL store is.

    Args:
        connection: what libpq connects with; it may hold a password.
        index: the schema that the index's tables are in.
        name: the place for people to read: server and database, no user, no password.
        password: that no message may show.
    """

    connection: str = field(repr=False)
    index: str
    name: str
    password: str = field(default="", repr=False)

    @classmethod
    def read(cls, place: str | os.PathLike[str]) -> "PostgresURL":
        """Read `postgresql://[USER[:PASSWORD]@][HOST][:PORT]/DATABASE[?index=NAME]`.

        Other parameters are libpq's, which also takes what is not given from PGPASSWORD or ~/.pgpass.

        Raises:
            DeepRankingError: it cannot be read; a password whose special characters are not encoded ends up
                in other parts of the URL, so none of it is shown.
            MissingExtraError: psycopg is not installed.

        Example:
            >>> PostgresURL.read("postgresql://me:secret@db.example/photos?index=cats").name
            'postgresql://db.example/photos?index=cats'
        """
        try:
            import pgvector  # noqa: F401
            import psycopg
        except ImportError as error:
            raise MissingExtraError(error.name or "psycopg", "postgres", "a PostgreSQL store") from None
        url, _, query = os.fspath(place).partition("?")
        own = [unquote(part[6:]) for part in query.split("&") if part.startswith("index=")]
        others = "&".join(part for part in query.split("&") if part and not part.startswith("index="))
        index = own[-1] if own else INDEX
        connection = f"{url}?{others}" if others else url
        try:
            parts = psycopg.conninfo.conninfo_to_dict(connection)
        except psycopg.ProgrammingError:
            parts = {"port": "unreadable"}
        host, port, database = (str(parts.get(key) or "") for key in ("host", "port", "dbname"))
        if not re.fullmatch(r"[\d,]*", port) or "@" in host + database:
            raise DeepRankingError(
                "expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE, found a URL that cannot be read "
                "(not shown, for it may hold a password); write special characters as %40 for @, %2F for /"
            )
        if not _NAME.fullmatch(index):
            raise DeepRankingError(
                f"index: expected a name of up to 63 letters, digits, - and _, found {index!r}"
            )
        place_of_socket = f"host={host}" if host.startswith("/") else ""
        shown = "&".join(filter(None, [place_of_socket, f"index={index}" if own else ""]))
        address = ("" if place_of_socket else host) + (f":{port}" if port else "")
        if "connect_timeout" not in parts:
            connection += f"{'&' if others else '?'}connect_timeout={_PATIENCE}"
        return cls(
            connection,
            index,
            f"postgresql://{address}/{database}" + (f"?{shown}" if shown else ""),
            str(parts.get("password") or ""),
        )

    def explain(self, error: BaseException) -> str:
        """Return the first line of what the server or the driver says, without the password."""
        text = reason(error)
        return text.replace(self.password, "***") if self.password else text

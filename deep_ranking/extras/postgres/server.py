"""A PostgreSQL server: its URL, connections and errors, in which no password is ever shown."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from deep_ranking.errors import DeepRankingError, MissingExtraError, reason

if TYPE_CHECKING:
    import psycopg

INDEX = "deep_ranking"
"""The name of an index whose URL gives none."""

_NAME = re.compile(r"(?!pg_)\w[\w-]{0,62}", re.ASCII)
_OLDEST = (0, 8)  # the first pgvector whose graph goes on looking where a filter left too few
_PATIENCE = 10  # seconds to reach the server
_SEARCH_PATH = """
    SELECT set_config('search_path', concat_ws(', ', %s::text, nullif(current_setting('search_path'), ''), (
        SELECT quote_ident(nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
        WHERE extname = 'vector')), true)"""
_ADVICE = {
    "password": "give user and password in ~/.pgpass or PGPASSWORD",
    "does not exist": "look at the names of user and database; an administrator makes them",
    "": "is the server up, and are its address and port right?",
}
"""What to do, by what stands in the server's words."""


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


@contextmanager
def explained(url: PostgresURL) -> Iterator[None]:
    """Turn the server's errors in the block into those of this project, without the password."""
    import psycopg

    try:
        yield
    except psycopg.errors.ForeignKeyViolation:
        raise DeepRankingError(
            f"{url.name}: another process removed an image whose copy was just written; run this again"
        ) from None
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise DeepRankingError(
            f"{url.name}: expected the tables of an index ({url.explain(error)}); drop its schema and index "
            "again, or name another by ?index="
        ) from None
    except psycopg.OperationalError as error:
        told = url.explain(error)
        advice = next((advice for words, advice in _ADVICE.items() if words in told), _ADVICE[""])
        raise DeepRankingError(f"{url.name}: PostgreSQL cannot be used now ({told}); {advice}") from None
    except psycopg.errors.InsufficientPrivilege as error:
        raise DeepRankingError(
            f"{url.name}: PostgreSQL refused ({url.explain(error)}); let its owner GRANT it to this user"
        ) from None
    except psycopg.Error as error:
        raise DeepRankingError(f"{url.name}: PostgreSQL refused ({url.explain(error)})") from None


def connect(url: PostgresURL) -> "psycopg.Connection":
    """Connect; what is asked is asked in a `transaction`."""
    import psycopg
    from pgvector.psycopg import register_vector

    # Each query is planned for its values: a plan made for any would not know how few images a label has.
    database = psycopg.connect(url.connection, autocommit=True, prepare_threshold=None)
    try:
        with transaction(database, url):
            if database.execute("SELECT to_regtype('vector')").fetchone() != (None,):
                register_vector(database)
    except BaseException:
        database.close()
        raise
    return database


@contextmanager
def transaction(
    database: "psycopg.Connection", url: PostgresURL, settings: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run what is inside as one transaction, or as part of the one under way, with these settings.

    The tables of the URL's index come first, and what pgvector brings is found in whatever schema it is. Both
    end with the transaction: behind a pooler the next one may be another session's.
    """
    from psycopg.pq import TransactionStatus

    if database.info.transaction_status != TransactionStatus.IDLE:
        _set(database, settings or {})
        yield
        return
    with database.transaction():
        database.execute(_SEARCH_PATH, [f'"{url.index}"'])
        _set(database, settings or {})
        yield


def _set(database: "psycopg.Connection", settings: Mapping[str, str]) -> None:
    for name, value in settings.items():
        database.execute("SELECT set_config(%s, %s, true)", [name, value])


def is_there(database: "psycopg.Connection", url: PostgresURL) -> bool:
    """Tell whether the database holds the index."""
    return database.execute("SELECT to_regclass(%s)", [f'"{url.index}".meta']).fetchone() != (None,)


def make_schema(database: "psycopg.Connection", url: PostgresURL) -> None:
    """Make the index's schema and pgvector's types; those that an administrator has made are taken.

    Raises:
        DeepRankingError: the server has no pgvector, or an old one; the user may not make what is missing.
    """
    import psycopg

    query = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    try:
        if not (found := database.execute(query).fetchone()):
            database.execute("CREATE EXTENSION vector")
            database.execute(_SEARCH_PATH, [f'"{url.index}"'])  # it may be in another schema than the first
            found = database.execute(query).fetchone()
    except psycopg.errors.InsufficientPrivilege as error:
        raise DeepRankingError(
            f"{url.name}: expected a database with pgvector, found none, and this user may not bring it "
            f"({url.explain(error)}); let an administrator run in this database: CREATE EXTENSION vector"
        ) from None
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile) as error:
        raise DeepRankingError(
            f"{url.name}: expected a server with pgvector, found none ({url.explain(error)}); install it "
            "there, and let an administrator run in this database: CREATE EXTENSION vector"
        ) from None
    (version,) = found or ("0",)
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        raise DeepRankingError(
            f"{url.name}: expected pgvector {'.'.join(map(str, _OLDEST))} or later, found {version}; "
            "update it there, then run in this database: ALTER EXTENSION vector UPDATE"
        )
    try:
        if database.execute("SELECT to_regnamespace(%s)", [f'"{url.index}"']).fetchone() == (None,):
            database.execute(f'CREATE SCHEMA "{url.index}"')
    except psycopg.errors.InsufficientPrivilege as error:
        raise DeepRankingError(
            f"{url.name}: expected the schema {url.index}, found none, and this user may not make it "
            f"({url.explain(error)}); let an administrator run in this database: "
            f'CREATE SCHEMA "{url.index}" AUTHORIZATION "{database.info.user}"'
        ) from None

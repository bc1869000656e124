"""The address under which a proxy shows the server: its origin, and the path that it begins with."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from deep_ranking.errors import DeepRankingError
from deep_ranking.web.problems import HEADERS

_PORTS = {"http": 80, "https": 443}
_OWN = ("api", "compare", "map", "rate", "static")


@dataclass(frozen=True)
class PublicURL:
    """Where people find the server.

    Attributes:
        origin: as browsers write it: `https://images.example`, with the port where it is not the scheme's.
        host: the name in it.
        path: what each address begins with, such as `/similar`; "" for nothing.
    """

    origin: str
    host: str
    path: str

    @classmethod
    def read(cls, url: str) -> "PublicURL":
        """Read `SCHEME://HOST[:PORT][/PATH]`.

        Raises:
            DeepRankingError: it is none, or its path could not be told from one of the page's own.

        Example:
            >>> PublicURL.read("https://Images.example:443/similar/")
            PublicURL(origin='https://images.example', host='images.example', path='/similar')
        """
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").encode("idna").decode(), parts.port
        except (AttributeError, UnicodeError, ValueError):
            parts, host, port = urlsplit(""), "", None
        path = parts.path.rstrip("/")
        sound = parts.scheme in _PORTS and host and not (parts.query or parts.fragment or "@" in parts.netloc)
        if not sound or not re.fullmatch(r"(/[\w~-][\w.~-]*)*", path, re.ASCII):
            raise DeepRankingError(
                "public_url: expected the address that people type, as in https://images.example or "
                f"https://images.example/similar, found {url!r}"
            )
        if path.split("/")[1:2] and path.split("/")[1] in _OWN:
            raise DeepRankingError(
                f"public_url: expected a path other than the page's own /{', /'.join(_OWN)}, found {path}"
            )
        bracketed = f"[{host}]" if ":" in host else host
        port = None if port == _PORTS[parts.scheme] else port
        return cls(f"{parts.scheme}://{bracketed}" + (f":{port}" if port else ""), host, path)

    @property
    def address(self) -> str:
        """The address of the first page."""
        return f"{self.origin}{self.path}/"


class WithoutPath:
    """ASGI middleware that takes the public path away, where the proxy has left it there.

    The pages name everything relative to their own folder, so they need not know it.
    """

    def __init__(self, app: ASGIApp, path: str):
        self.app, self.path = app, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on under the address that is left; from `/similar`, lead to `/similar/`."""
        if scope["type"] == "http" and f"{scope['path']}/".startswith(f"{self.path}/"):
            rest = scope["path"].removeprefix(self.path)
            if not rest:
                query = scope["query_string"].decode("latin-1")
                to = f"{self.path}/" + (f"?{query}" if query else "")
                await RedirectResponse(to, 308, HEADERS)(scope, receive, send)
                return
            raw = scope.get("raw_path", b"").removeprefix(self.path.encode())
            scope = {**scope, "path": rest, "raw_path": raw}
        await self.app(scope, receive, send)

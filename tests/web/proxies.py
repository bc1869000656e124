"""The proxies of docs/web.md, run as they stand there but for addresses and files."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import wait_until

ROOT = Path(__file__).parents[2]
LOGIN = ("ann", "secret")
_HASH = "$2b$04$1DrHg0iAnmYq1mlDMwQ9PuWxdpWI2XKZdE2J1DcWe5P9eF9kS4ruO"  # of the password, at a low cost
_NGINX = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {server}
}}
"""
_CADDY = "{{\n admin off\n auto_https disable_redirects\n skip_install_trust\n local_certs\n}}\n{site}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def example(language: str) -> str:
    """Return a proxy's file as docs/web.md has it."""
    return re.search(rf"```{language}\n(.*?)```", (ROOT / "docs/web.md").read_text("utf-8"), re.DOTALL)[1]


def replaced(text: str, **others: str) -> str:
    for part, (old, new) in enumerate(others.values()):
        assert old in text, (part, old)
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def nginx(folder: Path, port: int, server: str) -> Iterator[subprocess.Popen]:
    """Run nginx at a port, before the server at an address."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if not program:
        pytest.skip("needs nginx, Debian's package nginx-light")
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    certificate = ["-subj", "/CN=images.example", "-keyout", folder / "key", "-out", folder / "pem"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *certificate],
        check=True,
        capture_output=True,
    )
    (folder / "users").write_text("ann:{PLAIN}secret\n")
    text = replaced(
        example("nginx"),
        listen=("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        pem=("/etc/ssl/images.example.pem", str(folder / "pem")),
        key=("/etc/ssl/images.example.key", str(folder / "key")),
        users=("/etc/nginx/images.users", str(folder / "users")),
        server=("http://127.0.0.1:8000", server),
    )
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "conf").write_text(user + _NGINX.format(folder=folder, server=text))
    command = [program, "-p", str(folder), "-e", str(folder / "log"), "-c", str(folder / "conf")]
    yield from _running(command, port, {})


@contextlib.contextmanager
def caddy(folder: Path, port: int, server: str) -> Iterator[subprocess.Popen]:
    """Run Caddy at a port, before the server at an address."""
    program = shutil.which("caddy")
    if not program:
        pytest.skip("needs Caddy, Debian's package caddy")
    folder.mkdir(parents=True)
    text = replaced(
        example("caddy"),
        site=("images.example {", f"https://images.example:{port} {{\n    bind 127.0.0.1"),
        password=(re.search(r"\$2a\S+", example("caddy"))[0], _HASH),
        server=("127.0.0.1:8000", server.removeprefix("http://")),
    )
    (folder / "Caddyfile").write_text(_CADDY.format(site=text))
    command = [program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    yield from _running(command, port, {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)})


def _running(command: list[str], port: int, environment: dict[str, str]) -> Iterator[subprocess.Popen]:
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **environment}
    ) as process:
        try:
            wait_until(lambda: _listens(port), f"{command[0]} listens", process)
            yield process
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False

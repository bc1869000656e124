"""The page's server in a process of its own, and what it answers."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit
from urllib.request import urlopen


@contextmanager
def server(folder: str, pid: list[int] | None = None) -> Iterator[tuple[str, int]]:
    command = [sys.executable, "-m", "deep_ranking", "serve", "--index", folder, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            if pid is not None:
                pid.append(process.pid)
            words = process.stdout.readline().split()
            address = urlsplit(next(word for word in words if word.startswith("http")))
            yield str(address.hostname), int(address.port or 80)
        finally:
            process.terminate()


def fetched(address: str) -> bytes:
    with urlopen(address) as answer:
        return bytes(answer.read())

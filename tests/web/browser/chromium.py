"""Debian's Chromium, which the tests of the page in a browser start by Playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

_PATH = shutil.which("chromium") or shutil.which("chromium-browser")
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--host-resolver-rules=MAP images.example 127.0.0.1",
]


def require() -> None:
    """Skip the test where there is no Chromium."""
    if _PATH is None:
        pytest.skip("needs Chromium: apt-get install chromium, or `make browser`")


@contextmanager
def started() -> Iterator[Any]:
    """Give a browser, until the block ends."""
    from playwright.sync_api import sync_playwright

    require()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_PATH, args=_FLAGS)
        yield browser
        browser.close()

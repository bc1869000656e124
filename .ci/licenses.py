"""docs/licenses.md, from what pip-licenses says as JSON on standard input."""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

READ = {"axe-playwright-python": "MIT; MPL-2.0 (axe-core)", "namex": "Apache-2.0"}
"""Read in the package's own LICENSE file, where its metadata name none."""

HEAD = """# Licences of what is installed

Made by `make licenses` from an environment of requirements-dev.lock on Linux with Python 3.11. Nothing of it
is in this repository, whose own licence is Apache-2.0; pip fetches it.

The licences that ask for more than notices: MPL-2.0 (certifi, tqdm, hypothesis, pathspec, axe-core) asks that
changes to its own files stay open, and LGPL-3.0 (psycopg, which the extra `postgres` brings) that it can be
replaced. Both are used unchanged, as packages of their own. There is no GPL or AGPL, which
tests/test_supply_chain.py holds.

For that reason the extra `photos` is in no lock: pillow-jxl-plugin (JPEG XL) is GPL-3.0-or-later,
and the wheels of pillow-heif (HEIC; itself BSD-3-Clause) carry libx265, GPL-2.0, beside libheif and libde265,
LGPL-3.0. Whoever passes on an environment with the extra passes on GPL software.
"""


def main() -> None:
    """Write the page: first the core, then what extras and development bring."""
    core, everything = locked("requirements.lock"), locked("requirements-dev.lock")
    packages = sorted((normal(p["Name"]), p["Version"], p["License"]) for p in json.load(sys.stdin))
    print(HEAD)
    for title, wanted in (("The core", True), ("Extras and development", False)):
        print(f"## {title}\n\n| package | version | licence |\n| --- | --- | --- |")
        for name, version, licence in packages:
            if name in everything and (name in core) == wanted:
                print(f"| {name} | {version} | {READ.get(name, licence)} |")
        if wanted:
            print()


def locked(lock: str) -> set[str]:
    """Return the names of the packages in a lock."""
    return set(re.findall(r"^([a-z0-9.-]+)==", (ROOT / lock).read_text(), re.MULTILINE))


def normal(name: str) -> str:
    """Return a package's name as the locks spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()

"""Known vulnerabilities of what requirements.lock brings.

pip-audit calls a lock free of them also where its source answered for no package at all, so what it passed
over is counted here. Exit: 1 for a known vulnerability, else 0, also where there is no network to ask over.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOOLS = ROOT / ".venv-tools"


def main() -> int:
    """Audit, and say of how many packages anything is known."""
    made = subprocess.run(["make", "--silent", f"{TOOLS.name}/installed"], cwd=ROOT, capture_output=True)
    if made.returncode:
        print("audit: passed over: its tools cannot be installed here (no network?)")
        return 0
    command = [TOOLS / "bin" / "pip-audit", "--format", "json", "--progress-spinner", "off", "--disable-pip"]
    done = subprocess.run(
        [*command, "--require-hashes", "--requirement", "requirements.lock"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    status, lines = told(done.stdout)
    print(*lines, sep="\n")
    return status


def told(report: str) -> tuple[int, list[str]]:
    """Return the exit status and the lines to print for a report of pip-audit; empty where it failed.

    Example:
        >>> told('{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}')
        (0, ['audit: 1 of 1 packages asked about, no known vulnerability'])
        >>> told('{"dependencies": [{"name": "a", "skip_reason": "not found"}]}')
        (0, ['audit: passed over: no source of vulnerabilities answered for any package'])
        >>> told("")
        (0, ['audit: passed over: no source of vulnerabilities answered for any package'])
    """
    packages = json.loads(report)["dependencies"] if report.strip() else []
    asked = [package for package in packages if "skip_reason" not in package]
    if not asked:
        return 0, ["audit: passed over: no source of vulnerabilities answered for any package"]
    found = [
        f"{package['name']} {package['version']}: {known['id']}, "
        f"mended in {', '.join(known['fix_versions']) or 'no version yet'}"
        for package in asked
        for known in package["vulns"]
    ]
    count = f"audit: {len(asked)} of {len(packages)} packages asked about"
    if not found:
        return 0, [f"{count}, no known vulnerability"]
    return 1, [*found, f"{count}, {len(found)} known vulnerabilities; renew the lock with: make lock"]


if __name__ == "__main__":
    sys.exit(main())

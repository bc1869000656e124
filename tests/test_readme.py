"""The README's commands are real: each flag that it shows is one that its command knows."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from deep_ranking.cli import COMMANDS, command_module

ROOT = Path(__file__).parents[1]
SCRIPTS = {"triplet_sampler.py": "sample", "train.py": "train", "similarity.py": "similarity"}


def shown_commands() -> list[str]:
    """Return the lines of README.md and docs/*.md that begin with a prompt, continued lines joined."""
    found = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text().replace("\\\n", " ")
        found += re.findall(r"^\s+\$ (.+)$", text, re.MULTILINE)
    return found


@pytest.mark.parametrize("line", shown_commands())
def test_a_shown_command_parses(line):
    words = shlex.split(line)
    if words[0] == "deep-ranking":
        command, flags = words[1], words[2:]
    elif words[0] == "python" and words[1] in SCRIPTS:
        command, flags = SCRIPTS[words[1]], words[2:]
    else:
        pytest.skip(f"{words[0]} is not ours")
    parser = argparse.ArgumentParser(exit_on_error=False)
    module = command_module(command)
    module.add_arguments(parser)
    parser.add_argument("--quiet", action="store_true")
    parser.parse_args(flags)


def test_the_readme_shows_commands_to_paste():
    assert len(shown_commands()) >= 4


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command):
    pages = "".join(page.read_text() for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    names = [f"deep-ranking {command}"] + [script for script, name in SCRIPTS.items() if name == command]
    assert any(name in pages for name in names)

"""What is installed is pinned, hashed, licensed as we say, and looked up without a false all-clear."""

import doctest
import importlib.util
import itertools
import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock")


def pins(lock):
    """Package -> its pinned requirements (several where they differ by Python), and all entries as text."""
    text = (ROOT / lock).read_text()
    entries = [entry for entry in re.split(r"\n(?=[a-z0-9])", text) if "==" in entry]
    found = {}
    for entry in entries:
        requirement = Requirement(entry.splitlines()[0].rstrip(" \\"))
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found, entries


def versions(requirements):
    return {str(next(iter(requirement.specifier)).version) for requirement in requirements}


def wanted(extras):
    """The requirements that a person wrote: the core's, and those of extras, with the extras they name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "requirements.txt").read_text().split()
    seen = set()
    while extras:
        extra = extras.pop()
        seen.add(extra)
        for line in project["optional-dependencies"][extra]:
            requirement = Requirement(line)
            if requirement.name == project["name"]:
                extras |= requirement.extras - seen
            else:
                lines.append(line)
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize(("lock", "extras"), [(LOCKS[0], set()), (LOCKS[1], {"dev"})])
def test_the_lock_satisfies_what_was_asked_for(lock, extras):
    locked, _ = pins(lock)
    asked = wanted(extras)
    assert len(asked) >= 8
    for requirement in asked:
        found = versions(locked[canonicalize_name(requirement.name)])
        assert found, requirement
        assert all(requirement.specifier.contains(version) for version in found), (requirement, found)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_is_exact_and_hashed_and_names_no_place_of_this_machine(lock):
    locked, entries = pins(lock)
    assert len(locked) > 30
    for entry in entries:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
    for requirement in itertools.chain(*locked.values()):
        assert [s.operator for s in requirement.specifier] == ["=="], requirement
    text = (ROOT / lock).read_text()
    assert not re.search(r"--(index-url|extra-index-url|find-links|trusted-host)|file:|://", text)


def test_the_core_is_the_same_in_both_locks():
    core, dev = (pins(lock)[0] for lock in LOCKS)
    assert {name: versions(pin) for name, pin in core.items()} == {name: versions(dev[name]) for name in core}


def licences():
    rows = re.findall(
        r"^\| (\S+) \| (\S+) \| (.+) \|$", (ROOT / "docs" / "licenses.md").read_text(), re.MULTILINE
    )
    return {name: (version, licence) for name, version, licence in rows if set(name) != {"-"}}


def test_the_licence_of_each_locked_package_is_listed():
    listed = licences()
    for lock in LOCKS:
        for name, requirements in pins(lock)[0].items():
            here = [pin for pin in requirements if pin.marker is None or pin.marker.evaluate(LISTED_ON)]
            if here:
                assert listed[name][0] in versions(here), f"{name}: run `make licenses`"


LISTED_ON = {
    "python_full_version": "3.11.7",
    "python_version": "3.11",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "os_name": "posix",
}


def test_there_is_no_copyleft_that_the_page_does_not_speak_of():
    weak = {"certifi", "tqdm", "hypothesis", "pathspec", "axe-playwright-python"}
    for name, (_, licence) in licences().items():
        assert licence != "UNKNOWN", name
        assert not re.search(r"(?<!L)GPL|General Public", licence) or name.startswith("psycopg"), name
        assert not re.search(r"MPL|Mozilla|EPL|CDDL|EUPL", licence) or name in weak, name


def test_the_extra_with_copyleft_is_in_no_lock_and_the_page_says_so():
    photos = {requirement.name for requirement in wanted({"photos"})} - {one.name for one in wanted(set())}
    assert len(photos) == 2
    page = (ROOT / "docs" / "licenses.md").read_text()
    for name in photos:
        assert name in page
        assert not any(canonicalize_name(name) in pins(lock)[0] for lock in LOCKS)


def test_an_audit_that_asked_about_nothing_is_no_all_clear():
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    audit = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(audit)
    assert doctest.testmod(audit) == (0, 3)
    known = {"name": "a", "version": "1", "vulns": [{"id": "X-1", "fix_versions": ["2"]}]}
    report = {"dependencies": [known, {"name": "b", "skip_reason": "not found"}]}
    status, lines = audit.told(json.dumps(report))
    assert status == 1
    assert lines[0] == "a 1: X-1, mended in 2"
    assert "1 of 2 packages" in lines[1]


def test_each_promise_of_the_security_page_names_tests_that_there_are():
    rows = re.findall(r"^\|.*\|(.*)\|$", (ROOT / "SECURITY.md").read_text("utf-8"), re.MULTILINE)[2:]
    assert len(rows) >= 15
    for row in rows:
        named = re.findall(r"`((?:\w+/)?\w*(?:\.py)?)(?:::(\w+))?`", row)
        assert named, row
        file = ""
        for path, function in named:
            file = path or file
            code = (ROOT / "tests" / file).read_text("utf-8")
            assert not function or f"def {function}(" in code, (file, function)

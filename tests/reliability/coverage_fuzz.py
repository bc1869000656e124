"""Broken files chosen by what they reach: Atheris keeps those that run lines of a reader not run before.

    python tests/reliability/coverage_fuzz.py [RUNS [READER ...]]

Gives each of the `READERS`, or those that are named, so many files (10,000), grown from its sound ones, each
reader in a process of its own. Stops at the first crash, at an input that takes two minutes, or at a process
of 4 GB, with the traceback; the input stays in the working folder as `crash-...`, its first byte the number
of the file's name. Needs the extra `fuzz`.
"""

import importlib.util
import random
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]

INSTRUMENTED = ["deep_ranking", "PIL", "csv", "gzip", "tarfile", "zipfile"]
BOUNDS = ["-timeout=120", "-rss_limit_mb=4096", "-print_final_stats=1", "-verbosity=0"]


def fuzz(kind: str, runs: str, folder: str) -> None:
    """Give a reader files until there were so many; ends the process."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        from readers import READERS, repacked

        reader = READERS[kind]
        sound = reader.sound()
        for name, data in sound.items():
            reader.ask(name, data)  # which imports what it needs
    names = sorted(sound)
    for number, name in enumerate(names):
        (Path(folder) / name).write_bytes(bytes([number]) + sound[name])

    def ask(data: bytes) -> None:
        if data:
            reader.ask(names[data[0] % len(names)], data[1:])

    def change(data: bytes, most: int, seed: int) -> bytes:
        """Change a file from outside, or a member of an archive from inside."""
        member = random.Random(seed).choice([None, *range(9)])
        try:
            found = data[:1] + repacked(data[1:], member, lambda part: atheris.Mutate(part, len(part) + 64))
        except Exception:  # an archive that cannot be unpacked any more
            found = atheris.Mutate(data, most)
        return found[:most]

    atheris.Setup([sys.argv[0], f"-runs={runs}", *BOUNDS, folder], ask, custom_mutator=change)
    atheris.Fuzz()


def main(runs: int = 10_000, *kinds: str) -> None:
    if importlib.util.find_spec("atheris") is None:
        print("passed over: Atheris is not installed; it is made for Linux on x86-64 alone")
        return
    from readers import READERS

    for kind in kinds or READERS:
        if missing := READERS[kind].missing():
            print(f"{kind}: passed over, it needs {', '.join(missing)}")
            continue
        print(f"{kind}: {runs} files", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([sys.executable, __file__, "--reader", kind, str(runs), folder])
        if done.returncode:
            sys.exit(f"{kind}: crashed; see above")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--reader"]:
        fuzz(*sys.argv[2:])
    else:
        main(*map(int, sys.argv[1:2]), *sys.argv[2:])

"""`deep-ranking sample`, under the name that the blog gave it."""

import sys

from deep_ranking.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("sample", sys.argv[1:], prog="triplet_sampler.py"))

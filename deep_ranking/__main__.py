"""`python -m deep_ranking COMMAND` is `deep-ranking COMMAND`."""

import sys

from deep_ranking.cli import main

if __name__ == "__main__":
    sys.exit(main())

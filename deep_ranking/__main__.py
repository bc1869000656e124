"""`python -m deep_ranking COMMAND` is `deep-ranking COMMAND`."""

from deep_ranking.cli import entry

if __name__ == "__main__":
    entry()

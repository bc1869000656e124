"""`deep-ranking train`, under the name that the blog gave it."""

from deep_ranking.cli import script

if __name__ == "__main__":
    script("train", prog="train.py")

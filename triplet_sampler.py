"""`deep-ranking sample`, under the name that the blog gave it."""

from deep_ranking.cli import script

if __name__ == "__main__":
    script("sample", prog="triplet_sampler.py")

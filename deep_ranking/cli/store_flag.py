"""The flag that says which index, the same in every command."""

import argparse


def add_store(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Add `--index DIR`, which may be spelled `--store URL`; both are `args.index`."""
    parser.add_argument(
        "--index",
        "--store",
        required=True,
        metavar="DIR|URL",
        help=f"{purpose}: a folder, postgresql://[USER@]HOST/DATABASE[?index=NAME], "
        "or ray://local/FOLDER (ray://HOST:PORT/FOLDER) for shards on a Ray cluster",
    )

"""Importing Keras without the notes that its backend prints while it starts."""

import importlib
import os
import sys


def import_keras(*more: str) -> None:
    """Import Keras with standard error put aside; errors still come as exceptions.

    TensorFlow's libraries write a few lines to file descriptor 2 before any of its settings are read.

    Args:
        more: modules to import with it; `fit` imports TensorFlow on every backend.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # its later notes
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        for name in ("keras", *more):
            importlib.import_module(name)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)

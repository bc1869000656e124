"""Importing Keras without the notes that its backend prints while it starts."""

import importlib
import os
import sys

from deep_ranking.errors import DeepRankingError, reason


def import_keras(*more: str) -> None:
    """Import Keras with standard error put aside; errors still come as exceptions.

    TensorFlow's libraries write a few lines to file descriptor 2 before any of its settings are read.

    Args:
        more: modules to import with it; `fit` imports TensorFlow on every backend.

    Raises:
        DeepRankingError: the backend that KERAS_BACKEND names is not installed, or there is none such.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # its later notes
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        for name in ("keras", *more):
            importlib.import_module(name)
    except (ImportError, ValueError) as error:
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        raise DeepRankingError(
            f"KERAS_BACKEND={backend}: Keras cannot be imported ({reason(error)}); install this backend, or "
            "leave the variable out to use TensorFlow"
        ) from error
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)

"""Deep ranking: learn from triplets a network that puts similar images near each other.

Keras takes seconds to import, so nothing here imports it: names are fetched when first used, and the
custom layers are registered with Keras at the moment Keras itself is imported. `import deep_ranking`
before or after `import keras` is all that `keras.models.load_model` needs.
"""

import importlib
import importlib.util
import sys
from typing import Any

__version__ = "0.1.0"

_EXPORTS = {
    "ImageDataGenerator": "deep_ranking.images.generator",
    "Triplet": "deep_ranking.triplets",
    "TripletHingeLoss": "deep_ranking.ranking",
    "find_images": "deep_ranking.images.find",
    "show": "deep_ranking.display",
}
__all__ = ["__version__", *_EXPORTS]

_LAYERS = "deep_ranking.network.layers"


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'deep_ranking' has no attribute {name!r}")
    return getattr(importlib.import_module(_EXPORTS[name]), name)


class _RegisterLayersAfterKeras:
    """An import finder that waits for `import keras`, lets it finish, then imports our layers."""

    _looking = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "keras":
            return None
        # Keras may be looked for without being imported, so this stays until it is; the search below must
        # not come back here.
        if self._looking:
            return None
        self._looking = True
        try:
            spec = importlib.util.find_spec("keras")
        finally:
            self._looking = False
        if spec is not None and spec.loader is not None:
            run_keras = spec.loader.exec_module

            def run_keras_then_register(module: Any) -> None:
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                run_keras(module)
                importlib.import_module(_LAYERS)

            spec.loader.exec_module = run_keras_then_register  # type: ignore[method-assign]
        return spec


if "keras" in sys.modules:
    importlib.import_module(_LAYERS)
elif not any(isinstance(finder, _RegisterLayersAfterKeras) for finder in sys.meta_path):
    sys.meta_path.insert(0, _RegisterLayersAfterKeras())

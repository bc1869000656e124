"""Our layers and losses become known to Keras when Keras is imported, and not before: it takes seconds."""

import importlib
import importlib.util
import sys
from typing import Any

_WITH_KERAS_CLASSES = "network.layers", "ranking.loss", "ranking.metrics", "ranking.proxies"


def register_with_keras() -> None:
    """Let `keras.models.load_model` find our classes, whether Keras is imported already or will be."""
    if "keras" in sys.modules:
        _register()
    elif not any(isinstance(finder, _AfterKeras) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterKeras())


def _register() -> None:
    for module in _WITH_KERAS_CLASSES:
        importlib.import_module(f"deep_ranking.{module}")


class _AfterKeras:
    """An import finder that waits for `import keras`, lets it finish, then imports our classes."""

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
                _register()

            spec.loader.exec_module = run_keras_then_register  # type: ignore[method-assign]
        return spec

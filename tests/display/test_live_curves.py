"""A training is drawn as it goes."""

from dataclasses import replace

import numpy as np
import pytest

from deep_ranking.display import LiveCurves
from deep_ranking.display.live_curves import draw_curves
from deep_ranking.errors import MissingExtraError
from deep_ranking.network.network import NetworkSettings
from deep_ranking.training.run import train
from deep_ranking.training.settings import TrainingSettings
from deep_ranking.triplets.table import Triplets
from deep_ranking.triplets.uniform import UniformSampler

HISTORY = [
    {"epoch": 0, "val_loss": 0.4, "val_similarity_precision": 0.5},
    {"epoch": 1, "loss": 0.3, "similarity_precision": 0.6, "val_loss": 0.3, "val_similarity_precision": 0.7},
    {"epoch": 2, "loss": 0.2, "similarity_precision": 0.8, "val_loss": 0.2, "val_similarity_precision": 0.9},
]
pytest.importorskip("matplotlib", reason="needs the extra 'notebook'")


class Screen:
    """What IPython would show: one place, that changes."""

    def __init__(self, monkeypatch):
        pytest.importorskip("IPython", reason="needs the extra 'notebook'")
        self.drawings = []
        monkeypatch.setattr("IPython.display.display", self.display)

    def display(self, picture, display_id):
        assert display_id is True
        assert not self.drawings, "a second place"
        self.update(picture)
        return self

    def update(self, picture):
        self.drawings.append(np.asarray(picture))


def test_one_drawing_changes_with_each_epoch(monkeypatch):
    screen, draw = Screen(monkeypatch), LiveCurves()
    for epochs in (1, 2, 3):
        draw(tuple(HISTORY[:epochs]))
    assert len(screen.drawings) == 3
    assert len({drawing.tobytes() for drawing in screen.drawings}) == 3


def test_without_validation_there_is_nothing_to_draw_before_training(monkeypatch):
    screen, draw = Screen(monkeypatch), LiveCurves()
    draw(({"epoch": 0},))
    assert screen.drawings == []
    draw(({"epoch": 0}, {"epoch": 1, "loss": 0.3, "similarity_precision": 0.6}))
    assert len(screen.drawings) == 1


def test_loss_is_at_the_left_and_precision_at_the_right():
    both, worse = draw_curves(HISTORY), draw_curves([*HISTORY[:2], {**HISTORY[2], "loss": 9.0}])
    assert both.width > 2 * both.height
    changed = (np.asarray(both) != np.asarray(worse)).any(axis=(0, 2))
    assert changed[: both.width // 2].any()
    assert not changed[both.width // 2 :].any()


@pytest.mark.parametrize("package", ["matplotlib", "IPython"])
def test_a_missing_extra_is_named(monkeypatch, package):
    from deep_ranking.display import live_curves

    monkeypatch.setattr(live_curves, "find_spec", lambda name: None if name == package else name)
    with pytest.raises(MissingExtraError, match=r"deep-ranking\[notebook\]"):
        LiveCurves()


def test_training_tells_its_history_before_and_after_each_epoch(striped_classes, tmp_path):
    classes = {c: [f"{c}/{i}.png" for i in range(6)] for c in ("across", "down", "slant")}
    sampler = UniformSampler(classes, 2, 1)
    rows = np.concatenate(list(sampler.blocks())).astype(np.int32)
    table = Triplets([str(striped_classes / image) for image in sampler.images], rows, "0" * 64)
    settings = TrainingSettings(NetworkSettings("simple", 32, 4), weights="none", epochs=2, batch_size=24)
    told = []
    trained = train(table, tmp_path / "model.h5", settings, table, watch=told.append)
    assert told == [trained.history[:1], trained.history[:2], trained.history]
    assert [logs["epoch"] for logs in told[-1]] == [0, 1, 2]
    assert "val_similarity_precision" in told[0][0]
    told.clear()
    train(table, tmp_path / "model.h5", replace(settings, epochs=0), watch=told.append)
    assert told == [({"epoch": 0},)]

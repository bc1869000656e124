"""Whatever has settings says what was expected of a bad one and what was found."""

import dataclasses
import math
import typing

import parts
import pytest

from deep_ranking.errors import DeepRankingError
from deep_ranking.settings import Settings

ONLY_WITH = {"probe": {"approximate": "hnsw"}}
"""What else has to be set for a setting to have a meaning."""

FLAGS = {"Processes": {"count": "--processes", "number": "--process"}}
"""What a setting is called where it comes from the command line alone."""

ANY_TEXT = {"weights", "train_from", "coordinator", "host", "label", "folder"}
"""Files, layers, addresses: known to be wrong only when they are used."""

NO_NUMBERS = {int: [-(10**9)], float: [-1e9, math.nan]}
OF_OTHER_TYPES = {int: ["3", 32.5], float: ["3"]}
"""What `Settings` refuses by itself, where a field has a check."""


def needed(kind):
    """Values for the settings that have no default."""
    values = {"index": "folder", "categories": [0, 0, 1, 1], "classes": {"a": ["1", "2"], "b": ["3"]}}
    values |= {"classes_per_batch": 2, "images_per_class": 2}
    fields = [f for f in dataclasses.fields(kind) if f.init and defaultless(f)]
    return {field.name: values[field.name] for field in fields}


def defaultless(field):
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def makeable():
    """Those whose settings are values; the others hold parts, and have suites of their own."""
    for kind in parts.checked_settings():
        try:
            kind(**needed(kind))
        except KeyError:
            continue
        yield kind


SETTINGS = [*makeable()]


def bad_settings():
    for kind in SETTINGS:
        types = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            allowed = {types[field.name], *typing.get_args(types[field.name])}
            for number, values in NO_NUMBERS.items():
                plain = types[field.name] in (number, number | None)
                if plain and issubclass(kind, Settings) and field.metadata.get("check"):
                    values = [*values, *OF_OTHER_TYPES[number]]
                if field.init and number in allowed:
                    yield from (
                        pytest.param(kind, field.name, v, id=f"{kind.__name__}.{field.name}={v}")
                        for v in values
                    )
            literals = [option for option in allowed if typing.get_origin(option) is typing.Literal]
            if field.init and (literals or (types[field.name] is str and field.name not in ANY_TEXT)):
                yield pytest.param(kind, field.name, "nonsense", id=f"{kind.__name__}.{field.name}")


def test_they_are_found():
    names = {kind.__name__ for kind in SETTINGS}
    assert names >= {"NetworkSettings", "TrainingSettings", "ImportanceSettings", "Augmentation", "Options"}


@pytest.mark.parametrize("kind", SETTINGS, ids=lambda kind: kind.__name__)
def test_the_defaults_are_good_and_equal_settings_are_equal(kind):
    made, again = kind(**needed(kind)), kind(**needed(kind))
    if kind.__eq__ is not object.__eq__:
        assert made == again
    assert dataclasses.replace(made) is not made


@pytest.mark.parametrize(("kind", "name", "value"), [*bad_settings()])
def test_a_bad_setting_is_named_with_what_was_expected_and_found(kind, name, value):
    with pytest.raises(DeepRankingError) as error:
        kind(**{**needed(kind), **ONLY_WITH.get(name, {}), name: value})
    message = str(error.value)
    assert FLAGS.get(kind.__name__, {}).get(name, name) in message
    assert "expected" in message
    assert "found" in message
    assert str(value) in message

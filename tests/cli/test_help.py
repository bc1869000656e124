"""Flags made from tables of settings: the help is the known one, and a new setting has its flag by itself."""

import argparse
import dataclasses
import re
import shlex
from pathlib import Path

import pytest

from deep_ranking.cli import COMMANDS, command_module, command_parser, main, shared
from deep_ranking.errors import DeepRankingError
from deep_ranking.settings import Settings, at_least, setting
from deep_ranking.training.settings import TrainingSettings

HELP = Path(__file__).parent / "help"


def words(text: str) -> str:
    """The text without what depends on the width: where lines break, also behind a hyphen."""
    return "".join(text.split())


@pytest.mark.parametrize("command", [path.stem for path in sorted(HELP.glob("*.txt"))])
def test_help_says_word_by_word_what_is_written_down(command, capsys):
    with pytest.raises(SystemExit) as done:
        main([command, "--help"])
    assert done.value.code == 0
    assert words(capsys.readouterr().out) == words((HELP / f"{command}.txt").read_text(encoding="utf-8"))


def test_each_command_has_its_help_written_down():
    assert sorted(path.stem for path in HELP.glob("*.txt")) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_begins_with_examples_that_parse_then_five_flags_at_most(name):
    module = command_module(name)
    parser = command_parser(module, f"deep-ranking {name}")
    assert 1 <= len(module.EXAMPLES) <= 3
    for line in module.EXAMPLES:
        parser.parse_args(shlex.split(line))
    told = parser.format_help()
    begins = [told.index(f"  deep-ranking {name} {line}".rstrip()) for line in module.EXAMPLES]
    begins.append(told.index(module.__doc__.splitlines()[0]))
    if main := getattr(module, "MAIN", ()):
        assert len(main) <= 5
        assert set(main) <= {action.dest for action in parser._actions}
        begins.append(told.index("\nwhat matters most:\n"))
        begins += [told.index(f"\n{group}:\n") for group in ("more",)]
    assert begins == sorted(begins)
    # Each flag is told once.
    for action in parser._actions:
        for flag in action.option_strings[:1]:
            assert len(re.findall(rf"^  {flag}\b", told, re.MULTILINE)) == 1, flag


WIDER = dataclasses.make_dataclass(
    "WiderSettings",
    [("patience", int, setting(3, "epochs (default: {default})", check=at_least(1), group="learning"))],
    bases=(TrainingSettings,),
    frozen=True,
)


def parsed(kind: type[Settings], *given: str) -> dict:
    parser = argparse.ArgumentParser()
    shared.add_settings(parser, kind, given_only=True)
    return vars(parser.parse_args(given))


def test_a_new_setting_has_its_flag_its_help_and_its_check(capsys):
    settings = WIDER().changed(parsed(WIDER, "--patience", "5", "--gap", "0.3"))
    assert (settings.patience, settings.gap, settings.epochs) == (5, 0.3, TrainingSettings().epochs)
    with pytest.raises(SystemExit):
        parsed(WIDER, "--help")
    assert "--patience N epochs (default: 3)" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(DeepRankingError, match="patience: expected 1 or more, found 0"):
        WIDER(patience=0)
    with pytest.raises(DeepRankingError, match="patience: expected 1 or more, found 0"):
        WIDER().changed(parsed(WIDER, "--patience", "0"))


FIELDS = [one for one in dataclasses.fields(TrainingSettings)[1:] if one.metadata["flag"] is not None]


def test_each_training_setting_has_its_flag_in_the_command(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    told = capsys.readouterr().out
    names = [field.metadata["flag"] or field.name for field in FIELDS]
    assert [name for name in names if f"--{name} " not in told and f"--{name}," not in told] == []


def test_a_table_inside_a_table_is_changed_too_and_none_changes_nothing():
    changed = TrainingSettings().changed({"image_size": 64, "epochs": None, "seed": 5, "nothing": 1})
    assert changed == dataclasses.replace(
        TrainingSettings(), network=dataclasses.replace(TrainingSettings().network, image_size=64), seed=5
    )

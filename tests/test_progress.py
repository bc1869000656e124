"""Progress in a log: whole lines, and no more of them than there is to say."""

import re

import pytest

from deep_ranking.progress import progress, quietly


def test_short_work_is_one_line_in_a_log(capsys):
    assert [*progress(range(50), "counting", "numbers", 50)] == [*range(50)]
    found = capsys.readouterr().err
    assert re.fullmatch(r"counting: 100%\|#+\| 50/50 \[.*\]\n", found)


def test_long_work_is_a_line_now_and_then(capsys, monkeypatch):
    bar = progress((), "epoch 1/2", "triplets", 90)
    for _ in range(3):
        bar.last_print_t -= 31  # so long ago was the last line
        bar.update(30)
    bar.set_postfix(loss="0.5")
    bar.close()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("|")[0] for line in lines[:3]] == [f"epoch 1/2:  {n}%" for n in (33, 67)] + [
        "epoch 1/2: 100%"
    ]
    assert "loss=0.5" in lines[-1]
    assert not any("\r" in line or not line for line in lines)


def test_nothing_is_said_twice(capsys):
    bar = progress((), "epoch 1/2", "triplets", 10)
    bar.last_print_t -= 31
    bar.update(10)  # the last line, just before the end
    bar.close()
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_no_thread_speaks_in_between(capsys):
    bar = progress((), "epoch 1/2", "triplets", 90)
    bar.last_print_t -= 31
    bar.update(30)
    # tqdm's own thread makes a bar speak every ten seconds whose `miniters` grew above 1.
    assert bar.miniters == 1
    bar.close()
    capsys.readouterr()


def test_nothing_is_said_of_nothing(capsys):
    progress((), "waiting", "images", 10).close()
    assert [*progress([1], "counting", "numbers", quiet=True)] == [1]
    assert capsys.readouterr().err == ""


def test_quiet_reaches_what_is_called_and_ends_with_its_block(capsys):
    def work():
        return [*progress([1], "counting", "numbers")]

    with quietly():
        assert work() == [1]
        with quietly(False):
            work()
        work()
    assert capsys.readouterr().err == ""
    with quietly(False):
        work()
    assert capsys.readouterr().err.startswith("counting")
    with pytest.raises(ZeroDivisionError), quietly():
        1 / 0  # noqa: B018
    work()
    assert capsys.readouterr().err.startswith("counting")

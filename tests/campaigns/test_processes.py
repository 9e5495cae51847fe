"""Processes that die, and processes that ask at once: nothing is lost, and nothing is asked or told twice."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess

import pandas as pd
import pytest

import mfmat as mf
from mfmat import asking
from mfmat.journal import Journal, Log

Begin = Callable[..., mf.Campaign]
# A process of its own, which shares nothing with this one but the database; a fork, as it need not import anything.
APART = multiprocessing.get_context("fork")


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def ask(url: str, n: int) -> None:
    mf.Campaign.open(url).ask(n)


def tell(url: str, table: pd.DataFrame) -> None:
    mf.Campaign.open(url).tell(table)


def killed(work: Callable[..., None], *arguments: object) -> None:
    """Run in a process of its own, which has to be killed."""
    process = APART.Process(target=work, args=arguments)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def finished(*processes: BaseProcess) -> None:
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def after(function: Callable[..., object]) -> Callable[..., object]:
    """This function, and then the end of the process."""

    def wrapped(*arguments: object, **options: object) -> None:
        function(*arguments, **options)
        die()

    return wrapped


def before_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write dies when all is written and nothing is committed."""
    monkeypatch.setattr(Log, "append", after(Log.append))


def after_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write dies when it is committed and the caller does not know yet."""
    original = Journal.writing

    @contextmanager
    def writing(journal: Journal) -> Iterator[Log]:
        with original(journal) as log:
            yield log
        die()

    monkeypatch.setattr(Journal, "writing", writing)


def test_killed_between_fit_and_commit_nothing_was_asked(url: str, begin: Begin, monkeypatch) -> None:
    campaign = begin(url)
    with monkeypatch.context() as patch:
        patch.setattr(asking, "renew", after(asking.renew))
        killed(ask, url, 2)
    with monkeypatch.context() as patch:
        before_the_commit(patch)
        killed(ask, url, 2)
    assert campaign.history().empty
    assert campaign.status().rounds == 0
    assert len(campaign.ask(2)) == 2


def test_killed_right_after_the_commit_all_was_asked(url: str, begin: Begin, monkeypatch) -> None:
    campaign = begin(url)
    with monkeypatch.context() as patch:
        after_the_commit(patch)
        killed(ask, url, 2)
    assert len(campaign.pending()) == campaign.status().spent == 2
    assert campaign.model(1).predict(campaign.pool).shape == (6, 5)
    lost = campaign.pending()
    campaign.ask(2)
    assert campaign.pending().iloc[:2].equals(lost)
    assert not campaign.pending()[["x", "source"]].duplicated().any()


def test_killed_while_telling_it_is_told_once(url: str, begin: Begin, monkeypatch) -> None:
    campaign = begin(url)
    filled = campaign.ask(3).assign(y=[0.4, 0.5, 0.6])
    for point, recorded in ((before_the_commit, 0), (after_the_commit, 3)):
        with monkeypatch.context() as patch:
            point(patch)
            killed(tell, url, filled)
        assert len(campaign.seen()) == 7 + recorded
    again = mf.Campaign.open(url)
    assert (again.tell(filled).recorded, len(again.seen())) == (0, 10)


def test_two_that_ask_at_once_get_different_pairs(url: str, begin: Begin, monkeypatch) -> None:
    campaign = begin(url, budget=9)
    both = APART.Barrier(2)
    original = asking.propose

    def propose(*arguments: object) -> asking.Proposal:
        # Both have chosen the same pairs before either writes them down; the loser chooses again on its own.
        proposal = original(*arguments)
        if not propose.met:
            propose.met = True
            both.wait(60)
        return proposal

    propose.met = False
    monkeypatch.setattr(asking, "propose", propose)
    fits = APART.Value("i", 0)

    def renew(*arguments: object) -> mf.Surrogate:
        with fits.get_lock():
            fits.value += 1
        return original_renew(*arguments)

    original_renew = asking.renew
    monkeypatch.setattr(asking, "renew", renew)
    finished(*(APART.Process(target=ask, args=(url, 2)) for _ in range(2)))
    history = campaign.history()
    assert history["round"].tolist() == [1, 1, 2, 2]
    assert len(set(zip(history["candidate"], history["source"], strict=True))) == 4
    assert fits.value == 2
    assert campaign.status().left == 5


def test_two_that_spend_the_last_of_the_budget(url: str, begin: Begin, monkeypatch) -> None:
    campaign = begin(url, budget=2)
    finished(*(APART.Process(target=ask, args=(url, 2)) for _ in range(3)))
    assert campaign.status().spent == 2
    assert campaign.status().rounds == 3
    assert campaign.status().sources["cheap"].pending == 2


def test_two_that_tell_at_once_are_both_heard(url: str, begin: Begin) -> None:
    campaign = begin(url)
    tables = [pd.DataFrame({"x": [0.05 + k], "source": "cheap", "y": [0.1 * k]}) for k in range(6)]
    finished(*(APART.Process(target=tell, args=(url, table)) for table in tables))
    assert campaign.history().index.tolist() == [1, 2, 3, 4, 5, 6]
    assert sorted(campaign.seen()["x"].tail(6)) == [0.05 + k for k in range(6)]

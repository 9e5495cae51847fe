"""A campaign ends where a rule holds, says why, and goes on where it is asked all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.special import ndtr

import mfmat as mf
from mfmat.errors import SchemaError
from mfmat.stopping import LowScore, Outlook, Regret, SameTop
from mfmat.values import Value

Begin = Callable[..., mf.Campaign]
MEAN = torch.tensor([1.0, 2.0, 3.0, 9.0]).double()
OUTLOOK = Outlook(MEAN, torch.ones(4).double() / 4, torch.tensor([True, True, True, False]), True, 5.0)


def test_rules_are_values() -> None:
    for rule in (LowScore(0.1), Regret(0.2, level=0.9), SameTop(k=3, rounds=2)):
        assert Value.of(rule.config()) == rule


@pytest.mark.parametrize(
    "make",
    [lambda: LowScore(0.0), lambda: Regret(-1.0), lambda: Regret(1.0, level=1.0), lambda: SameTop(k=0)],
)
def test_rules_that_make_no_sense_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(SchemaError, match="another number"):
        make()


def test_a_low_score_ends_it_and_none_does_not() -> None:
    assert LowScore(0.5).explain(replace(OUTLOOK, score=0.4)) == "the best score is 0.4, below 0.5"
    assert not LowScore(0.5).explain(replace(OUTLOOK, score=0.5))
    assert not LowScore(0.5).explain(OUTLOOK)


def test_the_regret_is_bounded_over_all_that_is_not_measured() -> None:
    # 3 + 2 sd against 5 + 0.5: the known fourth candidate, far above, does not count.
    doubt = float(ndtr((MEAN[:3] - 5.5) / 0.5).sum())
    assert Regret(0.5, level=1 - 1.01 * doubt).explain(OUTLOOK)
    assert not Regret(0.5, level=1 - 0.99 * doubt).explain(OUTLOOK)
    assert not Regret(0.5).explain(replace(OUTLOOK, best=None))


def test_the_regret_of_a_search_for_small_values_is_its_mirror() -> None:
    mirror = replace(OUTLOOK, mean=-MEAN, best=-5.0, maximize=False)
    for level in (0.9, 0.999999999):
        assert bool(Regret(0.5, level).explain(mirror)) == bool(Regret(0.5, level).explain(OUTLOOK))


def test_the_union_bound_promises_no_more_than_it_keeps() -> None:
    generator = torch.Generator().manual_seed(0)
    draws = MEAN[:3] + 0.5 * torch.randn(20000, 3, generator=generator).double()
    for bound in (-1.5, -1.0):
        outlook = replace(OUTLOOK, best=5.0 + bound)
        wrong = float((draws.amax(1) > 5.0 + bound).double().mean())
        for level in (0.8, 0.9, 0.95, 0.99):
            assert not Regret(0.0, level).explain(outlook) or wrong <= 1 - level + 0.005


def test_a_top_that_stays_ends_it_in_whatever_order() -> None:
    swapped, other = MEAN[[0, 1, 3, 2]], MEAN.flip(0)
    rule = SameTop(k=2, rounds=2)
    assert "the 2 best by predicted mean are the same in 3" in rule.explain(replace(OUTLOOK, earlier=[swapped, MEAN]))
    assert not rule.explain(replace(OUTLOOK, earlier=[swapped]))
    assert not rule.explain(replace(OUTLOOK, earlier=[swapped, other]))
    assert rule.explain(replace(OUTLOOK, earlier=[swapped, MEAN, other]))
    assert SameTop(k=9, rounds=1).explain(replace(OUTLOOK, earlier=[other]))


def test_a_campaign_ends_says_why_and_goes_on_all_the_same(tmp_path: Path, begin: Begin) -> None:
    begin(tmp_path / "gap.db", stop=[LowScore(1e-9), Regret(100.0)])
    campaign = mf.Campaign.open(tmp_path / "gap.db")
    assert campaign.stop == (LowScore(1e-9), Regret(100.0))
    assert campaign.ask(2).empty
    best = campaign.model().card["means"][-1]
    why = f"with confidence 0.95 no other candidate is better than the best value ({best:.4g}) by more than 100"
    assert campaign.status().note == f"done: {why}; ask(anyway=True) goes on"
    assert len(campaign.ask(2, anyway=True)) == len(campaign.pending()) == 2
    assert campaign.status().note == f"asked all the same, though {why}"


def test_a_score_of_the_whole_pool_is_what_counts(tmp_path: Path, begin: Begin) -> None:
    probe = begin(tmp_path / "probe.db")
    score = probe.ask()["score"].iloc[0]
    assert len(begin(tmp_path / "on.db", stop=[LowScore(score * 0.99)]).ask()) == 1
    campaign = begin(tmp_path / "off.db", stop=[LowScore(score * 1.01)])
    assert campaign.ask().empty
    assert "the best score is" in campaign.status().note


def test_the_top_is_compared_with_models_of_other_tables(tmp_path: Path, begin: Begin) -> None:
    campaign = begin(tmp_path / "gap.db", stop=[SameTop(k=6, rounds=1)])
    assert len(campaign.ask()) == len(campaign.ask()) == 1
    campaign.tell(campaign.pending().assign(y=0.5))
    assert campaign.ask().empty
    assert "the 6 best by predicted mean are the same in 2 models in a row" in campaign.status().note


def test_no_rule_about_the_best_where_none_is_looked_for(tmp_path: Path, begin: Begin) -> None:
    with pytest.raises(SchemaError, match=r"SameTop.*where the goal is to learn"):
        begin(tmp_path / "gap.db", goal="learn", stop=[SameTop()])
    assert begin(tmp_path / "gap.db", goal="learn", stop=[LowScore(1e-9)]).stop == (LowScore(1e-9),)

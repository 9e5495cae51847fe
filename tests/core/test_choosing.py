"""No choice is beyond a budget, one pair is the best there is, and a set-up is judged by the block that it opens."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import mfmat as mf
from mfmat.acquisitions import Acquisition
from mfmat.blocks import score_block
from mfmat.choosing import Choice, Terms, choose
from mfmat.prospects import Prospects
from mfmat.purse import Purse

SEEDS = st.integers(0, 10**6)


class Still(Prospects):
    """Prospects that no belief changes: what is chosen follows from utilities and prices alone."""

    def __init__(self, n: int, m: int) -> None:
        self.sources, self.variance = m, torch.ones(n).double()
        self.measured, self.shared = torch.ones(n, m).double(), torch.zeros(n, m).double()
        self.candidates, self.others = torch.zeros(n, 2).double(), ()

    def believe(self, row: Tensor) -> None:
        assert row.shape == (2,)


@dataclass(frozen=True)
class Given(Acquisition):
    """An acquisition whose utilities are given."""

    utility: Tensor

    def log_utility(self, prospects: Prospects) -> Tensor:
        assert prospects.sources == self.utility.shape[1]
        return self.utility.log()

    def meaning(self, utility: float, prospects: Prospects, unit: str) -> str:
        raise NotImplementedError


def draw(seed: int, units: int, *, setups: bool = True) -> tuple[Tensor, Tensor, Purse]:
    """Utilities (n x m), prices (n x m x u) and a purse that is soon empty."""
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 7), rng.integers(1, 4)
    costs = rng.exponential(size=(n, m, units)) * (rng.random((n, m, units)) < 0.8)
    setup = rng.exponential(3.0, size=(m, units)) * (rng.random((m, 1)) < 0.7) * setups
    utility, left = rng.exponential(size=(n, m)), rng.exponential(6.0, size=units)
    rates = rng.uniform(0.2, 3.0, size=units)
    return torch.tensor(utility), torch.tensor(costs), Purse(*map(torch.tensor, (left, rates, setup)))


def chosen(utility: Tensor, costs: Tensor, purse: Purse, n: int, temperature: float = 0.0) -> list[Choice]:
    terms = Terms(costs, torch.ones_like(utility, dtype=torch.bool), purse, temperature=temperature)
    return choose(Still(*utility.shape), Given(utility), terms, n)


@settings(max_examples=150)
@given(SEEDS, st.integers(1, 3), st.integers(1, 8), st.sampled_from([0.0, 1.0]))
def test_no_choice_is_beyond_a_budget(seed: int, units: int, n: int, temperature: float) -> None:
    utility, costs, purse = draw(seed, units)
    found = chosen(utility, costs, purse, n, temperature)
    pairs = [(choice.candidate, choice.fidelity) for choice in found]
    assert len(set(pairs)) == len(pairs) <= n
    paid = sum((costs[pair] for pair in pairs), torch.zeros(units)) + purse.setup[sorted({f for _, f in pairs})].sum(0)
    assert bool((paid <= purse.left * (1 + 1e-9)).all())
    said = (
        torch.tensor([[*choice.cost, *choice.setup] for choice in found], dtype=torch.double)
        .reshape(-1, 2, units)
        .sum((0, 1))
    )
    torch.testing.assert_close(said, paid)


@settings(max_examples=150)
@given(SEEDS, st.integers(1, 3))
def test_one_pair_is_the_best_by_brute_force(seed: int, units: int) -> None:
    utility, costs, purse = draw(seed, units)
    best, score = None, 0.0
    for pair in itertools.product(range(len(utility)), range(utility.shape[1])):
        paid = costs[pair] + purse.setup[pair[1]]
        price = float(paid @ purse.rates)
        worth = float(utility[pair]) / price if price else math.inf
        if bool((paid <= purse.left).all()) and worth > score:
            best, score = pair, worth
    found = chosen(utility, costs, purse, 1)
    if math.isfinite(score):
        assert [(choice.candidate, choice.fidelity) for choice in found] == ([best] if best else [])
        assert [choice.score for choice in found] == pytest.approx([score] if best else [])


@settings(max_examples=100)
@given(SEEDS, st.integers(1, 6))
def test_a_set_up_is_judged_by_its_best_block(seed: int, most: int) -> None:
    utility, costs, purse = draw(seed, 2)
    free = Purse(torch.full((2,), math.inf), purse.rates, purse.setup + 0.1)
    price, setup = free.price(costs[:, 0]), float(free.price(free.setup[0]))
    blocks = [b for k in range(1, most + 1) for b in itertools.combinations(range(len(utility)), k)]
    worths = {b: float(utility[list(b), 0].sum() / (setup + price[list(b)].sum())) for b in blocks}
    best = max(worths, key=lambda block: worths[block])
    score = score_block(utility[:, 0].log(), costs[:, 0], free, 0, most).exp()
    assert float(score.max()) == pytest.approx(worths[best])
    assert int(score.argmax()) in best


def test_a_set_up_is_paid_once_and_only_where_a_batch_is_worth_it() -> None:
    # Alone, the dear source is worth 8 / 60; in a batch of five, 40 / 100, more than the cheap one's 0.3.
    utility, costs = torch.tensor([[0.3, 8.0]] * 6), torch.tensor([[[1.0], [10.0]]] * 6)
    purse = Purse(torch.tensor([math.inf]), torch.ones(1), torch.tensor([[0.0], [50.0]]))
    args = (utility.double(), costs.double(), Purse(purse.left.double(), purse.rates.double(), purse.setup.double()))
    assert [choice.fidelity for choice in chosen(*args, 1)] == [0]
    batch = chosen(*args, 5)
    assert [choice.fidelity for choice in batch] == [1] * 5
    assert [choice.setup for choice in batch] == [(50.0,), *[(0.0,)] * 4]
    assert batch[0].score == pytest.approx(40 / 100)
    assert batch[1].score == pytest.approx(8 / 10)


def test_a_block_ends_where_the_budget_does() -> None:
    utility, costs = torch.tensor([[8.0]] * 6).double(), torch.tensor([[[10.0]]] * 6).double()
    purse = Purse(torch.tensor([75.0]).double(), torch.ones(1).double(), torch.tensor([[50.0]]).double())
    assert [choice.score for choice in chosen(utility, costs, purse, 6)] == pytest.approx([16 / 70, 0.8])


@settings(max_examples=50)
@given(SEEDS)
def test_without_set_ups_a_score_is_utility_by_price(seed: int) -> None:
    utility, costs, purse = draw(seed, 1, setups=False)
    for choice in chosen(utility, costs + 0.1, purse, 3):
        price = float((costs[choice.candidate, choice.fidelity] + 0.1) @ purse.rates)
        assert choice.score == pytest.approx(float(utility[choice.candidate, choice.fidelity]) / price)


def test_amounts_keep_every_digit() -> None:
    # In single precision a budget of 0.1 would buy what costs 0.1000000001.
    schema = mf.Schema(mf.Columns("x"), "y", costs={"y": {"money": 0.1, "days": 0.3}}, setup={"y": {"days": 0.7}})
    purse = Purse.of(schema, {"money": 0.1, "days": 0.9})
    assert purse.left.tolist() == [0.1, 0.9]
    assert purse.rates.tolist() == [10.0, 1 / 0.9]
    assert purse.setup.tolist() == [[0.0, 0.7]]

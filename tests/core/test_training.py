"""Training: inputs as ranks, early stopping on compounds held out, and what an interrupt leaves behind."""

from __future__ import annotations

import pytest
import torch

import mfmat as mf
from mfmat.data import Data
from mfmat.networks import REACH, Inputs
from mfmat.training import Schedule, hold_out, train


def rows(groups: torch.Tensor) -> Data:
    n = len(groups)
    return Data(
        X=torch.cat([torch.rand(n, 2), torch.zeros(n, 1)], dim=1).double(),
        Y=torch.rand(n, 1).double(),
        Yvar=torch.zeros(n, 1).double(),
        known=torch.zeros(n, dtype=torch.bool),
        views={"x": slice(0, 2)},
        sources=("y",),
        groups=groups,
        rows=torch.arange(n),
        counts=torch.ones(n, dtype=torch.long),
    )


def test_no_compound_is_on_both_sides() -> None:
    data = rows(torch.arange(60) // 3)
    kept, held = hold_out(data, 0.2, seed=1)
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(60))
    assert len(held) == 12
    assert not torch.isin(data.groups[held], data.groups[kept]).any()


def test_few_compounds_are_all_trained_on() -> None:
    kept, held = hold_out(rows(torch.arange(60) % 9), 0.5, seed=0)
    assert len(kept) == 60
    assert not len(held)


def test_it_ends_where_the_score_was_best() -> None:
    x, seen = torch.zeros(1, requires_grad=True), []

    def score() -> float:
        seen.append(x.item())
        return abs(x.item() - 0.5)

    # The loss pulls to 1, through the best score at 0.5.
    train([x], lambda batch: (x - 1).square().mean(), torch.arange(8), score, Schedule(epochs=50, steps=50, rate=0.1))
    assert max(seen) > 0.6
    assert x.item() == min(seen, key=lambda value: abs(value - 0.5))


def test_one_seed_one_order() -> None:
    orders: list[list[int]] = []
    x = torch.zeros(1, requires_grad=True)

    def loss(batch: torch.Tensor) -> torch.Tensor:
        orders[-1].extend(batch.tolist())
        return x.square().sum()

    for seed in (0, 0, 1):
        orders.append([])
        train([x], loss, torch.arange(10), None, Schedule(epochs=2, steps=1, batch=3), seed=seed)
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted([*range(10)] * 2)


@pytest.mark.parametrize("recipe", [mf.Ensemble(members=2, hidden=(8,)), mf.AtomSet(hidden=(8,))])
def test_an_interrupt_leaves_nothing_behind(recipe: mf.Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    data, steps = rows(torch.arange(40)), []

    def interrupt(*args: object, **kwargs: object) -> None:
        steps.append(1)
        if len(steps) == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr("torch.nn.utils.clip_grad_norm_", interrupt)
    before, threads, X = torch.get_rng_state(), torch.get_num_threads(), data.X.clone()
    with pytest.raises(KeyboardInterrupt):
        recipe.fit(data)
    assert len(steps) == 7
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert torch.equal(data.X, X)
    assert torch.is_grad_enabled()


def measured(column: torch.Tensor) -> Inputs:
    inputs = Inputs({"x": slice(0, 1)}, 1)
    inputs.measure(column[:, None])
    return inputs


def test_inputs_do_not_mind_how_a_column_is_bent() -> None:
    x = torch.rand(2000, generator=torch.Generator().manual_seed(0)).double()
    straight, bent = measured(x)(x[:, None]), measured((9 * x).exp())((9 * x).exp()[:, None])
    assert float((straight - bent).abs().mean()) < 0.02
    assert float(straight.mean()) == pytest.approx(0, abs=0.02)


def test_an_element_that_few_rows_have_stands_out() -> None:
    x = torch.zeros(1000).double()
    x[:10] = torch.linspace(0.05, 0.5, 10)
    z = measured(x)(x[:, None])[:, 0]
    assert float(z[:10].min()) > 1.5
    assert float(z[10:].abs().max()) < 0.1


def test_inputs_rise_and_end() -> None:
    x = torch.randn(500, generator=torch.Generator().manual_seed(0)).double()
    asked = torch.tensor([-1e200, -1e4, *torch.linspace(-6, 6, 101), 1e4, 1e200]).double().sort().values
    z = measured(x)(asked[:, None])[:, 0]
    assert bool((z.diff() >= 0).all())
    assert z[0] == pytest.approx(-REACH)
    assert z[-1] == pytest.approx(REACH)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_inputs_of_hardly_any_rows(n: int) -> None:
    x = torch.arange(n).double()
    assert torch.isfinite(measured(x)(torch.tensor([[-3.0], [0.0], [5.0]]).double())).all()

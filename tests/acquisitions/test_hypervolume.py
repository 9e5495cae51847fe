"""Hypervolume: against BoTorch's closed form, against simulation, and far below the front."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from botorch.acquisition.multi_objective.analytic import ExpectedHypervolumeImprovement
from botorch.models.model import Model
from botorch.posteriors import GPyTorchPosterior
from botorch.utils.multi_objective.box_decompositions.non_dominated import FastNondominatedPartitioning
from botorch.utils.multi_objective.hypervolume import Hypervolume as Volume
from gpytorch.distributions import MultitaskMultivariateNormal

from mfmat.acquisitions import Hypervolume
from mfmat.choosing import choose
from mfmat.errors import SchemaError, UnknownNameError
from mfmat.prospects import Known, Prospects

REFERENCE = {"strength": -2.0, "ductility": -1.5}
NAMES = ("strength", "ductility", "price")


def together(square, *seeds: int, n: int = 30, scales: tuple[float, ...] = (1.0, 1.0, 1.0)) -> Prospects:
    """Prospects of independent values of the same points, in units of these sizes."""
    every = [square(seed, n=n).scaled(scale) for seed, scale in zip(seeds, scales, strict=False)]
    known = Known(every[0].rows(measured=True), NAMES[: len(seeds)])
    others = [model.prospects(known=None) for model in every[1:]]
    return every[0].prospects(known=known, others=others)


def measured(prospects: Prospects) -> torch.Tensor:
    """The values of the points that were measured, without noise."""
    return torch.stack([each.model.Y for each in prospects.objectives], dim=-1)


class Moments(Model):
    """A model whose rows are means and variances."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs

    @property
    def num_outputs(self) -> int:
        return self.outputs

    def posterior(self, X: torch.Tensor, *args: Any, **kwargs: Any) -> GPyTorchPosterior:
        mean, variance = X.split(self.outputs, dim=-1)
        return GPyTorchPosterior(MultitaskMultivariateNormal(mean, torch.diag_embed(variance[..., 0, :])))


def by_botorch(prospects: Prospects, sign: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """BoTorch's closed form on what a measurement of each pair does to the means."""
    front = sign * measured(prospects)
    boxes = FastNondominatedPartitioning(reference, front[(front > reference).all(dim=1)])
    acquisition = ExpectedHypervolumeImprovement(Moments(len(sign)), reference.tolist(), boxes)
    means = torch.stack([sign[i] * each.mean for i, each in enumerate(prospects.objectives)], dim=-1)
    moved = torch.stack([each.moved[:, 0] for each in prospects.objectives], dim=-1)
    return acquisition(torch.cat([means, moved], dim=-1)[:, None])


@pytest.mark.parametrize("minimize", [(), ("ductility",), ("strength", "ductility")], ids=str)
def test_it_is_botorchs_closed_form(minimize: tuple[str, ...], square) -> None:
    prospects = together(square, 1, 2)
    sign = torch.tensor([-1.0 if name in minimize else 1.0 for name in NAMES[:2]]).double()
    worst = {name: float(s) * REFERENCE[name] for s, name in zip(sign, NAMES, strict=False)}
    found = Hypervolume(reference=worst, minimize=minimize).log_utility(prospects)
    expected = by_botorch(prospects, sign, torch.tensor(list(REFERENCE.values())).double())
    # BoTorch's own sum loses some 1e-8 to rounding.
    torch.testing.assert_close(found.exp()[:, 0], expected, rtol=1e-4, atol=1e-7)
    assert float(expected.max()) > 0.1


def test_of_three_values_it_is_botorchs_closed_form_too(square) -> None:
    prospects = together(square, 1, 2, 3)
    reference = torch.tensor([-2.0, -1.5, -2.0]).double()
    worst = dict(zip(NAMES, reference.tolist(), strict=True))
    found = Hypervolume(reference=worst).log_utility(prospects)
    expected = by_botorch(prospects, torch.ones(3).double(), reference)
    torch.testing.assert_close(found.exp()[:, 0], expected, rtol=1e-4, atol=1e-7)


def test_a_front_below_the_reference_is_no_front(square) -> None:
    prospects = together(square, 1, 2)
    high = dict.fromkeys(REFERENCE, 5.0)
    found = Hypervolume(reference=high).log_utility(prospects)
    # Nothing measured is that good: one box, and two independent improvements.
    at_best = [each.mean.max() for each in prospects.objectives]
    assert float(max(at_best)) < 5
    alone = [torch.distributions.Normal(each.mean, each.moved[:, 0].sqrt()) for each in prospects.objectives]
    draws = [torch.special.log_ndtr((each.mean - 5.0) / each.stddev) for each in alone]
    assert torch.equal(found[:, 0].argsort()[-1:], found[:, 0].argmax()[None])
    assert bool((found[:, 0] < sum(draws) + 4).all())
    assert bool(torch.isfinite(found).all())


def test_with_pairs_asked_it_is_what_the_next_adds_to_them(square, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfmat.acquisitions.improvement.DRAWS", 512)
    prospects = together(square, 5, 6, n=8)
    models = [each.model for each in prospects.objectives]
    reference = torch.tensor(list(REFERENCE.values())).double()
    drawn = torch.stack([model.draws(1000, seed) for seed, model in enumerate(models)], dim=-1)
    for i in (2, 6):
        prospects.believe(prospects.candidates[i])
    found = Hypervolume(reference=REFERENCE).log_utility(prospects).exp()[:, 0]
    volume, known, left = Volume(reference), measured(prospects), [0, 1, 3, 4, 5, 7]
    added = torch.zeros(len(left)).double()
    for s in range(drawn.shape[1]):
        front = torch.cat([known, drawn[[2, 6], s]])
        before = volume.compute(front[_good(front)])
        for place, i in enumerate(left):
            more = torch.cat([front, drawn[i, s][None]])
            added[place] += (volume.compute(more[_good(more)]) - before) / drawn.shape[1]
    torch.testing.assert_close(found[left], added, rtol=0.05, atol=0.025)


def _good(Y: torch.Tensor) -> torch.Tensor:
    return torch.tensor([not bool(((y <= Y).all(dim=1) & (y < Y).any(dim=1)).any()) for y in Y])


def test_a_batch_is_not_twice_the_same_question(square) -> None:
    prospects = together(square, 7, 8, n=100)
    chosen = choose(prospects, Hypervolume(), prospects.model.terms(), 4)
    points = prospects.model.points[[choice.candidate for choice in chosen]]
    assert float(torch.pdist(points).min()) > 0.05
    assert all(len(choice.tells) == 2 for choice in chosen)


def test_far_below_the_front_pairs_still_differ(square) -> None:
    prospects = together(square, 1, 2)
    for each in prospects.objectives:
        each.model.means[each.model.n :] += 30.0
    utility = Hypervolume(reference={"strength": 20.0, "ductility": 20.0}).log_utility(prospects)[:, 0]
    assert bool(torch.isfinite(utility).all())
    assert float(utility.max()) < -100
    assert len(utility.unique()) == len(utility)


def test_the_units_change_nothing_but_the_unit_of_the_volume(square) -> None:
    plain, other = together(square, 1, 2), together(square, 1, 2, scales=(1e-9, 1e6))
    worst = {"strength": REFERENCE["strength"] * 1e-9, "ductility": REFERENCE["ductility"] * 1e6}
    for one, two in ((Hypervolume(), Hypervolume()), (Hypervolume(reference=REFERENCE), Hypervolume(reference=worst))):
        expected = one.log_utility(plain) + math.log(1e-3)
        torch.testing.assert_close(two.log_utility(other), expected, rtol=1e-6, atol=1e-6)


def test_where_nothing_has_all_values_the_expected_front_stands_in(square) -> None:
    prospects = together(square, 1, 2)
    assert prospects.known is not None
    prospects.known = Known(prospects.known.X[:0], prospects.known.names)
    utility = Hypervolume().log_utility(prospects)
    assert bool(torch.isfinite(utility).all())
    assert "strength" in Hypervolume().meaning(0.1, prospects, "MPa")


def test_what_a_hypervolume_cannot_be_of_is_named(square) -> None:
    with pytest.raises(SchemaError, match="the hypervolume of one value"):
        Hypervolume().log_utility(square(0, n=5).prospects())
    with pytest.raises(UnknownNameError, match=r"'strengt' of a hypervolume.*did you mean 'strength'"):
        Hypervolume(minimize="strengt").log_utility(together(square, 1, 2))
    with pytest.raises(UnknownNameError, match="'hardness'"):
        Hypervolume(reference={"hardness": 1.0}).log_utility(together(square, 1, 2))
    with pytest.raises(SchemaError, match="a reference of nan for 'strength'"):
        Hypervolume(reference={"strength": math.nan})
    value = Hypervolume(reference={"strength": 1.0}, minimize="ductility")
    assert Hypervolume.of(value.config()) == value

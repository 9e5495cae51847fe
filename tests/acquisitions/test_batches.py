"""Batches: as good together as BoTorch's own, and never twice the same question."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from botorch.acquisition.logei import qLogExpectedImprovement, qLogNoisyExpectedImprovement
from botorch.optim import optimize_acqf_discrete
from botorch.sampling import SobolQMCNormalSampler

from mfmat.acquisitions import Acquisition, Improvement, NoisyImprovement
from mfmat.choosing import choose
from mfmat.errors import SchemaError
from mfmat.prospects import Known, Prospects

SAMPLER = SobolQMCNormalSampler(torch.Size([256]), seed=0)


def batch(prospects: Prospects, acquisition: Acquisition, n: int = 4) -> list[int]:
    """The candidates that are chosen, all at one price."""
    return [choice.candidate for choice in choose(prospects, acquisition, prospects.model.terms(), n)]


def by_botorch(model, *, noisy: bool, n: int = 4) -> list[int]:
    """The greedy batch of BoTorch over the same points."""
    if noisy:
        rows = model.rows(measured=True)
        options = {"X_baseline": rows, "prune_baseline": False, "cache_root": False}
        acquisition = qLogNoisyExpectedImprovement(model, sampler=SAMPLER, **options)
    else:
        acquisition = qLogExpectedImprovement(model, best_f=model.Y.max(), sampler=SAMPLER)
    chosen, _ = optimize_acqf_discrete(acquisition, q=n, choices=model.rows(), unique=True)
    return [int(number) for number in chosen[:, 0]]


def together(model, chosen: list[int], *, noisy: bool) -> float:
    """The joint expected improvement of a batch, by simulation."""
    drawn = model.draws(20_000)
    best = drawn[model.n :].max(dim=0).values if noisy else model.Y.max()
    return float((drawn[chosen].max(dim=0).values - best).clamp_min(0).mean())


@pytest.mark.parametrize(
    ("noise", "acquisition", "least"), [(0.0, Improvement(), 0.98), (0.1, NoisyImprovement(), 0.95)], ids=str
)
def test_a_batch_is_worth_as_much_together_as_botorchs(
    noise: float, acquisition: Acquisition, least: float, square
) -> None:
    # Where the means alone were believed, the batches of Improvement were worth 0.91 of BoTorch's.
    ours, theirs = 0.0, 0.0
    for seed in range(6):
        model = square(seed, noise=noise)
        ours += together(model, batch(model.prospects(), acquisition), noisy=noise > 0)
        theirs += together(model, by_botorch(model, noisy=noise > 0), noisy=noise > 0)
    assert ours > least * theirs


@pytest.mark.parametrize("acquisition", [Improvement(), NoisyImprovement()], ids=str)
def test_no_two_of_a_batch_nearly_coincide(acquisition: Acquisition, square) -> None:
    # A smooth function, and a point that is expected to be better than all that was measured.
    closest = []
    for seed in range(8):
        model = square(seed, scale=0.4)
        points = model.points[batch(model.prospects(), acquisition)]
        closest.append(float(torch.pdist(points).min()))
        # Nothing in a batch is known already from what was asked before it.
        chosen = batch(model.prospects(), acquisition)
        for k in range(1, 4):
            before, one = torch.tensor(chosen[:k]), chosen[k]
            left = (
                model.C[one, one]
                - model.C[one, before]
                @ torch.linalg.lstsq(model.C[before][:, before] + 1e-10 * torch.eye(k), model.C[before, one]).solution
            )
            assert float(left / model.C[one, one]) > 0.01
    assert np.median(closest) > 0.1


def test_the_next_of_a_batch_is_worth_what_it_adds_to_those_asked(square, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfmat.acquisitions.improvement.DRAWS", 4096)
    model = square(3, n=12)
    prospects, drawn = model.prospects(), model.draws(200_000)
    asked, left = [4, 7], [0, 1, 2, 3, 5, 6, 8, 9, 10, 11]
    for i in asked:
        prospects.believe(prospects.candidates[i])
    best = torch.maximum(drawn[asked].max(dim=0).values, model.Y.max())
    expected = (drawn[left] - best).clamp_min(0).mean(dim=1)
    found = Improvement().log_utility(prospects)[left, 0].exp()
    torch.testing.assert_close(found, expected, rtol=0.03, atol=0.001)


def test_over_noisy_values_it_is_botorchs_noisy_improvement(square, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfmat.acquisitions.improvement.DRAWS", 4096)
    model = square(5, n=30, noise=0.2)
    rows = model.rows(measured=True)
    sampler = SobolQMCNormalSampler(torch.Size([4096]), seed=1)
    theirs = qLogNoisyExpectedImprovement(
        model, X_baseline=rows, sampler=sampler, prune_baseline=False, cache_root=False, tau_relu=1e-6, tau_max=1e-4
    )
    with torch.no_grad():
        expected = theirs(model.rows()[:, None]).exp()
    # BoTorch asks for the noise-free value of a candidate: a measurement without noise.
    prospects = model.prospects()
    prospects.measured = prospects.measured - 0.2
    inner = NoisyImprovement().log_utility(prospects)[:, 0].exp()
    torch.testing.assert_close(inner, expected, rtol=0.03, atol=0.001)


def test_a_lucky_measurement_is_no_bar(square) -> None:
    model = square(2, n=40, noise=0.3)
    lucky = model.prospects()
    plain = batch(lucky, NoisyImprovement())
    lucky = model.prospects()
    lucky._measured_means = (-100.0, 100.0)
    assert batch(lucky, NoisyImprovement()) == plain
    assert float(Improvement().log_utility(lucky).max()) < -100


def test_small_values_are_found_as_large_ones_are(square) -> None:
    model, mirrored = square(4, noise=0.05), square(4, noise=0.05)
    mirrored.means, mirrored.Y = -model.means, -model.Y
    for name in (Improvement, NoisyImprovement):
        high = batch(model.prospects(), name())
        assert high == batch(mirrored.prospects(), name(maximize=False))


def test_the_unit_of_the_values_changes_nothing(square) -> None:
    model, tiny = square(1), square(1).scaled(1e-9)
    expected = Improvement().log_utility(model.prospects()) + math.log(1e-9)
    torch.testing.assert_close(Improvement().log_utility(tiny.prospects()), expected)
    assert batch(tiny.prospects(), Improvement()) == batch(model.prospects(), Improvement())


def test_without_what_was_measured_there_is_no_noisy_improvement(square, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SchemaError, match="do not hold what was measured"):
        NoisyImprovement().log_utility(square(0, n=5).prospects(known=None))


def test_where_the_target_has_no_value_the_best_that_is_expected_is_the_bar(square) -> None:
    model = square(0, n=20)
    nothing = Known(model.rows()[:0], ("y",))
    prospects, plain = model.prospects(known=nothing), model.prospects()
    prospects._best = plain._best = None
    for row in (model.rows()[3], model.rows()[8]):
        found, expected = NoisyImprovement().log_utility(prospects), Improvement().log_utility(plain)
        torch.testing.assert_close(found, expected)
        prospects.believe(row)
        plain.believe(row)

"""A Gaussian over weights against the dense Gaussian over rows that it stands for."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import MultivariateNormal

from mfmat.weights import NOISE_FLOOR, Evidence, Weights

N, SOURCES = 40, 2
BLOCKS = (1, 3, 2)


def rows(seed: int = 0, n: int = N) -> dict[str, torch.Tensor]:
    """Rows of two sources: some with learned noise, some with known noise, some with both, some uneven."""
    generator = torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.double)

    kind = torch.arange(n) % 3
    return {
        "features": numbers(n, sum(BLOCKS)),
        "y": numbers(n),
        "source": torch.arange(n) % SOURCES,
        "relative": torch.where(kind == 0, 0.0, numbers(n).exp()),
        "extra": torch.where(kind == 2, 0.0, 0.1 * numbers(n).exp()),
    }


def some_weights() -> Weights:
    weights = Weights(BLOCKS, SOURCES)
    with torch.no_grad():
        weights.log_precision.copy_(torch.tensor([-1.0, 0.5, 2.0]))
        weights.log_noise.copy_(torch.tensor([-2.0, 0.3]))
    return weights


def evidence(of: dict[str, torch.Tensor]) -> Evidence:
    return Evidence.of(of["features"], of["y"], of["source"], SOURCES, relative=of["relative"], extra=of["extra"])


def dense(of: dict[str, torch.Tensor], weights: Weights) -> torch.Tensor:
    """The covariance of the rows, n x n, written out."""
    prior = (-weights.log_precision.detach()).exp()[weights.block]
    noise = of["relative"] * (NOISE_FLOOR + weights.log_noise.detach().exp())[of["source"]] + of["extra"]
    return of["features"] * prior @ of["features"].T + torch.diag(noise)


def log_density(of: dict[str, torch.Tensor], weights: Weights) -> torch.Tensor:
    return MultivariateNormal(torch.zeros(len(of["y"])).double(), dense(of, weights)).log_prob(of["y"])


def both(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: torch.cat([a[name], b[name]]) for name in a}


def test_the_evidence_is_the_density_of_the_rows() -> None:
    of, weights = rows(), some_weights()
    torch.testing.assert_close(-weights.surprise(evidence(of)), log_density(of, weights), rtol=1e-10, atol=1e-10)


def test_joined_evidence_is_that_of_all_rows() -> None:
    a, b, weights = rows(0), rows(1, 7), some_weights()
    joined = weights.surprise(evidence(a).join(evidence(b)))
    torch.testing.assert_close(-joined, log_density(both(a, b), weights), rtol=1e-10, atol=1e-10)


def test_the_posterior_is_that_of_the_process() -> None:
    of, new, weights = rows(), rows(5, 6), some_weights()
    weights.condition(evidence(of))
    prior = (-weights.log_precision.detach()).exp()[weights.block]
    cross = new["features"] * prior @ of["features"].T
    solved = torch.linalg.solve(dense(of, weights), cross.T).T
    features = new["features"]
    torch.testing.assert_close(features @ weights.mean, solved @ of["y"])
    said = features @ weights.reach @ weights.reach.T @ features.T
    torch.testing.assert_close(said, features * prior @ features.T - solved @ cross.T)


def test_learned_precisions_and_noise_are_a_maximum() -> None:
    of, weights = rows(2, 200), some_weights()
    weights.learn(evidence(of))

    def score() -> float:
        log_prior = (
            -0.5 * ((weights.log_noise + 3) / 1.5).square().sum() - 0.5 * (weights.log_precision / 3).square().sum()
        )
        return float((log_density(of, weights) + log_prior).detach())

    best = score()
    for parameter in (weights.log_precision, weights.log_noise):
        for i in range(len(parameter)):
            for step in (-0.1, 0.1):
                with torch.no_grad():
                    parameter[i] += step
                assert score() < best
                with torch.no_grad():
                    parameter[i] -= step


def test_conditional_evidence_is_the_density_of_held_out_rows_given_the_others() -> None:
    given, held = rows(3, 60), rows(4, 30)
    weights = some_weights()
    weights.learn(evidence(held), evidence(given))

    def score() -> float:
        log_prior = (
            -0.5 * ((weights.log_noise + 3) / 1.5).square().sum() - 0.5 * (weights.log_precision / 3).square().sum()
        )
        together = log_density(both(given, held), weights) - log_density(given, weights)
        return float((together + log_prior).detach())

    best = score()
    for parameter in (weights.log_precision, weights.log_noise):
        for i in range(len(parameter)):
            for step in (-0.1, 0.1):
                with torch.no_grad():
                    parameter[i] += step
                assert score() < best
                with torch.no_grad():
                    parameter[i] -= step


def test_noise_of_features_that_were_fitted_to_rows_is_that_of_held_out_rows() -> None:
    # Ninety features of pure noise explain a hundred rows, and nothing of new ones.
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(400, 90, generator=generator).double(), torch.randn(400, generator=generator).double()
    fitted = torch.linalg.lstsq(x[:100], y[:100]).solution
    feature = (x @ fitted)[:, None]

    def part(places: slice) -> Evidence:
        n = len(y[places])
        zeros = torch.zeros(n, dtype=torch.long)
        return Evidence.of(
            feature[places], y[places], zeros, 1, relative=torch.ones(n).double(), extra=torch.zeros(n).double()
        )

    fooled, honest = Weights([1], 1), Weights([1], 1)
    fooled.learn(part(slice(100)))
    honest.learn(part(slice(100, None)), part(slice(100)))
    assert float(fooled.noise.detach()) < 0.3
    assert float(honest.noise.detach()) > 0.8


def test_a_row_known_exactly_is_met() -> None:
    one = {
        "features": torch.ones(1, 1).double(),
        "y": torch.full((1,), 2.0).double(),
        "source": torch.zeros(1, dtype=torch.long),
        "relative": torch.zeros(1).double(),
        "extra": torch.full((1,), NOISE_FLOOR).double(),
    }
    weights = Weights([1], 1)
    weights.condition(
        Evidence.of(one["features"], one["y"], one["source"], 1, relative=one["relative"], extra=one["extra"])
    )
    assert float(weights.mean) == pytest.approx(2.0, rel=1e-5)


def test_with_fewer_rows_than_features_the_evidence_is_the_same() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(9, 30, generator=generator).double()
    y, source = torch.randn(9, generator=generator).double(), torch.arange(9) % 2
    relative, extra = torch.rand(9, generator=generator).double() + 0.5, torch.zeros(9).double()
    weights = Weights([10, 20], 2)
    kept, summed = (
        Evidence.of(features, y, source, 2, relative=relative, extra=extra, few=few) for few in (True, False)
    )
    slopes = [
        torch.autograd.grad(weights.surprise(rows), [weights.log_precision, weights.log_noise])
        for rows in (kept, summed)
    ]
    torch.testing.assert_close(weights.surprise(kept), weights.surprise(summed))
    torch.testing.assert_close(slopes[0], slopes[1])
    weights.condition(kept)
    mean = weights.mean.clone()
    weights.condition(summed)
    torch.testing.assert_close(weights.mean, mean)


@pytest.mark.parametrize("known", ["nothing", "some", "all"])
def test_the_slopes_are_those_of_the_evidence(known: str) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(80, 6, generator=generator).double()
    y, source = torch.randn(80, generator=generator).double(), torch.arange(80) % 3
    relative = 0.5 + torch.rand(80, generator=generator).double()
    flags = {"nothing": source < 0, "some": source == 1, "all": source >= 0}[known]
    rows = Evidence.of(features, y, source, 3, relative=relative, extra=torch.where(flags, 0.3, 0.0).double())
    weights = Weights([1, 3, 2], 3)
    with torch.no_grad():
        weights.log_precision.copy_(torch.tensor([0.5, -1.0, 2.0]))
        weights.log_noise.copy_(torch.tensor([-2.0, 0.3, -0.5]))
    surprise = weights.surprise(rows)
    expected = torch.autograd.grad(surprise, [weights.log_precision, weights.log_noise])
    loss, *slopes = weights._slopes(rows)
    torch.testing.assert_close(loss, surprise.detach())
    for got, wanted in zip(slopes, expected, strict=True):
        torch.testing.assert_close(got, wanted)

"""Gates: weights against integration over a grid, where they vary, what they say without evidence."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate

import mfmat as mf
from mfmat.errors import SchemaError
from mfmat.gates import Evidence, Gate
from mfmat.gates.place import Place
from mfmat.gates.shares import draw_shares
from mfmat.gates.tilt import Tilt
from mfmat.values import Value

GATES = [mf.ConstantGate(), mf.LocalGate()]
EVERY = pytest.mark.parametrize("gate", GATES, ids=["constant", "local"])


def evidence(n: int, weights, seed: int = 0, apart: float = 2.0, members: int = 3) -> tuple[Evidence, np.ndarray]:
    """Rows drawn from the mixture itself, whose members have known densities: N(mu_ik, 1)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    truth = weights(x)
    mu = apart * rng.normal(size=(n, members))
    member = (truth.cumsum(1) < rng.random((n, 1))).sum(1).clip(max=members - 1)
    y = mu[np.arange(n), member] + rng.normal(size=n)
    scores = -0.5 * (y[:, None] - mu) ** 2 - 0.5 * math.log(2 * math.pi)
    X = torch.from_numpy(np.column_stack([x, np.zeros(n)]))
    return Evidence(X, torch.from_numpy(scores), torch.ones(n, members).double(), {"x": slice(0, 3)}), truth


def same(*weights: float):
    return lambda x: np.tile(weights, (len(x), 1))


def tilted(slopes: np.ndarray):
    def weights(x: np.ndarray) -> np.ndarray:
        logits = np.exp(x @ slopes.T)
        return logits / logits.sum(1, keepdims=True)

    return weights


def at(e: Evidence) -> tuple[torch.Tensor, torch.Tensor]:
    return e.X.unsqueeze(1), e.spreads.T.unsqueeze(-1)


@pytest.mark.parametrize("concentration", [0.5, 2.0, 8.0])
def test_shares_of_two_are_those_of_integration(concentration: float) -> None:
    e, _ = evidence(25, same(0.7, 0.3), members=2, apart=1.0)
    density = np.exp(e.scores.numpy())

    def posterior(w: float) -> float:
        prior = (w * (1 - w)) ** (concentration / 2 - 1)
        return float(prior * np.prod(w * density[:, 0] + (1 - w) * density[:, 1]) * 1e20)

    moments = [integrate.quad(lambda w, k=k: w**k * posterior(w), 0, 1, limit=200)[0] for k in range(3)]
    mean, second = moments[1] / moments[0], moments[2] / moments[0]
    said, draws = draw_shares(e.scores, concentration, seed=0)
    assert float(said[0]) == pytest.approx(mean, abs=0.01)
    assert float(draws[:, 0].std()) == pytest.approx(math.sqrt(second - mean**2), rel=0.12)


@EVERY
def test_without_evidence_all_are_trusted_alike_and_nothing_is_sure(gate: Gate) -> None:
    e, _ = evidence(0, same(1.0, 0.0, 0.0))
    fitted = gate.fit(e)
    X, spreads = torch.randn(5, 2, 4, generator=torch.Generator().manual_seed(0)).double(), torch.ones(3, 5, 2).double()
    torch.testing.assert_close(fitted.weights(X, spreads), torch.full((3, 5, 2), 1 / 3).double())
    assert bool((fitted.weight_std(X, spreads) > 0.2).all())


@EVERY
def test_weights_sum_to_one_and_come_back_from_facts_and_state(gate: Gate) -> None:
    e, _ = evidence(150, tilted(np.array([[2.0, 0, 0], [-2.0, 0, 0], [0, 1.0, 0]])))
    fitted = gate.fit(e)
    X, spreads = at(e)
    again = Value.of(gate.config()).restore(fitted.facts, fitted.state_dict())
    for ask in ("weights", "weight_std", "draws"):
        assert torch.equal(getattr(fitted, ask)(X, spreads), getattr(again, ask)(X, spreads))
        assert torch.equal(getattr(gate.fit(e), ask)(X, spreads), getattr(again, ask)(X, spreads))
    draws = fitted.draws(X, spreads)
    torch.testing.assert_close(draws.sum(1), torch.ones_like(draws[:, 0]))
    torch.testing.assert_close(fitted.weights(X, spreads), draws.mean(0), atol=0.02, rtol=0)
    torch.testing.assert_close(fitted.weight_std(X, spreads), draws.std(0), atol=0.02, rtol=0)


@EVERY
def test_one_member_has_all_the_weight(gate: Gate) -> None:
    e, _ = evidence(20, same(1.0), members=1)
    assert torch.equal(gate.fit(e).weights(*at(e)), torch.ones(1, 20, 1).double())


def test_members_that_are_the_same_share_alike() -> None:
    e, _ = evidence(200, same(0.5, 0.5), members=2)
    twins = Evidence(e.X, e.scores[:, :1].expand(-1, 2), e.spreads, e.views)
    fitted = mf.ConstantGate().fit(twins)
    torch.testing.assert_close(fitted.mean, torch.full((2,), 0.5).double(), atol=0.12, rtol=0)
    assert float(fitted.shares[:, 0].std()) > 0.2


@EVERY
def test_only_so_many_are_kept(gate: Gate) -> None:
    e, _ = evidence(100, same(0.6, 0.3, 0.1))
    kept = type(gate)(keep=2).fit(e).weights(*at(e))
    assert float(kept[2].max()) < 1e-9
    one = type(gate)(keep=1).fit(e).weights(*at(e))
    torch.testing.assert_close(one[0], torch.ones_like(one[0]))


def test_constant_weights_stay_constant_where_nothing_varies() -> None:
    flat = [float(mf.LocalGate().fit(evidence(150, same(0.5, 0.3, 0.2), seed)[0]).constant) for seed in range(6)]
    assert np.mean(flat) > 0.8


def test_weights_that_vary_are_found() -> None:
    e, truth = evidence(300, tilted(np.array([[2.0, 0, 0], [-2.0, 0, 0], [0, 1.0, 0]])))
    local, constant = (gate.fit(e).weights(*at(e))[..., 0].T.numpy() for gate in (mf.LocalGate(), mf.ConstantGate()))
    assert np.abs(local - truth).mean() < 0.4 * np.abs(constant - truth).mean()
    assert float(mf.LocalGate().fit(e).constant) < 0.01


def test_far_away_the_constant_weights_return() -> None:
    e, _ = evidence(300, tilted(np.array([[2.0, 0, 0], [-2.0, 0, 0], [0, 1.0, 0]])))
    fitted = mf.LocalGate().fit(e)
    far = torch.tensor([[[1e4, 1e4, -1e4, 0.0]]]).double()
    said = fitted.weights(far, torch.ones(3, 1, 1).double())[:, 0, 0]
    torch.testing.assert_close(said, fitted.mean, atol=0.02, rtol=0)


def test_a_member_that_knows_when_it_is_sure_gets_weight_where_it_is() -> None:
    rng = np.random.default_rng(0)
    n = 300
    spreads = np.exp(rng.normal(size=(n, 2)))
    sure = spreads.argmin(1)
    # The member that says it is surer is right; the other one is off by more than it says.
    scores = np.where(np.arange(2)[None] == sure[:, None], -1.0, -3.0)
    X = torch.from_numpy(np.column_stack([rng.normal(size=n), np.zeros(n)]))
    e = Evidence(X, torch.from_numpy(scores), torch.from_numpy(spreads), {"x": slice(0, 1)})
    fitted = mf.LocalGate().fit(e)
    assert float(fitted.own.mean()) < -1
    said = fitted.weights(torch.zeros(1, 1, 2).double(), torch.tensor([[[0.2]], [[5.0]]]).double())
    assert float(said[0]) > 0.9


def test_the_curvature_is_that_of_the_likelihood() -> None:
    e, _ = evidence(40, same(0.5, 0.3, 0.2))
    generator = torch.Generator().manual_seed(0)
    own = torch.randn(40, 3, generator=generator).double()
    features = torch.cat([torch.ones(40, 1).double(), e.X[:, :2]], dim=1)
    tilt = Tilt(e.scores, torch.tensor([0.5, 0.3, 0.2]).double().log(), features, own)
    theta = 0.3 * torch.randn(10, generator=generator).double()

    def value(theta: torch.Tensor) -> torch.Tensor:
        return -tilt.likelihood(theta[:9].reshape(3, 3), theta[9:])[0]

    _, before, after = tilt.likelihood(theta[:9].reshape(3, 3), theta[9:])
    expected = torch.autograd.functional.hessian(value, theta)
    torch.testing.assert_close(tilt._curvature(before, after, 1.0), expected)


def test_the_evidence_is_that_of_integration_where_it_is_known() -> None:
    # One direction: two members, a constant feature, b_1 - b_2 = d with d ~ N(0, 2 scale^2).
    e, _ = evidence(60, same(0.8, 0.2), members=2)
    tilt = Tilt(
        e.scores, torch.tensor([0.5, 0.5]).double().log(), torch.ones(60, 1).double(), torch.zeros(60, 2).double()
    )
    settled = tilt.settle(1.0, 0.0)

    def likelihood(d: float) -> float:
        slopes = torch.tensor([[d / 2], [-d / 2]]).double()
        return float(tilt.likelihood(slopes, torch.zeros(1).double())[0])

    peak = max(likelihood(d) for d in np.linspace(-4, 4, 81))
    found, _ = integrate.quad(lambda d: math.exp(likelihood(d) - peak - d * d / 4) / math.sqrt(4 * math.pi), -8, 8)
    assert settled.evidence == pytest.approx(peak + math.log(found), abs=0.1)


def test_places_are_standardised_components() -> None:
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(200, 5, generator=generator).double() * torch.tensor([1.0, 100.0, 1e-3, 1.0, 0.0]).double()
    X[:, 3] = X[:, 0]
    place = Place({"a": slice(0, 3), "b": slice(3, 5)}, 5, 2)
    place.measure(X)
    features, trust = place(X)
    torch.testing.assert_close(torch.cov(features[:, 1:].T), torch.eye(2).double())
    assert abs(float(torch.corrcoef(torch.stack([features[:, 1], X[:, 0]]))[0, 1])) > 0.95
    assert bool((trust == 1).all())
    assert bool((features[:, 0] == 1).all())
    still = Place({"a": slice(0, 2)}, 2, 2)
    still.measure(torch.ones(10, 2).double())
    assert torch.isfinite(still(torch.ones(1, 2).double())[0]).all()


def test_impossible_gates_are_refused() -> None:
    with pytest.raises(SchemaError, match="expected a number above 0"):
        mf.ConstantGate(concentration=0.0)
    with pytest.raises(SchemaError, match="keep=0"):
        mf.LocalGate(keep=0)
    with pytest.raises(SchemaError, match="components=-1"):
        mf.LocalGate(components=-1)

"""Every utility against what it promises, computed another way on a joint Gaussian written out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm, truncnorm

from mfmat.acquisitions import (
    Acquisition,
    Improvement,
    KnowledgeGradient,
    LevelSet,
    MaxValueEntropy,
    NoisyImprovement,
    Thompson,
    TopK,
    UpperConfidence,
    VarianceReduction,
)
from mfmat.acquisitions.follow_up import log_follow_up
from mfmat.acquisitions.improvement import imagine, imagine_outcomes
from mfmat.learner import FittedModel
from mfmat.prospects import Known, Prospects

N, M = 7, 2
BOTH = pytest.mark.parametrize("maximize", [True, False])
DRAWS = 200_000


class Written(FittedModel):
    """Seven materials in two sources, with means, covariances and noise drawn once."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        # A row of the factor for each material and source; the sources have most of it in common.
        shared = rng.normal(size=(N, 1, 5))
        self.factor = torch.from_numpy((shared + 0.4 * rng.normal(size=(N, M, 5))).reshape(N * M, 5))
        self.means = torch.from_numpy(rng.normal(size=N * M))
        self.facts = {"sources": ["cheap", "trusted"], "width": 1}

    def joint(self, X: torch.Tensor, observed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        at = (X[..., 0] * M + X[..., 1]).long()
        rows = self.factor[at]
        return self.means[at], rows @ rows.mT + torch.diag_embed(self.noise(X) * observed + 1e-9)

    def noise(self, X: torch.Tensor) -> torch.Tensor:
        return torch.where(X[..., -1] == 0, 0.5, 0.1).to(X)


@pytest.fixture(scope="module")
def prospects() -> Prospects:
    candidates = torch.stack([torch.arange(N).double(), torch.ones(N).double()], dim=1)
    return Prospects(Written(), candidates, [-0.7, 0.6])


def outcomes(prospects: Prospects, candidate: int, source: int) -> tuple[np.ndarray, np.ndarray]:
    """The target's means of the pool after each of many results of one measurement, and its variances."""
    row = torch.tensor([[float(candidate), float(source)]]).double()
    observed = torch.tensor([True] + [False] * N)
    mean, C = prospects.model.joint(torch.cat([row, prospects.candidates]), observed)
    results = np.random.default_rng(1).normal(size=DRAWS) * math.sqrt(C[0, 0])
    gain = (C[0, 1:] / C[0, 0]).numpy()
    return mean[1:].numpy() + results[:, None] * gain, (C.diagonal()[1:] - C[0, 1:] ** 2 / C[0, 0]).numpy()


def by_simulation(prospects: Prospects, utility: object) -> np.ndarray:
    """What `utility(candidate, means, variances)` is on average, for each pair."""
    return np.array([[np.mean(utility(i, *outcomes(prospects, i, s))) for s in range(M)] for i in range(N)])


@BOTH
def test_improvement_is_the_mean_rise_above_the_best(maximize: bool, prospects: Prospects) -> None:
    sign, best = (1, 0.6) if maximize else (-1, -0.7)
    expected = by_simulation(prospects, lambda i, means, _: np.maximum(sign * (means[:, i] - best), 0))
    found = Improvement(maximize=maximize).log_utility(prospects).exp()
    np.testing.assert_allclose(found, expected, atol=6 * 2 / math.sqrt(DRAWS))


@BOTH
def test_a_share_of_what_was_measured_need_not_be_beaten(maximize: bool, prospects: Prospects) -> None:
    several = Prospects(prospects.model, prospects.candidates, [-0.7, -0.2, 0.1, 0.3, 0.6])
    fourth = Prospects(prospects.model, prospects.candidates, [-0.2, 0.3])
    for share, same in ((0.2, prospects), (0.3, fourth)):
        found = Improvement(maximize=maximize, share=share).log_utility(several)
        torch.testing.assert_close(found, Improvement(maximize=maximize).log_utility(same))


@BOTH
def test_the_knowledge_gradient_is_the_mean_rise_of_the_best_mean(maximize: bool, prospects: Prospects) -> None:
    sign = 1 if maximize else -1
    now = (sign * prospects.mean).max().item()
    expected = by_simulation(prospects, lambda _, means, __: (sign * means).max(axis=1) - now)
    found = KnowledgeGradient(maximize=maximize, points=100).log_utility(prospects).exp()
    np.testing.assert_allclose(found, expected, atol=6 * 2 / math.sqrt(DRAWS) + 0.01)


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.8])
def test_a_level_set_is_the_fall_of_the_probability_of_the_wrong_side(threshold: float, prospects: Prospects) -> None:
    variance = prospects.variance.numpy()
    now = norm.cdf(-np.abs(prospects.mean.numpy() - threshold) / np.sqrt(variance))

    def fall(i: int, means: np.ndarray, after: np.ndarray) -> np.ndarray:
        return now[i] - norm.cdf(-np.abs(means[:, i] - threshold) / math.sqrt(max(after[i], 1e-12)))

    found = LevelSet(threshold).log_utility(prospects).exp()
    np.testing.assert_allclose(found, by_simulation(prospects, fall), atol=5 * 0.5 / math.sqrt(DRAWS))


@BOTH
def test_the_k_best_are_parted_halfway_to_the_next(maximize: bool, prospects: Prospects) -> None:
    ordered = prospects.mean.sort(descending=maximize).values
    halfway = float(ordered[2:4].mean())
    found = TopK(k=3, maximize=maximize).log_utility(prospects)
    torch.testing.assert_close(found, LevelSet(halfway).log_utility(prospects))


def test_variance_reduction_is_the_mean_fall_of_the_variance(prospects: Prospects) -> None:
    before = prospects.variance.numpy()
    expected = [[np.mean(before - outcomes(prospects, i, s)[1]) for s in range(M)] for i in range(N)]
    np.testing.assert_allclose(VarianceReduction().log_utility(prospects).exp(), expected, rtol=1e-5)


@BOTH
def test_max_value_entropy_is_the_shrinking_of_a_truncated_gaussian(maximize: bool, prospects: Prospects) -> None:
    sign, best = (1, 0.6) if maximize else (-1, -0.7)
    acquisition = MaxValueEntropy(maximize=maximize)
    rows = prospects.promising(acquisition.reference, maximize)
    drawn = (sign * prospects.draw(rows, acquisition.draws, prospects.seed)).max(dim=0).values.numpy()
    tops = np.maximum(drawn, sign * best)
    expected = np.zeros((N, M))
    for i in range(N):
        mean, spread = sign * prospects.mean[i].item(), prospects.variance[i].sqrt().item()
        for top in tops:
            left = truncnorm.var(-np.inf, (top - mean) / spread)
            # A measurement keeps the doubt that the target's value does not explain.
            expected[i] += -0.5 * np.log(1 - prospects.tells[i].numpy() * (1 - left)) / len(tops)
    np.testing.assert_allclose(acquisition.log_utility(prospects).exp(), expected, rtol=1e-4, atol=1e-9)


@BOTH
def test_upper_confidence_is_the_bound_as_far_as_a_source_tells(maximize: bool, prospects: Prospects) -> None:
    _, C = prospects.model.joint(prospects.candidates, torch.zeros(N, dtype=torch.bool))
    bound = (1 if maximize else -1) * prospects.mean.numpy() + 1.5 * np.sqrt(C.diagonal().numpy())
    found = UpperConfidence(beta=1.5, maximize=maximize).log_utility(prospects).exp()
    np.testing.assert_allclose(found, (bound - bound.min())[:, None] * as_target(prospects), rtol=1e-6, atol=1e-6)


def as_target(prospects: Prospects) -> np.ndarray:
    """What each pair tells of its own candidate, as a share of what the target would, at most 1."""
    _, C = prospects.model.joint(prospects.candidates, torch.zeros(N, dtype=torch.bool))
    left = np.array([[outcomes(prospects, i, s)[1][i] for s in range(M)] for i in range(N)])
    told = 1 - left / C.diagonal().numpy()[:, None]
    return (told / told[:, -1:]).clip(max=1)


@BOTH
def test_noise_does_not_change_the_order_of_the_bounds_in_one_source(maximize: bool) -> None:
    class Noisy(Written):
        def noise(self, X: torch.Tensor) -> torch.Tensor:
            return 100 * super().noise(X)

    candidates = torch.stack([torch.arange(N).double(), torch.ones(N).double()], dim=1)
    acquisition = UpperConfidence(maximize=maximize)
    plain, noisy = (acquisition.log_utility(Prospects(model, candidates, [0.6])) for model in (Written(), Noisy()))
    torch.testing.assert_close(noisy[:, 1], plain[:, 1])


@BOTH
def test_thompson_is_how_often_a_candidate_is_the_best(maximize: bool, prospects: Prospects) -> None:
    _, C = prospects.model.joint(prospects.candidates, torch.zeros(N, dtype=torch.bool))
    drawn = np.random.default_rng(3).multivariate_normal(prospects.mean.numpy(), C.numpy(), size=DRAWS)
    best = (drawn if maximize else -drawn).argmax(axis=1)
    share = np.bincount(best, minlength=N) / DRAWS
    found = Thompson(draws=20_000, maximize=maximize).log_utility(prospects).exp()
    np.testing.assert_allclose(found, share[:, None] * as_target(prospects), atol=5 * 0.5 / math.sqrt(20_000))


@BOTH
def test_what_is_the_best_in_no_draw_is_ordered_by_its_hope(maximize: bool, prospects: Prospects) -> None:
    sure = Prospects(prospects.model, prospects.candidates, [0.6])
    sure.variance = 1e-6 * sure.variance
    few = Thompson(draws=1, maximize=maximize).log_utility(sure)[:, 1]
    gain = (1 if maximize else -1) * sure.mean
    hope = norm.logcdf(((gain - gain.max()) / sure.variance.sqrt()).numpy())
    # All but the one that was drawn and the one of the highest mean.
    rest = np.flatnonzero(few < -10)
    assert len(rest) >= N - 2
    np.testing.assert_allclose(np.diff(few.numpy()[rest]), np.diff(hope[rest]), rtol=1e-6)


EVERY = [Improvement(), KnowledgeGradient(), LevelSet(0.3), MaxValueEntropy(), Thompson(), TopK(k=2)]
EVERY += [NoisyImprovement(), UpperConfidence(), VarianceReduction()]


def known(candidates: torch.Tensor) -> Known:
    """Two of the materials, as if they had been measured before."""
    return Known(candidates[:2], ("y",))


@pytest.mark.parametrize("acquisition", EVERY, ids=lambda each: type(each).__name__)
def test_a_source_that_has_nothing_to_do_with_the_target_is_worth_nothing(acquisition: Acquisition) -> None:
    model = Written()
    model.factor = model.factor.clone()
    # The cheap source lives in columns of its own.
    model.factor[0::M, :3] = 0
    model.factor[1::M, 3:] = 0
    candidates = torch.stack([torch.arange(N).double(), torch.ones(N).double()], dim=1)
    prospects = Prospects(model, candidates, [-0.7, 0.6], known=known(candidates))
    utility = acquisition.log_utility(prospects)
    assert bool((utility[:, 0] == -math.inf).all())
    assert bool((utility[:, 1] > -math.inf).any())
    assert not bool(utility.isnan().any())


# To be the best does not become less probable by coming out as expected.
@pytest.mark.parametrize(
    "acquisition", [each for each in EVERY if each != Thompson()], ids=lambda each: type(each).__name__
)
def test_what_is_believed_lowers_what_is_left_to_learn(acquisition: Acquisition) -> None:
    candidates = torch.stack([torch.arange(N).double(), torch.ones(N).double()], dim=1)
    prospects = Prospects(Written(), candidates, [-0.7, 0.6], known=known(candidates))
    best = int(acquisition.log_utility(prospects).max(dim=1).values.argmax())
    before = acquisition.log_utility(prospects)[best, 1]
    prospects.believe(candidates[best])
    assert float(acquisition.log_utility(prospects)[best, 1]) < float(before)
    assert acquisition.meaning(0.1, prospects, "eV")
    assert Acquisition.of(acquisition.config()) == acquisition


def test_improvement_follows_up_where_prices_are_known(prospects: Prospects) -> None:
    plain, prices = prospects, torch.tensor([[1.0, 8.0]]).double().expand(N, -1)
    priced = Prospects(plain.model, plain.candidates, [-0.7, 0.6], prices=prices)
    for maximize, best in ((True, 0.6), (False, -0.7)):
        sign = 1 if maximize else -1
        found = Improvement(maximize=maximize).log_utility(priced)
        torch.testing.assert_close(found[:, 1], Improvement(maximize=maximize).log_utility(plain)[:, 1])
        above = sign * (plain.mean - best)
        expected = log_follow_up(above, plain.moved, prices)
        torch.testing.assert_close(found[:, 0], expected)
    free = Prospects(plain.model, plain.candidates, [-0.7, 0.6], prices=torch.zeros(N, M).double())
    torch.testing.assert_close(Improvement().log_utility(free), Improvement().log_utility(plain))


@pytest.mark.parametrize("maximize", [True, False])
def test_with_pairs_under_way_a_follow_up_is_worth_what_it_is_on_average(maximize: bool, prospects: Prospects) -> None:
    prices = torch.tensor([[9.0, 10.0]]).double().expand(N, -1)
    priced = Prospects(prospects.model, prospects.candidates, [-0.7, 0.6], prices=prices)
    for row in torch.tensor([[2.0, 0.0], [4.0, 1.0]]).double():
        priced.believe(row)
    sign, best = (1, 0.6) if maximize else (-1, -0.7)
    normals = imagine_outcomes(2, seed=0)[0]
    means, asked = imagine(priced, priced.asked, normals)
    bars = torch.maximum((sign * asked).max(dim=0).values, torch.tensor(sign * best))
    each = [log_follow_up(above, priced.moved, prices) for above in (sign * means - bars).T]
    found = Improvement(maximize=maximize).log_utility(priced)[:, 0]
    expected = torch.stack(each).logsumexp(0) - math.log(len(each))
    kept = priced.moved[:, 0] > 1e-9
    torch.testing.assert_close(found[kept].exp(), expected[kept].exp(), rtol=0.2, atol=1e-3)


def test_with_pairs_under_way_no_follow_up_is_worth_more_than_what_it_measures(prospects: Prospects) -> None:
    prices = torch.tensor([[1.0, 8.0]]).double().expand(N, -1)
    plain = Prospects(prospects.model, prospects.candidates, [-0.7, 0.6])
    priced = Prospects(prospects.model, prospects.candidates, [-0.7, 0.6], prices=prices)
    for row in torch.tensor([[2.0, 0.0], [4.0, 1.0]]).double():
        plain.believe(row)
        priced.believe(row)
    alone, found = Improvement().log_utility(plain), Improvement().log_utility(priced)
    torch.testing.assert_close(found[:, 1], alone[:, 1])
    assert bool((found[:, 0] <= torch.maximum(alone[:, 0], alone[:, 1])).all())
    assert bool(torch.isfinite(found).all())
    assert not torch.allclose(found[:, 0], alone[:, 0])

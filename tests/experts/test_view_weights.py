"""What a process makes of its views: shares of the prior variance, and how sure they are."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binom

import mfmat as mf
from mfmat.experts.process import GPModel
from mfmat.experts.view_posterior import doubt, share_out
from mfmat.learner import facts_of
from mfmat.posteriors import root
from mfmat.view_weights import ViewWeights


def planted(n: int, views: int, seed: int = 0, noise: float = 0.2) -> tuple[pd.DataFrame, mf.Schema]:
    """Views of three columns; the value is a bent function of the first, and of half its size a line in the second."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, views, 3))
    y = np.sin(1.5 * z[:, 0] @ [0.8, 0.4, -0.4]) + 0.5 * z[:, 1] @ [0.6, -0.6, 0.6]
    names = [[f"v{v}_{j}" for j in range(3)] for v in range(views)]
    columns = [name for each in names for name in each]
    table = pd.DataFrame(z.reshape(n, -1), columns=columns).assign(y=y + noise * rng.normal(size=n))
    return table, mf.Schema([mf.Columns(each, name=f"v{v}") for v, each in enumerate(names)], value="y")


def test_of_a_quadratic_loss_doubt_is_the_inverse_of_its_curvature() -> None:
    A = torch.tensor([[9.0, 2.0], [2.0, 4.0]]).double()
    p = torch.nn.Parameter(torch.tensor([0.3, -0.2]).double())

    def closure() -> tuple[torch.Tensor, list[torch.Tensor]]:
        loss = 0.5 * p @ A @ p
        return loss, list(torch.autograd.grad(loss, [p]))

    torch.testing.assert_close(doubt(closure, {"k.log_weight": p}, {"log_weight": 5.0}), torch.linalg.inv(A))
    torch.testing.assert_close(p.detach(), torch.tensor([0.3, -0.2]).double())
    # Where the data say less than the prior, the prior is what is known.
    tight = doubt(closure, {"k.log_weight": p}, {"log_weight": 0.1})
    torch.testing.assert_close(tight, 0.01 * torch.eye(2).double())


def test_it_is_the_curvature_of_the_log_posterior() -> None:
    table, schema = planted(40, 2)
    data = schema.data(table)
    model = mf.GP(kernel="rbf").fit(data)
    parameters = model.hyperparameters()
    flat = torch.cat([p.detach().reshape(-1) for p in parameters.values()])
    x, y = data.X[:, :-1], model.residuals
    z = (x - model.kernel.centre) / model.kernel.scale
    squares = [torch.cdist(z[:, v], z[:, v]).square() / 3 for v in (slice(0, 3), slice(3, 6))]

    def loss(place: torch.Tensor) -> torch.Tensor:
        found = dict(zip(parameters, place.split([p.numel() for p in parameters.values()]), strict=True))
        rates = (-2 * found["kernel.log_length"]).exp()
        terms = [torch.exp(-0.5 * rate * square) for rate, square in zip(rates, squares, strict=True)]
        joined = (-2 * found["kernel.log_joint"]).exp()
        terms.append(torch.exp(-0.5 * (joined[0] * squares[0] + joined[1] * squares[1])))
        weights = found["kernel.log_weight"].exp()
        K = sum(w * term for w, term in zip(weights, terms, strict=True))
        K = K + (found["log_noise"].exp() + 1e-6) * torch.eye(len(y)).double()
        likelihood = torch.distributions.MultivariateNormal(torch.zeros_like(y), K).log_prob(y)
        mine = {name: part for name, part in found.items() if name != "log_noise"}
        prior = torch.func.functional_call(_Prior(model.kernel), mine, ())
        return -likelihood - prior + 0.5 * ((found["log_noise"] + 3) / 1.5).square().sum()

    H = torch.autograd.functional.hessian(loss, flat)
    spreads = {"log_noise": 1.5} | {name: spread for name, (_, spread) in model.kernel.priors.items()}
    scale = torch.cat([torch.full((p.numel(),), spreads[n.split(".")[-1]]) for n, p in parameters.items()]).double()
    values, vectors = torch.linalg.eigh(scale[:, None] * H * scale)
    expected = scale[:, None] * ((vectors / values.clamp_min(1)) @ vectors.mT) * scale
    torch.testing.assert_close(doubt(model.loss(model.chosen()), parameters, spreads), expected, rtol=2e-3, atol=2e-4)


class _Prior(torch.nn.Module):
    def __init__(self, kernel: torch.nn.Module) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self) -> torch.Tensor:
        return self.kernel.log_prior()


def test_views_that_matter_stand_out_and_others_vanish() -> None:
    table, schema = planted(150, 8)
    found = mf.fit(table, schema, mf.GP()).weights()
    assert set(found["view"].head(2)) == {"v0.numeric", "v1.numeric"}
    rest = found.iloc[2:]
    assert (rest["weight"] < 0.05).all()
    assert (rest["upper"] < 0.2).all()
    assert found["weight"].sum() == pytest.approx(1)
    assert (found["lower"] > 0).all()
    assert (found["upper"] < 1).all()
    assert ((found["lower"] <= found["weight"]) & (found["weight"] <= found["upper"])).head(2).all()


def test_useless_views_cost_next_to_nothing() -> None:
    errors = []
    for seed in range(3):
        table, schema = planted(360, 18, seed)
        exact = planted(360, 18, seed, noise=0.0)[0]["y"].iloc[60:]
        two = mf.Schema(schema.featurizers[:2], value="y")
        said = [mf.fit(table[:60], each, mf.GP()).predict(table[60:])["mean"] for each in (two, schema)]
        errors.append([float(np.sqrt(np.mean((mean - exact) ** 2))) for mean in said])
    few, all_of_them = np.mean(errors, axis=0)
    assert all_of_them < 1.1 * few


def test_sampled_and_approximated_weights_agree() -> None:
    table, schema = planted(40, 2)
    rough = mf.fit(table, schema, mf.GP()).weights().set_index("view")
    drawn = mf.fit(table, schema, mf.GP(inference="nuts", draws=20, warmup=50)).weights().set_index("view")
    assert set(rough.index) == set(drawn.index) == {"v0.numeric", "v1.numeric", "joint"}
    drawn = drawn.loc[rough.index]
    assert ((rough["lower"] < drawn["weight"]) & (drawn["weight"] < rough["upper"])).all()
    assert (np.abs(np.log(rough["std"] / drawn["std"])) < math.log(2.5)).all()


def test_the_same_after_saving_and_for_the_same_rows(tmp_path) -> None:
    table, schema = planted(50, 2)
    surrogate = mf.fit(table, schema, mf.GP(learn_rows=30, seed=3))
    before = {name: value.clone() for name, value in surrogate.model.state_dict().items()}
    found = surrogate.weights(level=0.5)
    for name, value in surrogate.model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0, equal_nan=True)
    surrogate.save(tmp_path / "m")
    pd.testing.assert_frame_equal(mf.load(tmp_path / "m").weights(level=0.5), found)
    wide = surrogate.weights(level=0.9)
    assert (wide["upper"] > found["upper"]).all()


def test_processes_inside_stacks_are_named() -> None:
    table, schema = planted(40, 2)
    table = pd.concat([table.assign(s="cheap"), table.assign(s="dear")[:20]], ignore_index=True)
    schema = mf.Schema(schema.featurizers, value="y", source="s", costs={"cheap": 1, "dear": 9})
    recipe = mf.Conformal(mf.Mixture([mf.Difference([mf.GP()]), mf.GP(kernel="rbf"), mf.Forest(trees=10)]))
    found = mf.fit(table, schema, recipe).weights()
    assert found["process"].unique().tolist() == ["difference / cheap", "difference / dear", "gp"]
    np.testing.assert_allclose(found.groupby("process")["weight"].sum(), 1)


def test_where_there_is_no_posterior_it_says_so() -> None:
    table, schema = planted(40, 2)
    gate = mf.fit(table, schema, mf.GatedTransfer(starts=1, steps=50)).weights()
    sparse = mf.fit(table, schema, mf.SparseGP()).weights()
    for found in (gate, sparse):
        assert found["weight"].sum() == pytest.approx(1)
        assert found[["std", "lower", "upper"]].isna().all(axis=None)
    assert mf.fit(table, schema, mf.Forest(trees=10)).weights().empty


def test_without_rows_it_is_the_prior() -> None:
    table, schema = planted(3, 2)
    model = mf.GP().fit(schema.data(table).take(torch.zeros(0, dtype=torch.long)))
    found = model.weighings()[""]
    spread = model.kernel.priors["log_weight"][1]
    logits = spread * torch.randn(20_000, 3, generator=torch.Generator().manual_seed(1)).double()
    expected = ViewWeights(found.names, found.share, (logits + model.kernel.log_weight.detach()).softmax(-1))
    torch.testing.assert_close(found.std, expected.std, rtol=0.05, atol=0)


@pytest.mark.promise
def test_intervals_of_weights_hold_as_often_as_they_say() -> None:
    """Hyperparameters from their priors, values from the process: the interval of each share holds the share."""
    held = []
    for seed in range(60):
        torch.manual_seed(seed)
        table, schema = planted(100, 3, seed)
        data = schema.data(table)
        truth = GPModel(facts_of(data) | {"scales": [[0.0, 1.0]]}, "matern52")
        truth.hold(data)
        with torch.no_grad():
            truth.kernel.log_length.copy_(0.3 + 0.8 * torch.randn(3).double())
            truth.kernel.log_joint.copy_(0.3 + 0.8 * torch.randn(3).double())
            centre, spread = truth.kernel.priors["log_weight"]
            truth.kernel.log_weight.copy_(centre + spread * torch.randn(4).double())
            x = data.X[:, :-1]
            K = truth.kernel.forward(x, x) + 0.05 * truth.kernel.variance * torch.eye(100).double()
            y = root(K) @ torch.randn(100).double()
        model = mf.GP().fit(schema.data(table.assign(y=y.numpy())))
        low, high = model.weighings()[""].interval(0.9)
        share = truth.kernel.log_weight.detach().softmax(0)
        held.extend(((low <= share) & (share <= high)).tolist())
    expected = binom.ppf([0.005, 0.995], len(held), 0.9) / len(held)
    assert expected[0] - 0.06 <= np.mean(held) <= expected[1] + 0.03


def test_shares_follow_the_gaussian_over_logarithms() -> None:
    table, schema = planted(20, 2)
    model = mf.GP().fit(schema.data(table))
    covariance = 1e-8 * torch.eye(sum(p.numel() for p in model.hyperparameters().values())).double()
    found = share_out(model.kernel, model.hyperparameters(), covariance)
    torch.testing.assert_close(found.draws.mean(0), found.share, rtol=1e-4, atol=0)
    assert (found.std < 1e-3).all()

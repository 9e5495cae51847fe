"""GP against closed forms, scikit-learn and its own promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern

import mfmat as mf
from mfmat.data import Data
from mfmat.errors import FitError, SchemaError, UnknownNameError
from mfmat.experts.process import BOUNDS, NOISE_FLOOR
from mfmat.kernels import ViewKernel


def rows(n: int = 40, d: int = 3, seed: int = 0, *, noise: float = 0.1) -> Data:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    y = np.sin(x[:, 0]) + 0.5 * x[:, 1] + noise * rng.normal(size=n)
    names = [f"x{i}" for i in range(d)]
    return mf.Schema(mf.Columns(names), value="y").data(pd.DataFrame(x, columns=names).assign(y=y))


SKLEARN = {
    "matern12": lambda length: Matern(length, nu=0.5),
    "matern32": lambda length: Matern(length, nu=1.5),
    "matern52": lambda length: Matern(length, nu=2.5),
    "rbf": RBF,
}


@pytest.mark.parametrize("family", SKLEARN)
def test_equals_scikit_learn_at_its_hyperparameters(family: str) -> None:
    data = rows()
    model = mf.GP(kernel=family).fit(data)
    kernel, X = model.kernel, data.X[:, :-1]
    # One lengthscale on standardised columns divided by the root of their number.
    length = float(kernel.log_length.detach().exp()) * np.sqrt(3)
    weight = float(kernel.log_weight.detach().exp())
    z = ((X - kernel.centre) / kernel.scale).detach().numpy()
    mean, std = float(model.centre), float(model.scale)
    oracle = GaussianProcessRegressor(
        ConstantKernel(weight) * SKLEARN[family](length),
        alpha=float(model.log_noise.detach().exp()) + NOISE_FLOOR,
        optimizer=None,
    ).fit(z, (data.Y[:, 0].numpy() - mean) / std)
    new = rows(10, seed=1).X
    expected, spread = oracle.predict(((new[:, :-1] - kernel.centre) / kernel.scale).numpy(), return_std=True)
    said = model.posterior(new.unsqueeze(1))
    np.testing.assert_allclose(said.mean.detach().flatten(), mean + std * expected, rtol=1e-6)
    np.testing.assert_allclose(said.variance.detach().flatten(), (std * spread) ** 2, rtol=1e-5)


def test_the_joint_covariance_equals_scikit_learns() -> None:
    data = rows()
    model = mf.GP(kernel="rbf").fit(data)
    kernel = model.kernel
    z = ((data.X[:, :-1] - kernel.centre) / kernel.scale).numpy()
    oracle = GaussianProcessRegressor(
        ConstantKernel(float(kernel.log_weight.detach().exp()))
        * RBF(float(kernel.log_length.detach().exp()) * np.sqrt(3)),
        alpha=float(model.log_noise.detach().exp()) + NOISE_FLOOR,
        optimizer=None,
    ).fit(z, (data.Y[:, 0].numpy() - float(model.centre)) / float(model.scale))
    new = rows(6, seed=2).X
    _, covariance = oracle.predict(((new[:, :-1] - kernel.centre) / kernel.scale).numpy(), return_cov=True)
    said = model.posterior(new).distribution.covariance_matrix.detach()
    np.testing.assert_allclose(said, float(model.scale) ** 2 * covariance, rtol=1e-5, atol=1e-10)


def test_learning_ends_where_the_slope_is_zero() -> None:
    data = rows()
    model = mf.GP(steps=500).fit(data)
    X, y = data.X[:, :-1], model.residuals
    K = model.kernel.forward(X, X) + torch.diag(NOISE_FLOOR + model.log_noise.exp().expand(len(y)))
    likelihood = torch.distributions.MultivariateNormal(torch.zeros(len(y)).double(), K).log_prob(y)
    loss = -likelihood - model.kernel.log_prior() + 0.5 * ((model.log_noise + 3) / 1.5).square().sum()
    parameters = [p for p in model.parameters() if p.numel()]
    slopes = torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])
    assert slopes.abs().max() < 1e-2 * len(y)


def test_conditioning_equals_having_had_the_rows() -> None:
    data = rows(40)
    model = mf.GP().fit(data.take(torch.arange(30)))
    after = model.condition_on_observations(data.X[30:], data.Y[30:])
    # The same hyperparameters and scales with all forty rows.
    whole = mf.GP().build(model.facts | {"rows": 40})
    whole.load_state_dict(
        model.state_dict()
        | {
            "train_X": data.X,
            "residuals": (data.Y[:, 0] - model.centre) / model.scale,
            "extra": torch.zeros(40).double(),
            "known": torch.zeros(40, dtype=torch.bool),
        }
    )
    X = rows(5, seed=3).X
    torch.testing.assert_close(after.posterior(X).mean, whole.posterior(X).mean)
    torch.testing.assert_close(after.posterior(X).variance, whole.posterior(X).variance)


@pytest.mark.parametrize("family", SKLEARN)
@pytest.mark.parametrize("ard", [False, True])
def test_the_kernels_own_slopes_are_right(family: str, ard: bool) -> None:
    kernel = ViewKernel({"a": slice(0, 2), "b": slice(2, 5)}, 5, family, ard)
    X = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    other = torch.randn(3, 5, generator=torch.Generator().manual_seed(1)).double()
    parameters = [p for p in kernel.parameters() if p.numel()]
    assert torch.autograd.gradcheck(lambda x, *_: kernel.forward(x, other), (X, *parameters))


def test_a_view_kernel_is_a_sum_over_views_and_a_joint_term() -> None:
    kernel = ViewKernel({"a": slice(0, 1), "b": slice(1, 2)}, 2, "rbf")
    with torch.no_grad():
        kernel.log_weight.copy_(torch.tensor([0.5, 0.3, 0.2]).log())
        kernel.log_length.copy_(torch.tensor([1.0, 2.0]).log())
        kernel.log_joint.copy_(torch.tensor([3.0, 4.0]).log())
    a, b = torch.tensor([[0.0, 0.0]]).double(), torch.tensor([[1.0, 2.0]]).double()
    expected = 0.5 * np.exp(-1 / 2) + 0.3 * np.exp(-(2**2) / 2**2 / 2) + 0.2 * np.exp(-(1 / 9 + 4 / 16) / 2)
    assert float(kernel(a, b).to_dense().detach()) == pytest.approx(expected, rel=1e-6)


def test_large_offsets_of_a_column_do_not_round_distances_away() -> None:
    kernel = ViewKernel({"a": slice(0, 1)}, 1)
    X = (1e9 + torch.arange(5.0)).double()[:, None]
    kernel.measure(X)
    plain = ViewKernel({"a": slice(0, 1)}, 1)
    plain.measure(X - 1e9)
    torch.testing.assert_close(kernel(X, X).to_dense(), plain(X - 1e9, X - 1e9).to_dense())


def test_an_element_not_seen_before_is_far_away() -> None:
    schema = mf.Schema(mf.Composition("formula"), value="y")
    table = pd.DataFrame({"formula": ["NaCl", "KCl", "NaBr", "KBr", "NaI", "KI"], "y": [8.9, 8.7, 7.4, 7.5, 5.9, 6.3]})
    gap = mf.fit(table, schema, mf.GP())
    said = gap.predict(pd.DataFrame({"formula": ["NaCl", "UO2"]}), noise=False)
    assert said["std"].iloc[1] > 2 * said["std"].iloc[0]


def test_noise_is_learned_for_each_source() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, 400)
    source = np.array(["rough", "fine"] * 200)
    y = np.sin(6 * x) + np.where(source == "rough", 0.5, 0.05) * rng.normal(size=400)
    schema = mf.Schema(mf.Columns("x"), value="y", source="s", costs={"rough": 1, "fine": 2})
    data = schema.data(pd.DataFrame({"x": x, "s": source, "y": y}))
    model = mf.GP().fit(data)
    noise = [
        float(model.noise(schema.encode(pd.DataFrame({"x": [0.5]}), s)[0]).detach().sqrt()) for s in ("rough", "fine")
    ]
    assert noise[0] == pytest.approx(0.5, rel=0.2)
    assert noise[1] == pytest.approx(0.05, rel=0.3)


def test_known_noise_is_all_the_noise_there_is() -> None:
    rng = np.random.default_rng(0)
    x, sigma = rng.uniform(0, 1, 80), rng.choice([0.02, 0.6], 80)
    table = pd.DataFrame({"x": x, "y": np.sin(6 * x) + sigma * rng.normal(size=80), "sigma": sigma})
    known = mf.fit(table, mf.Schema(mf.Columns("x"), value="y", noise="sigma"), mf.GP())
    unknown = mf.fit(table, mf.Schema(mf.Columns("x"), value="y"), mf.GP())
    new = pd.DataFrame({"x": np.linspace(0.05, 0.95, 50)})
    truth = np.sin(6 * new["x"])
    errors = [float((s.predict(new)["median"] - truth).abs().mean()) for s in (known, unknown)]
    assert errors[0] < 0.5 * errors[1]
    model = known.model
    torch.testing.assert_close(model.extra * model.scale**2, torch.from_numpy(sigma[model.facts["rows"] - 80 :] ** 2))


def test_more_rows_than_the_limit_are_refused_with_the_number() -> None:
    with pytest.raises(FitError, match=r"got 40 rows; expected at most 30 .*GP\(limit=40\)"):
        mf.GP(limit=30).fit(rows(40))


def test_learning_on_fewer_rows_still_conditions_on_all() -> None:
    data = rows(200)
    model = mf.GP(learn_rows=50).fit(data)
    assert len(model.train_X) == 200
    whole = mf.GP().fit(data)
    X = rows(50, seed=5).X
    torch.testing.assert_close(model.posterior(X).mean, whole.posterior(X).mean, atol=0.1, rtol=0.1)


def test_ard_finds_the_columns_that_matter() -> None:
    data = rows(150, d=6)
    model = mf.GP(ard=True).fit(data)
    relevance = model.kernel.log_relevance.detach()
    assert relevance[:2].min() > relevance[2:].max()


def test_sources_in_other_units_are_standardised_each() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, 60)
    schema = mf.Schema(mf.Columns("x"), value="y", source="s", costs={"a": 1, "b": 2})
    table = pd.DataFrame({"x": x, "s": ["a", "b"] * 30, "y": np.sin(6 * x)})
    scaled = table.assign(y=np.where(table["s"] == "a", 1000 * table["y"] + 5000, table["y"]))
    new = pd.DataFrame({"x": np.linspace(0, 1, 20)})
    said = mf.fit(scaled, schema, mf.GP()).predict(new)["median"]
    assert (said - np.sin(6 * new["x"])).abs().mean() < 0.1


def test_no_rows_at_all_give_the_prior() -> None:
    data = rows(5)
    empty = replace(data.take(torch.zeros(0, dtype=torch.long)), anchor=(3.0, 2.0))
    said = mf.GP().fit(empty).posterior(data.X.unsqueeze(1))
    torch.testing.assert_close(said.mean, torch.full((5, 1, 1), 3.0).double())
    torch.testing.assert_close(said.variance.sqrt(), torch.full((5, 1, 1), 2.0).double())


def test_single_precision_of_tables_is_far_below_the_noise() -> None:
    data = rows(300, noise=0.3)
    model = mf.GP().fit(data)
    X = rows(200, seed=7).X.unsqueeze(1)
    double = model.posterior(X, observation_noise=True)
    with torch.no_grad():
        single = model.posterior(X, observation_noise=True)
    assert not torch.equal(single.variance, double.variance)
    torch.testing.assert_close(single.variance, double.variance.detach(), rtol=1e-5, atol=0)
    off = (single.mean - double.mean.detach()).abs() / double.variance.detach().sqrt()
    assert off.max() < 1e-3


def test_without_noise_tables_stay_in_double_precision() -> None:
    data = replace(rows(100, noise=0.0), known=torch.ones(100, dtype=torch.bool))
    model = mf.GP().fit(data)
    X = rows(50, seed=7).X.unsqueeze(1)
    double = model.posterior(X).variance.detach()
    with torch.no_grad():
        assert torch.equal(model.posterior(X).variance, double)


def test_a_prediction_that_fails_leaves_gradients_on() -> None:
    table = pd.DataFrame({"x": [0.0, 1.0, 2.0], "y": [0.0, 1.0, 2.0]})
    surrogate = mf.fit(table, mf.Schema(mf.Columns("x"), value="y"), mf.GP())
    with pytest.raises(SchemaError) as failed:
        surrogate.predict(table, level=90)
    # What the traceback holds is alive here: a context left open in it would still be open.
    assert failed.traceback
    assert torch.is_grad_enabled()


def test_an_unknown_kernel_is_named_with_the_known_ones(unchecked: None) -> None:
    with pytest.raises(UnknownNameError, match=r"kernel='matern53'; expected one of .*did you mean 'matern52'\?"):
        mf.GP(kernel="matern53")


def test_the_likelihood_is_finite_wherever_a_line_search_may_look() -> None:
    """Relevances without a bound once grew until distances were nothing but rounding: no Cholesky factor."""
    data = rows(20, d=6, seed=2)
    data = replace(data, X=data.X * torch.tensor([1.0, 1, 1, 1, 1, 0, 1]))  # a constant column takes part, too
    model = mf.GP(ard=True, steps=1).fit(data)
    parameters = model.hyperparameters()
    generator = torch.Generator().manual_seed(0)
    closure = model.loss(torch.arange(len(data)))
    for _ in range(200):
        with torch.no_grad():
            for name, parameter in parameters.items():
                ends = torch.tensor(BOUNDS[name.split(".")[-1]]).double()
                parameter.copy_(ends[torch.randint(2, parameter.shape, generator=generator)])
        loss, slopes = closure()
        assert loss.isfinite()
        assert all(slope.isfinite().all() for slope in slopes)


def test_folds_are_learned_as_well_from_where_the_whole_ended() -> None:
    data = rows(60)
    folds = data.split(3, 0)
    whole, *parts = mf.GP().fit_with_folds(data, folds)
    cold = [mf.GP().fit(data.without(fold)) for fold in folds]
    torch.testing.assert_close(whole.state_dict(), mf.GP().fit(data).state_dict(), equal_nan=True)
    with torch.no_grad():
        for fold, warm, other in zip(folds, parts, cold, strict=True):
            X = data.X[fold].unsqueeze(1)
            assert len(warm.train_X) == len(other.train_X) == 60 - len(fold)
            torch.testing.assert_close(warm.posterior(X).mean, other.posterior(X).mean, atol=0.02, rtol=0)


def test_folds_in_which_a_column_does_not_vary_start_afresh() -> None:
    data = rows(40)
    data = replace(data, X=data.X.clone())
    data.X[:, 1] = 0.0
    data.X[0, 1] = 1.0
    recipe = mf.GP(additive=("numeric",))
    whole, part = recipe.fit_with_folds(data, [torch.tensor([0])])
    assert len(part.facts["views"]) == len(whole.facts["views"]) - 1
    alone = recipe.fit(data.without(torch.tensor([0])))
    torch.testing.assert_close(part.state_dict(), alone.state_dict(), equal_nan=True)

"""MultiTask against BoTorch, a dense process by hand, inverted sources and sources that tell nothing."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from botorch.models import MultiTaskGP
from gpytorch.kernels import IndexKernel, MaternKernel, ScaleKernel
from gpytorch.means import ZeroMean
from scipy.spatial.distance import cdist

import mfmat as mf
from mfmat.data import Data, at_fidelity
from mfmat.errors import FitError, SchemaError
from mfmat.experts.process import NOISE_FLOOR
from mfmat.stacks import held_rows
from mfmat.stacks.curvature import spread
from mfmat.stacks.multi_task_model import MultiTaskModel

Levels = dict[str, tuple[np.ndarray, np.ndarray]]


def table_of(levels: Levels) -> tuple[pd.DataFrame, mf.Schema]:
    """Each source's rows (n x d, or n) and values."""
    parts = []
    for name, (x, y) in levels.items():
        columns = np.asarray(x).reshape(len(y), -1)
        parts.append(pd.DataFrame(columns, columns=[f"x{i}" for i in range(columns.shape[1])]).assign(s=name, y=y))
    table = pd.concat(parts, ignore_index=True)
    inputs = mf.Columns([name for name in table.columns if name.startswith("x")])
    costs = {name: 10.0**i for i, name in enumerate(levels)}
    return table, mf.Schema(inputs, value="y", source="s", costs=costs)


def planted(seed: int, sign: float = 1.0, *, shared: bool = False, d: int = 2) -> tuple[pd.DataFrame, mf.Schema]:
    """Two sources of one function, in other units; `shared`, some materials have both values."""
    rng = np.random.default_rng(seed)
    low, high = rng.uniform(0, 1, (40, d)), rng.uniform(0, 1, (12, d))
    if shared:
        high[:6] = low[:6]
    f = lambda x: np.sin(7 * x[:, 0]) + x[:, -1]  # noqa: E731
    noise = 0.05 * rng.normal(size=52)
    return table_of({"low": (low, 500 * sign * f(low) + 3 + 25 * noise[:40]), "high": (high, f(high) + noise[40:])})


def by_botorch(model: MultiTaskModel, data: Data, X: torch.Tensor) -> torch.distributions.Distribution:
    """BoTorch's multi-task process with this model's hyperparameters, in standardised units, at rows X."""
    kernel, regions, d = model.coregion.kernels[0], model.coregion, X.shape[-1] - 1
    place = lambda rows: torch.cat([(rows[..., :-1] - kernel.centre) / kernel.scale / d**0.5, rows[..., -1:]], -1)  # noqa: E731
    s = data.fidelity
    y = (data.Y[:, 0] - model.centre[s]) / model.scale[s]
    noise = NOISE_FLOOR + model.log_noise.exp()[s]
    inner = ScaleKernel(MaternKernel(nu=2.5, active_dims=torch.arange(d))).double()
    inner.outputscale, inner.base_kernel.lengthscale = kernel.log_weight.exp(), kernel.log_length.exp()
    oracle = MultiTaskGP(
        place(data.X),
        y[:, None],
        task_feature=-1,
        train_Yvar=noise[:, None],
        mean_module=ZeroMean(),
        covar_module=inner,
        outcome_transform=None,
    )
    # BoTorch's own matrix of tasks forbids negative correlations.
    tasks = IndexKernel(len(data.sources), regions.loadings.shape[-1], active_dims=torch.tensor([d])).double()
    tasks.covar_factor.data.copy_(regions.loadings[0])
    tasks.var = regions.log_own[0].exp()
    oracle.covar_module = inner * tasks
    with torch.no_grad():
        return oracle.posterior(place(X)).distribution


@pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")  # GPyTorch's own use of them
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("rank", [1, 2])
def test_equals_botorchs_multi_task_process_at_its_hyperparameters(sign: float, rank: int) -> None:
    table, schema = planted(0, sign)
    data = schema.data(table)
    model = mf.MultiTask(rank=rank).fit(data)
    assert torch.equal(model.coregion.shared, torch.zeros(2).double())  # no material has two values
    new = schema.encode(planted(1)[0])[0][:6, 0]
    X = torch.cat([at_fidelity(new, 0), at_fidelity(new, 1)])
    oracle, said = by_botorch(model, data, X), model.posterior(X).distribution
    scale, centre = model.scale[X[:, -1].long()], model.centre[X[:, -1].long()]
    torch.testing.assert_close((said.mean - centre) / scale, oracle.mean, rtol=0, atol=1e-7)
    covariance, expected = said.covariance_matrix / scale / scale[:, None], oracle.covariance_matrix.detach()
    torch.testing.assert_close(covariance, expected, rtol=0, atol=1e-7)
    row_by_row = model.posterior(X.unsqueeze(1)).variance.flatten() / scale**2
    torch.testing.assert_close(row_by_row, expected.diagonal(), rtol=0, atol=1e-7)


def dense(model: MultiTaskModel, data: Data, X: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance at rows X, with NumPy, from the formula in the docstring."""
    rows = torch.cat([data.X, X]).numpy()
    x, s, n = rows[:, :-1], rows[:, -1].astype(int), len(data)
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    same = (x[:, None] == x[None]).all(-1)
    u = state["coregion.shared"][s]
    K = same * u * u[:, None]
    for q in range(len(model.coregion.kernels)):
        name = f"coregion.kernels.{q}."
        weight, length, joint = (np.exp(state[name + part]) for part in ("log_weight", "log_length", "log_joint"))
        views = list(data.views.values())
        z = (x - x[:n].mean(0)) / x[:n].std(0, ddof=1)
        d2 = [cdist(z[:, v], z[:, v], "sqeuclidean") / (v.stop - v.start) for v in views]
        total = sum(w * matern(d / ell**2) for w, d, ell in zip(weight, d2, length, strict=False))
        total += weight[-1] * matern(sum(d / ell**2 for d, ell in zip(d2, joint, strict=True)))
        W = state["coregion.loadings"][q]
        B = W @ W.T + np.diag(np.exp(state["coregion.log_own"][q]))
        K = K + B[s][:, s] * total
    standards = np.array(model.facts["scales"])
    for fidelity in range(len(standards)):
        y = data.Y[data.fidelity == fidelity, 0].numpy()
        spread = y.std() * ((len(y) + 3) / (len(y) + 2) if len(y) <= 30 else len(y) / (len(y) - 1)) ** 0.5
        np.testing.assert_allclose(standards[fidelity], [y.mean(), spread])
    scale, centre = standards[s, 1], standards[s, 0]
    K = K * scale * scale[:, None]
    extra = np.where(data.known, 0, np.exp(state["log_noise"])[s[:n]]) + NOISE_FLOOR
    noisy = K[:n, :n] + np.diag(extra * scale[:n] ** 2 + data.Yvar[:, 0].numpy())
    gain = np.linalg.solve(noisy, K[:n, n:]).T
    return centre[n:] + gain @ (data.Y[:, 0].numpy() - centre[:n]), K[n:, n:] - gain @ K[:n, n:]


def matern(squared: np.ndarray) -> np.ndarray:
    r = np.sqrt(5 * squared)
    return (1 + r + r**2 / 3) * np.exp(-r)


def two_views() -> tuple[pd.DataFrame, mf.Schema]:
    """Two views, two terms, three sources, shared materials, and known noise in some rows."""
    rng = np.random.default_rng(2)
    x = rng.uniform(0, 1, (30, 3))
    u, v = np.sin(6 * x[:, 0]), np.cos(5 * x[:, 2])
    own = 0.3 * rng.normal(size=30)
    values = {"a": (u + own)[:30], "b": (0.1 * own - v)[:24], "c": (u + v + own)[:12]}
    columns = pd.DataFrame(x, columns=["p", "q", "r"])
    table = pd.concat([columns[: len(y)].assign(s=s, y=y) for s, y in values.items()], ignore_index=True)
    table["sigma"] = np.where(table.index % 3 == 0, 0.07, np.nan)
    inputs = [mf.Columns(["p", "q"], name="first"), mf.Columns(["r"], name="second")]
    return table, mf.Schema(inputs, value="y", source="s", noise="sigma", costs={"a": 1, "b": 2, "c": 9})


def test_equals_a_dense_process_by_hand() -> None:
    table, schema = two_views()
    data = schema.data(table)
    model = mf.MultiTask(rank=2, terms=2).fit(data)
    assert float(model.coregion.shared.abs().min()) > 1e-3
    new = torch.rand(4, 4, generator=torch.Generator().manual_seed(0)).double()
    # The last two rows are of a material that was measured.
    X = torch.cat([at_fidelity(new, s) for s in range(3)] + [at_fidelity(data.X[:1], s) for s in (1, 2)])
    mean, covariance = dense(model, data, X)
    said = model.posterior(X).distribution
    np.testing.assert_allclose(said.mean, mean, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(said.covariance_matrix, covariance, rtol=1e-5, atol=1e-8)


def test_solve_is_the_inverse_covariance_of_the_measurements() -> None:
    table, schema = two_views()
    data = schema.data(table)
    model = mf.MultiTask().fit(data)
    mean, _ = dense(model, data, data.X)
    # At the measured rows, what is left of each value is noise times weight.
    s = data.fidelity
    weights = model.solve(data.Y - model.centre[s][:, None])[:, 0]
    noise = torch.where(data.known, data.Yvar[:, 0] + NOISE_FLOOR * model.scale[s] ** 2, model.noise(data.X))
    noise = torch.where(data.known, noise, noise + data.Yvar[:, 0])
    np.testing.assert_allclose(noise * weights, data.Y[:, 0].numpy() - mean, rtol=1e-5, atol=1e-8)


def test_a_measurement_in_any_source_updates_all_as_if_it_had_been_there() -> None:
    table, schema = two_views()
    data = schema.data(table)
    recipe = mf.MultiTask()
    model = recipe.fit(data)
    new = torch.tensor([[0.3, 0.4, 0.5, 0.0], [0.3, 0.4, 0.5, 1.0]]).double()
    Y = torch.tensor([[0.8], [0.1]]).double()
    state = dict(model.state_dict())
    s = new[:, -1].long()
    for name, tensor in {
        "train_X": new,
        "residuals": (Y[:, 0] - model.centre[s]) / model.scale[s],
        "extra": torch.zeros(2).double(),
        "known": torch.zeros(2, dtype=torch.bool),
        "learned": torch.zeros(2, dtype=torch.bool),
    }.items():
        state[name] = torch.cat([state[name], tensor])
    grown = recipe.restore(model.facts | {"rows": len(data) + 2}, state)
    X = at_fidelity(torch.tensor([[0.3, 0.4, 0.5, 0.0], [0.35, 0.4, 0.5, 0.0]]).double(), 2)
    after = model.condition_on_observations(new, Y).posterior(X)
    torch.testing.assert_close(after.mean, grown.posterior(X).mean, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(after.variance, grown.posterior(X).variance, rtol=1e-5, atol=1e-8)


def test_learning_ends_where_the_slope_is_zero_and_the_slopes_are_right() -> None:
    table, schema = two_views()
    data = schema.data(table)
    model = mf.MultiTask(mf.GP(steps=1000)).fit(data).requires_grad_(True)
    rows = torch.arange(len(data))
    closure = model.loss(rows)
    parameters = {name: p for name, p in model.named_parameters() if p.numel()}
    s = data.fidelity

    def plainly() -> torch.Tensor:
        held = model.coregion.seat(data.X)
        learned = torch.where(data.known, 0.0, model.log_noise.exp()[s])
        K = model.coregion(held, held) + torch.diag(NOISE_FLOOR + model.extra + learned)
        likelihood = torch.distributions.MultivariateNormal(torch.zeros(len(s)).double(), K).log_prob(model.residuals)
        return -likelihood - model.coregion.log_prior() + 0.5 * ((model.log_noise + 3) / 1.5).square().sum()

    at_end = torch.cat([g.flatten() for g in closure()[1]])
    assert at_end.abs().max() < 1e-2 * len(data)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.add_(0.1)
    loss, slopes = closure()
    expected = torch.autograd.grad(plainly(), list(parameters.values()))
    assert float(loss) == pytest.approx(float(plainly().detach()), rel=1e-9)
    for name, slope, right in zip(parameters, slopes, expected, strict=True):
        torch.testing.assert_close(slope, right, rtol=1e-6, atol=1e-6, msg=name)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_an_inverted_source_helps_as_much_as_an_upright_one(seed: int, shared: bool) -> None:
    new, _ = planted(seed + 100)
    rows = new[["x0", "x1"]]
    truth = np.sin(7 * rows["x0"]) + rows["x1"]
    errors = {}
    for name, sign, recipe in (
        ("alone", -1.0, mf.TargetOnly(mf.GP())),
        ("inverted", -1.0, mf.MultiTask()),
        ("upright", 1.0, mf.MultiTask()),
    ):
        surrogate = mf.fit(*planted(seed, sign, shared=shared), recipe)
        errors[name] = float((surrogate.predict(rows)["median"] - truth).abs().mean())
        if name != "alone":
            assert float(surrogate.model.correlations()[0, 1]) * sign > 0.8
    assert errors["inverted"] < 0.4 * errors["alone"]
    assert errors["inverted"] == pytest.approx(errors["upright"], rel=0.5)


def test_a_source_of_noise_does_not_harm() -> None:
    new = np.linspace(0.02, 0.98, 60)
    harm = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        low, high = rng.uniform(0, 1, 40), rng.uniform(0, 1, 15)
        table, schema = table_of(
            {"low": (low, rng.normal(size=40)), "high": (high, np.sin(9 * high) + 0.05 * rng.normal(size=15))}
        )
        rows, recipes = pd.DataFrame({"x0": new}), (mf.MultiTask(), mf.TargetOnly(mf.GP()))
        fused, alone = (mf.fit(table, schema, recipe).predict(rows)["median"] - np.sin(9 * new) for recipe in recipes)
        harm.append(fused.abs().mean() - alone.abs().mean())
    assert np.mean(harm) < 2 * np.std(harm, ddof=1) / len(harm) ** 0.5
    assert np.mean(harm) < 0.01


@pytest.mark.parametrize("seed", range(3))
def test_one_right_source_among_ten_is_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, new = rng.uniform(0, 1, (60, 2)), rng.uniform(0, 1, (100, 2))
    f = lambda x: np.sin(6 * x[:, 0]) * np.cos(4 * x[:, 1])  # noqa: E731
    levels: Levels = {f"bad{i}": (rng.uniform(0, 1, (25, 2)), rng.normal(size=25)) for i in range(9)}
    levels = dict(list(levels.items())[:4]) | {"right": (x, -f(x))} | dict(list(levels.items())[4:])
    levels["target"] = (x[:15], f(x[:15]) + 0.05 * rng.normal(size=15))
    table, schema = table_of(levels)
    rows = pd.DataFrame(new, columns=["x0", "x1"])
    fused, alone = (mf.fit(table, schema, recipe) for recipe in (mf.MultiTask(), mf.TargetOnly(mf.GP())))
    wrong = [float((s.predict(rows)["median"] - f(new)).abs().mean()) for s in (fused, alone)]
    assert wrong[0] < 0.5 * wrong[1]
    assert float(fused.model.correlations()[4, -1]) < -0.8


def test_two_sources_that_tell_different_things_are_added() -> None:
    rng = np.random.default_rng(0)
    x, new = rng.uniform(0, 1, (100, 2)), rng.uniform(0, 1, (100, 2))
    a, b = (lambda x: np.sin(8 * x[:, 0])), (lambda x: np.cos(7 * x[:, 1]))
    levels = {"a": (x[:60], a(x[:60])), "b": (x[:60], -b(x[:60])), "both": (x[60:85], a(x[60:85]) + b(x[60:85]))}
    table, schema = table_of(levels)
    rows = pd.DataFrame(new, columns=["x0", "x1"])
    said, alone = (mf.fit(table, schema, recipe).predict(rows) for recipe in (mf.MultiTask(), mf.TargetOnly(mf.GP())))
    truth = a(new) + b(new)
    assert (said["median"] - truth).abs().mean() < 0.5 * (alone["median"] - truth).abs().mean()


def test_what_no_input_tells_of_a_material_is_taken_from_its_cheap_value() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, 120)
    cheap = np.sin(7 * x) + 0.5 * rng.normal(size=120)  # what x does not tell
    table, schema = table_of({"low": (x[:100], cheap[:100]), "high": (x[:40], 1 - 2 * cheap[:40])})
    surrogate = mf.fit(table, schema, mf.MultiTask())
    said = surrogate.predict(pd.DataFrame({"x0": x}))
    error = (said["median"] - (1 - 2 * cheap)).abs()
    assert error[40:100].mean() < 0.2 * error[100:].mean()
    assert said["std"][40:100].mean() < 0.3 * said["std"][100:].mean()
    signs = surrogate.model.coregion.shared.sign()
    assert signs[0] == -signs[1]


def test_polymorphs_are_told_apart_by_the_material_column() -> None:
    rng = np.random.default_rng(0)
    x, own = np.repeat(rng.uniform(0, 1, 20), 2), np.tile([-1.0, 1.0], 20)
    table = pd.DataFrame({"id": [f"m{i}" for i in range(40)], "x": x, "s": "low", "y": x + own})
    table = pd.concat([table, table[:30].assign(s="high", y=lambda t: 2 * t["y"])], ignore_index=True)
    schema = mf.Schema(mf.Columns("x"), value="y", source="s", costs={"low": 1, "high": 9}, material="id")
    said = mf.fit(table, schema, mf.MultiTask()).predict(table[30:40])["median"]
    assert (said - 2 * (x + own)[30:]).abs().mean() < 0.3


def test_with_no_row_of_the_target_its_interval_is_wide() -> None:
    table, schema = planted(0)
    with pytest.warns(mf.surrogate.FewRowsWarning):
        surrogate = mf.fit(table[table["s"] == "low"], schema, mf.MultiTask())
    assert abs(float(surrogate.model.correlations()[0, 1])) < 0.2
    said = surrogate.predict(table)
    assert (said["upper"] - said["lower"]).min() > table["y"][table["s"] == "low"].std()


def test_the_curvature_is_that_of_a_quadratic() -> None:
    A = torch.tensor([[2.0, 0.5, 0.1], [0.5, 1.0, 0.2], [0.1, 0.2, 3.0]]).double()
    parameters = [torch.tensor([[0.3, 0.1]]).double(), torch.tensor([0.2]).double()]
    kept = [p.flatten().tolist() for p in parameters]

    def closure() -> tuple[torch.Tensor, list[torch.Tensor]]:
        place = torch.cat([p.flatten() for p in parameters])
        slope = A @ place
        return 0.5 * place @ slope, [slope[:2].reshape(1, 2), slope[2:]]

    torch.testing.assert_close(spread(closure, parameters, 1e-3), torch.linalg.inv(A))
    assert [p.flatten().tolist() for p in parameters] == kept


def test_correlations_are_better_known_with_more_rows() -> None:
    errors = []
    for n in (10, 80):
        rng = np.random.default_rng(0)
        x = rng.uniform(0, 1, 80)
        table, schema = table_of({"low": (x, np.sin(9 * x)), "high": (x[:n], np.sin(9 * x[:n]) + np.cos(11 * x[:n]))})
        model = mf.MultiTask().fit(schema.data(table))
        before = model.correlations()
        found = model.correlation_errors()
        assert torch.equal(model.correlations(), before)
        torch.testing.assert_close(found, found.mT)
        assert torch.equal(found.diagonal(), torch.zeros(2).double())
        errors.append(float(found[0, 1]))
    assert 0 < errors[1] < errors[0] < 1


def test_of_more_cheap_rows_than_the_limit_the_targets_materials_are_kept() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, 120)
    table, schema = table_of({"low": (x, np.sin(7 * x)), "high": (x[:20], np.sin(7 * x[:20]))})
    model = mf.MultiTask(limit=60).fit(schema.data(table))
    assert model.facts["rows"] == 80
    assert model.facts["left_out"] == [60, 0]
    low = model.train_X[model.train_X[:, -1] == 0, 0]
    assert set(x[:20].tolist()) <= set(low.tolist())


def test_hyperparameters_are_learned_on_the_targets_rows_first() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, 150)
    table, schema = table_of({"low": (x, np.sin(7 * x)), "high": (x[:30], np.sin(7 * x[:30]))})
    model = mf.MultiTask(mf.GP(learn_rows=80)).fit(schema.data(table))
    at_target = model.train_X[:, -1] == 1
    assert int(model.learned.sum()) == 80
    assert bool(model.learned[at_target].all())
    assert len(model.train_X) == 180
    said = mf.fit(table, schema, mf.MultiTask(mf.GP(learn_rows=80))).predict(table)
    assert (said["median"] - table["y"]).abs().mean() < 0.05


def test_the_members_options_are_used() -> None:
    table, schema = planted(0, d=3)
    data = schema.data(table)
    additive = mf.MultiTask(mf.GP(additive=("numeric",), kernel="rbf"), terms=2).fit(data)
    assert [len(kernel.families) for kernel in additive.coregion.kernels] == [3, 3]
    assert additive.facts["views"]["numeric[0]"] == [0, 1]


@pytest.mark.parametrize("chunk", [2048, 7])
def test_where_every_row_stands_for_itself_the_sparse_process_is_the_exact_one(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_rows, "CHUNK", chunk)
    table, schema = planted(0, shared=True)
    data = schema.data(table)
    model = mf.MultiTask().fit(data)
    with torch.no_grad():
        model.coregion.shared.copy_(torch.tensor([0.4, -0.3]))
        model.log_noise.fill_(-3.0)
    exact, sparse = mf.MultiTask().restore(model.facts, model.state_dict()), copy.deepcopy(model)
    sparse.inducing = torch.arange(len(data))
    new = schema.encode(planted(1)[0].drop(columns=["s", "y"]))[0][:5, 0]
    # New materials in both sources, and some that are held, in the source that they were not measured in, too.
    X = torch.cat([at_fidelity(torch.cat([new, data.X[:8], data.X[-3:]]), i) for i in (0, 1)])
    for observed in (False, True):
        flags = torch.full((len(X),), observed)
        (mean, covariance), (ours, theirs) = (m.joint(X, flags) for m in (exact, sparse))
        torch.testing.assert_close(ours, mean, rtol=1e-3, atol=1e-3)
        spread = covariance.diagonal().sqrt()
        close = (theirs - covariance).abs() / spread / spread[:, None]
        assert float(close.max()) < 2e-3
    single = sparse.posterior(X.unsqueeze(1)).variance[:, 0, 0]
    torch.testing.assert_close(single, sparse.joint(X, torch.zeros(len(X)) > 0)[1].diagonal())
    B = torch.from_numpy(np.random.default_rng(0).normal(size=(len(data), 3)))
    torch.testing.assert_close(
        sparse.solve(B), exact.solve(B), rtol=1e-3, atol=1e-3 * float(exact.solve(B).abs().max())
    )


def test_beyond_the_limit_rows_stand_for_others(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (3000, 2))
    f = np.sin(12 * x[:, 0]) * np.cos(9 * x[:, 1])
    own = 0.3 * rng.normal(size=3000)
    low, high = f + own + 0.05 * rng.normal(size=3000), -2 * (f + own) + 0.1 * rng.normal(size=3000)
    table, schema = table_of({"low": (x[:2900], low[:2900]), "high": (x[:200], high[:200])})
    new, truth = pd.DataFrame(x[200:], columns=["x0", "x1"]), high[200:]
    few, many = (
        mf.fit(table, schema, mf.MultiTask(mf.GP(limit=500, learn_rows=300), limit=limit, inducing=150))
        for limit in (200, None)
    )
    assert few.model.facts["inducing"] == 0
    assert many.model.facts["left_out"] == [0, 0]
    chosen = many.model.train_X[many.model.inducing, -1]
    assert len(chosen) == 150
    assert int((chosen == 1).sum()) == 75
    said = [surrogate.predict(new) for surrogate in (few, many)]
    measured = np.arange(2800) < 2700
    errors = [np.abs(each["median"] - truth) for each in said]
    # Where the cheap value is measured the material's own part is known; elsewhere f is known better.
    assert errors[1][measured].mean() < 0.4 * errors[0][measured].mean()
    assert errors[1][~measured].mean() < 1.02 * errors[0][~measured].mean()
    inside = (said[1]["lower"] <= truth) & (truth <= said[1]["upper"])
    # The rows share their model: the share of one draw differs from machine to machine by a few in a thousand.
    assert 0.85 < inside[measured].mean() < 0.95
    many.save(tmp_path / "m.mfmat")
    rows = new.head(5)
    pd.testing.assert_frame_equal(mf.load(tmp_path / "m.mfmat").predict(rows), many.predict(rows), check_exact=True)


def test_mistakes_are_named() -> None:
    with pytest.raises(SchemaError, match=r"MultiTask\(GP\(noise='input'\)\); expected noise='source'"):
        mf.MultiTask(mf.GP(noise="input"))
    with pytest.raises(SchemaError, match=r"MultiTask\(GP\(inference='nuts'\)\); expected inference='map'"):
        mf.MultiTask(mf.GP(inference="nuts"))
    with pytest.raises(SchemaError, match="rank=0; expected at least 1"):
        mf.MultiTask(rank=0)


def test_labels_are_refused_in_words() -> None:
    table, schema = planted(0)
    words = ["yes" if y > 3 else "no" for y in table["y"]]
    labelled = table.assign(y=table["y"].astype(object).where(table["s"] != "low", words))
    data = replace(schema, kinds={"low": "label"}).data(labelled)
    with pytest.raises(FitError, match=r"got labels \(low\); expected values in every source, for MultiTask"):
        mf.MultiTask().fit(data)

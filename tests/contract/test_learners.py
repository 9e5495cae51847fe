"""The contract of every learner: a new one inherits these tests by one line in CASES."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from botorch.acquisition import LogExpectedImprovement, UpperConfidenceBound, qLogNoisyExpectedImprovement
from botorch.sampling import SobolQMCNormalSampler

import mfmat as mf
from mfmat import calibrators, experts, stacks
from mfmat.data import at_fidelity
from mfmat.surrogate import FewRowsWarning
from mfmat.values import Value

CASES = {
    "GP": mf.GP(),
    "GP ard": mf.GP(ard=True, steps=20),
    "GP matern12": mf.GP(kernel="matern12"),
    "GP rq": mf.GP(kernel={"numeric": "rq"}),
    "GP additive": mf.GP(additive=("numeric",)),
    "GP linear": mf.GP(kernel="linear"),
    "GP tanimoto": mf.GP(kernel="tanimoto"),
    "GP input noise": mf.GP(noise="input"),
    "GP nuts": mf.GP(inference="nuts", draws=4, warmup=20),
    "SparseGP": mf.SparseGP(),
    "SparseGP few": mf.SparseGP(inducing=12),
    "SparseGP input noise": mf.SparseGP(inducing=20, noise="input"),
    "AtomSet": mf.AtomSet(hidden=(32, 32), steps=150),
    "AtomSet learned": mf.AtomSet(pooling="learned", hidden=(32, 32), steps=150),
    "AtomSet of members": mf.AtomSet(hidden=(32, 32), steps=150),
    "GatedTransfer": mf.GatedTransfer(starts=2, steps=150),
    "GatedTransfer of one": mf.GatedTransfer(k=1, hidden=(16,), noise="input", steps=150),
    "Ensemble": mf.Ensemble(members=3, hidden=(32, 32), steps=150),
    "Ensemble set": mf.Ensemble(members=2, network="set", hidden=(16,), steps=100),
    "Forest": mf.Forest(trees=50),
    "Forest best splits": mf.Forest(trees=50, splits="best", leaf=2),
    "BNN": mf.BNN(hidden=(64, 64), steps=150),
    "BNN own heads": mf.BNN(heads="own", hidden=(32, 32), steps=150),
    "BNN input noise": mf.BNN(noise="input", hidden=(32, 32), steps=150),
    "BNN all layers": mf.BNN(layers="all", hidden=(12, 12), steps=150),
    "BNN linear": mf.BNN(hidden=()),
    "BNN svi": mf.BNN(inference="svi", hidden=(16,), steps=100, draws=16),
    "BNN nuts": mf.BNN(inference="nuts", hidden=(), draws=2, warmup=10),
    "BayesianLinear": mf.BayesianLinear(),
    "DeepKernelGP": mf.DeepKernelGP(members=2, hidden=(16, 4), steps=100),
    "DeepKernelGP sparse": mf.DeepKernelGP(members=1, hidden=(16, 4), steps=100, limit=20, inducing=30),
    "Difference": mf.Difference([mf.GP()]),
    "Difference that turns": mf.Difference([mf.GP()], slope_components=1),
    "Difference that sees": mf.Difference([mf.GP()], sees_below=True),
    "Difference of two": mf.Difference([mf.GP(), mf.GP(kernel="rbf")]),
    "TargetOnly": mf.TargetOnly(mf.GP()),
    "Latent": mf.Latent([mf.GP()]),
    "Latent chained": mf.Latent([mf.GP()], chained=True, draws=4),
    "Pooled": mf.Pooled(mf.GP()),
    "MultiTask": mf.MultiTask(),
    "MultiTask ard": mf.MultiTask(mf.GP(ard=True, steps=20), rank=1, terms=2),
    "Mixture": mf.Mixture([mf.Difference([mf.GP()]), mf.TargetOnly(mf.GP())], gate=mf.ConstantGate()),
    "Mixture local": mf.Mixture([mf.GP(), mf.TargetOnly(mf.GP())]),
    "Hurdle": mf.Hurdle(mf.GP()),
    "Imputed": mf.Imputed(mf.Forest(trees=20)),
    "Transformed": mf.Transformed(mf.Difference([mf.GP()])),
    "Transformed arcsinh": mf.Transformed(mf.Difference([mf.GP()]), transform="arcsinh"),
    "Scaling": mf.Scaling(mf.Difference([mf.GP()]), folds=4),
    "Conformal loo": mf.Conformal(mf.TargetOnly(mf.GP()), form="loo"),
    "Conformal cross": mf.Conformal(mf.Difference([mf.GP()]), folds=4),
    "Conformal split": mf.Conformal(mf.TargetOnly(mf.GP()), form="split", folds=2),
    "Conformal refit": mf.Conformal(mf.TargetOnly(mf.GP()), form="refit", folds=4),
    "Auto": mf.Auto(),
}
POOLED = {name for name in CASES if name.startswith("GP")} | {
    "SparseGP",
    "SparseGP few",
    "SparseGP input noise",
    "Pooled",
    "Mixture local",
    "Hurdle",
    "Imputed",
    "Forest",
    "Forest best splits",
    "BNN",
    "AtomSet",
    "AtomSet learned",
    "AtomSet of members",
    "GatedTransfer",
    "GatedTransfer of one",
    "Ensemble",
    "Ensemble set",
    "BNN all layers",
    "BNN input noise",
    "BNN linear",
    "BNN svi",
    "BNN nuts",
    "BayesianLinear",
    "DeepKernelGP",
    "DeepKernelGP sparse",
}
"""Every source is taken as the same function, in its own units: no fusion is expected of it."""
UNBOUNDED = {"GP linear", "BayesianLinear"}
"""Far from the rows a line is ever less certain."""
DRAWN = {"BNN svi", "BNN nuts"}
"""Their answers are means over a few draws of the weights."""
NEEDS_HELD_OUT = {"Conformal cross", "Conformal refit", "Conformal split", "Conformal loo", "Scaling"}
PAIRED = ("GP", "GP ard", "SparseGP", "Forest", "Ensemble", "Ensemble set", "BNN", "BayesianLinear", "DeepKernelGP")
PAIRED += ("Difference that turns", "Latent", "MultiTask", "Mixture local", "Conformal cross", "AtomSet of members")
"""One of each kind, and the one that does."""
EVERY = pytest.mark.parametrize("name", CASES)
FITS_FEW = pytest.mark.parametrize("name", sorted(set(CASES) - NEEDS_HELD_OUT))


def grid(schema: mf.Schema, n: int = 7, source: str | None = None) -> torch.Tensor:
    names = schema.featurizers[0].columns
    table = pd.DataFrame(np.linspace(0.05, 0.95, n)[:, None].repeat(len(names), 1), columns=list(names))
    return schema.encode(table, source)[0]


def answers(model, X: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        posterior = model.posterior(X, observation_noise=True)
        return torch.cat([posterior.mean, posterior.variance], dim=-1)


def test_every_exported_learner_has_a_case() -> None:
    exported = {name for module in (experts, stacks, calibrators) for name in module.__all__} | {"Auto"}
    tried = {type(learner).__name__ for learner in CASES.values()}
    assert exported <= tried


@EVERY
def test_config_round_trip(name: str) -> None:
    assert Value.of(CASES[name].config()) == CASES[name]


@EVERY
def test_fit_leaves_recipe_data_and_random_state_alone(name: str, problem) -> None:
    table, schema = problem()
    data = schema.data(table)
    before, config = data.X.clone(), CASES[name].config()
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = torch.rand(1), np.random.rand()  # noqa: NPY002
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    CASES[name].fit(data)
    assert (torch.rand(1), np.random.rand()) == expected  # noqa: NPY002
    assert torch.equal(data.X, before)
    assert CASES[name].config() == config


@EVERY
def test_posterior_has_botorchs_shapes(name: str, problem) -> None:
    table, schema = problem()
    model = CASES[name].fit(schema.data(table))
    X = grid(schema, 6)
    assert model.num_outputs == 1
    assert model.batch_shape == torch.Size([])
    assert model.posterior(X).mean.shape == (6, 1, 1)
    assert model.posterior(X[:, 0]).mean.shape == (6, 1)
    joint = model.posterior(X[:, 0].reshape(2, 3, -1))
    assert joint.variance.shape == (2, 3, 1)
    assert joint.rsample(torch.Size([4])).shape == (4, 2, 3, 1)


@EVERY
def test_joint_marginals_are_the_row_by_row_ones(name: str, problem) -> None:
    table, schema = problem()
    model = CASES[name].fit(schema.data(table))
    X = torch.cat([grid(schema, 5), grid(schema, 5, "cheap")])
    rows, joint = model.posterior(X), model.posterior(X[:, 0])
    torch.testing.assert_close(rows.mean[:, 0], joint.mean, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(rows.variance[:, 0], joint.variance, rtol=1e-6, atol=1e-8)
    eigenvalues = torch.linalg.eigvalsh(joint.distribution.covariance_matrix)
    assert eigenvalues.min() > -1e-8 * eigenvalues.max()


@EVERY
def test_a_new_measurement_is_less_certain_than_the_value(name: str, problem) -> None:
    table, schema = problem()
    model = CASES[name].fit(schema.data(table))
    X = grid(schema)
    assert bool((model.posterior(X, observation_noise=True).variance > model.posterior(X).variance).all())


@EVERY
def test_restored_from_facts_and_state_it_says_the_same(name: str, problem) -> None:
    table, schema = problem()
    model = CASES[name].fit(schema.data(table))
    again = CASES[name].restore(model.facts, model.state_dict())
    X = grid(schema)
    assert torch.equal(answers(model, X), answers(again, X))
    for level in (0.2, 0.5, 0.8):
        probability = torch.tensor(level, dtype=torch.double)
        said = [m.posterior(X, observation_noise=True).quantile(probability) for m in (model, again)]
        assert torch.equal(*said)


@EVERY
def test_saved_and_loaded_it_says_the_same(name: str, problem, tmp_path: Path) -> None:
    table, schema = problem()
    schema = replace(schema, metadata=mf.Groups("lab"), material="id")
    table = table.assign(lab="a", id=[f"m{i}" for i in range(len(table))])
    surrogate = mf.fit(table, schema, CASES[name])
    surrogate.save(tmp_path / "s.mfmat")
    said = surrogate.predict(table, level=0.5)
    pd.testing.assert_frame_equal(mf.load(tmp_path / "s.mfmat").predict(table, level=0.5), said, check_exact=True)
    # What no learner sees changes nothing.
    pd.testing.assert_frame_equal(surrogate.predict(table.assign(lab="b"), level=0.5), said, check_exact=True)


@EVERY
def test_one_seed_one_model(name: str, problem) -> None:
    table, schema = problem()
    data = schema.data(table)
    X = grid(schema)
    assert torch.equal(answers(CASES[name].fit(data), X), answers(CASES[name].fit(data), X))


@EVERY
def test_measuring_more_makes_certain(name: str, problem) -> None:
    table, schema = problem()
    model = CASES[name].fit(schema.data(table))
    X = grid(schema)[3:4, 0]
    before = model.posterior(X)
    after = model.condition_on_observations(X, torch.full((1, 1), 5.0, dtype=torch.double)).posterior(X)
    assert float(after.variance.detach()) < float(before.variance.detach())
    assert float(after.mean.detach()) > float(before.mean.detach())


@EVERY
def test_botorchs_acquisitions_run(name: str, problem) -> None:
    table, schema = problem()
    model = CASES[name].fit(schema.data(table))
    X = grid(schema)
    for acquisition in (
        LogExpectedImprovement(model, best_f=1.0),
        UpperConfidenceBound(model, beta=2.0),
        qLogNoisyExpectedImprovement(model, X[:3, 0], sampler=SobolQMCNormalSampler(torch.Size([16]), seed=0)),
    ):
        candidate = X[4:6].clone().requires_grad_()
        value = acquisition(candidate)
        value.sum().backward()
        assert torch.isfinite(value).all()
        assert torch.isfinite(candidate.grad).all()


@FITS_FEW
@pytest.mark.parametrize("trusted", [0, 1, 2])
def test_few_target_rows_fit_with_a_warning_and_a_wide_interval(name: str, trusted: int, problem) -> None:
    table, schema = problem(trusted=trusted)
    with pytest.warns(FewRowsWarning, match=f"{trusted} rows of the target 'trusted'"):
        surrogate = mf.fit(table, schema, CASES[name])
    said = surrogate.predict(table)
    spread = table["y"].std()
    assert np.isfinite(said.to_numpy()).all()
    if name not in POOLED:
        assert (said["upper"] - said["lower"]).min() > 0.5 * spread
    assert (said["upper"] - said["lower"]).max() < 100 * spread


@EVERY
@pytest.mark.parametrize(("scale", "shift"), [(1e-9, 0.0), (1e9, 0.0), (1.0, 1e6)])
def test_units_do_not_matter(name: str, scale: float, shift: float, problem) -> None:
    table, schema = problem()
    plain = mf.fit(table, schema, CASES[name]).predict(table, level=0.5)
    table, schema = problem(scale=scale, shift=shift)
    said = (mf.fit(table, schema, CASES[name]).predict(table, level=0.5) - [shift, shift, 0, shift, shift]) / scale
    np.testing.assert_allclose(said, plain, rtol=0.02, atol=0.02)


@EVERY
@pytest.mark.parametrize("value", [0.0, 1e-9, -7.5])
def test_constant_values_are_predicted_and_finite(name: str, value: float, problem) -> None:
    table, schema = problem()
    said = mf.fit(table.assign(y=value), schema, CASES[name]).predict(table, level=0.5)
    assert np.isfinite(said.to_numpy()).all()
    np.testing.assert_allclose(said["median"], value, rtol=0.2, atol=0.02 if name in DRAWN else 1e-6)


@EVERY
def test_constant_and_collinear_columns(name: str, problem) -> None:
    table, schema = problem(columns=3)
    table["x1"], table["x2"] = 4.0, -2 * table["x0"]
    said = mf.fit(table, schema, CASES[name]).predict(table, level=0.5)
    at_target = table["source"] == "trusted"
    assert np.isfinite(said.to_numpy()).all()
    assert (said["median"] - table["y"])[at_target].abs().mean() < (0.6 if name in POOLED else 0.2)


@EVERY
def test_three_hundred_columns(name: str, problem) -> None:
    table, schema = problem(columns=300)
    assert np.isfinite(mf.fit(table, schema, CASES[name]).predict(table, level=0.5).to_numpy()).all()


@pytest.mark.parametrize("name", sorted(set(CASES) - UNBOUNDED))
def test_far_away_the_variance_is_the_priors(name: str, problem) -> None:
    table, schema = problem()
    model = CASES[name].fit(schema.data(table))
    far = [schema.encode(pd.DataFrame({"x0": [x]}))[0] for x in (0.5, 1e4, 1e6)]
    near, off, further = (float(model.posterior(X).variance.detach()) for X in far)
    assert off > 5 * near
    assert off == pytest.approx(further, rel=1e-3)


@EVERY
def test_the_same_material_in_every_source_and_twice(name: str, problem) -> None:
    table, schema = problem()
    twin = table[table["source"] == "trusted"].assign(source="cheap")
    again = table[table["source"] == "trusted"].assign(y=lambda rows: rows["y"] + 0.1)
    surrogate = mf.fit(pd.concat([table, twin, again], ignore_index=True), schema, CASES[name])
    said = surrogate.predict(table, level=0.5)
    assert np.isfinite(said.to_numpy()).all()
    assert (said["std"] > 0).all()
    assert surrogate.card["provenance"]["replicates"] == 12


@pytest.mark.parametrize("name", sorted(set(CASES) - NEEDS_HELD_OUT - {"Difference of two"}))
def test_a_source_named_but_absent(name: str, problem) -> None:
    table, _ = problem()
    schema = mf.Schema(
        mf.Columns("x0"), value="y", source="source", costs={"none": 1, "cheap": 1, "middle": 2, "trusted": 10}
    )
    surrogate = mf.fit(table, schema, CASES[name])
    assert np.isfinite(surrogate.predict(table, source="middle", level=0.5).to_numpy()).all()
    error = (surrogate.predict(table)["median"] - table["y"])[table["source"] == "trusted"].abs().mean()
    assert error < (0.5 if name in POOLED else 0.1)


@pytest.mark.parametrize("name", PAIRED)
def test_sets_are_for_those_who_take_them(name: str, paired) -> None:
    table, schema = paired()
    data = schema.data(table)
    assert data.sets
    model, X = CASES[name].fit(data), grid(schema)
    strange = X.clone()
    strange[..., schema.views["numeric"].stop : -1] = 7.0
    assert torch.equal(answers(model, strange), answers(model, X)) == (name != "AtomSet of members")


@EVERY
def test_fantasies_keep_their_shapes(name: str, problem) -> None:
    table, schema = problem()
    model = CASES[name].fit(schema.data(table))
    X = grid(schema, 4)
    imagined = model.fantasize(X, SobolQMCNormalSampler(torch.Size([3]), seed=0))
    assert imagined.posterior(at_fidelity(X, 1)).mean.shape == (3, 4, 1, 1)


def test_no_warning_where_there_is_nothing_to_warn_of(problem) -> None:
    table, schema = problem()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mf.fit(table, schema)
    assert caught == []

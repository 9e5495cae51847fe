"""A fitted model stands in Ax as it is: Ax's own adapter predicts with it and asks BoTorch's acquisitions of it."""

from __future__ import annotations

import math
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from botorch.acquisition import LogExpectedImprovement
from botorch.acquisition.max_value_entropy_search import qMultiFidelityMaxValueEntropy

import mfmat as mf
from mfmat.ax import as_generator
from mfmat.extras import MissingExtraError

pytest.importorskip("ax")
# Ax's own use of what pandas 4 will not have.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

from ax.adapter.torch import TorchAdapter  # noqa: E402
from ax.core import (  # noqa: E402
    Arm,
    Data,
    Experiment,
    Objective,
    ObservationFeatures,
    OptimizationConfig,
    ParameterType,
    RangeParameter,
    SearchSpace,
)

SCHEMA = mf.Schema(mf.Columns("x"), value="y", source="source", costs={"cheap": 1, "trusted": 10})


def truth(x: float, fidelity: float) -> float:
    return math.sin(6 * x) + (0.4 * x + 0.3 if fidelity else 0.0)


BEST = max(truth(x, 1) for x in (0.05, 0.5, 0.7, 0.95))
"""The best trusted value so far; left to Ax, it would be the best of both sources."""


def measured() -> pd.DataFrame:
    rows = [(x, "cheap") for x in np.linspace(0, 1, 12)] + [(x, "trusted") for x in (0.05, 0.5, 0.7, 0.95)]
    table = pd.DataFrame(rows, columns=["x", "source"])
    return table.assign(y=[truth(x, source == "trusted") for x, source in rows])


def as_experiment(table: pd.DataFrame, *, two_levels: bool) -> Experiment:
    """The same rows as Ax keeps them; the source is its fidelity, or a parameter like any other."""
    x = RangeParameter("x", ParameterType.FLOAT, 0.0, 1.0)
    level = {"is_fidelity": True, "target_value": 1} if two_levels else {}
    fidelity = RangeParameter("fidelity", ParameterType.INT, 0, 1, **level)
    wanted = OptimizationConfig(Objective(expression="y", metric_name_to_signature={"y": "y"}))
    experiment = Experiment(SearchSpace([x, fidelity]), name="gaps", optimization_config=wanted)
    rows = []
    for row in table.itertuples():
        trial = experiment.new_trial()
        trial.add_arm(Arm({"x": row.x, "fidelity": int(row.source == "trusted")}))
        trial.mark_running(no_runner_required=True)
        rows.append({"trial_index": trial.index, "arm_name": trial.arm.name, "metric_name": "y", "mean": row.y})
        rows[-1] |= {"sem": float("nan"), "metric_signature": "y"}
        trial.mark_completed()
    experiment.attach_data(Data(df=pd.DataFrame(rows)))
    return experiment


@pytest.fixture(scope="module")
def surrogate() -> mf.Surrogate:
    return mf.fit(measured(), SCHEMA, mf.Difference([mf.GP(), mf.GP()]))


def adapt(surrogate: mf.Surrogate, acquisition: type, *, two_levels: bool = False, **options: object) -> TorchAdapter:
    """Ax's adapter of that model; rows stay raw, as the model places and scales them itself."""
    experiment = as_experiment(measured(), two_levels=two_levels)
    return TorchAdapter(experiment=experiment, generator=as_generator(surrogate, acquisition, **options), transforms=[])


def test_the_model_is_the_one_that_was_fitted(surrogate: mf.Surrogate) -> None:
    adapter = adapt(surrogate, LogExpectedImprovement, best_f=BEST)
    assert adapter.generator.surrogate.model is surrogate.model


@pytest.mark.parametrize("source", SCHEMA.sources)
def test_ax_predicts_what_the_surrogate_says(source: str, surrogate: mf.Surrogate) -> None:
    new = pd.DataFrame({"x": np.linspace(0, 1, 9)})
    asked = [ObservationFeatures({"x": x, "fidelity": SCHEMA.fidelity(source)}) for x in new["x"]]
    means, covariances = adapt(surrogate, LogExpectedImprovement, best_f=BEST).predict(asked)
    said = surrogate.predict(new, source=source, noise=False)
    np.testing.assert_allclose(means["y"], said["mean"], atol=1e-5)
    np.testing.assert_allclose(np.sqrt(covariances["y"]["y"]), said["std"], rtol=1e-3, atol=1e-5)


def test_ax_asks_for_the_candidate_that_botorch_would(surrogate: mf.Surrogate) -> None:
    at_target = ObservationFeatures({"fidelity": 1})
    run = adapt(surrogate, LogExpectedImprovement, best_f=BEST).gen(1, fixed_features=at_target)
    parameters = run.arms[0].parameters
    assert parameters["fidelity"] == 1
    worth = LogExpectedImprovement(surrogate.model, best_f=BEST)
    grid = torch.linspace(0, 1, 2001, dtype=torch.double)
    rows = torch.stack([grid, torch.ones_like(grid)], dim=-1)
    assert abs(parameters["x"] - grid[worth(rows.unsqueeze(1)).argmax()].item()) < 0.01


def test_ax_chooses_among_the_sources_too(surrogate: mf.Surrogate) -> None:
    run = adapt(surrogate, qMultiFidelityMaxValueEntropy, two_levels=True).gen(1)
    parameters = run.arms[0].parameters
    assert parameters["fidelity"] in (0, 1)
    assert 0 <= parameters["x"] <= 1


def test_without_ax_it_says_what_to_install(surrogate: mf.Surrogate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ax", None)
    with pytest.raises(MissingExtraError, match=r"mfmat\[ax\]"):
        as_generator(surrogate, LogExpectedImprovement)

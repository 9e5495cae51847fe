"""cross_validate: what a recipe says of compounds that it has not seen."""

from __future__ import annotations

from concurrent.futures import Executor
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mfmat.auto import Auto
from mfmat.data import Data
from mfmat.errors import FitError
from mfmat.learner import Learner
from mfmat.metrics import calibration_curve
from mfmat.posteriors import cdf
from mfmat.schema import OnError, Schema


def cross_validate(
    table: pd.DataFrame,
    schema: Schema,
    recipe: Learner | None = None,
    *,
    folds: int = 5,
    level: float = 0.9,
    seed: int = 0,
    on_error: OnError = "raise",
    executor: Executor | None = None,
) -> pd.DataFrame:
    """Predictions of every target row by a model fitted without its compound; all other rows stay.

    Whatever the recipe chooses or calibrates happens inside each fold, so the errors and the coverage are
    those of new compounds.

    Args:
        table, schema, recipe: as for `fit`.
        folds: parts that the target's compounds are divided into.
        level: of the intervals.
        seed: of the division.
        on_error: as for `fit`.
        executor: where the folds run; here, one after the other, unless given.

    Returns:
        A row for each target row (its index in the table): y, fold, median, mean, std, lower, upper, and
        pit, the predictive cumulative probability at y.

    Raises:
        FitError: fewer than two compounds in the target.
    """
    schema = schema.settle(table)
    data, parts = _parts(schema.data(table, on_error=on_error), folds, seed)
    task = partial(_fold, recipe or Auto(), schema, data, level)
    results = executor.map(task, parts) if executor else map(task, parts)
    predicted = pd.concat([result.assign(fold=k) for k, result in enumerate(results)])
    rows = torch.cat(parts)
    predicted.insert(0, "y", data.Y[rows, 0].numpy())
    predicted.index = table.index[data.rows[rows].numpy()]
    return predicted.iloc[np.argsort(data.rows[rows].numpy())]


def train_median(
    table: pd.DataFrame, schema: Schema, *, folds: int = 5, level: float = 0.9, seed: int = 0
) -> pd.DataFrame:
    """The baseline that looks at no input: the training values' median and quantiles, on the same folds."""
    data, parts = _parts(schema.data(table), folds, seed)
    results = []
    for k, part in enumerate(parts):
        rest = data.without(part)
        values = rest.Y[rest.fidelity == rest.target, 0]
        lower, median, upper = values.quantile(torch.tensor([(1 - level) / 2, 0.5, (1 + level) / 2]).double()).tolist()
        said = {"median": median, "mean": float(values.mean()), "std": float(values.std()), "lower": lower}
        index = table.index[data.rows[part].numpy()]
        results.append(pd.DataFrame({"y": data.Y[part, 0].numpy(), **said, "upper": upper, "fold": k}, index=index))
    return pd.concat(results)


def accuracy(predicted: pd.DataFrame) -> dict[str, float]:
    """MAE of the median, RMSE of the mean, coverage and mean width of the intervals in a table of `cross_validate`."""
    y = predicted["y"]
    return {
        "mae": float((y - predicted["median"]).abs().mean()),
        "rmse": float(((y - predicted["mean"]) ** 2).mean() ** 0.5),
        "coverage": float(y.between(predicted["lower"], predicted["upper"]).mean()),
        "width": float((predicted["upper"] - predicted["lower"]).mean()),
    }


def calibration(predicted: pd.DataFrame) -> pd.DataFrame:
    """The calibration curve of a table of `cross_validate`: nominal levels and observed shares."""
    levels, observed = calibration_curve(torch.tensor(predicted["pit"].tolist(), dtype=torch.double))
    return pd.DataFrame({"level": levels.numpy(), "observed": observed.numpy()})


def _parts(data: Data, folds: int, seed: int) -> tuple[Data, list[Tensor]]:
    parts = data.split(folds, seed)
    if len(parts) < 2:
        raise FitError(f"{len(parts)} target compounds", expected="at least 2", fix="measure more in the target")
    return data, parts


def _fold(recipe: Learner, schema: Schema, data: Data, level: float, part: Tensor) -> pd.DataFrame:
    model = recipe.fit(data.without(part))
    with torch.no_grad():
        posterior = model.posterior(data.X[part].unsqueeze(1), observation_noise=True)
        said = schema.decode(posterior, pd.RangeIndex(len(part)), level)
        said["pit"] = cdf(posterior, data.Y[part].unsqueeze(1)).flatten().numpy()
    return said

"""cross_validate: what a recipe says of compounds that it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mfmat.auto import Auto
from mfmat.data import Data
from mfmat.elsewhere import OneCore
from mfmat.errors import FitError
from mfmat.learner import Learner
from mfmat.metrics import calibration_curve
from mfmat.posteriors import cdf
from mfmat.schema import Schema
from mfmat.skipping import OnError

Pairs = Sequence[tuple[Tensor, Tensor]]
"""Positions of rows to predict, and of all those that the model must not have seen."""


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
        A row for each target row with a value, not just a limit (its index in the table): y, fold, median, mean, std,
        lower, upper, and pit, the predictive cumulative probability at y; of a label: y, fold, label, and `p_` and its
        name for each class.

    Raises:
        FitError: fewer than two compounds in the target.
    """
    schema = schema.settle(table)
    data, parts = _parts(schema.data(table, on_error=on_error), folds, seed)
    task = partial(_fold, recipe or Auto(), schema, data, level)
    results = _each(task, [(part, part) for part in parts], executor)
    predicted = pd.concat([result.assign(fold=k) for k, result in enumerate(results)])
    rows = torch.cat(data.scored(parts))
    predicted.insert(0, "y", _truth(schema, data.Y[rows, 0]))
    predicted.index = table.index[data.rows[rows].numpy()]
    return predicted.iloc[np.argsort(data.rows[rows].numpy())]


def learning_curve(
    table: pd.DataFrame,
    schema: Schema,
    recipe: Learner | None = None,
    *,
    sizes: Sequence[int] | None = None,
    folds: int = 5,
    level: float = 0.9,
    seed: int = 0,
    on_error: OnError = "raise",
    executor: Executor | None = None,
) -> pd.DataFrame:
    """What more target measurements bring: `cross_validate` with fewer and fewer of them to learn from.

    In each fold as many of the other target compounds as a size says, drawn at random, stay; those of a size are among
    those of the next. All rows of other sources stay. The folds are those of `cross_validate`.

    Args:
        table, schema, recipe: as for `fit`.
        sizes: target compounds to learn from; unless given, all that each fold has, and a half, a quarter and an
            eighth of them, as long as there are two.
        folds, level, seed, on_error, executor: as for `cross_validate`.

    Returns:
        A row for each size and fold: `rows` (target compounds learned from), `fold`, and the scores of `accuracy`.

    Raises:
        FitError: fewer than two compounds in the target, or than a size asks for.

    >>> import pandas as pd, mfmat as mf
    >>> table = pd.DataFrame({"x": [i / 10 for i in range(20)]}).assign(y=lambda t: t["x"] ** 2)
    >>> schema = mf.Schema(mf.Columns("x"), value="y")
    >>> learning_curve(table, schema, mf.GP(), sizes=[4, 16]).groupby("rows")["mae"].mean().round(1).tolist()
    [0.6, 0.0]
    """
    schema = schema.settle(table)
    data, parts = _parts(schema.data(table, on_error=on_error), folds, seed)
    orders = [_order(data, part, seed) for part in parts]
    most = min(len(order) for order in orders)
    sizes = sorted(sizes or {most // times for times in (1, 2, 4, 8) if most // times >= 2} or {most})
    if not 1 <= sizes[0] <= sizes[-1] <= most:
        raise FitError(f"sizes={sizes}", expected=f"1 to {most} target compounds", fix="sizes=None, or more folds")
    cases = [(size, fold) for size in sizes for fold in range(len(parts))]
    pairs = [(parts[fold], _all_but(data, orders[fold][:size])) for size, fold in cases]
    task = partial(_fold, recipe or Auto(), schema, data, level)
    lines = []
    for (size, fold), (part, _), said in zip(cases, pairs, _each(task, pairs, executor), strict=True):
        said.insert(0, "y", _truth(schema, data.Y[data.scored([part])[0], 0]))
        lines.append({"rows": size, "fold": fold, **accuracy(said)})
    return pd.DataFrame(lines)


def train_median(
    table: pd.DataFrame, schema: Schema, *, folds: int = 5, level: float = 0.9, seed: int = 0
) -> pd.DataFrame:
    """The baseline that looks at no input: the training values' median and quantiles, on the same folds."""
    data, parts = _parts(schema.data(table), folds, seed)
    results = []
    for k, (fold, part) in enumerate(zip(parts, data.scored(parts), strict=True)):
        rest = data.without(fold)
        values = rest.Y[(rest.fidelity == rest.target) & ~rest.bounded, 0]
        lower, median, upper = values.quantile(torch.tensor([(1 - level) / 2, 0.5, (1 + level) / 2]).double()).tolist()
        said = {"median": median, "mean": float(values.mean()), "std": float(values.std()), "lower": lower}
        index = table.index[data.rows[part].numpy()]
        results.append(pd.DataFrame({"y": data.Y[part, 0].numpy(), **said, "upper": upper, "fold": k}, index=index))
    return pd.concat(results)


def accuracy(predicted: pd.DataFrame) -> dict[str, float]:
    """What is right and wrong in a table of `cross_validate`.

    MAE of the median, RMSE of the mean, coverage and mean width of the intervals; of labels, the share that is
    right, the mean negative log probability of the class, and the mean squared error of the probabilities
    summed over classes (Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2).
    """
    y = predicted["y"]
    if "label" in predicted:
        return _label_accuracy(predicted)
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


def _label_accuracy(predicted: pd.DataFrame) -> dict[str, float]:
    names = [name for name in predicted.columns if name.startswith("p_")]
    said = predicted[names].to_numpy()
    true = np.array([[f"p_{y}" == name for name in names] for y in predicted["y"]])
    return {
        "accuracy": float((predicted["label"] == predicted["y"]).mean()),
        "log_loss": float(-np.log(said[true]).mean()),
        "brier": float(((said - true) ** 2).sum(axis=1).mean()),
    }


def _truth(schema: Schema, y: Tensor) -> list[float] | list[str]:
    classes = schema.classes()
    return [classes[int(code)] for code in y] if classes else y.tolist()


def _parts(data: Data, folds: int, seed: int) -> tuple[Data, list[Tensor]]:
    parts = data.split(folds, seed)
    if len(parts) < 2:
        raise FitError(f"{len(parts)} target compounds", expected="at least 2", fix="measure more in the target")
    return data, parts


def _order(data: Data, part: Tensor, seed: int) -> Tensor:
    """The target's compounds with a value that are not in a part, in random order."""
    valued = data.groups[(data.fidelity == data.target) & ~data.bounded].unique()
    rest = valued[~torch.isin(valued, data.groups[part])]
    order: Tensor = rest[torch.randperm(len(rest), generator=torch.Generator().manual_seed(seed))]
    return order


def _all_but(data: Data, compounds: Tensor) -> Tensor:
    """Positions of the target's rows of all other compounds."""
    return torch.nonzero((data.fidelity == data.target) & ~torch.isin(data.groups, compounds)).flatten()


def _each(
    task: Callable[[tuple[Tensor, Tensor]], pd.DataFrame], pairs: Pairs, executor: Executor | None
) -> Iterator[pd.DataFrame]:
    return executor.map(OneCore(task), pairs) if executor else map(task, pairs)


def _fold(recipe: Learner, schema: Schema, data: Data, level: float, pair: tuple[Tensor, Tensor]) -> pd.DataFrame:
    """What is said of the rows of a part by a model that has not seen those of another, which holds it."""
    part, unseen = pair
    model, part = recipe.fit(data.without(unseen)), data.scored([part])[0]
    if schema.classes():
        return schema.decode_labels(model.probabilities(data.X[part].unsqueeze(1))[:, 0], pd.RangeIndex(len(part)))
    with torch.no_grad():
        posterior = model.posterior(data.X[part].unsqueeze(1), observation_noise=True)
        said = schema.decode(posterior, pd.RangeIndex(len(part)), level)
        said["pit"] = cdf(posterior, data.Y[part].unsqueeze(1)).flatten().numpy()
    return said

"""What is known of a surrogate's predictions of compounds that it had not seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
import pandas as pd

from mfmat.calibrators.held_out import LEVEL
from mfmat.errors import SchemaError
from mfmat.features.featurizer import columns_of
from mfmat.metrics.calibration import band
from mfmat.reports.wording import labels
from mfmat.surrogate import Surrogate
from mfmat.validation import accuracy

COLUMNS = ("y", "median", "mean", "lower", "upper")


@dataclass(frozen=True)
class Evidence:
    """Predictions of held-out values, and how they came about.

    Attributes:
        table: a row for each value: name, y, median, mean, lower, upper, pit, and family where inputs tell of one.
        origin: `"validated"`, where nothing of a fold was known to the model that predicted it; `"heldout"`,
            where the same rows also chose the recipe or set its intervals.
        level: of the intervals.
        folds: parts that the rows were divided into; None where that is not known.
    """

    table: pd.DataFrame
    origin: Literal["validated", "heldout"]
    level: float
    folds: int | None

    @property
    def scores(self) -> dict[str, float]:
        """See `mfmat.validation.accuracy`."""
        return accuracy(self.table)

    @property
    def held(self) -> int:
        """Values inside their interval."""
        return int(self.table["y"].between(self.table["lower"], self.table["upper"]).sum())

    @property
    def promise(self) -> Literal["less", "as", "more"]:
        """Whether that is less often than promised, as often within chance, or more often."""
        low, high = band(len(self.table), np.array([self.level]))
        share = self.held / len(self.table)
        return "less" if share < low[0] else "more" if share > high[0] else "as"


def evidence(surrogate: Surrogate, validated: pd.DataFrame | None, level: float) -> Evidence | None:
    """What `cross_validate` found, else what the surrogate itself held out; None where neither is there.

    Raises:
        SchemaError: a table that is not one of `cross_validate`, or was made at another level.
    """
    heldout = surrogate.heldout()
    if validated is not None:
        check(validated, level)
        folds = int(validated["fold"].nunique()) if "fold" in validated.columns else None
        inputs = _inputs(surrogate, validated, heldout)
        names = [f"row {index}" for index in validated.index.tolist()] if inputs is None else labels(inputs)
        table = _with_families(surrogate, validated.assign(name=names), inputs)
        return Evidence(table, "validated", level, folds)
    if heldout is None:
        return None
    reach = NormalDist().inv_cdf((1 + level) / 2)
    inputs = pd.DataFrame(heldout["inputs"].tolist())
    table = heldout.assign(
        name=labels(inputs),
        lower=heldout["lower"] if level == LEVEL else heldout["mean"] - reach * heldout["std"],
        upper=heldout["upper"] if level == LEVEL else heldout["mean"] + reach * heldout["std"],
    )
    return Evidence(_with_families(surrogate, table, inputs), "heldout", level, None)


def check(validated: pd.DataFrame, level: float | None = None, what: str = "validated") -> None:
    """Nothing, where the table is one of `cross_validate` at that level (with None, of any baseline).

    Raises:
        SchemaError: no rows, missing columns, or intervals of another level.
    """
    needed = (*COLUMNS, "pit") if level is not None else COLUMNS
    missing = [name for name in needed if name not in validated.columns]
    if missing or validated.empty:
        raise SchemaError(
            f"{what} without {', '.join(missing) or 'rows'}",
            expected="a table of mfmat.validation.cross_validate",
            fix=f"{what}=cross_validate(table, schema, recipe)",
        )
    if level is None:
        return
    inside = validated["y"].between(validated["lower"], validated["upper"])
    differ = int((inside != ((2 * validated["pit"] - 1).abs() <= level)).sum())
    # Ties and the rounding of conformal ranks move a row or two, another level moves many.
    if differ > 1 + 0.02 * len(validated):
        raise SchemaError(
            f"{what} whose intervals are not of level {level:g}",
            expected="the intervals and the page at one level",
            fix=f"cross_validate(..., level={level:g}), or report(..., level=) as it was there",
        )


def gain(ours: pd.DataFrame, other: pd.DataFrame) -> tuple[float, float] | None:
    """How much smaller our absolute errors are on the same rows, and the standard error of that; None if not paired.

    >>> a, b = (pd.DataFrame({"y": [0.0, 0.0], "median": m}) for m in ([1.0, 1.0], [2.0, 2.0]))
    >>> gain(a, b)
    (1.0, 0.0)
    """
    index = ours.index
    if len(index) < 2 or not (index.is_unique and other.index.is_unique and set(index) == set(other.index)):
        return None
    other = other.loc[index]
    less = ((other["y"] - other["median"]).abs() - (ours["y"] - ours["median"]).abs()).to_numpy(dtype=float)
    return float(less.mean()), float(less.std(ddof=1)) / math.sqrt(len(less))


def hold(inside: pd.Series, names: Sequence[str], chance: float = 0.95) -> pd.DataFrame:
    """How many rows of each group are inside their interval, and between which shares that leaves its coverage.

    Returns:
        `held`, `size`, `low` and `high` by group, the smallest group first.

    Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404.

    >>> hold(pd.Series([True, True, False]), ["a", "a", "b"]).round(2).values.tolist()
    [[0.0, 1.0, 0.0, 0.98], [2.0, 2.0, 0.16, 1.0]]
    """
    from scipy.special import betaincinv

    tail = (1 - chance) / 2
    table = pd.Series(inside.to_numpy()).groupby(list(names)).agg(["sum", "size"]).sort_values("size", kind="stable")
    held, n = table["sum"].to_numpy(), table["size"].to_numpy()
    low = np.where(held > 0, betaincinv(np.maximum(held, 1), n - held + 1, tail), 0.0)
    high = np.where(held < n, betaincinv(held + 1, np.maximum(n - held, 1), 1 - tail), 1.0)
    return table.rename(columns={"sum": "held"}).assign(low=low, high=high)


def _inputs(surrogate: Surrogate, validated: pd.DataFrame, heldout: pd.DataFrame | None) -> pd.DataFrame | None:
    """The inputs of rows that were validated; None where neither they nor what was held out tells."""
    columns = columns_of(surrogate.schema.featurizers)
    if all(column in validated.columns for column in columns):
        return validated[columns]
    if heldout is None or not validated.index.is_unique:
        return None
    known = dict(zip(heldout["index"].tolist(), heldout["inputs"].tolist(), strict=True))
    rows = [known.get(index) for index in validated.index.tolist()]
    return None if None in rows else pd.DataFrame(rows, index=validated.index)


def _with_families(surrogate: Surrogate, table: pd.DataFrame, inputs: pd.DataFrame | None) -> pd.DataFrame:
    if inputs is None:
        return table
    found = (featurizer.families(inputs) for featurizer in surrogate.schema.featurizers)
    family = next((each for each in found if each is not None), None)
    return table if family is None else table.assign(family=family)

"""Stated uncertainty before and after it is mended, beside MAPIE on the same models: grouped 5-fold on six tables.

    python benchmarks/calibration.py
    python benchmarks/calibration.py --data steels estm

In each fold one learner is fitted to all training rows and without each of five inner folds; every calibrator, and
MAPIE's CV+, works on those same models. Rows of all folds are scored together. Needs MFMAT_DATA.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from mapie.regression import CrossConformalRegressor
from numpy.typing import NDArray
from record import RESULTS, record
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import PredefinedSplit
from torch import Tensor

import mfmat as mf
from mfmat import metrics
from mfmat.data import Data
from mfmat.learner import FittedModel, Learner
from mfmat.metrics.calibration import calibration_curve
from mfmat.posteriors import RowPosterior, interval, quantile

TABLES: dict[str, tuple[str, Learner]] = {
    "2D refractive index, OptB88vdW": ("moe/jarvis_2d_dielectric_opt", mf.GP()),
    "2D refractive index, TBmBJ": ("moe/jarvis_2d_dielectric_tbmbj", mf.GP()),
    "steels": ("steels", mf.Forest()),
    "expt_formation_energy": ("jarvis/expt_formation_energy", mf.GP()),
    "experimental gaps": ("mf-bandgap", mf.Hurdle(mf.Forest(), gate=mf.Forest())),
    "estm": ("estm", mf.Forest()),
}
"""Tables and the learner that is mended; of several sources the target alone."""
LEVELS = (0.5, 0.8, 0.9, 0.95)
ENOUGH = 30
"""Rows of a family whose coverage is told."""
SECONDS = ("fits", "mending", "asking")
"""The fits that all ways share; what a way adds; the intervals of a fold."""
COSTS = ("fits s", "mend s", "intervals s")
"""The columns that they become."""
ABOUT = ("group", *SECONDS)
"""What a fold knows that is no score of a row."""
Result = TypeVar("Result")
GRID = np.linspace(0.05, 0.95, 19)
"""Levels at which MAPIE's miscalibration area is taken."""
FOLDS, INNER, CHUNK = 5, 5, 512
SAYS = (
    "Coverage at four levels, mean width and score of 90% intervals (in the units of the table), miscalibration area "
    "with its goal (0.01 + 0.6 / sqrt(rows), about what a right model shows), density and CRPS; held-out rows of all "
    "folds together. MAPIE's intervals have one width for all rows. Seconds a fold: the six fits that all ways share, "
    "what a way adds (MAPIE's with its intervals), and the 90% intervals of the fold. The smallest area of ours "
    "reaches the goal on {held} of {tables} tables."
)


def goal(n: int) -> float:
    """The miscalibration area of about what a right model shows on so many rows."""
    return 0.01 + 0.6 / n**0.5


class Known(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """An estimator for MAPIE whose fits are already made: the rows that it is given say which one is meant."""

    def __init__(self, medians: Any = None) -> None:
        self.medians = medians

    def fit(self, X: NDArray[np.float64], y: NDArray[np.float64]) -> Known:
        """Find the model that was fitted to these rows."""
        self.which_ = frozenset(X[:, 0].astype(int).tolist())
        return self

    def predict(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Its medians of these rows."""
        found: NDArray[np.float64] = self.medians[self.which_][X[:, 0].astype(int)]
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--seconds", action="store_true", help="only those, of the first fold, into what is recorded")
    asked = parser.parse_args()
    names = asked.data
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if asked.seconds:
        add_seconds(names)
        return
    measured = {name: measure(*TABLES[name]) for name in names}
    tables = {name: ways for name, (ways, _) in measured.items()}
    families = {f"{name}, 90% intervals by family": rows for name, (_, rows) in measured.items() if rows}
    keep(tables | families, list(tables))


def add_seconds(names: list[str]) -> None:
    """What each way costs in the first fold, beside the scores that are recorded."""
    recorded = json.loads((RESULTS / "calibration.json").read_text(encoding="utf-8"))
    for name in names:
        costs = {row["way"]: row for row in measure(*TABLES[name], folds=1)[0]}
        for row in recorded["results"][name]:
            row |= {column: costs[row["way"]][column] for column in COSTS}
    keep(recorded["results"], list(TABLES))


def keep(results: dict[str, list[dict[str, Any]]], names: list[str]) -> None:
    """Record the tables of these names and all others, with how many of the former reach the goal."""
    held = sum(all(row["area"] <= row["goal"] for row in results[n] if row["way"] in best(results[n])) for n in names)
    says = SAYS.format(held=held, tables=len(names))
    command = "python benchmarks/calibration.py"
    record("calibration", results, says=says, packages=["mapie", "scikit-learn"], command=command)


def best(rows: list[dict[str, Any]]) -> list[str]:
    """The way of ours with the smallest area."""
    ours = [row for row in rows if not row["way"].startswith("MAPIE")]
    return [min(ours, key=lambda row: row["area"])["way"]]


def measure(name: str, learner: Learner, folds: int = FOLDS) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A row for each way of mending, from all folds together, and one for each family of compounds."""
    table, schema = mf.datasets.load(name)
    anions = mf.ChemicalGroups(next(f.columns[0] for f in schema.featurizers if isinstance(f, mf.Composition)))
    data = replace(schema, metadata=anions).data(table)
    data = data.take(data.fidelity == data.target)
    groups = anions.names(table)
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for fold in data.split(FOLDS, 0)[:folds]:
        rest = data.without(fold)
        inner = rest.split(INNER, 1)
        fitted, shared = timed(partial(learner.fit_with_folds, rest, inner))
        X, y = data.X[fold].unsqueeze(1), data.Y[fold].unsqueeze(1)
        about = {"group": groups[data.rows[fold]], "fits": shared}
        for way, mend in mended(learner, rest, inner, fitted).items():
            model, seconds = timed(mend)
            found[way].append(
                scores(model, X, y) | about | {"mending": seconds, "asking": timed(partial(ask, model, X))[1]}
            )
        theirs, seconds = timed(partial(by_mapie, fitted, rest, inner, X, y))
        found["MAPIE CV+"].append(theirs | about | {"mending": seconds, "asking": np.nan})
        print(name, len(found["as it is"]), "of", FOLDS, flush=True)
    return [summed(way, parts) for way, parts in found.items()], by_group(found)


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """What comes of some work, and the seconds that it took."""
    start = time.perf_counter()
    return work(), time.perf_counter() - start


@torch.no_grad()
def ask(model: FittedModel, X: Tensor) -> list[Any]:
    """The 90% intervals of all rows."""
    return [interval(model.posterior(x, None, True), 0.9) for x in X.split(CHUNK)]


def by_group(found: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Coverage of 90% intervals in each family of compounds with enough rows to tell."""
    names = np.concatenate([part["group"] for part in found["as it is"]])
    inside = {way: np.concatenate([part["in 90%"] for part in parts]) for way, parts in found.items()}
    families, counts = np.unique(names.astype(str), return_counts=True)
    return [
        {"family": family, "rows": int(count)}
        | {way: round(float(held[names == family].mean()), 3) for way, held in inside.items()}
        for family, count in zip(families, counts, strict=True)
        if count >= ENOUGH
    ]


def mended(
    learner: Learner, rest: Data, inner: list[Tensor], fitted: list[FittedModel]
) -> dict[str, Callable[[], FittedModel]]:
    """Every way of ours, on the same fits, to be done."""
    family = next(iter(rest.metadata))
    ways: dict[str, Any] = {
        "Scaling": mf.Scaling(learner, folds=INNER, seed=1),
        "Scaling isotonic": mf.Scaling(learner, form="isotonic", folds=INNER, seed=1),
        "Conformal cross": mf.Conformal(learner, folds=INNER, seed=1),
        "Conformal cross scaled": mf.Conformal(learner, score="scaled", folds=INNER, seed=1),
        "Conformal cross by family": mf.Conformal(learner, by=family, folds=INNER, seed=1),
        "Conformal refit": mf.Conformal(learner, form="refit", folds=INNER, seed=1),
        "Conformal refit by family": mf.Conformal(learner, form="refit", by=family, folds=INNER, seed=1),
    }
    found: dict[str, Callable[[], FittedModel]] = {"as it is": lambda: fitted[0]}
    found |= {way: partial(recipe.calibrate, rest, inner, fitted) for way, recipe in ways.items()}
    if isinstance(learner, mf.GP):
        found["Conformal loo"] = partial(mf.Conformal(learner, form="loo").fit, rest)
    return found


def scores(model: FittedModel, X: Tensor, y: Tensor) -> dict[str, Any]:
    """What is needed of each row to score all folds together."""
    parts = [row_scores(model.posterior(x, None, True), v) for x, v in zip(X.split(CHUNK), y.split(CHUNK), strict=True)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@torch.no_grad()
def row_scores(said: RowPosterior, y: Tensor) -> dict[str, NDArray[np.float64]]:
    """Scores of each row on its own."""
    below, upto = metrics.pit_bounds(said, y)
    found = {"below": below, "upto": upto, "nll": metrics.row_nll(said, y), "crps": metrics.row_crps(said, y)}
    for level in LEVELS:
        lower, upper = interval(said, level)
        found[f"in {level:.0%}"] = ((lower <= y) & (y <= upper)).to(y)
        if level == 0.9:
            found |= {"width": upper - lower, "score": metrics.row_interval_score(lower, upper, y, level)}
    return {name: each.detach().flatten().numpy() for name, each in found.items()}


def by_mapie(
    fitted: list[FittedModel], rest: Data, inner: list[Tensor], X: Tensor, y: Tensor
) -> dict[str, NDArray[np.float64]]:
    """MAPIE's CV+ on the medians of the same models."""
    every, n = torch.cat([rest.X.unsqueeze(1), X]), len(rest)
    part = np.zeros(n, dtype=int)
    medians = {}
    for k, fold in enumerate([torch.zeros(0, dtype=torch.long), *inner]):
        left = set(fold.tolist())
        with torch.no_grad():
            said = [quantile(fitted[k].posterior(x, None, True), 0.5).flatten() for x in every.split(CHUNK)]
        medians[frozenset(set(range(n)) - left)] = torch.cat(said).numpy()
        part[fold.numpy()] = k - 1
    levels = sorted({*LEVELS, *GRID.round(2).tolist()})
    theirs = CrossConformalRegressor(
        Known(medians), confidence_level=levels, method="plus", cv=PredefinedSplit(part)
    ).fit_conformalize(np.arange(n, dtype=float)[:, None], rest.Y[:, 0].numpy())
    rows = np.arange(n, n + len(X), dtype=float)[:, None]
    ends = theirs.predict_interval(rows)[1]
    truth = y.flatten().numpy()
    inside = (ends[:, 0] <= truth[:, None]) & (truth[:, None] <= ends[:, 1])
    found = {f"in {level:.0%}": inside[:, levels.index(level)].astype(float) for level in LEVELS}
    lower, upper = (torch.from_numpy(ends[:, side, levels.index(0.9)].copy()) for side in (0, 1))
    score = metrics.row_interval_score(lower.reshape(-1, 1, 1), upper.reshape(-1, 1, 1), y, 0.9)
    grid = np.array([inside[:, levels.index(level)] for level in GRID.round(2)]).T
    return found | {"width": (upper - lower).numpy(), "score": score.flatten().numpy(), "grid": grid}


def summed(way: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    """A row of the table."""
    every = {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name not in ABOUT}
    n = len(every["width"])
    row: dict[str, Any] = {"way": way, "rows": n}
    row |= {f"inside {level:.0%}": round(float(every[f"in {level:.0%}"].mean()), 3) for level in LEVELS}
    row |= {name: round(float(every[name].mean()), 4) for name in ("width", "score")}
    if "grid" in every:
        area = float(np.trapezoid(np.abs([0, *(every["grid"].mean(0) - GRID), 0]), [0, *GRID, 1]))
    else:
        upto, below = (torch.from_numpy(every[name]) for name in ("upto", "below"))
        levels, observed = calibration_curve(upto, below=below)
        area = float(torch.trapezoid((observed - levels).abs(), levels))
    row |= {"area": round(area, 4), "goal": round(goal(n), 4)}
    means = {name: float(every[name].mean()) for name in ("nll", "crps") if name in every}
    # Where a value is all but impossible, its density is 0.
    row |= {name: round(means[name], 4) if np.isfinite(means.get(name, np.inf)) else None for name in ("nll", "crps")}
    fits, mending, asking = (float(np.mean([part[name] for part in parts])) for name in SECONDS)
    seconds = [round(fits, 2), round(mending, 3), None if np.isnan(asking) else round(asking, 3)]
    return row | dict(zip(COSTS, seconds, strict=True))


if __name__ == "__main__":
    main()

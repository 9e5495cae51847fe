"""Metal or not, with gaps that others computed: 5-fold over the experimental compounds.

    python benchmarks/labels.py

The label is whether an experimental gap is exactly 0. Needs MFMAT_DATA.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from record import record
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import log_loss, roc_auc_score

import mfmat as mf
from mfmat.candidates import suggest_candidates
from mfmat.data import Data
from mfmat.learner import Learner

FOLDS = 5


def load() -> Data:
    """The table of band gaps, the experimental ones as labels."""
    table, schema = mf.datasets.load("mf-bandgap")
    assert schema.source is not None
    target = schema.sources[-1]
    own = table[schema.source] == target
    table[schema.value] = table[schema.value].astype(object)
    table.loc[own, schema.value] = np.where(table.loc[own, schema.value] > 0, "gap", "metal")
    return replace(schema, kinds={target: ("metal", "gap")}, floor=None).data(table)


def ours(recipe: Learner, data: Data, folds: list[torch.Tensor]) -> list[NDArray[np.float64]]:
    """P(gap) of each fold by a model without it."""
    models = recipe.cross_fit(data, folds)
    found = []
    for model, fold in zip(models, folds, strict=True):
        parts = [model.probabilities(x)[:, 0, 1] for x in data.X[fold].unsqueeze(1).split(512)]
        found.append(torch.cat(parts).detach().numpy())
    return found


def theirs(data: Data, folds: list[torch.Tensor]) -> list[NDArray[np.float64]]:
    """The same by scikit-learn's forest on the composition."""
    own = data.fidelity == data.target
    found = []
    for fold in folds:
        kept = own.clone()
        kept[fold] = False
        forest = RandomForestClassifier(300, random_state=0)
        forest.fit(data.X[kept, :-1].numpy(), data.Y[kept, 0].numpy())
        found.append(forest.predict_proba(data.X[fold, :-1].numpy())[:, 1].clip(0.5 / 301, 1 - 0.5 / 301))
    return found


def scores(said: list[NDArray[np.float64]], data: Data, folds: list[torch.Tensor]) -> dict[str, Any]:
    """Mean and spread over the folds."""
    truth = [data.Y[fold, 0].numpy() for fold in folds]
    each = {
        "roc auc": [roc_auc_score(y, p) for y, p in zip(truth, said, strict=True)],
        "log loss": [log_loss(y, p) for y, p in zip(truth, said, strict=True)],
        "accuracy": [((p > 0.5) == y).mean() for y, p in zip(truth, said, strict=True)],
    }
    return {name: {"mean": float(np.mean(x)), "spread": float(np.std(x))} for name, x in each.items()}


def main() -> None:
    """Measure and record."""
    data = load()
    folds = data.split(FOLDS, 0)
    fused, alone = suggest_candidates(data, None, 3000, 0).values()
    recipes = {"with computed gaps (Auto)": fused, "the label alone (Auto)": alone}
    recipes["the label alone, GP"] = mf.TargetOnly(mf.GP())
    rows = []
    for name, recipe in recipes.items():
        start = time.perf_counter()
        found = scores(ours(recipe, data, folds), data, folds)
        rows.append({"learner": name, **found, "s": time.perf_counter() - start})
    start = time.perf_counter()
    found = scores(theirs(data, folds), data, folds)
    rows.append({"learner": "RandomForestClassifier", **found, "s": time.perf_counter() - start})
    record(
        "labels",
        rows,
        says=f"Metal or not, of {len(torch.cat(folds))} experimental compounds: ROC-AUC "
        f"{rows[0]['roc auc']['mean']:.3f} with computed gaps, {rows[1]['roc auc']['mean']:.3f} by the label alone. "
        f"Mean and standard deviation over {FOLDS} grouped folds; seconds for all of them.",
        packages=["scikit-learn"],
        command="python benchmarks/labels.py",
    )


if __name__ == "__main__":
    main()

"""Which sources a process weighs, and whether it does so on every split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from mfmat.features.backbones.cgcnn import SOURCES
from mfmat.view_weights import ViewWeights

Row = Mapping[str, Any]
Array = NDArray[np.float64]


def per_source(weights: Mapping[str, float]) -> list[float]:
    """The weight of each source: of its layer's view, and of its prediction where that is a view of its own."""
    return [sum(weights.get(name, 0.0) for name in _views(source, number)) for number, source in enumerate(SOURCES)]


def doubts(weights: ViewWeights) -> list[float]:
    """Posterior standard deviation of the weight of each source, of all its views together."""
    draws = dict(zip(weights.names, weights.draws.T, strict=True))
    zero = torch.zeros(len(weights.draws), dtype=torch.double)
    sums = [
        sum((draws.get(name, zero) for name in _views(source, number)), zero) for number, source in enumerate(SOURCES)
    ]
    return [float(total.std()) for total in sums]


def _views(source: str, number: int) -> list[str]:
    layers = [f"structure.cgcnn.{source}.{level}" for level in ("hidden", "pooled")]
    return [*layers, f"structure.cgcnn.predictions[{number}]"]


def stability(found: Sequence[Sequence[float]]) -> float | None:
    """Mean rank correlation between the weights of two splits; none where all weights of one are equal."""
    pairs = [float(spearmanr(a, b).statistic) for a, b in combinations(found, 2) if np.std(a) > 0 and np.std(b) > 0]
    return float(np.mean(pairs)) if pairs else None


def line(task: str, learner: str, rows: Sequence[Row], gate: Sequence[Row]) -> dict[str, Any]:
    """The weights of a learner's sources over splits: their sum, the five largest, how alike the splits are; ± is
    the spread over splits, and of a process the mean posterior standard deviation within one follows.

    Args:
        task: its short name.
        learner: whose weights.
        rows: its cells.
        gate: those of Chang's gate, which it is compared with.
    """
    found = np.array([per_source(row["weights"]) for row in rows])
    theirs = [np.mean([per_source(row["weights"]) for row in gate], axis=0).tolist()] if gate else []
    mean, spread = found.mean(axis=0), found.std(axis=0)
    largest = np.argsort(-mean)[:5]
    told = [row["doubts"] for row in rows if "doubts" in row]
    doubt = np.mean(told, axis=0) if told else np.full(len(SOURCES), np.nan)
    return {
        "task": task,
        "learner": learner,
        "splits": len(rows),
        "rank_correlation": stability(found.tolist()),
        "with_the_gate": stability([mean.tolist(), *theirs]),
        "all_sources": {"mean": float(found.sum(axis=1).mean()), "spread": float(found.sum(axis=1).std())},
        "largest": ", ".join(_say(i, mean, spread, doubt) for i in largest),
    }


def _say(i: int, mean: Array, spread: Array, doubt: Array) -> str:
    posterior = "" if np.isnan(doubt[i]) else f" (posterior ± {doubt[i]:.3f})"
    return f"{SOURCES[i]} {mean[i]:.3f} ± {spread[i]:.3f}{posterior}"

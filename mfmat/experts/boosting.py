"""Boosting: trees grown one after the other, each on what the log odds before it leave wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfmat.experts.trees import Trees
from mfmat.progress import track

ROUNDS = 80
"""Trees grown one after the other."""
RATE = 0.05
"""Share of its step that each tree takes."""
DEPTH, LEAF = 6, 5
"""Splits from the root, and rows in a leaf: a tree of a sum is small."""
SAMPLE = 0.7
"""Share of the rows that each tree sees."""
PRIOR = 1.0
"""Curvature added to each leaf's, which keeps steps on rows that are all but certain finite."""


class Boost(torch.nn.Module):
    r"""A correction of log odds, $\frac1K \sum_k \sum_t \eta\,w_{kt}(x)$, with w the value of the leaf of x.

    Args:
        facts: how many trees, nodes, and sums of trees (K).
    """

    def __init__(self, facts: dict[str, int]) -> None:
        super().__init__()
        self.facts = facts
        self.trees = Trees(facts["trees"], facts["nodes"])

    def forward(self, x: Tensor) -> Tensor:
        """Of rows as the trees were grown on (n x d to n)."""
        leaves = self.trees.leaves(x.detach().float())
        values = self.trees.mean.index_select(0, leaves.reshape(-1)).reshape(leaves.shape)
        return values.sum(1) / self.facts["sums"]


def grow_boost(
    x: Tensor, inside: Tensor, odds: Tensor, folds: Sequence[Tensor], *, seed: int, **options: Any
) -> tuple[Boost, Tensor]:
    r"""Correct the log odds of labels, once without each fold.

    Each tree is grown on the gradient of the log loss over its curvature, $(y - p) / p(1 - p)$ (Newton's step), and a
    leaf takes $\sum (y - p) / (1 + \sum p (1 - p))$. The odds have to come from models that had not seen their
    row, or there is nothing left to correct.

    Args:
        x: rows (n x d).
        inside: whether each is of the class (n, 0 or 1).
        odds: log odds before (n).
        folds: positions of rows; each row is in one.
        seed: of the rows that each tree sees, and of its splits.
        options: of scikit-learn's trees.

    Returns:
        The mean of the corrections, and what of them says of each row the one that had not seen it (n).

    Friedman 2001, doi:10.1214/aos/1013203451; with random splits: Geurts et al. 2006, doi:10.1007/s10994-006-6226-1.
    """
    rows, y, before = (part.cpu().numpy() for part in (x.float().contiguous(), inside.double(), odds.double()))
    grown, unseen = [], np.zeros_like(before)
    for k, fold in track(list(enumerate(folds)), "boosting trees"):
        held = np.zeros(len(y), dtype=bool)
        held[fold.cpu().numpy()] = True
        trees, said = _boost((rows, y, before), ~held, options, (seed, k))
        unseen[held] = said[held]
        grown += trees
    boost = Boost({"trees": len(grown), "nodes": sum(tree.node_count for tree in grown), "sums": len(folds)})
    boost.trees.hold(grown)
    return boost, torch.from_numpy(unseen).to(odds)


def _boost(
    given: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    kept: NDArray[np.bool_],
    options: Mapping[str, Any],
    seed: tuple[int, int],
) -> tuple[list[Any], NDArray[np.float64]]:
    """Trees grown on the kept rows, and the sum of their steps at every row."""
    # A second that only those who grow trees should wait for.
    from sklearn.tree import DecisionTreeRegressor

    x, y, before = given
    draws, mine, said = np.random.default_rng(seed), np.flatnonzero(kept), np.zeros_like(before)
    grown = []
    for _ in range(ROUNDS):
        p = 1 / (1 + np.exp(-before - said))
        slope, curvature = y - p, p * (1 - p)
        some = draws.permutation(mine)[: max(int(SAMPLE * len(mine)), 1)]
        sizes = {"max_depth": DEPTH, "min_samples_leaf": LEAF, "random_state": int(draws.integers(2**31))}
        learner = DecisionTreeRegressor(**options, **sizes)
        weight = curvature[some] + 1e-9
        tree = learner.fit(x[some], slope[some] / weight, sample_weight=weight, check_input=False).tree_
        leaf = tree.apply(x)
        sums = (np.bincount(leaf[some], part[some], tree.node_count) for part in (slope, curvature))
        tree.value[:, 0, 0] = RATE * next(sums) / (PRIOR + next(sums))
        said += tree.value[leaf, 0, 0]
        grown.append(tree)
    return grown, said

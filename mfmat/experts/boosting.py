"""Boosting: trees grown one after the other, each on what the answers before it leave wrong."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfmat.experts.trees import Trees, grow_tree
from mfmat.progress import track

SUMS = 6
"""Sums of trees, each grown without a part of the compounds, whose mean is the correction."""
ROUNDS = 50
"""Trees of a sum."""
RATE = 0.12
"""Share of its step that each tree takes."""
DEPTH, LEAF = 8, 5
"""Splits from the root, and rows in a leaf: a tree of a sum is small."""
SAMPLE, MOST = 0.7, 10_000
"""Share of the rows that each tree sees, and the most of them."""
PRIOR = 1.0
"""Curvature added to each leaf's, which keeps steps on rows that are all but certain finite."""
FEW = 20
"""Rows below which nothing is corrected."""
BULK = 0.7
"""Share of the errors that pull as they are; larger ones pull as these do."""
Numbers = NDArray[np.float64]
Loss = Callable[[Numbers, Numbers], tuple[Numbers, Numbers]]
"""Slope (downhill) and curvature of what is lost, of values and answers."""


def log_loss(y: Numbers, f: Numbers) -> tuple[Numbers, Numbers]:
    """Of log odds f, for labels 0 and 1."""
    p = 1 / (1 + np.exp(-f))
    return y - p, p * (1 - p)


def huber(y: Numbers, f: Numbers) -> tuple[Numbers, Numbers]:
    """Half the squared error, from where most errors end on a straight line: far values do not own the trees."""
    error = y - f
    end = np.quantile(np.abs(error), BULK)
    return np.clip(error, -end, end), np.ones_like(error)


class Boost(torch.nn.Module):
    r"""A correction, $\frac1K \sum_k \sum_t \eta\,w_{kt}(x)$, with w the value of the leaf of x.

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


Corrected = tuple[Boost | None, Tensor]
"""A correction, if there is one, and what it says of each row that it was grown on, unseen."""


def grow_boost(
    x: Tensor, y: Tensor, before: Tensor, groups: Tensor, *, loss: Loss, seed: int, **options: Any
) -> Corrected:
    r"""Correct answers for rows, once without each part of the compounds.

    Each tree is grown on the slope g of the loss over its curvature h (Newton's step), and a leaf takes
    $\sum g / (1 + \sum h)$. The answers have to come from models that had not seen their row, or there is nothing left
    to correct.

    Args:
        x: rows (n x d).
        y: values (n).
        before: answers (n).
        groups: the compound of each row (n).
        loss: slope and curvature of what is lost.
        seed: of the parts, the rows that each tree sees, and its splits.
        options: of scikit-learn's trees.

    Returns:
        The mean of the corrections, and what of them says of each row the one that had not seen it (n). None and
        zeros with fewer than 20 rows, or than 6 compounds.

    Friedman 2001, doi:10.1214/aos/1013203451; with random splits: Geurts et al. 2006, doi:10.1007/s10994-006-6226-1.
    """
    _, group = torch.unique(groups, return_inverse=True)
    count = int(group.max()) + 1 if len(group) else 0
    if len(y) < FEW or count < SUMS:
        return None, torch.zeros_like(before)
    part = (torch.randperm(count, generator=torch.Generator().manual_seed(seed))[group.cpu()] % SUMS).numpy()
    rows, *given = (each.cpu().numpy() for each in (x.float().contiguous(), y.double(), before.double()))

    def grow(k: int) -> tuple[list[Any], Numbers]:
        return _boost((rows, *given), part != k, loss, (seed, k), options)

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        grown = list(track(pool.map(grow, range(SUMS)), "boosting trees", SUMS))
    trees = [tree for each, _ in grown for tree in each]
    boost = Boost({"trees": len(trees), "nodes": sum(tree.node_count for tree in trees), "sums": SUMS})
    boost.trees.hold(trees)
    unseen = np.choose(part, [said for _, said in grown])
    return boost, torch.from_numpy(unseen).to(before)


def _boost(
    given: tuple[NDArray[Any], ...], kept: NDArray[np.bool_], loss: Loss, seed: tuple[int, int], options: dict[str, Any]
) -> tuple[list[Any], Numbers]:
    """Trees grown on the kept rows, and the sum of their steps at every row."""
    x, y, before = given
    draws, mine, said = np.random.default_rng(seed), np.flatnonzero(kept), np.zeros_like(before)
    grown = []
    for _ in range(ROUNDS):
        slope, curvature = loss(y, before + said)
        some = draws.permutation(mine)[: min(int(SAMPLE * len(mine)), MOST)]
        sizes = {"max_depth": DEPTH, "min_samples_leaf": LEAF, "random_state": int(draws.integers(2**31))}
        weight = curvature[some] + 1e-9
        tree = grow_tree(x[some], slope[some] / weight, weight, **options, **sizes)
        leaf = tree.apply(x)
        step, bent = (np.bincount(leaf[some], part[some], tree.node_count) for part in (slope, curvature))
        tree.value[:, 0, 0] = RATE * step / (PRIOR + bent)
        said += tree.value[leaf, 0, 0]
        grown.append(tree)
    return grown, said

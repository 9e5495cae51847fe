"""Decision trees as arrays: what scikit-learn has grown, saved and walked without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CHUNK = 2048
"""Rows sent through the trees at a time."""
STRIDE = 4
"""Splits between two looks at which rows have arrived: trees are uneven, and most paths are short."""
Integers = NDArray[np.int64]


class Trees(torch.nn.Module):
    """Trees as arrays: every node's column, threshold and left child; the right child is the next node.

    A leaf is its own child, and its threshold is infinite: a row that has arrived stays.
    """

    column: Tensor
    threshold: Tensor
    child: Tensor
    mean: Tensor
    variance: Tensor
    roots: Tensor

    def __init__(self, trees: int, nodes: int) -> None:
        super().__init__()
        self.register_buffer("column", torch.zeros(nodes, dtype=torch.int32))
        self.register_buffer("threshold", torch.zeros(nodes, dtype=torch.float32))
        self.register_buffer("child", torch.zeros(nodes, dtype=torch.int32))
        self.register_buffer("mean", torch.zeros(nodes, dtype=torch.double))
        self.register_buffer("variance", torch.zeros(nodes, dtype=torch.double))
        self.register_buffer("roots", torch.zeros(trees, dtype=torch.int32))

    def __len__(self) -> int:
        return len(self.roots)

    def hold(self, grown: Sequence[Any]) -> None:
        """Take in scikit-learn's trees, of as many nodes as there is room for."""
        starts = np.cumsum([0, *(tree.node_count for tree in grown)])[:-1]
        left, right = (_joined(grown, starts, side) for side in ("children_left", "children_right"))
        value, impurity, threshold, feature = (
            np.concatenate([getattr(tree, name).reshape(tree.node_count) for tree in grown])
            for name in ("value", "impurity", "threshold", "feature")
        )
        leaf = left < 0
        order = _order(left, right, starts)
        place = torch.from_numpy(order)
        self.roots.copy_(torch.from_numpy(order[starts]))
        self.child[place] = torch.from_numpy(np.where(leaf, order, order[left]).astype(np.int32))
        self.column[place] = torch.from_numpy(np.where(leaf, 0, feature).astype(np.int32))
        self.threshold[place] = torch.from_numpy(np.where(leaf, np.float32(np.inf), round_down(threshold)))
        self.mean[place] = torch.from_numpy(value)
        self.variance[place] = torch.from_numpy(np.maximum(impurity, 0.0))

    def leaves(self, x: Tensor) -> Tensor:
        """The node at which each row (n x d) ends in each tree (n x trees)."""
        return torch.cat([self._leaves(part) for part in x.split(CHUNK)])

    def _leaves(self, x: Tensor) -> Tensor:
        n, trees, flat = len(x), len(self), x.reshape(-1)
        node = self.roots.repeat(n)
        start = torch.arange(0, x.numel(), x.shape[1], dtype=torch.int32, device=x.device).repeat_interleave(trees)
        arrived, going = node.clone(), torch.arange(n * trees, device=x.device)
        while len(going):
            for _ in range(STRIDE):
                value = flat.index_select(0, self.column.index_select(0, node).add_(start))
                right = value > self.threshold.index_select(0, node)
                node = self.child.index_select(0, node).add_(right)
            arrived[going] = node
            inner = torch.nonzero(self.child.index_select(0, node) != node)[:, 0]
            node, start, going = node[inner], start[inner], going[inner]
        return arrived.reshape(n, trees)


def grow_tree(x: NDArray[np.float32], y: NDArray[Any], weight: NDArray[np.float64], **options: Any) -> Any:
    """A tree of scikit-learn on rows (n x d) with values and weights (n each)."""
    # A second that only those who grow trees should wait for.
    from sklearn import config_context
    from sklearn.tree import DecisionTreeRegressor

    # Of a hundred rows, checks take a third of the time.
    with config_context(skip_parameter_validation=True):
        return DecisionTreeRegressor(**options).fit(x, y, sample_weight=weight, check_input=False).tree_


def _joined(grown: Sequence[Any], starts: Integers, side: str) -> Integers:
    """The children of all nodes of all trees, numbered through; -1 of leaves."""
    children = [getattr(tree, side) for tree in grown]
    return np.concatenate([np.where(own < 0, -1, own + start) for own, start in zip(children, starts, strict=True)])


def _order(left: Integers, right: Integers, level: Integers) -> Integers:
    """New numbers for nodes, level by level from the roots, that put each right child behind its left one."""
    new, count = np.zeros(len(left), dtype=np.int64), 0
    while len(level):
        new[level] = count + np.arange(len(level))
        count += len(level)
        inner = level[left[level] >= 0]
        level = np.stack([left[inner], right[inner]], axis=1).reshape(-1)
    return new


def round_down(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest single-precision numbers that are not above: no row in single precision falls in between."""
    near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)

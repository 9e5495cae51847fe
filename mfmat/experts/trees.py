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
        start = 0
        for i, tree in enumerate(grown):
            new, leaf, stop = _order(tree), tree.children_left < 0, start + tree.node_count
            place = torch.from_numpy(start + new)
            left = np.where(leaf, new, new[np.maximum(tree.children_left, 0)])
            self.roots[i] = start
            self.child[place] = torch.from_numpy((start + left).astype(np.int32))
            self.column[place] = torch.from_numpy(np.where(leaf, 0, tree.feature).astype(np.int32))
            self.threshold[place] = torch.from_numpy(np.where(leaf, np.float32(np.inf), round_down(tree.threshold)))
            self.mean[place] = torch.from_numpy(tree.value[:, 0, 0])
            self.variance[place] = torch.from_numpy(np.maximum(tree.impurity, 0.0))
            start = stop

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


def _order(tree: Any) -> NDArray[np.int64]:
    """New numbers for a tree's nodes, level by level, that put each right child behind its left one."""
    new = np.zeros(tree.node_count, dtype=np.int64)
    level, count = np.zeros(1, dtype=np.int64), 1
    while len(level):
        inner = level[tree.children_left[level] >= 0]
        level = np.stack([tree.children_left[inner], tree.children_right[inner]], axis=1).reshape(-1)
        new[level] = count + np.arange(len(level))
        count += len(level)
    return new


def round_down(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest single-precision numbers that are not above: no row in single precision falls in between."""
    near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)

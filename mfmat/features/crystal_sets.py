"""The atoms of a crystal as a small set: those of one element are one member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mfmat.features.backbones import RefusedError
from mfmat.small_sets import SetColumns

Numbers = NDArray[np.float64]
MEMBERS = 8
"""Elements of a crystal at most; a set of fewer is padded with members of weight 0."""


def find_members(numbers: NDArray[np.int64]) -> tuple[Numbers, NDArray[np.intp]]:
    """The share of each element among these atoms (m, padded with 0), by atomic number, and each atom's member.

    Raises:
        RefusedError: more elements than a set holds.

    >>> find_members(np.array([8, 22, 8]))[0].round(2).tolist()
    [0.67, 0.33, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    elements, member, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    if len(elements) > MEMBERS:
        raise RefusedError(f"{len(elements)} elements, and a set holds {MEMBERS}")
    return np.pad(counts / len(numbers), (0, MEMBERS - len(elements))), member


def gather(numbers: NDArray[np.int64], levels: Sequence[Numbers]) -> Numbers:
    """The set of a crystal at several levels: the shares of its elements, then of each level the mean atom of each.

    Args:
        numbers: n, the atomic numbers.
        levels: the atoms' features at each level (each n x d).

    Raises:
        RefusedError: more elements than a set holds.
    """
    shares, member = find_members(numbers)
    blocks = [shares]
    for atoms in levels:
        block = np.zeros((MEMBERS, atoms.shape[1]))
        for i in range(member.max() + 1):
            block[i] = atoms[member == i].mean(axis=0)
        blocks.append(block.ravel())
    return np.concatenate(blocks)


def average(means: Sequence[Numbers]) -> Numbers:
    """The set of one member that has these features at each level: what is known of a crystal that is refused."""
    pads = [np.pad(mean, (0, (MEMBERS - 1) * len(mean))) for mean in means]
    return np.concatenate([np.eye(1, MEMBERS)[0], *pads])


def lay_out(widths: Mapping[str, int]) -> dict[str, SetColumns]:
    """Where the set of each view stands, from the number of its features: weights that all share, then the members.

    >>> lay_out({"V0": 2, "V1": 3})["V1"]
    SetColumns(weights=slice(0, 8, None), members=slice(24, 48, None))
    """
    start, found = MEMBERS, {}
    for view, width in widths.items():
        found[view] = SetColumns(slice(0, MEMBERS), slice(start, start + MEMBERS * width))
        start += MEMBERS * width
    return found

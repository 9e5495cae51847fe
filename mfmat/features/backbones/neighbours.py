"""The nearest atoms of each atom of a crystal, images included."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfmat.features.crystals import Crystal

TIE = 4
"""Decimals (Å) in which distances are equal, so that no rounding decides which atoms of a shell are taken."""


class Neighbours(NamedTuple):
    """The k nearest of each of n atoms, the nearest first.

    Attributes:
        atoms: n x k, each neighbour's place in the cell; 0 where there is none.
        distances: n x k, in Å; the radius + 1 where there is none.
        known: n x k, whether there is one.
    """

    atoms: NDArray[np.int64]
    distances: NDArray[np.float64]
    known: NDArray[np.bool_]


def find_neighbours(crystal: Crystal, k: int, radius: float) -> Neighbours:
    """The k nearest atoms within a radius (Å) of each atom; of equally near ones the heavier, then the first.

    >>> salt = Crystal.of(np.eye(3) * 4.0, [55, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> find_neighbours(salt, 8, 8.0).distances.round(3)[0, [0, 7]]
    array([3.464, 3.464])
    """
    from pymatgen.optimization.neighbors import find_points_in_spheres

    n = len(crystal.numbers)
    points = np.ascontiguousarray(crystal.positions @ crystal.lattice)
    periodic, lattice = np.ones(3, dtype=np.int64), np.ascontiguousarray(crystal.lattice)
    centre, other, image, distance = find_points_in_spheres(points, points, r=radius, pbc=periodic, lattice=lattice)
    # An atom is no neighbour of itself, its images are.
    apart = (centre != other) | (image != 0).any(axis=1)
    centre, other, distance = centre[apart], other[apart], distance[apart]
    order = np.lexsort((other, -crystal.numbers[other], np.round(distance, TIE), centre))
    centre, other, distance = centre[order], other[order], distance[order]
    starts = np.searchsorted(centre, np.arange(n))
    rank = np.arange(len(centre)) - starts[centre]
    first = rank < k
    atoms, distances = np.zeros((n, k), dtype=np.int64), np.full((n, k), radius + 1.0)
    known = np.zeros((n, k), dtype=bool)
    place = (centre[first], rank[first])
    atoms[place], distances[place], known[place] = other[first], distance[first], True
    return Neighbours(atoms, distances, known)


def find_kinds(crystal: Crystal, near: Neighbours, steps: int) -> NDArray[np.int64]:
    """The kind of each atom (n), 0 to k - 1: atoms of one kind cannot be told apart by that many rounds of messages.

    Colours are refined: an atom's next colour is its own with the colours and distances of its neighbours, distances
    being equal as for ties. Weisfeiler and Leman 1968, Nauchno-Technicheskaya Informatsia 2(9), 12.

    >>> salt = Crystal.of(np.eye(3) * 4.0, [55, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> find_kinds(salt, find_neighbours(salt, 8, 8.0), 4)
    array([1, 0])
    """
    kinds = np.unique(crystal.numbers, return_inverse=True)[1].reshape(-1)
    whole = np.rint(near.distances * 10**TIE).astype(np.int64)
    for _ in range(steps):
        seen = np.sort(whole * len(kinds) + kinds[near.atoms], axis=1)
        kinds = np.unique(np.column_stack([kinds, seen]), axis=0, return_inverse=True)[1].reshape(-1)
    return kinds

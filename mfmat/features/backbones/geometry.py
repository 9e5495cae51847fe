"""Plain geometry of a crystal: how dense it is, how symmetric, and its cell."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfmat.errors import SchemaError
from mfmat.features.backbones.backbone import Arrays, Backbone, Level, RefusedError
from mfmat.features.backbones.neighbours import find_neighbours
from mfmat.features.crystals import Crystal
from mfmat.features.elements import load_elements

FEATURES = (
    *("volume per atom", "density", "shortest distance", "mean nearest distance"),
    *("space group", "crystal system", "symmetry operations", "atoms in the primitive cell"),
    *("a", "b", "c", "alpha", "beta", "gamma"),
)
_SYSTEMS = (2, 15, 74, 142, 167, 194, 230)
_MASS = 1.66053906660
"""Of a dalton per Å^3, in g/cm^3."""
_REACH = 12.0


@dataclass(frozen=True)
class Geometry(Backbone, kind="geometry"):
    """Plain geometry as a level of its own, `geometry`: no network, nothing learned.

    Volume per atom (Å^3), density (g/cm^3), the shortest and the mean nearest distance (Å), the number of the space
    group, the crystal system (1, triclinic, to 7, cubic), the operations of the point group, atoms in the primitive
    cell, and lengths (Å) and angles (degrees) of the conventional cell.

    Args:
        tolerance: how far atoms may lie from symmetric places, in Å.

    Togo, Shinohara and Tanaka 2024 (spglib), doi:10.1080/27660400.2024.2384822.

    >>> salt = Crystal.of(np.eye(3) * 2.8, [11], [[0, 0, 0]])
    >>> dict(zip(FEATURES, Geometry().compute(salt, ["geometry"])["geometry"]))["space group"]
    np.float64(221.0)
    """

    tolerance: float = 0.01
    name = "geometry"
    usual = ("geometry",)

    def __post_init__(self) -> None:
        if not self.tolerance > 0:
            raise SchemaError(f"tolerance={self.tolerance!r}", expected="a length above 0 Å", fix="tolerance=0.01")

    @property
    def levels(self) -> Mapping[str, Level]:
        """One: `geometry`."""
        return {"geometry": Level(FEATURES)}

    @property
    def version(self) -> str:
        """The tolerance and the release of spglib, whose choices of cells may change."""
        import spglib

        return f"1-{self.tolerance:g}-{spglib.__version__}"

    def compute(self, crystal: Crystal, levels: Sequence[str]) -> Arrays:
        """The fourteen numbers of one crystal."""
        symmetry = _symmetry(crystal, self.tolerance)
        masses = load_elements().column("AtomicWeight")[crystal.numbers - 1]
        nearest = _nearest(crystal)
        system = 1 + int(np.searchsorted(_SYSTEMS, symmetry.number))
        primitive = len(np.unique(symmetry.mapping_to_primitive))
        numbers = [
            *(crystal.volume / len(masses), masses.sum() / crystal.volume * _MASS, nearest.min(), nearest.mean()),
            *(symmetry.number, system, _operations(symmetry.hall_number), primitive, *_cell(symmetry.std_lattice)),
        ]
        return {"geometry": np.array(numbers, dtype=float)}


def _symmetry(crystal: Crystal, tolerance: float) -> Any:
    import spglib

    cell = (crystal.lattice.tolist(), crystal.positions.tolist(), crystal.numbers.tolist())
    try:
        with _quiet():
            found = spglib.get_symmetry_dataset(cell, symprec=tolerance)
    except Exception as error:
        raise RefusedError(f"spglib finds no symmetry ({error})") from None
    if found is None:
        raise RefusedError("spglib finds no symmetry; do atoms overlap?")
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    # spglib warns of an old way to signal errors, whoever is prepared for both.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@cache
def _operations(hall: int) -> int:
    """How many the point group has: of the group, as a cell of several copies shows fewer."""
    import spglib

    with _quiet():
        found = spglib.get_symmetry_from_database(hall)
    assert found is not None
    rotations = found["rotations"]
    return len(np.unique(rotations.reshape(-1, 9), axis=0))


def _nearest(crystal: Crystal) -> NDArray[np.float64]:
    """The distance from each atom to the nearest other (n), in Å."""
    near = find_neighbours(crystal, 1, _REACH)
    if not near.known.all():
        raise RefusedError(f"an atom has no neighbour within {_REACH:g} Å")
    return near.distances[:, 0]


def _cell(lattice: NDArray[np.float64]) -> list[float]:
    """Three lengths and three angles."""
    lengths = np.linalg.norm(lattice, axis=1)
    cosines = [lattice[i] @ lattice[j] / lengths[i] / lengths[j] for i, j in ((1, 2), (0, 2), (0, 1))]
    return [*lengths, *np.degrees(np.arccos(np.clip(cosines, -1, 1)))]

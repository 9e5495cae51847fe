"""A column of molecules as numbers: fingerprints and descriptors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfmat.cells import is_missing, make_problem
from mfmat.errors import Problem, SchemaError
from mfmat.features.featurizer import Featurizer, read_blocks
from mfmat.features.molecular_descriptors import DESCRIPTORS, add_up, describe
from mfmat.features.molecules import MoleculeText, read_molecule
from mfmat.features.polymers import close, grow, is_polymer, link, load_rdkit
from mfmat.identities import as_objects

Numbers = NDArray[np.float64]
FINGERPRINTS = ("morgan", "rdkit", "maccs")
_BLOCKS = (*FINGERPRINTS, "descriptors")
_DEFAULT = ("morgan", "descriptors")
_PATHS = 7
_MACCS = 166
_REACH = 10
"""Bonds that the widest of descriptors and paths span, with what they know of the atoms at their ends."""


@dataclass(frozen=True)
class Molecule(Featurizer, kind="molecule"):
    r"""Molecules and polymers, as SMILES or InChI, by fingerprints and by physico-chemical descriptors.

    - `morgan`: how often each environment of an atom up to a radius occurs, folded to a number of bits (extended
      connectivity, Rogers & Hahn 2010, doi:10.1021/ci100050t).
    - `rdkit`: how often each path or branched fragment of up to 7 bonds occurs, folded.
    - `maccs`: which of the 166 public MACCS keys it has (Durant et al. 2002, doi:10.1021/ci010132r).
    - `descriptors`: 74 numbers: mass, atoms and electrons, rings, hydrogen bonds, flexibility, Crippen's partition
      coefficient and molar refractivity, polar and accessible surface, connectivity indices, surface by
      lipophilicity and by refractivity (`mfmat.features.molecular_descriptors`). All but the fraction of
      sp3 carbon are sums over the molecule. They are finite for all elements, as those with partial charges are not.

    A GP compares fingerprints by the Tanimoto kernel unless its `kernel=` names their view.

    A SMILES with two open ends (`*CC(*)C`) is a polymer, and its numbers are those of its smallest repeat unit within
    an endless chain: what a chain gains by one unit more (of `maccs`, the keys of two linked units with hydrogen at the
    ends). They are the same however long a unit was written and wherever it was cut, see
    `mfmat.features.polymers.write_unit`.

    Equal molecules give equal bits, however they are written: `C(O)C` is `CCO`. Salts keep all their fragments. Groups
    are molecules without stereochemistry and isotopes, so that no split divides the two hands of a molecule.

    Args:
        column: the table's column of SMILES; a cell that begins with `InChI=` is read as one.
        blocks: which of `morgan`, `rdkit`, `maccs` and `descriptors` to give; each is one view.
        radius: of Morgan's environments, in bonds.
        bits: of `morgan` and of `rdkit`.
        counts: how often, not only whether; without, chains of 9 and of 10 carbons have one fingerprint.
        stereo: whether Morgan's environments tell the hands of a molecule, and cis from trans.

    Errors: SchemaError for an unknown block, a negative radius or too few bits; MissingExtraError without RDKit
    (`pip install "mfmat[molecules]"`), when it is used. A cell that is missing, no text, no molecule, or has another
    number of open ends, is a `Problem` that says what is wrong, and its row NaN.

    Landrum et al., RDKit, doi:10.5281/zenodo.591637; Ralaivola et al. 2005, doi:10.1016/j.neunet.2005.07.009, for the
    Tanimoto kernel on fingerprints; Kuenneth & Ramprasad 2023, doi:10.1038/s41467-023-39868-6, for polymers.

    >>> table = pd.DataFrame({"smiles": ["CCO", "OCC", "*CC(*)C", "c1ccccc"]})
    >>> X, problems = Molecule("smiles", blocks="descriptors").encode(table)
    >>> X[:, 0].round(2)  # g/mol, of the polymer's repeat unit
    array([46.07, 46.07, 42.08,   nan])
    >>> problems[0].position, problems[0].what.partition(":")[0]
    (3, 'cannot be read as a SMILES')
    """

    column: str
    blocks: tuple[str, ...] = field(default=_DEFAULT, kw_only=True)
    radius: int = field(default=2, kw_only=True)
    bits: int = field(default=1024, kw_only=True)
    counts: bool = field(default=True, kw_only=True)
    stereo: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", read_blocks(self.blocks, _BLOCKS, _DEFAULT))
        if self.radius < 0 or self.bits < 16:
            raise SchemaError(
                f"radius={self.radius}, bits={self.bits}",
                expected="a radius of at least 0, and at least 16 bits",
                fix="radius=2, bits=1024",
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """The column of molecules."""
        return (self.column,)

    @property
    def views(self) -> dict[str, tuple[str, ...]]:
        """One view a block, named after the column and the block."""
        sizes = {"morgan": self.bits, "rdkit": self.bits, "maccs": _MACCS}
        names = {block: tuple(f"{block} {bit}" for bit in range(size)) for block, size in sizes.items()}
        names["descriptors"] = DESCRIPTORS
        return {f"{self.column}.{block}": names[block] for block in self.blocks}

    @property
    def kernels(self) -> dict[str, str]:
        """`"tanimoto"` for every fingerprint."""
        return {f"{self.column}.{block}": "tanimoto" for block in self.blocks if block in FINGERPRINTS}

    def encode(self, table: pd.DataFrame) -> tuple[Numbers, list[Problem]]:
        """Numbers (n x d, one block after the other) and the cells that cannot be read."""
        reading = read_molecules(table[self.column])
        block = np.full((len(reading.molecules) + 1, len(self.features)), np.nan)
        encoders = self._encoders()
        # RDKit notes on stderr what it makes of chains and of hydrogen alone.
        with load_rdkit("rdkit.rdBase").BlockLogs():
            for place, text in enumerate(reading.molecules):
                molecule = load_rdkit().MolFromSmiles(text.smiles)
                block[place] = np.concatenate([encoder(molecule) for encoder in encoders])
        return block[reading.codes], reading.problems

    def groups(self, table: pd.DataFrame) -> NDArray[np.object_]:
        """Each row's canonical SMILES without stereochemistry and isotopes, None where there is none.

        >>> Molecule("smiles").groups(pd.DataFrame({"smiles": ["C[C@H](O)F", "C[C@@H](F)O", "*CCCC*", ""]}))
        array(['CC(O)F', 'CC(O)F', '*C*', None], dtype=object)
        """
        reading = read_molecules(table[self.column])
        return as_objects([*(molecule.skeleton for molecule in reading.molecules), None])[reading.codes]

    def _encoders(self) -> list[Callable[[Any], Numbers]]:
        """What each block makes of a molecule of RDKit."""
        generators = load_rdkit("rdkit.Chem.rdFingerprintGenerator")
        morgan = generators.GetMorganGenerator(self.radius, fpSize=self.bits, includeChirality=self.stereo)
        paths = generators.GetRDKitFPGenerator(maxPath=_PATHS, fpSize=self.bits)
        encoders: dict[str, Callable[[Any], Numbers]] = {
            "morgan": partial(self._count, morgan.GetCountFingerprintAsNumPy, max(2 * self.radius + 4, _REACH)),
            "rdkit": partial(self._count, paths.GetCountFingerprintAsNumPy, _REACH),
            "maccs": _find_keys,
            "descriptors": lambda molecule: describe(_per_unit(add_up, _REACH, molecule)),
        }
        return [encoders[block] for block in self.blocks]

    def _count(self, count: Callable[[Any], Any], reach: int, molecule: Any) -> Numbers:
        found = _per_unit(count, reach, molecule)
        return found if self.counts else (found > 0).astype(np.float64)


class MoleculeReading(NamedTuple):
    """Distinct molecules; each row's position among them, -1 for a row with a problem."""

    molecules: list[MoleculeText]
    codes: NDArray[np.intp]
    problems: list[Problem]


def read_molecules(column: pd.Series) -> MoleculeReading:
    """A column of molecules; each is there once, and what cannot be read is a problem."""
    places: dict[MoleculeText, int] = {}
    codes = np.full(len(column), -1, dtype=np.intp)
    problems = []
    for position, cell in enumerate(column):
        try:
            codes[position] = places.setdefault(_read_cell(cell), len(places))
        except ValueError as error:
            problems.append(make_problem(column, position, str(error)))
    return MoleculeReading(list(places), codes, problems)


def _read_cell(cell: object) -> MoleculeText:
    if not isinstance(cell, str):
        raise ValueError("molecule missing" if is_missing(cell) else "not text")
    if not cell.strip():
        raise ValueError("empty SMILES")
    return read_molecule(cell)


def _per_unit(count: Callable[[Any], Any], reach: int, molecule: Any) -> Numbers:
    """What is counted of a molecule, or of one repeat unit within an endless chain."""
    if not is_polymer(molecule):
        return np.asarray(count(molecule), dtype=np.float64)
    shorter, longer = (np.asarray(count(chain), dtype=np.float64) for chain in grow(molecule, reach))
    return longer - shorter


def _find_keys(molecule: Any) -> Numbers:
    whole = close(link(molecule, 2)) if is_polymer(molecule) else molecule
    keys = load_rdkit("rdkit.Chem.rdMolDescriptors").GetMACCSKeysFingerprint(whole)
    # RDKit's key 0 does not exist.
    return np.array(list(keys), dtype=np.float64)[1:]

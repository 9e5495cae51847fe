"""Polymers by their repeat unit: the smallest one, cut where everyone cuts it, and chains of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from mfmat.extras import require

_HEAD, _TAIL = 1, 2


def load_rdkit(module: str = "rdkit.Chem") -> Any:
    """A module of RDKit.

    Raises:
        MissingExtraError: it is not installed: `pip install "mfmat[molecules]"`.
    """
    return require(module, "molecules", "molecules")


def is_polymer(molecule: Any) -> bool:
    """Whether a molecule of RDKit has open ends (`*`)."""
    return any(atom.GetAtomicNum() == 0 for atom in molecule.GetAtoms())


def write_unit(unit: Any) -> str:
    """The canonical SMILES of the smallest repeat unit of the polymer that a unit stands for.

    The chain of units is cut wherever a single bond of the backbone can be cut; of the shortest pieces that repeat, the
    first in alphabetical order is taken. So `*CCO*`, `*OCC*` and `*COCCOC*` are one polymer, and head to head is
    another than head to tail. Where there are other fragments (counterions), the unit stays as long as it is.

    Errors: ValueError for another number of ends than two, ends of rings or of different fragments, or nothing between.

    Source: Kuenneth & Ramprasad, Nat. Commun. 14, 4099 (2023), doi:10.1038/s41467-023-39868-6, for canonical units.
    """
    chem = load_rdkit()
    head, _ = find_ends(unit)
    atoms = next(len(fragment) for fragment in chem.GetMolFrags(unit) if head in fragment) - 2
    pair = link(unit, 2)
    cuts = _find_cuts(pair, *find_ends(pair))
    first = min(left for left in cuts if left + atoms in cuts)
    alone = len(chem.GetMolFrags(unit)) == 1
    period = next(
        atoms // times
        for times in range(atoms if alone else 1, 0, -1)
        if atoms % times == 0 and _repeats(pair, cuts, range(first, first + atoms + 1, atoms // times))
    )
    starts = [left for left in cuts if first <= left < first + period and left + period in cuts]
    rest = [text for text in chem.MolToSmiles(unit).split(".") if "*" not in text]
    return ".".join([min(_between(pair, cuts[at], cuts[at + period], 0) for at in starts), *rest])


def find_ends(unit: Any) -> tuple[int, int]:
    """The positions of the two open ends of a repeat unit."""
    ends = [atom for atom in unit.GetAtoms() if atom.GetAtomicNum() == 0]
    if len(ends) != 2:
        raise ValueError(f"{len(ends)} open {'end' if len(ends) == 1 else 'ends'} (*) where a repeat unit has 2")
    if any(end.GetDegree() != 1 for end in ends):
        raise ValueError("an open end (*) with other than one bond")
    path = _path(unit)
    if len(path) < 3:
        raise ValueError("open ends (*) with nothing between them, or on different fragments")
    if ends[0].GetBonds()[0].GetBondType() != ends[1].GetBonds()[0].GetBondType():
        raise ValueError("open ends (*) that do not fit together: bonds of different order")
    return path[0], path[-1]


def count_backbone(unit: Any) -> int:
    """How many bonds further along the chain a repeat unit is than the one before."""
    return len(_path(unit)) - 2


def link(unit: Any, times: int) -> Any:
    """A chain of so many repeat units, with open ends."""
    chem = load_rdkit()
    head, tail = find_ends(unit)
    chain, plain = None, chem.RWMol(unit)
    for bond in plain.GetBonds():
        # What is cis is known of the double bond; strokes of two copies may contradict each other.
        bond.SetBondDir(chem.BondDir.NONE)
    for place in range(times):
        copy = chem.RWMol(plain)
        for end, label in ((head, place), (tail, (place + 1) % times)):
            copy.GetAtomWithIdx(end).SetIsotope(0)
            # Two ends with one label are joined; those without stay open.
            copy.GetAtomWithIdx(end).SetAtomMapNum(label)
        chain = copy.GetMol() if chain is None else chem.CombineMols(chain, copy)
    joined = chem.molzip(chain) if times > 1 else chain
    chem.SanitizeMol(joined)
    return joined


def close(chain: Any) -> Any:
    """A chain with hydrogen at its ends."""
    chem = load_rdkit()
    capped = chem.RWMol(chain)
    for end in find_ends(chain):
        capped.GetAtomWithIdx(end).SetAtomicNum(1)
        capped.GetAtomWithIdx(end).GetBonds()[0].SetBondType(chem.BondType.SINGLE)
    whole = capped.GetMol()
    chem.SanitizeMol(whole)
    # Not written and read again, for some polyenes lose cis and trans on that way.
    chem.AssignStereochemistry(whole, cleanIt=False, force=True)
    return chem.RemoveHs(whole)


def grow(unit: Any, reach: int) -> tuple[Any, Any]:
    """Two chains with hydrogen at their ends, of which one is a repeat unit longer.

    Whatever spans at most `reach` bonds is there once more for every repeat unit, so that the difference of its numbers
    is what one unit brings, without any end.
    """
    times = max(math.ceil(reach / count_backbone(unit)), 1)
    return close(link(unit, times)), close(link(unit, times + 1))


def _path(unit: Any) -> Sequence[int]:
    """The atoms from one end to the other; empty for ends of different fragments."""
    first, last = (atom.GetIdx() for atom in unit.GetAtoms() if atom.GetAtomicNum() == 0)
    together = any({first, last} <= set(fragment) for fragment in load_rdkit().GetMolFrags(unit))
    found: Sequence[int] = load_rdkit().GetShortestPath(unit, first, last) if together else ()
    return found


def _find_cuts(chain: Any, head: int, tail: int) -> dict[int, int]:
    """The bonds where a chain can be cut, by the number of atoms between the head and it, in that order.

    Single ones where there are any, as cis and trans live on others.
    """
    path = load_rdkit().GetShortestPath(chain, head, tail)
    bonds = [chain.GetBondBetweenAtoms(a, b) for a, b in pairwise(path)]
    bridges = [(bond, a) for bond, a in zip(bonds, path, strict=False) if not bond.IsInRing()]
    single = [each for each in bridges if each[0].GetBondTypeAsDouble() == 1.0]
    return {_count_left(chain, bond, a): bond.GetIdx() for bond, a in single or bridges}


def _count_left(chain: Any, bond: Any, start: int) -> int:
    """How many atoms, but for open ends, hang together with one end of a bridge when it is cut."""
    seen, found = {start}, [start]
    while found:
        for neighbour in _neighbours(chain, found.pop(), bond.GetIdx()):
            if neighbour not in seen:
                seen.add(neighbour)
                found.append(neighbour)
    return sum(chain.GetAtomWithIdx(atom).GetAtomicNum() > 0 for atom in seen)


def _neighbours(chain: Any, atom: int, without: int) -> Iterator[int]:
    for bond in chain.GetAtomWithIdx(atom).GetBonds():
        if bond.GetIdx() != without:
            yield bond.GetOtherAtomIdx(atom)


def _repeats(chain: Any, cuts: dict[int, int], places: Sequence[int]) -> bool:
    """Whether a chain can be cut at these places, into pieces that are all alike from head to tail."""
    if not all(place in cuts for place in places):
        return False
    pieces = (_between(chain, cuts[a], cuts[b], _TAIL) for a, b in pairwise(places))
    return len(set(pieces)) == 1


def _between(chain: Any, first: int, last: int, tail: int) -> str:
    """The canonical SMILES of what lies between two bonds; `tail` tells its ends apart, 0 does not."""
    chem = load_rdkit()
    labels = [(_HEAD, _HEAD), (_TAIL, _TAIL)]
    pieces = chem.GetMolFrags(chem.FragmentOnBonds(chain, [first, last], dummyLabels=labels), asMols=True)
    for piece in pieces:
        ends = [atom for atom in piece.GetAtoms() if atom.GetAtomicNum() == 0 and atom.GetIsotope()]
        if {end.GetIsotope() for end in ends} == {_HEAD, _TAIL}:
            for end in ends:
                end.SetIsotope(end.GetIsotope() if tail else 0)
            text: str = chem.MolToSmiles(chem.MolFromSmiles(chem.MolToSmiles(piece)))
            return text
    raise ValueError("no piece between two cuts")

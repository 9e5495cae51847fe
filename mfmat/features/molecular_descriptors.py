"""Numbers that chemists describe a molecule by: sizes, rings, polarity, shape, each a sum over the molecule."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfmat.features.polymers import load_rdkit

ELEMENTS = {"H": 1, "B": 5, "C": 6, "N": 7, "O": 8, "F": 9, "Si": 14, "P": 15, "S": 16, "Cl": 17, "Se": 34}
ELEMENTS |= {"Br": 35, "I": 53}
_COUNTED = {
    **{"HeavyAtomCount": "CalcNumHeavyAtoms", "NumHDonors": "CalcNumHBD", "NumHAcceptors": "CalcNumHBA"},
    **{"NumHeteroatoms": "CalcNumHeteroatoms", "NumRotatableBonds": "CalcNumRotatableBonds"},
    **{"NumAmideBonds": "CalcNumAmideBonds", "RingCount": "CalcNumRings"},
    **{
        f"Num{kind}{ring}": f"CalcNum{kind}{ring}"
        for kind in ("Aromatic", "Aliphatic", "Saturated")
        for ring in ("Rings", "Carbocycles", "Heterocycles")
    },
    **{"NumSpiroAtoms": "CalcNumSpiroAtoms", "NumBridgeheadAtoms": "CalcNumBridgeheadAtoms"},
    **{"TPSA": "CalcTPSA", "LabuteASA": "CalcLabuteASA", "HallKierAlpha": "CalcHallKierAlpha"},
    **{f"Chi{order}{kind}": f"CalcChi{order}{kind}" for kind in "nv" for order in range(5)},
}
"""By RDKit's name of the descriptor, RDKit's function."""
_VECTORS = {"SlogP_VSA": 12, "SMR_VSA": 10}
SUMS = (
    *("MolWt", "MolLogP", "MolMR", "NumValenceElectrons", "NumRadicalElectrons", "FormalCharge"),
    *_COUNTED,
    *(f"{name}{bin_ + 1}" for name, bins in _VECTORS.items() for bin_ in range(bins)),
    *(f"atoms {symbol}" for symbol in ELEMENTS),
    "atoms sp3 C",
)
"""The names of all descriptors that are sums."""
DESCRIPTORS = (*SUMS, "FractionCSP3")
"""The names of all descriptors."""
_DECIMALS = 6


def add_up(molecule: Any) -> NDArray[np.float64]:
    """The descriptors of a molecule of RDKit that are sums over its atoms, bonds and rings, in the order of `SUMS`."""
    chem, calculate = load_rdkit(), load_rdkit("rdkit.Chem.rdMolDescriptors")
    logp, refractivity = calculate.CalcCrippenDescriptors(molecule)
    table = chem.GetPeriodicTable()
    numbers, outer, radicals, sp3 = dict.fromkeys(ELEMENTS.values(), 0), 0, 0, 0
    for atom in molecule.GetAtoms():
        number, hydrogens = atom.GetAtomicNum(), atom.GetTotalNumHs()
        numbers[number] = numbers.get(number, 0) + 1
        numbers[1] += hydrogens
        outer += table.GetNOuterElecs(number) + hydrogens - atom.GetFormalCharge()
        radicals += atom.GetNumRadicalElectrons()
        sp3 += number == 6 and atom.GetTotalDegree() == 4
    charge = chem.GetFormalCharge(molecule)
    counted = [getattr(calculate, function)(molecule) for function in _COUNTED.values()]
    areas = [area for name in _VECTORS for area in getattr(calculate, f"{name}_")(molecule)]
    known = [numbers[number] for number in ELEMENTS.values()]
    sums = [calculate._CalcMolWt(molecule), logp, refractivity, outer, radicals, charge, *counted, *areas, *known, sp3]
    return np.array(sums, dtype=np.float64)


def describe(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """All descriptors from those that are sums (d to d + 1), to six decimals: the same on every machine."""
    carbons, sp3 = sums[SUMS.index("atoms C")], sums[SUMS.index("atoms sp3 C")]
    # Adding 0.0 turns -0.0 into 0.0.
    return np.append(sums, sp3 / carbons if carbons > 0 else 0.0).round(_DECIMALS) + 0.0

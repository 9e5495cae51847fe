"""A polymer is one, however long its repeat unit was written and wherever it was cut."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mfmat as mf
from mfmat.features.molecular_descriptors import DESCRIPTORS, SUMS, add_up
from mfmat.features.molecules import read_molecule
from mfmat.features.polymers import close, link

Chem = pytest.importorskip("rdkit.Chem", reason="the extra molecules is not installed")
EVERYTHING = mf.Molecule("s", blocks=("morgan", "rdkit", "maccs", "descriptors"))
POLYMERS = {
    "polyethylene": "*C*",
    "poly(ethylene oxide)": "*CCO*",
    "polystyrene": "*CC(*)c1ccccc1",
    "polycarbonate": "*Oc1ccc(cc1)C(C)(C)c1ccc(cc1)OC(=O)*",
    "nylon 6": "*NC(=O)CCCCC*",
    "P3HT": "*c1sc(*)cc1CCCCCC",
    "PDMS": "*[Si](C)(C)O*",
    "cis-polybutadiene": "*C/C=C\\C*",
    "polyacetylene": "*C=C*",
    "trans-polyacetylene": "*/C=C/*",
    "polyphenylene": "*c1ccc(*)cc1",
    "cumulene": "*=C=C=*",
    "poly(sodium acrylate)": "*CC(*)C(=O)[O-].[Na+]",
    "polylactide": "*O[C@@H](C)C(=O)*",
    "PVDF": "*CC(*)(F)F",
}
SAME = [
    ("*CCO*", "*OCC*", "*COC*", "*COCCOC*", "[1*]CCO[2*]", "[*:1]OCC[*:2]", "C(O*)C*"),
    ("*C*", "*CC*", "*CCCCCC*"),
    ("*CC(C)*", "*C(C)C*", "*CC(C)CC(C)*"),
    ("*C=C*", "*=CC=*", "*C=CC=C*"),
    ("*c1ccc(cc1)*", "*c1ccc(cc1)c1ccc(*)cc1"),
    ("*NC(=O)CCCCC*", "*CCCC(=O)NCC*", "*C(=O)NCCCCCC(=O)NCCCCC*"),
    ("*C[C@@H](C)O*", "*O[C@H](C)C*"),
    ("*C/C=C/C*", "*/C=C/CC*"),
]
OTHERS = [
    ("*CC(C)*", "*CC(C)C(C)C*"),
    ("*C/C=C/C*", "*C/C=C\\C*"),
    ("*C[C@@H](C)O*", "*C[C@H](C)O*"),
    ("*CCO*", "*CO*"),
    ("*CCO*", "CCO"),
    ("*CC(*)C(=O)[O-].[Na+]", "*CC(*)C(=O)[O-].[K+]"),
]


def encode(*smiles: str) -> np.ndarray:
    X, problems = EVERYTHING.encode(pd.DataFrame({"s": smiles}))
    assert problems == []
    return X


@pytest.mark.parametrize("written", SAME, ids=lambda each: each[0])
def test_a_polymer_is_one_however_it_is_written(written: tuple[str, ...]) -> None:
    assert len({row.tobytes() for row in encode(*written)}) == 1
    assert len(set(EVERYTHING.groups(pd.DataFrame({"s": written})))) == 1


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_other_polymers_are_others(one: str, other: str) -> None:
    assert read_molecule(one) != read_molecule(other)
    assert len(np.unique(encode(one, other), axis=0)) == 2


@pytest.mark.parametrize("smiles", POLYMERS.values(), ids=POLYMERS)
def test_the_canonical_unit_is_its_own(smiles: str) -> None:
    unit = read_molecule(smiles).smiles
    assert read_molecule(unit).smiles == unit


@pytest.mark.parametrize("smiles", POLYMERS.values(), ids=POLYMERS)
def test_the_numbers_of_a_unit_are_those_in_a_long_chain(smiles: str) -> None:
    unit = Chem.MolFromSmiles(read_molecule(smiles).smiles)
    found = dict(zip(EVERYTHING.features, encode(smiles)[0], strict=True))
    chains = [close(link(unit, times)) for times in (12, 13, 14)]
    one, two, three = (add_up(chain) for chain in chains)
    np.testing.assert_allclose(three - two, two - one, atol=1e-9)
    np.testing.assert_allclose([found[name] for name in SUMS], two - one, atol=1e-6)
    for block in ("morgan", "rdkit"):
        (count,) = mf.Molecule("s", blocks=block)._encoders()
        expected = count(chains[1]) - count(chains[0])
        assert np.array_equal([found[f"{block} {bit}"] for bit in range(1024)], expected)
        assert (expected >= 0).all()


def test_numbers_that_one_knows() -> None:
    row = dict(zip(EVERYTHING.features, encode("*CC(*)c1ccccc1")[0], strict=True))
    assert row["MolWt"] == pytest.approx(104.15, abs=0.01)
    assert (row["atoms C"], row["atoms H"], row["NumAromaticRings"], row["RingCount"]) == (8, 8, 1, 1)
    assert row["FractionCSP3"] == 0.25
    ether = dict(zip(EVERYTHING.features, encode("*CCO*")[0], strict=True))
    assert ether["NumRotatableBonds"] == 3
    assert set(DESCRIPTORS) <= set(row)


@pytest.mark.parametrize(
    ("smiles", "what"),
    [
        ("*CC", "1 open end "),
        ("*C(*)*", "3 open ends "),
        ("**", "nothing between them"),
        ("*C.C*", "different fragments"),
        ("*1CC*1", "other than one bond"),
        ("*=CC*", "bonds of different order"),
    ],
)
def test_what_is_no_repeat_unit_is_a_problem(smiles: str, what: str) -> None:
    _, (problem,) = EVERYTHING.encode(pd.DataFrame({"s": [smiles]}))
    assert what in problem.what


def test_a_long_chain_keeps_cis_and_trans(capfd: pytest.CaptureFixture[str]) -> None:
    for smiles, kind in {"*/C=C/*": "E", "*/C=C\\*": "Z", "*C/C=C/C*": "E", "*C/C=C\\C*": "Z"}.items():
        chain = close(link(Chem.MolFromSmiles(read_molecule(smiles).smiles), 4))
        found = [str(bond.GetStereo()) for bond in chain.GetBonds() if bond.GetBondTypeAsDouble() == 2.0]
        # Those at the ends of the chain may have lost theirs with the open end.
        assert found[1:-1] == [f"STEREO{kind}"] * 2
    capfd.readouterr()
    encode("*/C=C/*", "*/C=C\\*", "[H][H]", "[H+]")
    assert capfd.readouterr().err == ""


def test_any_way_to_write_a_polymer_is_one() -> None:
    """Open ends at atoms of molecules, written with their atoms in any order."""
    molecules = ("CC(=O)OC1CCCC(C)C1N", "c1ccc2[nH]ccc2c1CO", "C[C@H](N)C(=O)NCC(=O)O", "OC/C=C/CSC", "C[Si](C)(C)OC=C")
    random = np.random.default_rng(0)
    for smiles in molecules:
        whole = Chem.MolFromSmiles(smiles)
        free = [atom.GetIdx() for atom in whole.GetAtoms() if atom.GetTotalNumHs() and not atom.GetNumExplicitHs()]
        for ends in random.choice(free, (4, 2)):
            unit = Chem.RWMol(whole)
            for end in ends.tolist():
                unit.AddBond(end, unit.AddAtom(Chem.Atom(0)), Chem.BondType.SINGLE)
            if Chem.SanitizeMol(unit, catchErrors=True):
                continue
            written = {Chem.MolToSmiles(unit, doRandom=True) for _ in range(6)}
            assert len({read_molecule(each) for each in written}) == 1

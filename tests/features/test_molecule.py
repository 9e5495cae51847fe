from __future__ import annotations

import dataclasses
import itertools
import sys

import numpy as np
import pandas as pd
import pytest
import torch

import mfmat as mf
from mfmat.errors import SchemaError, TableError
from mfmat.extras import MissingExtraError
from mfmat.features.molecular_descriptors import DESCRIPTORS
from mfmat.features.molecules import read_molecule
from mfmat.kernel_families import FAMILIES

Chem = pytest.importorskip("rdkit.Chem", reason="the extra molecules is not installed")
from rdkit import DataStructs  # noqa: E402
from rdkit.Chem import Descriptors, MACCSkeys, rdFingerprintGenerator  # noqa: E402

DRUGS = {
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "caffeine": "Cn1c(=O)c2c(ncn2C)n(C)c1=O",
    "penicillin": "CC1(C)S[C@@H]2[C@H](NC(=O)Cc3ccccc3)C(=O)N2[C@H]1C(=O)O",
    "methylammonium iodide": "C[NH3+].[I-]",
    "ferrocene": "[CH-]1C=CC=C1.[CH-]1C=CC=C1.[Fe+2]",
    "tetramethylsilane": "C[Si](C)(C)C",
    "spiropentane": "C1CC12CC2",
    "hydrogen": "[H][H]",
    "methyl radical": "[CH3]",
    "sulfur hexafluoride": "FS(F)(F)(F)(F)F",
}


def table(*cells: object) -> pd.DataFrame:
    return pd.DataFrame({"s": pd.Series(cells, dtype=object)})


def encode(*cells: object, **options) -> np.ndarray:
    X, problems = mf.Molecule("s", **options).encode(table(*cells))
    assert problems == []
    return X


def described(smiles: str) -> dict[str, float]:
    return dict(zip(DESCRIPTORS, encode(smiles, blocks="descriptors")[0], strict=True))


def test_one_view_a_block() -> None:
    featurizer = mf.Molecule("s", blocks=("morgan", "rdkit", "maccs", "descriptors"), bits=64)
    assert {view: len(names) for view, names in featurizer.views.items()} == {
        "s.morgan": 64,
        "s.rdkit": 64,
        "s.maccs": 166,
        "s.descriptors": 74,
    }
    assert featurizer.kernels == dict.fromkeys(("s.morgan", "s.rdkit", "s.maccs"), "tanimoto")


@pytest.mark.parametrize("smiles", DRUGS.values(), ids=DRUGS)
def test_descriptors_are_those_of_rdkit(smiles: str) -> None:
    mine, known = described(smiles), dict(Descriptors._descList)
    molecule = Chem.MolFromSmiles(smiles)
    shared = [name for name in DESCRIPTORS if name in known]
    assert len(shared) > 55
    assert {name: mine[name] for name in shared} == pytest.approx(
        {name: known[name](molecule) for name in shared}, abs=1e-5
    )
    assert mine["atoms H"] == sum(atom.GetAtomicNum() == 1 for atom in Chem.AddHs(molecule).GetAtoms())
    assert mine["FormalCharge"] == Chem.GetFormalCharge(molecule)


@pytest.mark.parametrize("counts", [True, False])
def test_fingerprints_are_those_of_rdkit(counts: bool) -> None:
    smiles = list(DRUGS.values())
    molecules = [Chem.MolFromSmiles(each) for each in smiles]
    for block, generator in {
        "morgan": rdFingerprintGenerator.GetMorganGenerator(radius=3, fpSize=256, includeChirality=True),
        "rdkit": rdFingerprintGenerator.GetRDKitFPGenerator(fpSize=256),
    }.items():
        get = generator.GetCountFingerprintAsNumPy if counts else generator.GetFingerprintAsNumPy
        mine = encode(*smiles, blocks=block, radius=3, bits=256, counts=counts)
        assert np.array_equal(mine, [get(molecule) for molecule in molecules])
    keys = [list(MACCSkeys.GenMACCSKeys(molecule))[1:] for molecule in molecules]
    assert np.array_equal(encode(*smiles, blocks="maccs"), keys)


def test_the_kernel_is_the_similarity_of_rdkit() -> None:
    smiles = list(DRUGS.values())
    bits = torch.from_numpy(encode(*smiles, blocks="morgan", counts=False))
    placed = (bits, bits.square().sum(-1))
    mine = FAMILIES["tanimoto"].compare(placed, placed)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024, includeChirality=True)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(each)) for each in smiles]
    theirs = [DataStructs.BulkTanimotoSimilarity(one, prints) for one in prints]
    np.testing.assert_allclose(mine.numpy(), theirs)


@pytest.mark.parametrize("name", ["aspirin", "caffeine", "penicillin", "ferrocene"])
def test_a_molecule_is_one_however_it_is_written(name: str) -> None:
    molecule = Chem.MolFromSmiles(DRUGS[name])
    written = [Chem.MolToSmiles(molecule, doRandom=True) for _ in range(5)]
    written += [Chem.MolToSmiles(molecule, kekuleSmiles=True), f" {DRUGS[name]}\n"]
    X = encode(*written, blocks=("morgan", "rdkit", "maccs", "descriptors"))
    assert len({row.tobytes() for row in X}) == 1
    assert len(set(mf.Molecule("s").groups(table(*written)))) == 1


def test_inchi_and_smiles_are_one() -> None:
    first, second = encode("InChI=1S/C9H8O4/c1-6(10)13-8-5-3-2-4-7(8)9(11)12/h2-5H,1H3,(H,11,12)", DRUGS["aspirin"])
    assert first.tobytes() == second.tobytes()


def test_hands_are_two_materials_of_one_group() -> None:
    hands = ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CC(N)C(=O)O")
    assert len(np.unique(encode(*hands), axis=0)) == 3
    assert len(np.unique(encode(*hands, stereo=False), axis=0)) == 1
    assert len(np.unique(encode("F/C=C/F", "F/C=C\\F"), axis=0)) == 2
    # Isotopes, too, are other materials of the same group.
    assert len(np.unique(encode("C", "[13CH4]"), axis=0)) == 2
    assert list(mf.Molecule("s").groups(table(*hands, "C", "[13CH4]"))) == ["CC(N)C(=O)O"] * 3 + ["C"] * 2


def test_counts_tell_long_chains_apart() -> None:
    nine, ten = "C" * 9, "C" * 10
    assert len(np.unique(encode(nine, ten, blocks="morgan", counts=False), axis=0)) == 1
    assert len(np.unique(encode(nine, ten, blocks="morgan"), axis=0)) == 2


def test_a_salt_keeps_its_fragments() -> None:
    salt, alone = described("CC(=O)[O-].[Na+]"), described("CC(=O)[O-]")
    assert salt["MolWt"] - alone["MolWt"] == pytest.approx(22.99, abs=0.01)
    assert (salt["FormalCharge"], alone["FormalCharge"]) == (0, -1)


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        (None, "missing"),
        (np.nan, "missing"),
        (pd.NA, "missing"),
        ("", "empty"),
        ("  ", "empty"),
        (3.5, "not text"),
        (["CCO"], "not text"),
        ("CCO ethanol", "a blank inside"),
        ("C1CC", "its syntax is wrong"),
        ("[Xx]", "its syntax is wrong"),
        ("c1cccc1", "kekulize"),
        ("CN(C)(C)(C)C", "valence for atom # 1 N, 5"),
        ("InChI=1S/nonsense", "cannot be read as an InChI"),
        ("*CC", "1 open end"),
        ("*C(*)*", "3 open ends"),
    ],
)
def test_a_bad_cell_is_a_problem_and_its_row_nan(cell: object, what: str, capfd) -> None:
    X, (problem,) = mf.Molecule("s").encode(table("CCO", cell, "C"))
    assert (problem.position, problem.column) == (1, "s")
    assert what in problem.what
    assert np.isnan(X[1]).all()
    assert np.isfinite(X[[0, 2]]).all()
    assert list(mf.Molecule("s").groups(table("CCO", cell, "C"))) == ["CCO", None, "C"]
    # RDKit writes on stderr what the error says.
    assert capfd.readouterr().err == ""


def test_a_table_names_the_row_or_leaves_it_out() -> None:
    rows = table("C", "CC", "c1cccc1", "CCC").assign(y=[1.0, 2.0, 3.0, 4.0])
    schema = mf.Schema(mf.Molecule("s", bits=32), value="y")
    with pytest.raises(TableError, match=r"row 2 \(number 2\), column 's': cannot be read as a SMILES"):
        schema.data(rows)
    with pytest.warns(UserWarning, match="c1cccc1"):
        data = schema.data(rows, on_error="skip")
    assert data.rows.tolist() == [0, 1, 3]
    assert data.kernels == {"s.morgan": "tanimoto"}


@pytest.mark.parametrize("options", [{"blocks": "ecfp"}, {"blocks": ()}, {"blocks": ("maccs", "maccs")}])
def test_unknown_blocks_are_refused(options: dict) -> None:
    with pytest.raises(SchemaError, match="expected some of morgan, rdkit, maccs, descriptors"):
        mf.Molecule("s", **options)


@pytest.mark.parametrize("options", [{"radius": -1}, {"bits": 1}])
def test_sizes_out_of_range_are_refused(options: dict) -> None:
    with pytest.raises(SchemaError, match="at least 16 bits"):
        mf.Molecule("s", **options)


def test_without_rdkit_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    read_molecule.cache_clear()
    featurizer = mf.Molecule("s")
    monkeypatch.setitem(sys.modules, "rdkit.Chem", None)
    with pytest.raises(MissingExtraError, match=r'pip install "mfmat\[molecules\]"'):
        featurizer.encode(table("C"))


def alcohols() -> pd.DataFrame:
    """Molecules put together from parts, and a value that is a sum over the parts."""
    ends, middles = ("C", "O", "N", "F", "Cl", "CC(=O)"), ("CC", "C=C", "c1ccc(cc1)", "COC", "C#C", "CNC", "C(C)C")
    worth = {part: 0.7 * i - 0.1 * i**2 for i, part in enumerate((*ends, *middles))}
    rows = [(a + b + c + "C", worth[a] + worth[b] + worth[c]) for a, b, c in itertools.product(ends, middles, middles)]
    return pd.DataFrame(rows, columns=["s", "y"]).drop_duplicates("s").sample(120, random_state=0, ignore_index=True)


def test_a_process_learns_from_fingerprints_and_is_saved(tmp_path) -> None:
    rows = alcohols()
    schema = mf.Schema(mf.Molecule("s", bits=512), value="y")
    model = mf.fit(rows[:80], schema, mf.GP())
    kernel = model.model.kernel
    assert [family is FAMILIES["tanimoto"] for family in kernel.families] == [True, False]
    told = model.predict(rows[80:])
    errors = (told["median"] - rows["y"][80:]).abs()
    assert errors.mean() < 0.35 * (rows["y"][80:] - rows["y"][:80].median()).abs().mean()
    model.save(tmp_path / "y.mfmat")
    assert mf.load(tmp_path / "y.mfmat").predict(rows[80:]).equals(told)
    named = mf.fit(rows[:20], schema, mf.GP(kernel={"s.morgan": "rbf"})).model.kernel
    assert named.families[0] is FAMILIES["rbf"]


def test_every_process_keeps_what_suits_a_view() -> None:
    data = mf.Schema(mf.Molecule("s", bits=32), value="y").data(alcohols()[:30])
    data = dataclasses.replace(data, kernels=data.kernels)
    for learner in (mf.SparseGP(inducing=8), mf.TargetOnly(mf.GP(kernel="rq"))):
        facts = str(learner.fit(data).facts)
        assert "tanimoto" in facts
    assert mf.SparseGP(inducing=8).fit(data).kernel.families[0] is FAMILIES["tanimoto"]

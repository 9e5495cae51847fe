"""The contract of every featurizer: a new one inherits these tests by one line in CASES."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import mfmat as mf
from mfmat import features
from mfmat.features import Featurizer
from mfmat.kernel_families import FAMILIES
from mfmat.kernels import PLUS
from mfmat.values import Value

PLACES = [[0, 0, 0], [0.5, 0.5, 0.5]]
SALTS = [
    ("Na", "Cl", 5.64),
    ("Li", "F", 4.03),
    ("Mg", "O", 4.21),
    ("K", "Br", 6.6),
    ("Ca", "O", 4.8),
    ("Ag", "Cl", 5.55),
]
TABLE = pd.DataFrame(
    {
        "x": [0.1, 0.7, 1.3, 2.2, 3.1, 4.0],
        "lab": ["Kyoto", "Uppsala", "Kyoto", "Lima", "Uppsala", "Lima"],
        "formula": [a + b for a, b, _ in SALTS],
        "smiles": ["CCO", "C[C@H](N)C(=O)O", "c1ccccc1", "*CC(*)C", "[Na+].[Cl-]", "InChI=1S/CH4/h1H4"],
        "structure": [
            {"lattice": (length / 2 * (1 - np.eye(3))).tolist(), "species": [a, b], "frac_coords": PLACES}
            for a, b, length in SALTS
        ],
    },
    index=list("abcdef"),
)
BAD = {"x": "hot", "lab": None, "formula": "gold", "structure": "nothing", "smiles": "c1cccc1"}

CASES = {
    "Columns": mf.Columns("x"),
    "Columns categories": mf.Columns("x", categories="lab"),
    "Composition": mf.Composition("formula"),
    "Composition crystals": mf.Composition("structure", blocks=("averages", "roots")),
    "Composition descriptors": mf.Composition("formula", blocks="descriptors"),
    "Groups": mf.Groups("lab"),
    "ChemicalGroups": mf.ChemicalGroups("formula"),
    "Clusters": mf.Clusters.learn(TABLE, mf.Columns("x"), 2),
    "DensityRatio": mf.DensityRatio(mf.Columns("x"), coefficients=[0.5], intercept=0.1, centres=[2.0], scales=[1.5]),
    "Molecule": mf.Molecule("smiles"),
    "Molecule bits": mf.Molecule("smiles", blocks=("rdkit", "maccs"), bits=64, counts=False),
    "Structure": mf.Structure("structure", backbone="geometry"),
    "Structure fallback": mf.Structure("structure", backbone="geometry", fallback="composition"),
    "Structure cgcnn": mf.Structure("structure", backbone="cgcnn", level=("V1", "pooled", "predictions")),
    "Structure cgcnn set": mf.Structure("structure", backbone="cgcnn", level=("V1", "V2"), moments=("mean", "set")),
    "Structure chgnet": mf.Structure("structure", moments=("min", "max")),
    "SourceNetworks": mf.SourceNetworks("structure"),
    "SourceNetworks pooled": mf.SourceNetworks("structure", networks=("mp_gvrh", "mp_kvrh"), level="pooled"),
}


@pytest.fixture(params=CASES)
def featurizer(request: pytest.FixtureRequest) -> Featurizer:
    """One of the cases, settled; skipped where its weights are not there."""
    case = CASES[request.param]
    if "chgnet" in request.param:
        pytest.importorskip("chgnet", reason="the extra structures is not installed")
    if "Molecule" in request.param:
        pytest.importorskip("rdkit", reason="the extra molecules is not installed")
    if "cgcnn" in request.param or "SourceNetworks" in request.param:
        request.getfixturevalue("mfmat_data")
    return case.settle(TABLE)


def test_every_public_featurizer_has_a_case() -> None:
    public = {each for name in features.__all__ if isinstance(each := getattr(features, name), type)}
    concrete = {each for each in public if issubclass(each, Featurizer) and each.kind}
    assert {type(case) for case in CASES.values()} == concrete


def test_numbers_are_finite_and_as_many_as_the_views_say(featurizer: Featurizer) -> None:
    X, problems = featurizer.encode(TABLE)
    assert problems == []
    assert X.dtype == np.float64
    assert np.isfinite(X).all()
    assert X.shape == (len(TABLE), sum(map(len, featurizer.views.values())))
    for names in featurizer.views.values():
        assert len(set(names)) == len(names)


def test_kernels_are_families_of_its_views(featurizer: Featurizer) -> None:
    assert set(featurizer.kernels) <= set(featurizer.views)
    # What begins with the sign comes beside the learner's own.
    assert {family.removeprefix(PLUS) for family in featurizer.kernels.values()} <= set(FAMILIES)


def test_a_row_depends_on_itself_alone(featurizer: Featurizer, tmp_path, monkeypatch) -> None:
    X, _ = featurizer.encode(TABLE)
    # Nothing that was kept may help.
    monkeypatch.setenv("MFMAT_CACHE", str(tmp_path))
    order = [4, 1]
    assert np.array_equal(featurizer.encode(TABLE.iloc[order])[0], X[order])
    assert np.array_equal(featurizer.encode(TABLE.iloc[[2]])[0], X[[2]])


def test_sets_depend_on_their_row_alone_and_stand_where_they_say(featurizer: Featurizer) -> None:
    block, sets = featurizer.encode_sets(TABLE), featurizer.sets
    assert block.shape == (len(TABLE), max([found.members.stop for found in sets.values()], default=0))
    assert set(sets) <= set(featurizer.views)
    assert np.array_equal(featurizer.encode_sets(TABLE.iloc[[4, 1]]), block[[4, 1]])
    for weights, members in sets.values():
        count = weights.stop - weights.start
        assert (members.stop - members.start) % count == 0
        np.testing.assert_allclose(block[:, weights].sum(1), 1.0)
        padding = block[:, members].reshape(len(TABLE), count, -1)[block[:, weights] == 0]
        assert not padding.any()


def test_bad_cells_are_problems_and_their_rows_nan(featurizer: Featurizer) -> None:
    table = TABLE.astype(object)
    for column in featurizer.columns:
        table.loc["c", column] = BAD[column]
    X, problems = featurizer.encode(table)
    assert {problem.position for problem in problems} == {2}
    assert {problem.index for problem in problems} == {"c"}
    assert {problem.column for problem in problems} <= set(featurizer.columns)
    assert np.isnan(X[2]).all()
    assert np.array_equal(np.delete(X, 2, axis=0), np.delete(featurizer.encode(TABLE)[0], 2, axis=0))
    for names in (featurizer.groups(table), featurizer.families(table)):
        assert names is None or names[2] is None


def test_writes_itself_and_comes_back(featurizer: Featurizer) -> None:
    again = Value.of(json.loads(json.dumps(featurizer.config(), allow_nan=False)))
    assert again == featurizer
    assert np.array_equal(again.encode(TABLE)[0], featurizer.encode(TABLE)[0])
    assert again.settle(TABLE.iloc[:3]) == featurizer


def test_a_table_becomes_data(featurizer: Featurizer) -> None:
    schema = mf.Schema(featurizer, value="y")
    data = schema.data(TABLE.assign(y=range(6)))
    assert len(data) == 6 or len(set(map(bytes, featurizer.encode(TABLE)[0]))) < 6
    assert list(data.views) == list(featurizer.views)

"""A level of atoms as a small set: the mean atom of each element, with its share."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

import mfmat as mf
from mfmat.errors import SchemaError

ALL = ("mean", "std", "set")
PEROVSKITE = Structure(
    Lattice.cubic(4), ["Sr", "Ti", "O", "O", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
)
SALT = Structure(2.8 * (1 - np.eye(3)), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
NINE = Structure(Lattice.cubic(9), [*"HBCNOFPSK"], [[i / 9] * 3 for i in range(9)])
TABLE = pd.DataFrame({"structure": [PEROVSKITE, SALT], "y": [1.0, 2.0]})


@pytest.fixture
def counted(cache, counting):
    return lambda **options: mf.Structure("structure", backbone=counting(), **({"moments": ALL} | options))


def test_members_are_elements_by_atomic_number(counted):
    featurizer = counted(level="atoms")
    (found,) = featurizer.sets.values()
    block = featurizer.encode_sets(TABLE)
    assert block[0, found.weights].tolist() == [0.6, 0.2, 0.2, 0, 0, 0, 0, 0]
    # Z / 3 and the place of the atom / 3: oxygen stands at places 2, 3 and 4.
    members = block[0, found.members].reshape(8, 2)
    assert members[:3] == pytest.approx(np.array([[8 / 3, 1], [22 / 3, 1 / 3], [38 / 3, 0]]), abs=1e-5)
    assert not members[3:].any()


def test_the_weighted_members_are_the_mean_atom(counted):
    featurizer = counted(level="atoms")
    (found,) = featurizer.sets.values()
    block, (X, _) = featurizer.encode_sets(TABLE), featurizer.encode(TABLE)
    mean = np.einsum("ni,nif->nf", block[:, found.weights], block[:, found.members].reshape(2, 8, 2))
    assert mean == pytest.approx(X[:, :2])


def test_neither_order_nor_copies_of_the_cell_change_the_set(mfmat_data, cache):
    featurizer = mf.Structure("structure", backbone="cgcnn", level=("V0", "V4"), moments=ALL)
    turned = Structure.from_sites([PEROVSKITE[i] for i in (3, 1, 4, 0, 2)])
    block = featurizer.encode_sets(pd.DataFrame({"structure": [PEROVSKITE, turned, PEROVSKITE * (2, 1, 1)]}))
    assert np.allclose(block, block[0], rtol=1e-5, atol=1e-4)


def test_sets_stand_behind_all_views_and_every_level_shares_the_weights(mfmat_data, cache):
    inputs = [mf.Structure("structure", backbone="cgcnn", level=("V0", "V1"), moments=ALL), mf.Composition("structure")]
    schema = mf.Schema(inputs, value="y", metadata=mf.Groups("y"), material=None)
    data = schema.data(TABLE)
    first, second = data.sets["structure.cgcnn.mp_eform.V0"], data.sets["structure.cgcnn.mp_eform.V1"]
    assert first.weights == second.weights
    assert first.weights.start == max(view.stop for view in data.views.values())
    assert schema.metadata_columns == {"y": second.members.stop}
    assert data.X[:, first.weights].sum(1).tolist() == pytest.approx([1, 1])
    assert data.X.shape[1] == second.members.stop + 3  # metadata, material, fidelity
    assert mf.Schema(inputs[1], value="y").data(TABLE).sets == {}


def test_too_many_elements_are_a_problem_that_says_so(counted):
    table = pd.DataFrame({"structure": [NINE, SALT], "y": [1.0, 2.0]})
    X, (problem,) = counted().encode(table)
    assert str(problem).startswith("row 0 (number 0), column 'structure': refused: 9 elements, and a set holds 8")
    assert np.isnan(X[0]).all()
    assert np.isfinite(counted(moments="mean").encode(table)[0]).all()


def test_with_a_fallback_a_refused_crystal_is_the_mean_atom(counted):
    helium = Structure(Lattice.cubic(20), ["He"], [[0, 0, 0]])
    table = pd.DataFrame({"structure": [PEROVSKITE, helium, SALT, NINE]})
    featurizer = counted(level="atoms", fallback="composition", moments=("std", "mean", "set")).settle(table)
    (found,) = featurizer.sets.values()
    X, problems = featurizer.encode(table)
    block = featurizer.encode_sets(table)
    assert problems == []
    assert X[:, -1].tolist() == [0, 1, 0, 1]
    for row in (1, 3):
        assert block[row, found.weights].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
        assert block[row, found.members][:2] == pytest.approx(X[1, 2:4])
        assert not block[row, found.members][2:].any()
    again = mf.Structure.of(json.loads(json.dumps(featurizer.config())))
    assert np.array_equal(again.encode_sets(table), block)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"moments": "set"}, r"beside them.*mean.*std.*set"),
        ({"level": ("sizes", "geometry")}, "no level of atoms"),
        ({"moments": ("std", "set"), "fallback": "composition"}, "'mean' among them"),
    ],
)
def test_impossible_sets(counted, options, match):
    with pytest.raises(SchemaError, match=match):
        counted(**options)
    with pytest.raises(SchemaError, match="no level of atoms"):
        mf.SourceNetworks("structure", networks=("mp_eform",), moments=ALL)

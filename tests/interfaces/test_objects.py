"""What other libraries hold in their cells: pymatgen's objects and matminer's wide tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition, Lattice, Species, Structure

import mfmat as mf
from mfmat.features.crystals import show_cell

FORMULAS = ["GaAs", "ZnO", "MgO", "CdTe", "InP", "ZnSe", "Hg0.7Cd0.3Te", "LiFePO4"]
GAPS = [1.42, 3.4, 7.8, 1.5, 1.34, 2.7, 0.1, 3.7]
SCHEMA = mf.Schema(mf.Composition("composition"), value="gap")


def cell(a: str, b: str, length: float) -> Structure:
    return Structure(Lattice.cubic(length), [a, b], [[0, 0, 0], [0.5, 0.5, 0.5]])


def as_objects() -> pd.DataFrame:
    return pd.DataFrame({"composition": [Composition(formula) for formula in FORMULAS], "gap": GAPS})


def test_a_composition_is_its_formula() -> None:
    text = pd.DataFrame({"composition": FORMULAS})
    X, problems = SCHEMA.inputs.encode(as_objects())
    assert problems == []
    np.testing.assert_array_equal(X, SCHEMA.inputs.encode(text)[0])
    assert SCHEMA.inputs.groups(as_objects()).tolist() == SCHEMA.inputs.groups(text).tolist()


@pytest.mark.parametrize(
    "cell",
    [
        Composition({Species("Fe", 2): 0.5, Species("Fe", 3): 1.5, Species("O", -2): 3}),
        Composition({"Fe": 1 / 3, "O": 0.5}),
    ],
)
def test_amounts_however_they_are_held(cell: object) -> None:
    X, problems = SCHEMA.inputs.encode(pd.DataFrame({"composition": [cell, "Fe2O3"]}))
    assert problems == []
    np.testing.assert_array_equal(X[0], X[1])
    assert show_cell(cell) == "Fe2O3"


@pytest.mark.parametrize("wrong", [Composition({}), Composition({"X": 1}), Composition("Lr"), {"Fe": 1.0}])
def test_amounts_that_are_none_are_problems(wrong: object) -> None:
    X, problems = SCHEMA.inputs.encode(pd.DataFrame({"composition": [wrong, "Fe2O3"]}))
    assert [problem.position for problem in problems] == [0]
    assert np.isnan(X[0]).all()


def test_compositions_go_the_whole_way(tmp_path: Path) -> None:
    surrogate = mf.fit(as_objects(), SCHEMA, mf.Conformal(mf.GP(), form="cross", folds=4))
    said = surrogate.predict(as_objects(), level=0.5)
    surrogate.save(tmp_path / "gap.mfmat")
    again = mf.load(tmp_path / "gap.mfmat")
    pd.testing.assert_frame_equal(again.predict(pd.DataFrame({"composition": FORMULAS}), level=0.5), said)
    assert again.heldout()["inputs"][0]["composition"] in {"Ga1As1", "Zn1O1", "Mg1O1", "Cd1Te1", "In1P1", "Zn1Se1"} | {
        "Hg0.7Cd0.3Te1",
        "Li1Fe1P1O4",
    }
    pool = as_objects()[["composition"]]
    campaign = mf.Campaign.create(tmp_path / "c.db", SCHEMA, recipe=mf.GP(), pool=pool, seen=as_objects()[:5])
    todo = campaign.ask(1)
    campaign.tell(todo.assign(gap=2.0))
    assert len(mf.Campaign.open(tmp_path / "c.db").seen()) == 6


def test_structures_go_the_whole_way(tmp_path: Path) -> None:
    pairs = [("Na", "Cl", 3.3), ("K", "Cl", 3.7), ("Cs", "Cl", 4.1), ("Cs", "Br", 4.3), ("Rb", "I", 4.5)]
    table = pd.DataFrame({"structure": [cell(*pair) for pair in pairs], "gap": [8.5, 8.4, 8.3, 7.3, 6.1]})
    schema = mf.Schema([mf.Structure("structure", backbone="geometry"), mf.Composition("structure")], value="gap")
    surrogate = mf.fit(table, schema, mf.GP())
    surrogate.save(tmp_path / "gap.mfmat")
    as_text = table.assign(structure=[json.dumps(each.as_dict(), default=float) for each in table["structure"]])
    said = mf.load(tmp_path / "gap.mfmat").predict(as_text)
    pd.testing.assert_frame_equal(said, surrogate.predict(table))


def test_a_featurized_table_with_its_objects_beside(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = [f"MagpieData mean {i}" for i in range(132)]
    table = pd.DataFrame(rng.normal(size=(40, 132)), columns=names)
    table["composition"] = [Composition(FORMULAS[i % 8]) for i in range(40)]
    table["gap"] = table[names[0]] + 0.1 * table[names[1]]
    surrogate = mf.fit(table, mf.Schema(mf.Columns(names), value="gap"), mf.BayesianLinear())
    said = surrogate.predict(table)
    assert said.index.equals(table.index)
    assert np.corrcoef(said["median"], table["gap"])[0, 1] > 0.9
    table.drop(columns=names[3:5]).to_csv(tmp_path / "short.csv")
    with pytest.raises(mf.MfmatError, match="without the column 'MagpieData mean 3'"):
        surrogate.predict(pd.read_csv(tmp_path / "short.csv"))


def test_predictions_to_json_and_back(tmp_path: Path) -> None:
    table = as_objects()
    said = mf.fit(table, SCHEMA, mf.GP()).predict(table.set_index(pd.Index(FORMULAS, name="formula")))
    said.to_json(tmp_path / "said.json", orient="table", double_precision=15)
    again = pd.read_json(tmp_path / "said.json", orient="table")
    pd.testing.assert_frame_equal(again, said, check_index_type=False)

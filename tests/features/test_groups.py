from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from mfmat.errors import SchemaError
from mfmat.features import ChemicalGroups, Composition, Featurizer, Groups
from mfmat.features.groups import chemical_system, hash_names
from mfmat.values import Value

FORMULAS = ["GaAs", "AsGa", "Ga2As2", "InP", "SrTiO3", "NaCl", "Si"]
TABLE = pd.DataFrame({"formula": FORMULAS, "lab": list("aabbcca")})
BOTH = [Groups("lab"), ChemicalGroups("formula"), ChemicalGroups("formula", level="system")]


def test_equal_names_have_equal_numbers_and_others_have_not() -> None:
    X, problems = Groups("lab").encode(TABLE)
    assert problems == []
    assert X.shape == (7, 1)
    assert np.array_equal(X == X.T, np.equal.outer(list("aabbcca"), list("aabbcca")))


def test_view_and_feature_are_called_as_the_column() -> None:
    assert Groups("lab").views == {"lab": ("lab",)}
    assert Groups("lab").columns == ("lab",)
    assert ChemicalGroups("formula", level="anion").views == {"formula.anion": ("formula.anion",)}
    assert ChemicalGroups("alloy", level="system").views == {"alloy.system": ("alloy.system",)}
    assert ChemicalGroups("alloy", level="system").columns == ("alloy",)


def test_numbers_are_whole_and_held_exactly() -> None:
    numbers = hash_names(np.array([f"name {i}" for i in range(10_000)], dtype=object))
    assert len(np.unique(numbers)) == 10_000
    assert np.array_equal(numbers, np.floor(numbers))
    assert numbers.min() >= 0
    assert 2**51 < numbers.max() < 2**52


@pytest.mark.parametrize("seed", ["0", "1"])
def test_numbers_are_the_same_in_another_process(seed: str) -> None:
    code = """if True:
        import json, pandas as pd
        from mfmat.features import ChemicalGroups, Groups
        table = pd.DataFrame({"formula": ["NaCl", "GaAs"], "lab": ["c", "a"]})
        both = [Groups("lab"), ChemicalGroups("formula"), ChemicalGroups("formula", level="system")]
        print(json.dumps([each.encode(table)[0][:, 0].tolist() for each in both]))"""
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    here = [each.encode(TABLE)[0][[5, 0], 0].tolist() for each in BOTH]
    assert json.loads(done.stdout) == here


def test_numbers_are_those_of_saved_surrogates() -> None:
    assert hash_names(np.array(["oxides", "As-Ga"], dtype=object)).tolist() == [2988062948566947, 3097662130331292]


def test_a_new_name_is_another_group() -> None:
    old, new = Groups("lab").encode(TABLE)[0], Groups("lab").encode(pd.DataFrame({"lab": ["zzz", "a"]}))[0]
    assert new[0, 0] not in old
    assert new[1, 0] == old[0, 0]


def test_one_gap_does_not_rename_whole_numbers() -> None:
    whole, gap = pd.DataFrame({"batch": [2, 10]}), pd.DataFrame({"batch": [2, 10, None]})
    text = pd.DataFrame({"batch": ["2", "10"]})
    expected = Groups("batch").encode(whole)[0]
    assert np.array_equal(Groups("batch").encode(gap)[0][:2], expected)
    assert np.array_equal(Groups("batch").encode(text)[0], expected)


@pytest.mark.parametrize("dtype", ["category", "string", object])
def test_any_dtype_of_text_will_do(dtype: str) -> None:
    table = pd.DataFrame({"lab": pd.Series(["a", "b", None], dtype=dtype)})
    X, (problem,) = Groups("lab").encode(table)
    assert np.array_equal(X[:2], Groups("lab").encode(TABLE)[0][[0, 2]])
    assert problem.position == 2


@pytest.mark.parametrize("cell", [None, np.nan, pd.NA, pd.NaT])
def test_a_missing_name_is_a_problem_and_its_row_nan(cell: object) -> None:
    table = pd.DataFrame({"lab": pd.Series(["a", cell, "nan"], dtype=object)}).set_axis(["x", "y", "z"])
    X, (problem,) = Groups("lab").encode(table)
    assert (problem.position, problem.index, problem.column, problem.what) == (1, "y", "lab", "a missing value")
    assert np.isnan(X[:, 0]).tolist() == [False, True, False]
    assert Groups("lab").names(table).tolist() == ["a", None, "nan"]


def test_families_and_systems_by_name() -> None:
    anions = ["pnictides", "pnictides", "pnictides", "pnictides", "oxides", "halides", "elements"]
    systems = ["As-Ga", "As-Ga", "As-Ga", "In-P", "O-Sr-Ti", "Cl-Na", "Si"]
    for level, names in (("anion", anions), ("system", systems)):
        groups = ChemicalGroups("formula", level=level)
        assert groups.names(TABLE).tolist() == names
        X, problems = groups.encode(TABLE)
        assert problems == []
        assert np.array_equal(X == X.T, np.equal.outer(names, names))


def test_families_are_those_of_the_composition() -> None:
    assert ChemicalGroups("formula").names(TABLE).tolist() == Composition("formula").families(TABLE).tolist()


def test_a_system_is_sorted_by_symbol() -> None:
    assert chemical_system({56: 1, 22: 1, 8: 3, 6: 1}) == "Ba-C-O-Ti"


@pytest.mark.parametrize("level", ["anion", "system"])
def test_unreadable_formulas_are_reported_as_by_the_composition(level: str) -> None:
    cells = ["GaAs", "gold", None, "", 5.0, "GaAs", "gold"]
    table = pd.DataFrame({"formula": pd.Series(cells, dtype=object)}).set_axis(list("tuvwxyz"))
    X, problems = ChemicalGroups("formula", level=level).encode(table)
    assert problems == Composition("formula").encode(table)[1]
    assert [(problem.index, problem.column) for problem in problems] == [(i, "formula") for i in "uvwxz"]
    assert np.isnan(X[:, 0]).tolist() == [False, True, True, True, True, False, True]
    assert [name is None for name in ChemicalGroups("formula", level=level).names(table)] == np.isnan(X[:, 0]).tolist()


@pytest.mark.parametrize("level", ["cation", "", None, ["anion"]])
def test_an_unknown_level_is_an_error(level: object) -> None:
    with pytest.raises(SchemaError, match="anion, system"):
        ChemicalGroups("formula", level=level)


@pytest.mark.parametrize("featurizer", BOTH)
class TestAnyGroups:
    def test_writes_itself_and_comes_back(self, featurizer: Featurizer) -> None:
        settled = featurizer.settle(TABLE)
        assert settled == featurizer
        assert Value.of(json.loads(json.dumps(settled.config()))) == featurizer

    def test_a_row_does_not_depend_on_the_others(self, featurizer: Featurizer) -> None:
        assert np.array_equal(featurizer.encode(TABLE)[0][3:4], featurizer.encode(TABLE.iloc[3:4])[0])

    def test_numbers_are_those_of_the_names(self, featurizer: Featurizer) -> None:
        names = featurizer.names(TABLE)
        assert names.dtype == object
        assert np.array_equal(featurizer.encode(TABLE)[0][:, 0], hash_names(names))

    def test_no_rows_are_no_numbers(self, featurizer: Featurizer) -> None:
        X, problems = featurizer.encode(TABLE.iloc[:0])
        assert X.shape == (0, 1)
        assert problems == []
        assert len(featurizer.names(TABLE.iloc[:0])) == 0

    def test_says_nothing_of_compounds(self, featurizer: Featurizer) -> None:
        assert featurizer.groups(TABLE) is None
        assert featurizer.families(TABLE) is None
        assert featurizer.numbers == ()

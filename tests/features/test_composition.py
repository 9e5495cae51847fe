from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfmat.errors import SchemaError
from mfmat.features import Composition
from mfmat.features.elements import load_elements
from mfmat.values import Value

SYMBOLS = load_elements().symbols
recipes = st.dictionaries(st.sampled_from(SYMBOLS), st.integers(1, 30), min_size=1, max_size=12)
SOME = ["NaCl", "Hg0.7Cd0.3Te", "(NH4)2SO4", "CuSO4·5H2O", "Fe", "AlCoCrFeNiCuTiV0.3", "Cf", "H2O"]


def spell(recipe: dict[str, int]) -> str:
    return "".join(f"{symbol}{amount}" for symbol, amount in recipe.items())


def encode(*formulas: object, **options) -> np.ndarray:
    X, problems = Composition("f", **options).encode(pd.DataFrame({"f": pd.Series(formulas, dtype=object)}))
    assert problems == []
    return X


def test_views_fit_the_numbers() -> None:
    featurizer = Composition("f")
    assert list(featurizer.views) == ["f.statistics", "f.fractions", "f.ions"]
    assert sum(map(len, featurizer.views.values())) == encode("NaCl").shape[1]
    assert featurizer.columns == ("f",)
    for names in featurizer.views.values():
        assert len(set(names)) == len(names)


def test_statistics_of_a_compound_by_hand() -> None:
    names = Composition("f").views["f.statistics"]
    row = dict(zip(names, encode("Fe2O3", blocks="statistics")[0], strict=True))
    fe, o = 1.83, 3.44
    mean = 0.4 * fe + 0.6 * o
    assert row["mean Electronegativity"] == pytest.approx(mean)
    assert row["deviation Electronegativity"] == pytest.approx(0.4 * (mean - fe) + 0.6 * (o - mean))
    assert row["min Electronegativity"] == fe
    assert row["max Electronegativity"] == o
    assert row["range Electronegativity"] == o - fe


def test_fractions_of_a_compound_by_hand() -> None:
    names = Composition("f").views["f.fractions"]
    row = dict(zip(names, encode("Fe2O3", blocks="fractions")[0], strict=True))
    assert row == dict.fromkeys(names, 0.0) | {"fraction Fe": 0.4, "fraction O": 0.6}


def test_descriptors_of_a_compound_by_hand() -> None:
    featurizer = Composition("f", blocks="descriptors")
    row = dict(zip(featurizer.features, encode("Fe2O3", blocks="descriptors")[0], strict=True))
    assert len(row) == 290
    fe, o = 55.845, 15.999
    ave = 0.4 * fe + 0.6 * o
    assert row["ave:atomic_weight"] == pytest.approx(ave)
    assert row["sum:atomic_weight"] == pytest.approx(2 * fe + 3 * o)
    assert row["var:atomic_weight"] == pytest.approx(0.4 * (fe - ave) ** 2 + 0.6 * (o - ave) ** 2)
    assert (row["max:atomic_weight"], row["min:atomic_weight"]) == (fe, o)


@given(st.lists(recipes, min_size=1, max_size=5))
def test_descriptors_are_those_of_a_weighted_sample(chosen: list[dict[str, int]]) -> None:
    table = load_elements("xenonpy")
    X = encode(*map(spell, chosen), blocks="descriptors")
    for row, recipe in zip(X, chosen, strict=True):
        divisor = math.gcd(*recipe.values())
        atoms = [table.symbols.index(symbol) for symbol, n in recipe.items() for _ in range(n // divisor)]
        sample = table.matrix[atoms]
        expected = [sample.mean(0), sample.sum(0), sample.var(0), sample.max(0), sample.min(0)]
        scale = np.maximum(np.abs(sample).max(0), 1e-6)
        for found, wanted, power in zip(np.split(row, 5), expected, (1, 1, 2, 1, 1), strict=True):
            np.testing.assert_allclose(found / scale**power, wanted / scale**power, rtol=1e-9, atol=1e-12 * len(atoms))


@given(st.lists(recipes, min_size=1, max_size=5))
def test_statistics_keep_their_order(chosen: list[dict[str, int]]) -> None:
    X = encode(*map(spell, chosen), blocks="statistics")
    mean, deviation, low, high, extent = np.split(X, 5, axis=1)
    assert (low <= mean).all()
    assert (mean <= high).all()
    assert np.array_equal(extent, high - low)
    assert (deviation >= 0).all()
    assert (deviation <= extent * (1 + 1e-12)).all()


@given(recipes)
def test_fractions_sum_to_one(recipe: dict[str, int]) -> None:
    assert encode(spell(recipe), blocks="fractions").sum() == pytest.approx(1, abs=1e-14)


@given(recipes, st.integers(2, 20), st.randoms())
def test_equal_compositions_have_equal_bits(recipe: dict[str, int], times: int, random) -> None:
    items = [(symbol, amount * times) for symbol, amount in recipe.items()]
    random.shuffle(items)
    first, second = encode(spell(recipe), spell(dict(items)))
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize(
    ("one", "other"),
    [("GaAs", "AsGa"), ("Hg0.7Cd0.3Te", "Cd3Hg7Te10"), ("Fe0.1O0.2", "FeO2"), ("CuSO4·5H2O", "CuSO4(H2O)5")],
)
def test_spellings_of_one_composition_are_one_material(one: str, other: str) -> None:
    first, second = encode(one, other)
    assert first.tobytes() == second.tobytes()
    assert len(set(Composition("f").groups(pd.DataFrame({"f": [one, other]})))) == 1


@given(st.lists(st.sampled_from(SOME), max_size=20), st.sampled_from(SOME), st.integers(0, 20))
def test_a_row_does_not_depend_on_the_others(others: list[str], formula: str, place: int) -> None:
    together = [*others[:place], formula, *others[place:]]
    assert encode(*together)[min(place, len(others))].tobytes() == encode(formula)[0].tobytes()


def test_a_row_does_not_depend_on_its_chunk() -> None:
    rng = np.random.default_rng(0)
    formulas = [
        f"{a}{i % 7 + 1}{b}{i % 5 + 1}O{i % 11}" for i, (a, b) in enumerate(rng.choice(SYMBOLS[10:], (2500, 2)))
    ]
    X = encode(*formulas)
    for row in rng.choice(2500, 60, replace=False):
        assert X[row].tobytes() == encode(formulas[row])[0].tobytes()


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        (None, "missing"),
        (np.nan, "Na1N1"),
        (pd.NA, "missing"),
        ("", "empty"),
        ("  ", "empty"),
        (3.5, "not text"),
        (["NaCl"], "not text"),
        (np.arange(3), "not text"),
        ("kitchen salt", "cannot be read"),
        ("Es2O3", "Es is not one of the 98 elements"),
        ("Xx", "Xx is not one of"),
        ("BF4-", "cannot be read"),
        ("(CuSO4·5H2O)2", "dot inside"),
    ],
)
def test_a_bad_cell_is_a_problem_and_its_row_nan(cell: object, what: str) -> None:
    table = pd.DataFrame({"f": pd.Series(["NaCl", cell, "Fe"], index=["a", "b", "c"], dtype=object)})
    X, (problem,) = Composition("f").encode(table)
    assert (problem.position, problem.index, problem.column) == (1, "b", "f")
    assert what in problem.what
    assert np.isnan(X[1]).all()
    assert X[0].tobytes() == encode("NaCl")[0].tobytes()
    assert list(Composition("f").groups(table)) == ["NaCl", None, "Fe"]


def test_a_bad_formula_is_reported_on_every_row_it_stands_on() -> None:
    _, problems = Composition("f").encode(pd.DataFrame({"f": ["??", "NaCl", "??"]}))
    assert [problem.position for problem in problems] == [0, 2]


def test_one_bad_row_among_ten_thousand_is_named() -> None:
    formulas = [f"Fe{i}O{i + 1}" for i in range(1, 10_001)]
    formulas[7777] = "Fe7777?"
    X, (problem,) = Composition("f", blocks="fractions").encode(pd.DataFrame({"f": formulas}))
    assert problem.position == 7777
    assert np.isnan(X).any(axis=1).sum() == 1


def test_each_distinct_formula_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import mfmat.features.composition as module

    calls: list[str] = []
    monkeypatch.setattr(module, "read_formula", lambda text: calls.append(text) or {11: 1, 17: 1})
    Composition("f").encode(pd.DataFrame({"f": ["NaCl", "KCl"] * 50}))
    assert calls == ["NaCl", "KCl"]


@pytest.mark.parametrize("dtype", [object, "string", "category"])
def test_any_text_dtype_will_do(dtype: str) -> None:
    table = pd.DataFrame({"f": pd.Series(["NaCl", None, "NaCl"], dtype=dtype)})
    X, problems = Composition("f").encode(table)
    assert [problem.position for problem in problems] == [1]
    assert X[0].tobytes() == X[2].tobytes() == encode("NaCl")[0].tobytes()


def test_an_empty_table_gives_no_rows() -> None:
    assert encode().shape == (0, 378)
    assert Composition("f").groups(pd.DataFrame({"f": []})).shape == (0,)


def test_the_same_table_gives_the_same_groups_in_any_scale() -> None:
    table = pd.DataFrame({"f": ["O2Ti", "Ti2O4", "TiO2", "SiO2"]})
    assert list(Composition("f").groups(table)) == ["TiO2", "TiO2", "TiO2", "SiO2"]


@pytest.mark.parametrize("featurizer", [Composition("f"), Composition("f", blocks="fractions")])
def test_writes_itself_and_comes_back(featurizer: Composition) -> None:
    assert Value.of(featurizer.config()) == featurizer
    assert featurizer.settle(pd.DataFrame({"f": ["Fe"]})) == featurizer


def test_averages_and_roots_are_of_the_other_blocks() -> None:
    table = pd.DataFrame({"f": ["GaAs", "Fe0.98C0.02", "NaCl"]})
    statistics, _ = Composition("f", blocks="statistics").encode(table)
    fractions, _ = Composition("f", blocks="fractions").encode(table)
    both = Composition("f", blocks=("averages", "roots"))
    X, _ = both.encode(table)
    averages = 2 * statistics.shape[1] // 5
    np.testing.assert_array_equal(X, np.hstack([statistics[:, :averages], np.sqrt(fractions)]))
    names = both.views
    assert len(names["f.averages"]) == averages
    assert {name.split()[0] for name in names["f.averages"]} == {"mean", "deviation"}
    assert names["f.roots"][5] == "root fraction C"


@pytest.mark.parametrize("blocks", [(), "magpie", ("fractions", "fractions")])
def test_unknown_blocks_are_refused(blocks: object) -> None:
    with pytest.raises(SchemaError, match="statistics"):
        Composition("f", blocks=blocks)

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core.composition import Composition

from mfmat.features.elements import load_elements
from mfmat.features.formulas import normalise, read_formula, reduce_amounts, write_formula

recipes = st.dictionaries(st.sampled_from(load_elements().symbols), st.integers(1, 99), min_size=1, max_size=8)


def spell(recipe: dict[str, float]) -> str:
    return "".join(f"{symbol}{amount}" for symbol, amount in recipe.items())


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("LiFePO4", "LiFePO4"),
        ("Cd3Hg7Te10", "Hg0.7Cd0.3Te"),
        ("(NH4)2SO4", "N2H8SO4"),
        ("CuSO4·5H2O", "CuSO9H10"),
        ("CuSO4.5H2O", "CuSO9H10"),
        ("CuSO4*5H2O", "CuSO9H10"),
        ("CuSO4•5H2O", "CuSO9H10"),
        ("CuSO4 . 5 H2O", "CuSO9H10"),
        ("CuSO₄ · 5H₂O", "CuSO9H10"),
        ("CuSO4(H2O)5", "CuSO9H10"),
        ("CaSO4.0.5H2O", "Ca2S2O9H2"),
        ("CaSO4·0.5H2O", "Ca2S2O9H2"),
        ("Cu(NO3)2.2.5H2O", "Cu2N4O17H10"),
        ("Na0.7CoO2.1.3H2O", "Na7Co10O33H26"),
        ("(NH4)2SO4.MgSO4.6H2O", "N2H20S2O14Mg"),
        ("3CaO.Al2O3", "Ca3Al2O6"),
        ("Li0.5H2O", "LiH4O2"),
        ("2.5H2O", "H2O"),
        ("Fe.5O", "FeO2"),
        ("SiO₂", "SiO2"),
        ("K4[Fe(CN)6]", "K4FeC6N6"),
        ("{[Fe]2O3}2", "Fe2O3"),
        ("Al1 Co0.277 Cr0.426", "Al1000Co277Cr426"),
        (" Fe2 O3 ", "Fe2O3"),
        ("D2O", "H2O"),
        ("HDO", "H2O"),
        ("T2", "H"),
        ("DyTi", "TiDy"),
        ("NaN", "Na1N1"),
        ("Fe0O1", "O"),
    ],
)
def test_reads_what_chemists_write(written: str, plain: str) -> None:
    assert read_formula(written) == read_formula(plain)


@pytest.mark.parametrize(
    "text",
    ["", " ", "gold", "fe2o3", "Xx", "X", "M2O", "Es", "Lr", "BF4-", "Fe3+", "SO4-2", "5", "1.5", "Fe0", "Li-1", "(OH",
     "OH)", "()", "·", ".", "Fe2O3·", "CuSO4·xH2O", "(CuSO4·5H2O)2", "Fe1e400", "Li1e300", "Fe2.5.1", "Fe\x00"],
)  # fmt: skip
def test_refuses_what_is_no_formula(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_formula(text)


@given(st.text(max_size=30) | st.text("FeOHDT0123456789.·*()[]{} -e+₂", max_size=20))
def test_no_text_raises_anything_but_a_value_error(text: str) -> None:
    try:
        counts = read_formula(text)
    except ValueError:
        return
    assert read_formula(write_formula(counts)) == counts


@given(recipes)
def test_reads_as_pymatgen_does(recipe: dict[str, int]) -> None:
    counts = read_formula(spell(recipe))
    total = sum(counts.values())
    theirs = {element.Z: Composition(recipe).get_atomic_fraction(element) for element in Composition(recipe)}
    assert {z: n / total for z, n in counts.items()} == pytest.approx(theirs, rel=1e-14)


@given(recipes, st.integers(1, 50), st.randoms())
def test_neither_scale_nor_order_matters(recipe: dict[str, int], times: int, random) -> None:
    items = [(symbol, amount * times) for symbol, amount in recipe.items()]
    random.shuffle(items)
    assert read_formula(spell(dict(items))) == read_formula(spell(recipe))


@given(recipes)
def test_float_noise_does_not_matter(recipe: dict[str, int]) -> None:
    total = sum(recipe.values())
    fractions = {symbol: amount / total for symbol, amount in recipe.items()}
    assert read_formula(spell(fractions)) == read_formula(spell(recipe))


@pytest.mark.parametrize("divisor", [3, 7, 0.3, 1e-3, 1e5])
def test_dopants_survive_any_scale(divisor: float) -> None:
    amounts = {14: 999_983.0, 5: 17.0, 15: 1.0}
    assert reduce_amounts({z: amount / divisor for z, amount in amounts.items()}) == {14: 999_983, 5: 17, 15: 1}


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("AsGa", "GaAs"), ("O4PFeLi", "LiFePO4"), ("Hg0.7Cd0.3Te", "Cd3Hg7Te10"), ("O2", "O"), ("Fe4O6", "Fe2O3")],
)
def test_canonical_formula(text: str, canonical: str) -> None:
    assert write_formula(read_formula(text)) == canonical


def test_a_plain_formula_is_left_alone() -> None:
    assert normalise("Ba8Zn9(Ga2Sn3)11") == "Ba8Zn9(Ga2Sn3)11"


def test_every_public_formula_reads_as_pymatgen_reads_it(mfmat_data: Path) -> None:
    formulas: set[str] = set()
    for path in sorted(mfmat_data.glob("*/*.csv.gz")):
        if "formula" in pd.read_csv(path, nrows=0).columns:
            formulas.update(pd.read_csv(path, usecols=["formula"], keep_default_na=False)["formula"])
    assert len(formulas) > 400_000
    for formula in formulas:
        counts, theirs = read_formula(formula), Composition(formula)
        share = sum(counts.values()) / theirs.num_atoms
        assert counts.keys() == {element.Z for element in theirs}, formula
        assert all(abs(counts[e.Z] / (amount * share) - 1) < 1e-12 for e, amount in theirs.items()), formula

"""What a formula says of its ions: by hand, by going through all choices, and whatever way it is written."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfmat.features import Composition
from mfmat.features.formulas import read_formula
from mfmat.features.ions import IONS, LARGEST, count_ions, load_ions

FORMULAS = st.dictionaries(st.integers(1, 98), st.integers(1, 12), min_size=1, max_size=4)


def say(formula: str) -> dict[str, float]:
    return dict(zip(IONS, count_ions(read_formula(formula)), strict=True))


def least_charge(formula: dict[int, int], known: bool) -> float:
    """The smallest charge of an atom on average, by going through all choices of states."""
    ions = load_ions()
    order = sorted(formula, key=lambda z: (ions[z - 1].pull, z))
    best = np.inf
    for states in itertools.product(*(ions[z - 1].known if known else ions[z - 1].common for z in order)):
        signs = [q < 0 for q in states if q]
        if signs == sorted(signs):
            best = min(best, abs(sum(formula[z] * q for z, q in zip(order, states, strict=True))))
    return best / sum(formula.values())


@given(FORMULAS)
def test_the_imbalance_is_that_of_the_best_of_all_choices(formula: dict[int, int]) -> None:
    common, known = (least_charge(formula, wide) for wide in (False, True))
    if np.isfinite(common):
        assert count_ions(formula)[:2] == pytest.approx([common, known], abs=1e-12)


@pytest.mark.parametrize("formula", ["NaCl", "Fe2O3", "GaAs", "CuSO4", "LiFePO4", "BaTiO3", "Mg3Sb2", "Hg0.7Cd0.3Te"])
def test_charges_of_compounds_balance(formula: str) -> None:
    assert say(formula)["imbalance, common states"] == 0


@pytest.mark.parametrize(("formula", "charge"), [("FeAl", 2.5), ("MnP", 0.5), ("Cu", 2.0), ("OF2", 4 / 3)])
def test_charges_of_others_do_not(formula: str, charge: float) -> None:
    assert say(formula)["imbalance, common states"] == pytest.approx(charge)


def test_electrons_of_magnetite_by_hand() -> None:
    said = say("Fe3O4")
    assert said["electrons wanted"] == pytest.approx(8 / 7)
    assert said["electrons left, highest states"] == pytest.approx(1 / 7)
    assert said["electrons left, lowest states"] == pytest.approx(-2 / 7)
    assert (said["odd electrons"], said["elements"], said["log atoms"]) == (0, 2, pytest.approx(np.log(7)))
    ionic = 1 - np.exp(-0.25 * (3.44 - 1.83) ** 2)
    assert said["largest ionic character"] == pytest.approx(ionic)
    assert said["mean ionic character"] == pytest.approx(2 * 12 / 49 * ionic)


def test_half_filled_bands() -> None:
    assert [say(formula)["odd electrons"] for formula in ("Na", "NaCl", "Al", "GaAs", "CuO")] == [1, 0, 1, 0, 1]


def test_an_alloy_of_many_atoms_is_taken_to_the_nearest_thousandth() -> None:
    steel, near = say("Fe0.6203C0.0007Cr0.379"), say("Fe0.620C0.001Cr0.379")
    assert sum(read_formula("Fe0.6203C0.0007Cr0.379").values()) > LARGEST
    assert steel["odd electrons"] == 0.5
    assert steel["imbalance, known states"] == near["imbalance, known states"]


@given(FORMULAS)
def test_every_formula_has_finite_numbers(formula: dict[int, int]) -> None:
    numbers = count_ions(formula)
    assert len(numbers) == len(IONS)
    assert np.isfinite(numbers).all()


def test_a_view_of_a_composition_holds_them() -> None:
    X, _ = Composition("f", blocks="ions").encode(pd.DataFrame({"f": ["TiO2", "O4Ti2", "NaCl", "K0.5Li0.5Cl"]}))
    assert X[0].tolist() == X[1].tolist() == count_ions({8: 2, 22: 1})
    assert X[3].tolist() == count_ions({3: 1, 19: 1, 17: 2})


def test_every_element_has_states_and_the_rare_ones_only_add() -> None:
    for ion in load_ions():
        assert ion.common
        assert set(ion.common) <= set(ion.known)
        assert list(ion.known) == sorted(ion.known)

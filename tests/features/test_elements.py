from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import mfmat.features.elements as module
from mfmat.features.elements import load_elements, read_sources

TABLE = load_elements()
XENONPY = load_elements("xenonpy")
PRESET = (
    "Number MendeleevNumber AtomicWeight MeltingT Column Row CovalentRadius Electronegativity "
    "NsValence NpValence NdValence NfValence NValence NsUnfilled NpUnfilled NdUnfilled NfUnfilled NUnfilled "
    "GSvolume_pa GSbandgap GSmagmom SpaceGroupNumber"
)


def test_hydrogen_to_californium_with_forty_properties_and_more() -> None:
    assert len(TABLE.symbols) == 98
    assert len(TABLE.properties) >= 40
    assert np.array_equal(TABLE.column("Number"), np.arange(1, 99))
    assert (TABLE.symbols[0], TABLE.symbols[10], TABLE.symbols[97]) == ("H", "Na", "Cf")


def test_holds_the_whole_preset_of_magpie() -> None:
    assert set(PRESET.split()) <= set(TABLE.properties)


def test_is_complete_and_cannot_be_changed() -> None:
    assert np.isfinite(TABLE.matrix).all()
    with pytest.raises(ValueError, match="read-only"):
        TABLE.matrix[0, 0] = 0.0


def test_no_property_is_constant() -> None:
    assert (np.ptp(TABLE.matrix, axis=0) > 0).all()


def test_every_property_has_unit_meaning_and_source() -> None:
    sources = read_sources()
    assert tuple(sources.index) == TABLE.properties
    assert (sources[["unit", "meaning", "source"]] != "").all(axis=None)
    assert all(doi == "" or doi.startswith("10.") for doi in sources["doi"])


def test_gaps_stay_empty_in_the_file_and_are_marked_on_load() -> None:
    with (Path(module.__file__).parent / "elements.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    gaps = np.array([[cell == "" for cell in row[1:]] for row in rows[1:]])
    assert np.array_equal(gaps, TABLE.imputed)
    assert 0 < gaps.sum() < 0.06 * gaps.size


def test_a_gap_is_the_mean_of_its_group() -> None:
    given = TABLE.column("Electronegativity")
    krypton, xenon, helium, neon = (given[z - 1] for z in (36, 54, 2, 10))
    assert helium == neon == pytest.approx((krypton + xenon) / 2)
    assert TABLE.imputed[1, TABLE.properties.index("Electronegativity")]


def test_a_gap_of_a_whole_group_is_the_median() -> None:
    place = TABLE.properties.index("ShearModulus")
    known = TABLE.matrix[~TABLE.imputed[:, place], place]
    assert TABLE.column("ShearModulus")[17] == np.median(known)


@pytest.mark.parametrize(
    ("name", "symbol", "value"),
    [("Electronegativity", "F", 3.98), ("MeltingT", "Fe", 1811), ("FirstIonizationEnergy", "H", 13.5984346),
     ("Polarizability", "Cs", 400.9), ("IonicRadius", "Li", 0.9), ("HeatAtomization", "Ar", 0.0)],
)  # fmt: skip
def test_values_that_one_knows(name: str, symbol: str, value: float) -> None:
    assert TABLE.column(name)[TABLE.symbols.index(symbol)] == pytest.approx(value)


def test_the_58_properties_of_xenonpy() -> None:
    assert XENONPY.symbols == TABLE.symbols
    assert len(set(XENONPY.properties)) == 58
    assert np.isfinite(XENONPY.matrix).all()
    assert (np.ptp(XENONPY.matrix, axis=0) > 0).all()
    assert 0 < XENONPY.imputed.mean() < 0.06
    sources = read_sources("xenonpy")
    assert tuple(sources.index) == XENONPY.properties
    assert (sources[["unit", "meaning", "source"]] != "").all(axis=None)


@pytest.mark.parametrize(
    ("theirs", "ours", "factor"),
    [("atomic_number", "Number", 1), ("period", "Row", 1), ("atomic_weight", "AtomicWeight", 1),
     ("num_unfilled", "NUnfilled", 1), ("gs_energy", "GSenergy_pa", 1), ("gs_volume_per", "GSvolume_pa", 1),
     ("covalent_radius_pyykko", "SingleBondRadius", 1), ("vdw_radius_alvarez", "VdWRadius", 1),
     ("molar_volume", "MolarVolume", 1), ("c6_gb", "C6", 1), ("first_ion_en", "FirstIonizationEnergy", 1),
     ("covalent_radius_slater", "AtomicRadius", 100), ("evaporation_heat", "HeatVaporization", 1),
     ("heat_capacity_molar", "HeatCapacityMolar", 1), ("melting_point", "MeltingT", 1)],
)  # fmt: skip
def test_what_both_tables_have_agrees(theirs: str, ours: str, factor: float) -> None:
    given = ~(XENONPY.imputed[:, XENONPY.properties.index(theirs)] | TABLE.imputed[:, TABLE.properties.index(ours)])
    close = np.isclose(XENONPY.column(theirs)[given], factor * TABLE.column(ours)[given], rtol=0.02)
    assert given.sum() > 70
    assert close.mean() > 0.85

"""Rebuild mfmat/features/elements.csv and element_properties.csv from published element data.

Run it where matminer and mendeleev are installed: `python tools/make_elements.py`. The values are
facts collected by three open packages; each property names the measurement or calculation it rests
on. A value that its source does not give stays empty: `mfmat.features.elements` fills gaps on load.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matminer.utils.data
import pandas as pd
from pymatgen.core import Element

FOLDER = Path(__file__).parents[1] / "mfmat" / "features"
LAST = 98
MAGPIE = Path(matminer.utils.data.__file__).parent / "data_files" / "magpie_elementdata"
NOBLE_GASES = ("He", "Ne", "Ar", "Kr", "Xe", "Rn")

WARD = "10.1038/npjcompumats.2016.28"
OQMD = "10.1007/s11837-013-0755-4"
ZUNGER = "10.1103/PhysRevB.22.5839"
NIST = "10.18434/T4W30F"
PYMATGEN = "10.1016/j.commatsci.2012.10.028"

MOMENT = 0.01
"""Magnetic moment (µB/atom) below which a calculation has found none."""

Values = Mapping[str, float | None]


class Property(NamedTuple):
    """A column of the table: its name, unit and meaning, where it comes from, and how to read it."""

    name: str
    unit: str
    meaning: str
    source: str
    doi: str
    values: Callable[[], Values]


def magpie(table: str) -> Callable[[], Values]:
    """A lookup table of Magpie (one line an element, from hydrogen on)."""

    def read() -> Values:
        lines = (MAGPIE / f"{table}.table").read_text().split("\n")[:LAST]
        return {Element.from_Z(z).symbol: _number(line) for z, line in enumerate(lines, start=1)}

    return read


def quiet(read: Callable[[], Values], least: float) -> Callable[[], Values]:
    """The same values, those smaller than `least` as 0: what a calculation leaves of nothing would pass for a scale."""
    return lambda: {
        symbol: 0.0 if value is not None and abs(value) < least else value for symbol, value in read().items()
    }


def mendeleev(column: str, table: str = "elements") -> Callable[[], Values]:
    """A column of the mendeleev database; of several allotropes, the first that has a value."""

    def read() -> Values:
        # Releases before 1.0, which make_xenonpy_elements.py reads, have no such module.
        from mendeleev.fetch import fetch_table

        given = fetch_table(table).dropna(subset=column)
        first = given.groupby("atomic_number")[column].first()
        return {Element.from_Z(z).symbol: float(value) for z, value in first.items() if z <= LAST}

    return read


def pymatgen(of: Callable[[Element], float | None]) -> Callable[[], Values]:
    """A function of pymatgen's elements."""

    def read() -> Values:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {element.symbol: of(element) for element in map(Element.from_Z, range(1, LAST + 1))}

    return read


def ionization(order: int) -> Callable[[], Values]:
    """Energy that takes away the `order`-th electron."""

    def energy(element: Element) -> float | None:
        energies = element.ionization_energies
        return energies[order - 1] if len(energies) >= order else None

    return pymatgen(energy)


def oxidation(choose: Callable[[tuple[int, ...]], int]) -> Callable[[], Values]:
    """An extreme of the common oxidation states, 0 where there are none (noble gases)."""
    return pymatgen(lambda element: choose(element.common_oxidation_states or (0,)))


def atomization() -> Values:
    """The enthalpy of the free atoms: 0 for noble gases, whose standard state they are."""
    return {**mendeleev("heat_of_formation")(), **dict.fromkeys(NOBLE_GASES, 0.0)}


def orbital(element: Element) -> float | None:
    """Highest energy among the occupied orbitals, from hartree to eV."""
    energies = element.data.get("Atomic orbitals")
    return max(energies.values()) * 27.211386 if energies else None


def raw(key: str) -> Callable[[], Values]:
    """An entry of pymatgen's periodic table as it stands there."""
    return pymatgen(lambda element: element.data.get(key))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _valence(kind: str, state: str) -> Property:
    shell = f"{kind} " if kind else ""
    meaning = f"{shell}electrons outside the noble-gas core" if state == "Valence" else f"{shell}vacancies there"
    source = "Ward et al. 2016, Magpie; ground-state electron configurations"
    return Property(f"N{kind}{state}", "1", f"number of {meaning}", source, WARD, magpie(f"N{kind}{state}"))


# The 22 properties of Magpie's preset, by the names that Magpie gave them.
PRESET = (
    Property("Number", "1", "atomic number", "Ward et al. 2016, Magpie", WARD, magpie("Number")),
    Property("MendeleevNumber", "1", "position in the periodic table counted by columns",
             "Villars et al. 2004, in Magpie", "10.1016/j.jallcom.2003.08.060", magpie("MendeleevNumber")),
    Property("AtomicWeight", "u", "standard atomic weight", "Ward et al. 2016, Magpie", WARD, magpie("AtomicWeight")),
    Property("MeltingT", "K", "melting temperature", "Ward et al. 2016, Magpie", WARD, magpie("MeltingT")),
    Property("Column", "1", "group of the periodic table (3 for the f block)",
             "Ward et al. 2016, Magpie", WARD, magpie("Column")),
    Property("Row", "1", "period of the periodic table", "Ward et al. 2016, Magpie", WARD, magpie("Row")),
    Property("CovalentRadius", "pm", "covalent radius in crystals",
             "Cordero et al. 2008, in Magpie", "10.1039/b801115j", magpie("CovalentRadius")),
    Property("Electronegativity", "Pauling", "Pauling electronegativity",
             "Ward et al. 2016, Magpie (Pm, Eu, Tb, Yb: mean of the neighbours)", WARD, magpie("Electronegativity")),
    *(_valence(shell, "Valence") for shell in ("s", "p", "d", "f", "")),
    *(_valence(shell, "Unfilled") for shell in ("s", "p", "d", "f", "")),
    Property("GSvolume_pa", "Å³/atom", "volume of the elemental ground state, PBE",
             "OQMD (Saal et al. 2013), in Magpie", OQMD, magpie("GSvolume_pa")),
    Property("GSbandgap", "eV", "band gap of the elemental ground state, PBE",
             "OQMD (Saal et al. 2013), in Magpie", OQMD, magpie("GSbandgap")),
    Property("GSmagmom", "µB/atom", "magnetic moment of the elemental ground state, PBE (below 0.01: 0)",
             "OQMD (Saal et al. 2013), in Magpie", OQMD, quiet(magpie("GSmagmom"), MOMENT)),
    Property("SpaceGroupNumber", "1", "space group of the elemental ground state",
             "Ward et al. 2016, Magpie", WARD, magpie("SpaceGroupNumber")),
)  # fmt: skip

ORDER_AND_SIZE = (
    Property("PettiforNumber", "1", "Pettifor's chemical scale as a rank", "Pettifor 1984, in mendeleev",
             "10.1016/0038-1098(84)90765-8", mendeleev("pettifor_number")),
    Property("GlaweNumber", "1", "modified Pettifor scale as a rank", "Glawe et al. 2016, in mendeleev",
             "10.1088/1367-2630/18/9/093011", mendeleev("glawe_number")),
    Property("AtomicRadius", "Å", "empirical atomic radius in crystals", "Slater 1964, in pymatgen",
             "10.1063/1.1725697", raw("Atomic radius")),
    Property("SingleBondRadius", "pm", "single-bond covalent radius", "Pyykkö and Atsumi 2009, in mendeleev",
             "10.1002/chem.200800987", mendeleev("covalent_radius_pyykko")),
    Property("VdWRadius", "pm", "van der Waals radius in crystals",
             "Alvarez 2013 (noble gases: Vogt and Alvarez 2014), in mendeleev", "10.1039/c3dt50599e",
             mendeleev("vdw_radius_alvarez")),
    Property("DensityRadius", "pm", "radius where the electron density is 0.001 electrons/bohr³",
             "Rahm et al. 2016, in mendeleev", "10.1002/chem.201602949", mendeleev("atomic_radius_rahm")),
    Property("IonicRadius", "Å", "crystal radius, mean over oxidation states", "Shannon 1976, in pymatgen",
             "10.1107/S0567739476001551", pymatgen(lambda element: float(element.average_ionic_radius) or None)),
    Property("MetallicGlassRadius", "pm", "radius assessed in metallic glasses", "Miracle et al. 2010, in Magpie",
             "10.1179/095066010X12646898728200", magpie("MiracleRadius")),
    Property("PseudopotentialRadiusSigma", "bohr", "sum of the s and p pseudopotential radii",
             "Zunger 1980, in Magpie", ZUNGER, magpie("ZungerPP-r_sigma")),
    Property("PseudopotentialRadiusPi", "bohr", "difference of the s and p pseudopotential radii",
             "Zunger 1980, in Magpie", ZUNGER, magpie("ZungerPP-r_pi")),
)  # fmt: skip

ELECTRONS = (
    *(Property(f"{name}IonizationEnergy", "eV", f"{name.lower()} ionization energy",
               "NIST Atomic Spectra Database, in pymatgen", NIST, ionization(order))
      for order, name in enumerate(("First", "Second", "Third"), start=1)),
    Property("ElectronAffinity", "eV", "electron affinity (negative: the anion is not bound)",
             "Wikipedia's data page, in pymatgen", PYMATGEN, raw("Electron affinity")),
    Property("AllenElectronegativity", "eV", "configuration energy of the valence electrons",
             "Mann et al. 2000, in mendeleev", "10.1021/ja992866e", mendeleev("en_allen")),
    Property("MiedemaElectronegativity", "V", "adjusted work function of Miedema's model",
             "de Boer et al. 1988, Cohesion in Metals, in Magpie", WARD, magpie("phi")),
    Property("MiedemaElectronDensity", "Miedema", "cube root of the density at the Wigner-Seitz cell's boundary",
             "de Boer et al. 1988, Cohesion in Metals, in Magpie", WARD, magpie("n_ws^third")),
    Property("Polarizability", "bohr³", "static dipole polarizability of the free atom",
             "Schwerdtfeger and Nagle 2018, updated 2023, in mendeleev", "10.1080/00268976.2018.1535143",
             mendeleev("dipole_polarizability")),
    Property("C6", "hartree bohr⁶", "dispersion coefficient of the free atom", "Gould and Bučko 2016, in mendeleev",
             "10.1021/acs.jctc.6b00361", mendeleev("c6_gb")),
    Property("HighestOrbitalEnergy", "eV", "highest occupied orbital of the free atom, LDA",
             "Kotochigova et al. 1997, in pymatgen", "10.1103/PhysRevA.55.191", pymatgen(orbital)),
    Property("MaxOxidationState", "1", "highest common oxidation state", "Ong et al. 2013, pymatgen", PYMATGEN,
             oxidation(max)),
    Property("MinOxidationState", "1", "lowest common oxidation state", "Ong et al. 2013, pymatgen", PYMATGEN,
             oxidation(min)),
)  # fmt: skip

# Heats of fusion and vaporization are Magpie's: mendeleev 1.3 gives 102.5 and 2.33 kJ/mol for potassium.
BULK = (
    Property("BoilingT", "K", "boiling or sublimation temperature", "CRC Handbook, 97th edition, in mendeleev", "",
             mendeleev("boiling_point", "phasetransitions")),
    Property("HeatFusion", "kJ/mol", "enthalpy of fusion per mole of atoms", "CRC Handbook, in Magpie", WARD,
             magpie("HeatFusion")),
    Property("HeatVaporization", "kJ/mol", "enthalpy of vaporization", "Ward et al. 2016, Magpie", WARD,
             magpie("HeatVaporization")),
    Property("HeatAtomization", "kJ/mol", "enthalpy of formation of the gaseous atoms",
             "CRC Handbook, 95th edition, in mendeleev (noble gases: 0 by definition)", "", atomization),
    Property("HeatCapacityMolar", "J/(mol K)", "molar heat capacity at 25 °C",
             "CRC Handbook, 95th edition, in mendeleev", "", mendeleev("molar_heat_capacity")),
    Property("MolarVolume", "cm³/mol", "molar volume", "Ong et al. 2013, pymatgen", PYMATGEN, raw("Molar volume")),
    Property("ThermalConductivity", "W/(m K)", "thermal conductivity", "Ong et al. 2013, pymatgen", PYMATGEN,
             raw("Thermal conductivity")),
    Property("BulkModulus", "GPa", "bulk modulus", "Ong et al. 2013, pymatgen", PYMATGEN, raw("Bulk modulus")),
    Property("ShearModulus", "GPa", "shear modulus", "Ong et al. 2013, pymatgen", PYMATGEN, raw("Rigidity modulus")),
    Property("GSenergy_pa", "eV/atom", "energy of the elemental ground state, PBE",
             "OQMD (Saal et al. 2013), in Magpie", OQMD, magpie("GSenergy_pa")),
)  # fmt: skip


def write(properties: Sequence[Property], values: str, sources: str) -> None:
    """Write the table of values and that of their sources."""
    symbols = [Element.from_Z(z).symbol for z in range(1, LAST + 1)]
    columns = {item.name: pd.Series(item.values(), dtype=float).reindex(symbols) for item in properties}
    with (FOLDER / values).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["symbol", *columns])
        for symbol in symbols:
            cells = [column[symbol] for column in columns.values()]
            writer.writerow([symbol, *("" if pd.isna(cell) else f"{cell:.12g}" for cell in cells)])
    with (FOLDER / sources).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Property._fields[:-1])
        writer.writerows(item[:-1] for item in properties)


def write_states(path: Path) -> None:
    """Write the oxidation states of every element: the common ones, and all those that crystals are known with."""
    rows = {}
    for element in (Element.from_Z(z) for z in range(1, LAST + 1)):
        common = element.common_oxidation_states or (0,)
        known = {*common, *filter(None, element.icsd_oxidation_states)}
        rows[element.symbol] = [" ".join(map(str, sorted(states))) for states in (common, known)]
    pd.DataFrame.from_dict(rows, orient="index", columns=["common", "known"]).to_csv(path, index_label="symbol")


if __name__ == "__main__":
    write((*PRESET, *ORDER_AND_SIZE, *ELECTRONS, *BULK), "elements.csv", "element_properties.csv")
    write_states(FOLDER / "oxidation_states.csv")

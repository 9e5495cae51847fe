"""Rebuild mfmat/features/xenonpy_elements.csv and xenonpy_properties.csv: the element properties of XenonPy.

Run it where matminer and mendeleev 0.5.2, of the time of XenonPy, are installed:
`python tools/make_xenonpy_elements.py`. The list of properties is that of XenonPy's documentation of
`elements_completed`, Yamada et al. 2019, doi:10.1021/acscentsci.9b00804; the values are read from the packages that
XenonPy read them from. A value that its source does not give stays empty: `mfmat.features.elements` fills gaps on load,
not as XenonPy did.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
from make_elements import (
    LAST,
    MOMENT,
    NOBLE_GASES,
    OQMD,
    PYMATGEN,
    WARD,
    Property,
    Values,
    magpie,
    quiet,
    raw,
    write,
)

MENDELEEV = "mendeleev 0.5.2"
CALCULATED = "OQMD (Saal et al. 2013), in Magpie"


def mendeleev(column: str) -> Callable[[], Values]:
    """A column of mendeleev's database, which is read as it is: that release needs packages of its time."""

    def read() -> Values:
        database = Path(str(find_spec("mendeleev").origin)).parent / "elements.db"  # type: ignore[union-attr]
        given = pd.read_sql("select * from elements", sqlite3.connect(database))
        given = given[given["atomic_number"] <= LAST].set_index("symbol")[column].dropna()
        return {str(symbol): float(value) for symbol, value in given.items()}

    return read


def atomization() -> Values:
    """The enthalpy of the free atoms: 0 for noble gases, whose standard state they are."""
    return {**mendeleev("heat_of_formation")(), **dict.fromkeys(NOBLE_GASES, 0.0)}


def _mendeleev(name: str, unit: str, meaning: str, source: str = "", doi: str = "") -> Property:
    return Property(name, unit, meaning, f"{source}, in {MENDELEEV}" if source else MENDELEEV, doi, mendeleev(name))


def _magpie(name: str, unit: str, meaning: str, table: str, *source: str) -> Property:
    by, doi = source or ("Ward et al. 2016", WARD)
    return Property(name, unit, meaning, f"{by}, {'in ' if source else ''}Magpie", doi, magpie(table))


def _ground(name: str, unit: str, meaning: str, table: str) -> Property:
    return Property(name, unit, f"{meaning}, PBE", CALCULATED, OQMD, magpie(table))


def _pymatgen(name: str, unit: str, meaning: str, key: str) -> Property:
    return Property(name, unit, meaning, "Ong et al. 2013, pymatgen", PYMATGEN, raw(key))


ORDER = (
    _magpie("period", "1", "period of the periodic table", "Row"),
    _magpie("atomic_number", "1", "atomic number", "Number"),
    _mendeleev("mendeleev_number", "1", "position in the periodic table counted by columns"),
    _mendeleev("atomic_weight", "u", "standard atomic weight"),
)

SIZES = (
    _mendeleev("atomic_radius", "pm", "atomic radius"),
    _mendeleev("atomic_radius_rahm", "pm", "radius where the electron density is 0.001 electrons/bohr³",
               "Rahm et al. 2016", "10.1002/chem.201602949"),
    _mendeleev("atomic_volume", "cm³/mol", "atomic volume"),
    _magpie("icsd_volume", "Å³/atom", "volume of the element in the ICSD", "ICSDVolume"),
    _mendeleev("lattice_constant", "Å", "lattice constant of the element"),
    _mendeleev("vdw_radius", "pm", "van der Waals radius"),
    _mendeleev("vdw_radius_alvarez", "pm", "van der Waals radius in crystals", "Alvarez 2013", "10.1039/c3dt50599e"),
    _mendeleev("vdw_radius_mm3", "pm", "van der Waals radius of the MM3 force field"),
    _mendeleev("vdw_radius_uff", "pm", "van der Waals radius of the universal force field", "Rappe et al. 1992",
               "10.1021/ja00051a040"),
    _mendeleev("covalent_radius_cordero", "pm", "covalent radius", "Cordero et al. 2008", "10.1039/b801115j"),
    _mendeleev("covalent_radius_pyykko", "pm", "single-bond covalent radius", "Pyykkö and Atsumi 2009",
               "10.1002/chem.200800987"),
    _mendeleev("covalent_radius_pyykko_double", "pm", "double-bond covalent radius", "Pyykkö and Atsumi 2009",
               "10.1002/chem.200901472"),
    _mendeleev("covalent_radius_pyykko_triple", "pm", "triple-bond covalent radius", "Pyykkö et al. 2005",
               "10.1002/chem.200401299"),
    _mendeleev("covalent_radius_slater", "pm", "covalent radius", "Slater 1964", "10.1063/1.1725697"),
    _magpie("molar_volume", "cm³/mol", "molar volume", "MolarVolume"),
    _mendeleev("density", "g/cm³", "density at 295 K"),
)  # fmt: skip

ELECTRONS = (
    _mendeleev("c6_gb", "hartree bohr⁶", "dispersion coefficient of the free atom", "Gould and Bučko 2016",
               "10.1021/acs.jctc.6b00361"),
    _mendeleev("dipole_polarizability", "bohr³", "static dipole polarizability of the free atom"),
    _magpie("Polarizability", "Å³", "static dipole polarizability", "Polarizability", "CRC Handbook", WARD),
    _mendeleev("electron_affinity", "eV", "electron affinity"),
    _magpie("electron_negativity", "Pauling", "Pauling electronegativity", "Electronegativity"),
    _mendeleev("en_allen", "eV", "configuration energy of the valence electrons", "Mann et al. 2000",
               "10.1021/ja992866e"),
    _mendeleev("en_ghosh", "1", "electronegativity by Ghosh's scale"),
    _mendeleev("en_pauling", "Pauling", "Pauling electronegativity"),
    _magpie("first_ion_en", "eV", "first ionization energy", "FirstIonizationEnergy", "CRC Handbook", WARD),
    *(_magpie(f"num_{shell}{state}", "1", f"number of {shell.replace('_', ' ')}{meaning}", f"N{shell[:-1]}{table}")
      for state, meaning, table in (("valence", "electrons outside the noble-gas core", "Valence"),
                                    ("unfilled", "vacancies there", "Unfilled"))
      for shell in ("s_", "p_", "d_", "f_")),
    _magpie("num_valance", "1", "number of electrons outside the noble-gas core", "NValence"),
    _magpie("num_unfilled", "1", "number of vacancies there", "NUnfilled"),
)  # fmt: skip

GROUND_STATES = (
    _ground("gs_bandgap", "eV", "band gap of the elemental ground state", "GSbandgap"),
    _ground("gs_energy", "eV/atom", "energy of the elemental ground state", "GSenergy_pa"),
    _ground("gs_est_bcc_latcnt", "Å", "lattice constant of a bcc crystal of its volume", "GSestBCClatcnt"),
    _ground("gs_est_fcc_latcnt", "Å", "lattice constant of an fcc crystal of its volume", "GSestFCClatcnt"),
    Property("gs_mag_moment", "µB/atom", "magnetic moment of the elemental ground state, PBE (below 0.01: 0)",
             CALCULATED, OQMD, quiet(magpie("GSmagmom"), MOMENT)),
    _ground("gs_volume_per", "Å³/atom", "volume of the elemental ground state", "GSvolume_pa"),
)  # fmt: skip

# The heat of evaporation is Magpie's: mendeleev gives 2.33 kJ/mol for potassium.
BULK = (
    _magpie("hhi_p", "1", "Herfindahl-Hirschman index of production", "HHIp", "Gaultois et al. 2013",
            "10.1021/cm400893e"),
    _magpie("hhi_r", "1", "Herfindahl-Hirschman index of reserves", "HHIr", "Gaultois et al. 2013",
            "10.1021/cm400893e"),
    _mendeleev("specific_heat", "J/(g K)", "specific heat at 20 °C"),
    _magpie("fusion_enthalpy", "kJ/mol", "enthalpy of fusion", "FusionEnthalpy"),
    Property("heat_of_formation", "kJ/mol", "enthalpy of formation of the gaseous atoms",
             f"{MENDELEEV} (noble gases: 0 by definition)", "", atomization),
    _magpie("heat_capacity_mass", "J/(g K)", "specific heat capacity at 25 °C", "HeatCapacityMass",
            "CRC Handbook", WARD),
    _magpie("heat_capacity_molar", "J/(mol K)", "molar heat capacity at 25 °C", "HeatCapacityMolar",
            "CRC Handbook", WARD),
    _magpie("evaporation_heat", "kJ/mol", "enthalpy of vaporization", "HeatVaporization"),
    _mendeleev("boiling_point", "K", "boiling temperature"),
    _mendeleev("melting_point", "K", "melting temperature"),
    _pymatgen("bulk_modulus", "GPa", "bulk modulus", "Bulk modulus"),
    _pymatgen("thermal_conductivity", "W/(m K)", "thermal conductivity", "Thermal conductivity"),
    _pymatgen("sound_velocity", "m/s", "velocity of sound", "Velocity of sound"),
)  # fmt: skip


if __name__ == "__main__":
    write((*ORDER, *SIZES, *ELECTRONS, *GROUND_STATES, *BULK), "xenonpy_elements.csv", "xenonpy_properties.csv")

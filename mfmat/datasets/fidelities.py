"""Tables of the folder with several sources: what each holds, and what its values cost.

Where the data do not say what a value costs, the prices are modest guesses that only rank the
sources: one cheap calculation is 1, a hybrid functional 20, an experiment a few hundred. State your own with
`dataclasses.replace(schema, costs=...)`. The costs of the two COF tables are measured minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mfmat.datasets.entry import Entry
from mfmat.features import Columns, Composition
from mfmat.features.featurizer import Featurizer
from mfmat.schema import Schema

_BINARIES = "pbe_hse_exp_binaries/pbe_hse_exp.csv.gz"
_BINARIES_CITATION = "Phys. Rev. Materials 8, 043803 (2024): high-throughput HSE calculations of binary compounds"
_ALEXANDRIA = "molecule_polarizability/alexandria_hf_exp.csv.gz"
_ALEXANDRIA_CITATION = "Ghahremanpour et al., Sci. Data 5, 180062 (2018), doi:10.1038/sdata.2018.62"
_COF_CITATION = "Gantzler et al., Digital Discovery 2, 1937 (2023), doi:10.1039/D3DD00117B"
_COF_FEATURES = (
    *("pore_diameter_A", "void_fraction", "surface_area_m2_g", "crystal_density_kg_m3"),
    *(f"frac_{part}" for part in ("B", "O", "C", "H", "Si", "N", "S", "P", "halogens", "metals")),
)
_HYBRID_PARTS = ("organic", "cation", "anion")


def _by_level(inputs: Featurizer | tuple[Featurizer, ...], costs: Mapping[str, float], **rest: Any) -> Schema:
    return Schema(inputs=inputs, value="target", source="fidelity", costs=costs, **rest)


def _count_atoms(table: pd.DataFrame) -> pd.DataFrame:
    # A composition knows ratios only, and a polarizability grows with the molecule. The charge that ends the
    # formula of an ion ("O4P-3") is no atom, and pandas reads an empty count as missing.
    counts = table["molecular_formula"].str.extractall(r"[A-Z][a-z]?(?P<count>\d*)")["count"]
    return table.assign(atoms=counts.fillna("1").astype(int).groupby(level=0).sum())


def _moduli(table: pd.DataFrame) -> pd.DataFrame:
    columns = {"youngs_modulus_calc_GPa": "calc", "youngs_modulus_exp_GPa": "exp"}
    rest = [column for column in table.columns if column not in columns]
    return table.rename(columns=columns).melt(id_vars=rest, var_name="fidelity", value_name="target")


def _cof(file: str, minutes: Mapping[str, float], noise: str | None) -> Entry:
    schema = Schema(
        inputs=Columns(_COF_FEATURES), value="target", source="fidelity", costs=minutes, noise=noise, material="id"
    )
    return Entry(f"cof_xe_kr/{file}.csv.gz", schema, _COF_CITATION, features="cof_xe_kr/features.csv.gz")


def _molecules(quantity: str, unit: str) -> Entry:
    inputs = (Composition("formula"), Columns(("atoms", "charge", "rotatable_bonds")))
    schema = _by_level(inputs, {"hf_6-311G**": 1, "exp": 100}, material="id", unit=unit)
    return Entry(_ALEXANDRIA, schema, _ALEXANDRIA_CITATION, where=("property", quantity), prepare=_count_atoms)


FIDELITIES = {
    # Half of the experimental rows are metals with a gap of exactly 0; polymorphs share a formula.
    "mf-bandgap": Entry(
        "mf_bandgap/bandgaps.csv.gz",
        _by_level(Composition("formula"), {"pbe": 1, "gllb-sc": 2, "scan": 4, "hse": 20, "exp": 400}, unit="eV"),
        "Chen et al., Nat. Comput. Sci. 1, 46 (2021), doi:10.1038/s43588-020-00002-x; experiment: Zhuo et al., "
        "J. Phys. Chem. Lett. 9, 1668 (2018), doi:10.1021/acs.jpclett.8b00124",
    ),
    # Ten of the 26 columns of the benchmark, one per rung of the ladder: variants (NC, AE, SOC, mix) are left out.
    "borlido-functionals": Entry(
        "borlido_functionals/bandgaps_by_functional.csv.gz",
        _by_level(
            Composition("formula"),
            {"LDA": 1, "PBE": 1, "SCAN": 3, "MBJ": 2, "HSE06": 20, "PBE0": 20}
            | {"G0W0@PBE-PPA": 100, "QSGW": 300, "QSGW^": 500, "exp": 400},
            material="id",
            unit="eV",
        ),
        "Borlido et al., J. Chem. Theory Comput. 15, 5069 (2019), doi:10.1021/acs.jctc.9b00322 and npj Comput. "
        "Mater. 6, 96 (2020), doi:10.1038/s41524-020-00360-0, revised by Grossmann, Thieme and Grunert (2025)",
    ),
    # The levels with fitted references (pbe_fit, hse_fit) are left out: they have seen the experiments. The
    # experimental value belongs to the formula and is repeated for its polymorphs.
    "pbe-hse-exp-formation-energy": Entry(
        _BINARIES,
        _by_level(Composition("formula"), {"pbe": 1, "hse": 20, "exp": 400}, material="id", unit="eV/atom"),
        _BINARIES_CITATION,
        where=("property", "formation_energy"),
    ),
    "pbe-hse-gaps": Entry(
        _BINARIES,
        _by_level(Composition("formula"), {"pbe": 1, "hse": 20}, material="id", unit="eV"),
        _BINARIES_CITATION,
        where=("property", "band_gap"),
    ),
    # 1,346 structures of 192 combinations: structures of one combination have equal inputs and different gaps.
    "hoip-perovskites": Entry(
        "hoip_perovskites/bandgaps.csv.gz",
        _by_level(
            (Composition("formula"), Columns(categories=_HYBRID_PARTS)),
            {"gga": 1, "hse06": 20},
            material="id",
            unit="eV",
        ),
        "Kim et al., Sci. Data 4, 170057 (2017), doi:10.1038/sdata.2017.57",
    ),
    "cof-xe-kr": _cof("selectivity", {"henry": 16.4, "gcmc": 63.1}, noise="target_err"),
    "cof-xe-kr-paper-runs": _cof("selectivity_paper_runs", {"henry": 16.4, "gcmc": 214.1}, noise=None),
    "molecule-polarizability": _molecules("polarizability", "A^3"),
    "molecule-dipole": _molecules("dipole", "D"),
    "jarvis-gap-pairs": Entry(
        "jarvis_composition/gap_pairs_optb88_mbj.csv.gz",
        _by_level(Composition("formula"), {"optb88vdw": 1, "mbj": 4}, unit="eV"),
        "Choudhary et al., npj Comput. Mater. (2020), doi:10.1038/s41524-020-00440-1",
    ),
    # The calculated modulus is a rule of mixtures: free, but for looking it up.
    "mpea-youngs-modulus": Entry(
        "mpea_mechanical/mpea.csv.gz",
        _by_level(Composition("formula"), {"calc": 1, "exp": 100}, unit="GPa"),
        "Borg et al., Sci. Data 7, 430 (2020), doi:10.1038/s41597-020-00768-9",
        prepare=_moduli,
    ),
}

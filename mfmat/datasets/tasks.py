"""Tables of the folder with one source: experiments, and the many single properties for transfer.

Most are alike, so that each is one line here: its file and its unit. A `split` column is the published one.
"""

from __future__ import annotations

from dataclasses import replace

from mfmat.datasets.entry import Entry
from mfmat.features import Columns, Composition
from mfmat.features.featurizer import Featurizer
from mfmat.schema import Schema

_ZHUO = "Zhuo et al., J. Phys. Chem. Lett. 9, 1668 (2018), doi:10.1021/acs.jpclett.8b00124"
_CHANG = "Chang et al., npj Comput. Mater. 8, 242 (2022), doi:10.1038/s41524-022-00929-x"
_JARVIS = (
    "Gupta et al., Nat. Commun. 12, 6595 (2021), doi:10.1038/s41467-021-26921-5; values: Choudhary et al., "
    "npj Comput. Mater. (2020), doi:10.1038/s41524-020-00440-1"
)
_MATBENCH = "Dunn et al., npj Comput. Mater. (2020), doi:10.1038/s41524-020-00406-3"
_CRABNET = "Wang et al., npj Comput. Mater. (2021), doi:10.1038/s41524-021-00545-1"
_MPEA = "Borg et al., Sci. Data 7, 430 (2020), doi:10.1038/s41597-020-00768-9"


def _entry(path: str, unit: str, citation: str, *more: Featurizer, value: str = "target") -> Entry:
    inputs = (Composition("formula"), *more) if more else Composition("formula")
    return Entry(f"{path}.csv.gz", Schema(inputs=inputs, value=value, unit=unit), citation)


def _crystals(task: str, unit: str) -> Entry:
    """One of Chang's tasks: its crystals in the column `structure`, and the five published splits."""
    structures, splits = "moe_tasks/structures.jsonl.gz", (f"moe_tasks/partitions_seed{seed}.json" for seed in range(5))
    return replace(_entry(f"moe_tasks/{task}", unit, _CHANG), structures=structures, splits=(task, *splits))


EXPERIMENTS = {
    "expt-formation-energy": _crystals("expt_eform", "eV/atom"),
    "exp-gap-replicates": _entry("mf_bandgap/exp_replicates", "eV", _ZHUO),
    "exp-gap-textmined": _entry(
        "mf_bandgap/exp_textmined", "eV", "Dong and Cole, Sci. Data (2022), doi:10.1038/s41597-022-01294-6"
    ),
    # Five properties on every row; the others are columns to name in `dataclasses.replace(schema, value=...)`.
    "estm": _entry(
        "estm_thermoelectrics/estm",
        "",
        "Na and Chang, npj Comput. Mater. 8, 214 (2022), doi:10.1038/s41524-022-00897-2",
        Columns(("temperature_K",)),
        value="zT",
    ),
    # log10 of the conductivity; `censored_below` marks the rows that are upper limits only.
    "obelix": _entry(
        "obelix_li_conductivity/obelix",
        "log10(S/cm)",
        "Therrien et al., arXiv:2502.14234 (2025)",
        Columns(("a", "b", "c", "alpha", "beta", "gamma")),
    ),
    "vickers-hardness": _entry(
        "vickers_hardness_load/hardness",
        "GPa",
        "Zhang et al., Adv. Mater. 33, 2005112 (2021), doi:10.1002/adma.202005112",
        Columns(("load_N",)),
    ),
    "steels": _entry("dft_sources/matbench_steels_yield", "MPa", _MATBENCH),
    "mpea-hardness": _entry("mpea_mechanical/mpea", "HV", _MPEA, value="hardness_HV"),
}

_MOE_UNITS = {
    "expt_eform": "eV/atom",
    "jarvis_2d_eform": "eV/atom",
    "jarvis_2d_gap_opt": "eV",
    "jarvis_2d_gap_tbmbj": "eV",
    "jarvis_2d_dielectric_opt": "",
    "jarvis_2d_dielectric_tbmbj": "",
    "mp_poisson_ratio": "",
    "mp_eps_electronic": "ln",
    "mp_eps_total": "ln",
    "mp_poly_electronic": "",
    "mp_poly_total": "",
}

_JARVIS_UNITS = {
    "optb88vdw_bandgap": "eV",
    "mbj_bandgap": "eV",
    "formation_energy_peratom": "eV/atom",
    "ehull": "eV/atom",
    "eps_optb88vdw": "",
    "eps_mbj": "",
    "bulk_modulus_kv": "GPa",
    "shear_modulus_gv": "GPa",
    "expt_formation_energy": "eV/atom",
    "n_seebeck": "uV/K",
    "p_seebeck": "uV/K",
    "n_powerfact": "uW/(m K^2)",
    "p_powerfact": "uW/(m K^2)",
    "n_em300k": "electron masses",
    "magmom_oszicar": "mu_B",
    "magmom_outcar": "mu_B",
    "slme": "%",
    "spillage": "",
}

_DFT_UNITS = {
    "aflow_Egap": "eV",
    "aflow_energy_atom": "eV/atom",
    "aflow_ael_bulk_modulus_vrh": "GPa",
    "aflow_ael_shear_modulus_vrh": "GPa",
    "aflow_ael_debye_temperature": "K",
    "aflow_agl_thermal_conductivity_300K": "W/(m K)",
    "aflow_agl_thermal_expansion_300K": "1/K",
    "mp_e_hull": "eV/atom",
    "mp_mu_b": "mu_B",
    "OQMD_Bandgap": "eV",
    "CritExam_Ef": "eV/atom",
}

_MATBENCH_UNITS = {
    "matbench_mp_gap": "eV",
    "matbench_mp_e_form": "eV/atom",
    "matbench_log10_K_VRH": "log10(GPa)",
    "matbench_log10_G_VRH": "log10(GPa)",
    "matbench_perovskites_e_form": "eV per cell",
    "matbench_dielectric_n": "",
}

_FAMILIES = (
    ("jarvis", "jarvis_composition", _JARVIS_UNITS, _JARVIS),
    ("dft", "dft_sources", _DFT_UNITS, _CRABNET),
    ("dft", "dft_sources", _MATBENCH_UNITS, _MATBENCH),
)

TASKS = {f"moe/{task}": _crystals(task, unit) for task, unit in _MOE_UNITS.items()} | {
    f"{family}/{task}": _entry(f"{folder}/{task}", unit, citation)
    for family, folder, units, citation in _FAMILIES
    for task, unit in units.items()
}

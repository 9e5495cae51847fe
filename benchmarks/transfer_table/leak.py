"""How much of a task the source networks may have seen: compounds of the task in the tables that the sources are of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

import mfmat as mf
from transfer_table.tasks import AKIN, PUBLISHED, SPLITS, split

TABLES = {
    "castelli_eform": "dft/matbench_perovskites_e_form",
    "jarvis_bandgap": "jarvis/optb88vdw_bandgap",
    "jarvis_dielectric_opt": "jarvis/eps_optb88vdw",
    "jarvis_eform": "jarvis/formation_energy_peratom",
    "jarvis_gvrh": "jarvis/shear_modulus_gv",
    "jarvis_kvrh": "jarvis/bulk_modulus_kv",
    "mp_bandgap": "dft/matbench_mp_gap",
    "mp_eform": "dft/matbench_mp_e_form",
    "mp_gvrh": "dft/matbench_log10_G_VRH",
    "mp_kvrh": "dft/matbench_log10_K_VRH",
}
"""By source network, a public table of the same property from the same database. Of the eight networks on electronic
transport there is none."""
SAYS = (
    "Share of a task's rows whose reduced formula is in a table of the property that a source network was trained on. "
    "The tables hold formulas, no structures: another polymorph counts as seen, so that each share is an upper bound, "
    "as far as the tables are those of the training. `akin` is the share in at least one table of the same property or "
    "of one that determines it; of the eight networks on electronic transport there is no table. `test in train` is "
    "the share of test rows whose formula is among the training rows of the published split, mean over five."
)


def measure() -> list[dict[str, Any]]:
    """One line for each task."""
    tables = {source: _formulas(mf.datasets.load(name)[0]) for source, name in TABLES.items()}
    lines = []
    for task in PUBLISHED:
        own = _formulas(mf.datasets.load(f"moe/{task}")[0])
        akin = pd.concat([tables[source] for source in AKIN[task]])
        shares = {source: float(own.isin(known).mean()) for source, known in tables.items()}
        line = {"task": task, "rows": len(own), "akin": float(own.isin(akin).mean())}
        lines.append(line | {"test_in_train": _published_overlap(task)} | shares)
    return lines


def _published_overlap(task: str) -> float:
    parts = [split(task, number) for number in range(SPLITS)]
    return float(np.mean([_formulas(part.test).isin(_formulas(part.train)).mean() for part in parts]))


def _formulas(table: pd.DataFrame) -> pd.Series:
    return pd.Series(mf.Composition("formula").groups(table))

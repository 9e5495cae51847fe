"""Properties that a library is trained on, properties that it teaches, and draws of their rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd
import torch

import mfmat as mf
from mfmat.data import Data
from mfmat.features import Composition

SOURCES = {
    "dft/matbench_mp_gap": "band gap",
    "dft/matbench_mp_e_form": "formation energy",
    "dft/matbench_perovskites_e_form": "formation energy",
    "dft/matbench_log10_K_VRH": "bulk modulus",
    "dft/matbench_log10_G_VRH": "shear modulus",
    "dft/matbench_dielectric_n": "refractive index",
    "dft/aflow_agl_thermal_conductivity_300K": "thermal conductivity",
    "dft/aflow_agl_thermal_expansion_300K": "thermal expansion",
    "dft/aflow_ael_debye_temperature": "Debye temperature",
    "dft/mp_mu_b": "magnetic moment",
    "dft/mp_e_hull": "energy above hull",
    "jarvis/n_seebeck": "Seebeck coefficient",
    "jarvis/p_seebeck": "Seebeck coefficient",
    "jarvis/n_powerfact": "power factor",
    "jarvis/slme": "solar efficiency",
    "jarvis/spillage": "spillage",
    "jarvis/eps_mbj": "dielectric constant",
    "jarvis/n_em300k": "effective mass",
}
"""Tables that the library is trained on, and what they are values of."""

TARGETS = {
    "jarvis/expt_formation_energy": "formation energy",
    "exp-gap-replicates": "band gap",
    "obelix": "ionic conductivity",
    "vickers-hardness": "hardness",
    "mpea-hardness": "hardness",
    "mpea-youngs-modulus": "Young's modulus",
    "steels": "yield strength",
    "estm": "thermoelectric figure of merit",
    "dft/matbench_dielectric_n": "refractive index",
    "dft/aflow_agl_thermal_conductivity_300K": "thermal conductivity",
    "jarvis/slme": "solar efficiency",
    "jarvis/spillage": "spillage",
}
"""Tables whose property is taught, the measured ones first; no entry of the same quantity takes part."""

SOURCE_ROWS, TARGET_ROWS, TEST = 1500, 3000, 300
"""Rows of a table at most that the library is trained on, that a target is drawn from, and that a draw is tested on."""
TOP = 0.8
"""Quantile of a property above which nothing is learned from where the top is to be predicted."""


def source(name: str) -> tuple[pd.DataFrame, mf.Schema]:
    """A table that the library is trained on: compositions alone, by XenonPy's 290 descriptors."""
    table, schema = mf.datasets.load(name)
    kept = table.sample(min(SOURCE_ROWS, len(table)), random_state=0).reset_index(drop=True)
    return kept, mf.Schema(describe(schema), value=schema.value)


def describe(schema: mf.Schema) -> Composition:
    """XenonPy's descriptors of the column of formulas."""
    (column,) = [each.column for each in schema.featurizers if isinstance(each, Composition)]
    return Composition(column, blocks="descriptors")


def target(name: str) -> Data:
    """A target's rows, with its own further columns (a temperature, a load) beside the descriptors."""
    table, schema = mf.datasets.load(name)
    if schema.source is not None and len(schema.sources) > 1:
        table = table[table[schema.source].astype(str) == schema.sources[-1]]
    table = table.sample(min(TARGET_ROWS, len(table)), random_state=0)
    inputs = [describe(schema), *(each for each in schema.featurizers if not isinstance(each, Composition))]
    return mf.Schema(inputs, value=schema.value).data(table, on_error="skip")


@dataclass(frozen=True)
class Draw:
    """Rows to learn from, and rows of other compounds to predict."""

    train: Data
    test: Data


def draw(data: Data, rows: int, seed: int, *, top: bool = False) -> Draw:
    """So many rows at random, tested on rows of other compounds; with `top`, learned below a quantile, tested above."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(1000 * rows + seed))
    edge = data.Y[:, 0].quantile(TOP) if top else torch.inf
    low = order[data.Y[order, 0] < edge]
    train = low[:rows]
    rest = order[data.Y[order, 0] >= edge] if top else low[rows:]
    rest = rest[~torch.isin(data.groups[rest], data.groups[train])]
    return Draw(_plain(data.take(train)), _plain(data.take(rest[:TEST])))


def _plain(data: Data) -> Data:
    return replace(data, skipped=())

"""Chang's tasks: the published and the grouped splits, published errors, and which source networks are akin."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

import mfmat as mf
from mfmat.features.backbones.cgcnn import SOURCES
from mfmat.schema import Schema

PUBLISHED: dict[str, tuple[float, float, float] | None] = {
    "expt_eform": (0.193, 0.0949, 0.0839),
    "jarvis_2d_eform": (0.169, 0.106, 0.0495),
    "jarvis_2d_gap_opt": (0.686, 0.532, 0.375),
    "jarvis_2d_gap_tbmbj": None,
    "jarvis_2d_dielectric_opt": (2.90, 2.29, 1.89),
    "jarvis_2d_dielectric_tbmbj": None,
    "mp_poisson_ratio": (0.0326, 0.0292, 0.0204),
    "mp_eps_electronic": (0.168, 0.157, 0.0885),
    "mp_eps_total": (0.258, 0.236, 0.158),
    "mp_poly_electronic": (2.97, 2.61, 2.09),
    "mp_poly_total": (6.54, 5.51, 4.86),
}
"""Test MAE of an independent replication over the same five splits, five seeds each: a single-task CGCNN, the mixture
of 18 experts, and the best published (MoMa, a large pretrained network that is fine-tuned)."""

_ENERGY, _GAP = ("mp_eform", "jarvis_eform", "castelli_eform"), ("mp_bandgap", "jarvis_bandgap")
_MODULI, _DIELECTRIC = ("mp_gvrh", "mp_kvrh", "jarvis_gvrh", "jarvis_kvrh"), ("jarvis_dielectric_opt",)
AKIN = {
    "expt_eform": _ENERGY,
    "jarvis_2d_eform": _ENERGY,
    "jarvis_2d_gap_opt": _GAP,
    "jarvis_2d_gap_tbmbj": _GAP,
    "jarvis_2d_dielectric_opt": _DIELECTRIC,
    "jarvis_2d_dielectric_tbmbj": _DIELECTRIC,
    "mp_poisson_ratio": _MODULI,
    "mp_eps_electronic": _DIELECTRIC,
    "mp_eps_total": _DIELECTRIC,
    "mp_poly_electronic": _DIELECTRIC,
    "mp_poly_total": _DIELECTRIC,
}
"""By task, the sources of the same property, or of one that determines it: having seen a material, they tell most."""
SPLITS, PARTS = 5, 7
"""Splits of either kind; grouped ones hold out two sevenths, as the published ones hold out twice 15%."""


@dataclass(frozen=True, eq=False)
class Part:
    """One split of a task, as tables.

    Attributes:
        task: its short name.
        schema: as the table comes.
        train: rows to learn from.
        validation: rows to choose with.
        test: rows to judge by.
    """

    task: str
    schema: Schema
    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame

    def known(self) -> pd.DataFrame:
        """Rows to learn from, then those to choose with."""
        return pd.concat([self.train, self.validation])

    def few(self, rows: int) -> Part:
        """With so many rows to learn from and fewer to choose with, in proportion; those of less are among them."""
        choose = round(len(self.validation) * rows / len(self.train))
        return replace(self, train=_first(self.train, rows), validation=_first(self.validation, choose))


def others(task: str) -> tuple[str, ...]:
    """The sources that are not akin to the task."""
    return tuple(name for name in SOURCES if name not in AKIN[task])


def split(task: str, number: int, grouped: bool = False) -> Part:
    """A published split, or one that divides no reduced formula."""
    table, schema = mf.datasets.load(f"moe/{task}")
    if grouped:
        rows = _divide(mf.Composition("formula").groups(table), number)
    else:
        published = mf.datasets.splits(f"moe/{task}")[number]
        rows = [published.train, published.validation, published.test]
    return Part(task, schema, *(table.iloc[each] for each in rows))


def _first(table: pd.DataFrame, rows: int) -> pd.DataFrame:
    """So many rows in an order that is drawn once."""
    return table.iloc[np.random.default_rng(0).permutation(len(table))[:rows]]


def _divide(formulas: np.ndarray, number: int) -> list[np.ndarray]:
    """Positions to learn from, to choose with and to judge by: one seventh of the formulas after the other."""
    codes = pd.factorize(formulas)[0]
    order = np.random.default_rng(0).permutation(codes.max() + 1) % PARTS
    seventh = order[codes]
    validation, test = seventh == (number + 1) % PARTS, seventh == number
    return [np.flatnonzero(each) for each in (~validation & ~test, validation, test)]

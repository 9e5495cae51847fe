"""What stands in the table: data sets, mfmat's experts with their options, and the peers."""

from __future__ import annotations

import dataclasses
from typing import Any

from expert_table import fusions, modnet, peers
from mfmat import experts
from mfmat.features import Composition
from mfmat.features.featurizer import Featurizer
from mfmat.learner import Learner
from mfmat.stacks import Mixture

DATA = {
    "steels": "steels",
    "steels-matbench": "steels",
    "expt_formation_energy": "jarvis/expt_formation_energy",
    "mbj_bandgap": "jarvis/mbj_bandgap",
    "log10_K_VRH": "dft/matbench_log10_K_VRH",
    "mp_gap": "dft/matbench_mp_gap",
    "mp_e_form": "dft/matbench_mp_e_form",
}
"""Short names, from the smallest table to the largest; `steels-matbench` has the folds of the published benchmark."""

EXPERTS: dict[str, dict[str, Any]] = {
    "GP": {},
    "SparseGP": {},
    "DeepKernelGP": {},
    "BNN": {},
    "Ensemble": {},
    "Forest": {},
    "BayesianLinear": {},
    "AtomSet": {},
}
"""mfmat's experts, each with its options on every table."""

CHOSEN: dict[tuple[str, str], dict[str, Any]] = {
    ("GP", "steels"): {"additive": ("formula.roots",)},
    ("GP", "steels-matbench"): {"additive": ("formula.roots",)},
    ("GP", "expt_formation_energy"): {"ard": True, "steps": 25, "additive": ("formula.fractions",)},
}
"""Options of one expert on one table, (expert, table), chosen by cross-validation inside training parts."""

VIEWS = Composition("formula", blocks=("statistics", "fractions"))
"""Inputs of all others on these tables: learners are compared, not inputs. `ions`, the third view of the default, came
after the largest tables, which take six hours, had been measured; what it adds stands in docs/design.md, 7.36."""

INPUTS: dict[tuple[str, str], Featurizer] = {
    ("GP", "steels"): Composition("formula", blocks=("averages", "roots")),
    ("GP", "steels-matbench"): Composition("formula", blocks=("averages", "roots")),
}
"""Inputs of one expert on one table, where they are others; chosen in the same way."""

MIXED: dict[str, tuple[str, ...]] = {
    "steels": ("GP", "Forest"),
    "steels-matbench": ("GP", "Forest"),
    "expt_formation_energy": ("DeepKernelGP", "Ensemble"),
}
"""Experts that a `Mixture` weighs on a table, with their options there, and the inputs of the first; chosen by
cross-validation inside training parts."""

MIXTURE, USUAL = "Mixture", ("Ensemble", "Forest")

PEERS = {
    "Median": peers.Median(),
    "RandomForest": peers.RandomForest(),
    "SklearnGP": peers.SklearnGP(),
    "SingleTaskGP": peers.BotorchGP(),
    "ModnetStyle": modnet.ModnetStyle(),
}
"""Who else is asked, with the same columns and folds."""


def names() -> list[str]:
    """Every learner that can be asked today: mfmat's experts, then the peers."""
    return [*(name for name in EXPERTS if hasattr(experts, name)), MIXTURE, *PEERS]


def learner(name: str, data: str, device: str | None = None) -> Learner | peers.Peer:
    """The learner of that name with its options for that table."""
    if data in fusions.SOURCES:
        return fusions.PEERS.get(name) or fusions.stacks(fusions.SOURCES[data])[name]
    if name in PEERS:
        return PEERS[name]
    if name == MIXTURE:
        return Mixture([_expert(each, data) for each in MIXED.get(data, USUAL)])
    chosen = _expert(name, data)
    if device is not None:
        chosen = dataclasses.replace(chosen, device=device)
    return chosen


def inputs(name: str, data: str) -> Featurizer | None:
    """The inputs of that learner on that table; None: those that the table comes with."""
    expert = MIXED.get(data, USUAL)[0] if name == MIXTURE else name
    return INPUTS.get((expert, data), VIEWS if data in DATA else None)


def _expert(name: str, data: str) -> Learner:
    options = EXPERTS[name] | CHOSEN.get((name, data), {})
    expert: Learner = getattr(experts, name)(**options)
    return expert


def has_device(name: str) -> bool:
    """Whether an expert can be trained elsewhere than on the processor."""
    return name in EXPERTS and any(field.name == "device" for field in dataclasses.fields(getattr(experts, name)))

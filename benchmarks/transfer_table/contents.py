"""Who stands in the table: each learner's name, recipe and inputs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

from expert_table.peers import Median

import mfmat as mf
from mfmat.features.featurizer import Featurizer
from transfer_table.entrants import Best, Entrant, Recipe, Seen
from transfer_table.networks import Heads, Scratch, Tuned
from transfer_table.tasks import others

COMPOSITION = mf.Composition("formula")
OWN, DEFAULT, PLAIN, PAIR = "CGCNN", "Auto", "GP of all views", "best of 3 pairs, tuned"
GATE = "gate of 18"
"""Chang's gate as a learner, over hidden layers: over mean atoms, as the authors have it, it was worse by a tenth or
more on the rows to learn from of three tasks."""
PREDICTIONS = "structure.cgcnn.predictions"
ATOMS = ("V0", "V1", "V2", "V3", "V4")
"""CHGNet's levels of atoms, from the elements upwards; `crystal` is the readout of the last."""
FRACTIONS, STACK = "composition, learned", "AtomSet, best level"
"""The hierarchy without pretraining: learned embeddings of the elements. And AtomSets as their authors use them."""


def crystal() -> Featurizer:
    """CHGNet's levels and the geometry; the geometry alone where CHGNet is not installed."""
    return mf.Structure("structure", backbone="chgnet" if find_spec("chgnet") else "geometry")


def everything(networks: tuple[str, ...] = ()) -> tuple[Featurizer, ...]:
    """All views, of all source networks or some."""
    return COMPOSITION, crystal(), mf.SourceNetworks("structure", networks=networks)


def mixture() -> mf.Mixture:
    """One process for each kind of knowledge, one over all of it, and trees."""
    kinds = (("formula",), ("structure.chgnet", "structure.geometry"), ("structure.cgcnn",))
    return mf.Mixture([*(Seen(mf.GP(), kind) for kind in kinds), mf.GP(), mf.Forest()])


SETTINGS: dict[str, Any] = {"hidden": (32, 32), "held": 0.3}
"""Of networks on levels: by cross-validation in the training part of Poisson ratio's first split, 100 and 300 rows."""


def level(*names: str, **options: Any) -> Recipe:
    """AtomSet on levels of CHGNet and on nothing else."""
    return Recipe(
        mf.AtomSet(**SETTINGS, **options), (mf.Structure("structure", level=names, moments=("mean", "std", "set")),)
    )


def process(*names: str) -> Recipe:
    """A process over levels of CHGNet, those of atoms as moments."""
    return Recipe(mf.GP(), (mf.Structure("structure", level=names),))


LEVELS: dict[str, Callable[[str], Entrant]] = {
    FRACTIONS: lambda _: Recipe(mf.AtomSet(**SETTINGS), (mf.Composition("formula", blocks="fractions"),)),
    **{name: partial(lambda own, _: level(own), name) for name in ATOMS},
    "V0 to V4": lambda _: level(*ATOMS),
    "V3, learned pooling": lambda _: level("V3", pooling="learned"),
    "crystal": lambda _: Recipe(
        mf.BNN(**SETTINGS, noise="input", dropout=0.2), (mf.Structure("structure", level="crystal"),)
    ),
    "GP of V0": lambda _: process("V0"),
    "GP of V3": lambda _: process("V3"),
    "GP of crystal": lambda _: process("crystal"),
    "GP of all levels": lambda _: process(*ATOMS, "crystal", "predictions"),
    STACK: lambda _: Best({name: level(name) for name in ATOMS}),
}
"""Who learns from which level of a hierarchy: an AtomSet, unless it says otherwise."""
LEARNERS: dict[str, Callable[[str], Entrant]] = {
    "train median": lambda _: Recipe(Median(), (COMPOSITION,)),
    OWN: lambda _: Scratch(),
    "best pair, head": lambda _: Heads(),
    PAIR: lambda _: Tuned(tried=3),
    "best pair, tuned": lambda _: Tuned(),
    GATE: lambda _: Recipe(mf.GatedTransfer(), (mf.SourceNetworks("structure"),), weighed=True),
    "GP of composition": lambda _: Recipe(mf.GP(), (COMPOSITION,)),
    "GP without the 18": lambda _: Recipe(mf.GP(), (COMPOSITION, crystal())),
    "GP of the 18": lambda _: Recipe(mf.GP(), (mf.SourceNetworks("structure"),), weighed=True),
    "GP without akin sources": lambda task: Recipe(mf.GP(), everything(others(task))),
    PLAIN: lambda _: Recipe(mf.GP(), everything()),
    "GP, each prediction": lambda _: Recipe(mf.GP(additive=(PREDICTIONS,)), everything()),
    STACK: LEVELS[STACK],
    "AtomSet, all levels": LEVELS["V0 to V4"],
    "mixture": lambda _: Recipe(mixture(), everything()),
    # It chooses by cross-validation inside its rows, and has no other use for those that others stop and choose by.
    DEFAULT: lambda _: Recipe(mf.Auto(), everything(), validation=True),
    "GP, value or logarithm": lambda _: Recipe(mf.Transformed(mf.GP()), everything()),
}
"""By name; a function of the task, as akin sources differ from task to task."""


def names() -> list[str]:
    """Every learner of the table."""
    return list(LEARNERS)


def learner(name: str, task: str) -> Entrant:
    """The learner of that name for that task."""
    return (LEVELS | LEARNERS)[name](task)

"""Who stands in the table: each learner's name, recipe and inputs."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from expert_table.peers import Median

import mfmat as mf
from mfmat.features.featurizer import Featurizer
from transfer_table.entrants import Entrant, Recipe, Seen
from transfer_table.logarithm import AsValidated, Logarithm
from transfer_table.networks import Heads, Scratch, Tuned
from transfer_table.tasks import others

COMPOSITION = mf.Composition("formula")
OWN, DEFAULT, PLAIN, PAIR = "CGCNN", "Auto", "GP of all views", "best of 3 pairs, tuned"
GATE = "gate of 18"
GATE_CLASS = "GatedTransfer"
"""Chang's gate as a learner, over hidden layers: over mean atoms, as the authors have it, it was worse by a tenth or
more on the rows to learn from of three tasks. The row is left out where mfmat has none."""
PREDICTIONS = "structure.cgcnn.predictions"


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


LEARNERS: dict[str, Callable[[str], Entrant]] = {
    "train median": lambda _: Recipe(Median(), (COMPOSITION,)),
    OWN: lambda _: Scratch(),
    "best pair, head": lambda _: Heads(),
    PAIR: lambda _: Tuned(tried=3),
    "best pair, tuned": lambda _: Tuned(),
    GATE: lambda _: Recipe(getattr(mf, GATE_CLASS)(), (mf.SourceNetworks("structure"),)),
    "GP of composition": lambda _: Recipe(mf.GP(), (COMPOSITION,)),
    "GP without the 18": lambda _: Recipe(mf.GP(), (COMPOSITION, crystal())),
    "GP of the 18": lambda _: Recipe(mf.GP(), (mf.SourceNetworks("structure"),)),
    "GP without akin sources": lambda task: Recipe(mf.GP(), everything(others(task))),
    PLAIN: lambda _: Recipe(mf.GP(), everything()),
    "GP, each prediction": lambda _: Recipe(mf.GP(additive=(PREDICTIONS,)), everything()),
    "mixture": lambda _: Recipe(mixture(), everything()),
    DEFAULT: lambda _: Recipe(mf.Auto(), everything()),
    "GP, value or logarithm": lambda _: AsValidated(Recipe(mf.GP(), everything())),
    "Auto of the logarithm": lambda _: Logarithm(Recipe(mf.Auto(), everything())),
    "Auto, validation rows too": lambda _: Recipe(mf.Auto(), everything(), validation=True),
}
"""By name; a function of the task, as akin sources differ from task to task."""


def names() -> list[str]:
    """Every learner that can be asked today."""
    return [name for name in LEARNERS if name != GATE or GATE_CLASS in mf.__all__]


def learner(name: str, task: str) -> Entrant:
    """The learner of that name for that task."""
    return LEARNERS[name](task)

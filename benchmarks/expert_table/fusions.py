"""What stands in the fusion table: data sets, mfmat's stacks with their members, and the peers."""

from __future__ import annotations

from expert_table import fusion_peers as peers
from mfmat.auto import Auto
from mfmat.experts import GP, Ensemble, Forest
from mfmat.learner import Learner
from mfmat.stacks import Difference, Hurdle, Latent, Mixture, MultiTask, TargetOnly

DATA = {
    "mf-bandgap": "mf-bandgap",
    "borlido-functionals": "borlido-functionals",
    "pbe-hse-exp-formation-energy": "pbe-hse-exp-formation-energy",
    "hoip-perovskites": "hoip-perovskites",
    "molecule-polarizability": "molecule-polarizability",
}
"""Tables of several sources; the first is the flagship."""

QUICK = Ensemble(members=2, epochs=20)
"""The expert of a cheap source with thousands of rows, chosen on held-out PBE gaps."""


def latent(sources: int, top: Learner) -> Latent:
    """What cheap networks say of a material, and what is measured, as inputs of the top."""
    return Latent([*[QUICK] * (sources - 1), top], draws=1, limit=None)


def stacks(sources: int) -> dict[str, Learner]:
    """mfmat's stacks for so many sources."""
    return {
        "Auto": Auto(),
        "TargetOnly GP": TargetOnly(GP()),
        "TargetOnly Hurdle": TargetOnly(Hurdle(Mixture([GP(), Forest()]), gate=Forest())),
        "TargetOnly Ensemble": TargetOnly(Ensemble()),
        "TargetOnly Forest": TargetOnly(Forest()),
        "Difference": Difference([GP()]),
        "Latent": Latent([GP()]),
        "MultiTask": MultiTask(),
        "Latent Hurdle": latent(sources, Hurdle(Mixture([GP(), Forest()]), gate=Forest())),
        "Latent Ensemble": latent(sources, Ensemble()),
        "Latent Forest": latent(sources, Forest()),
        "Mixture": Mixture([latent(sources, Ensemble()), latent(sources, Forest())]),
    }


PEERS = {
    "ForestTarget": peers.ForestTarget(),
    "ForestDifference": peers.ForestDifference(),
    "ForestLatent": peers.ForestLatent(),
    "ForestLatent measured": peers.ForestLatent(measured=True),
    "BotorchMultiTask": peers.BotorchMultiTask(),
    "BotorchMultiFidelity": peers.BotorchMultiFidelity(),
    "SMT MFK": peers.CoKriging(),
}
"""Who else is asked; the last three take 4,000 rows at most."""

SOURCES = {
    "mf-bandgap": 5,
    "borlido-functionals": 10,
    "pbe-hse-exp-formation-energy": 3,
    "hoip-perovskites": 2,
    "molecule-polarizability": 2,
}
"""How many sources each table has."""
NAMES = [*stacks(2), *PEERS]

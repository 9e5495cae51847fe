"""Entrants that train the authors' network: from scratch, or beginning with what a source task taught it."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from expert_table.peers import Settings
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import mse_loss

import mfmat as mf
from mfmat.features.backbones.cgcnn import SOURCES, load_network
from mfmat.features.crystals import read_crystals
from mfmat.posteriors import normal
from mfmat.training import Schedule, train
from transfer_table.entrants import Said
from transfer_table.tasks import Part

Array = NDArray[np.float64]
GENTLE = Schedule(epochs=50, steps=500, batch=64, rate=1e-3, decay=1e-4)
"""For a network that has learned before: half as long as from scratch, at a third of the rate."""
HEAD = Schedule(epochs=200, steps=2000, batch=64, rate=3e-3, decay=1e-4)


@dataclass(frozen=True)
class Trained:
    """A network, or its head, at the epoch that predicted the validation rows best.

    Attributes:
        source: which network it began with.
        validation: predictions there.
        test: predictions of the test rows.
        error: mean absolute error of the validation rows.
    """

    source: str | None
    validation: Array
    test: Array
    error: float


def gaussian(part: Part, trained: Trained, started: float, facts: dict[str, Any]) -> Said:
    """A Gaussian around each prediction, as wide as the validation rows were missed by."""
    spread = float(np.sqrt(np.square(trained.validation - part.validation[part.schema.value]).mean()))
    mean = torch.from_numpy(trained.test)[:, None]
    posterior = normal(mean, torch.full((len(mean), 1, 1), spread**2, dtype=torch.double))
    return Said(posterior, time.perf_counter() - started, 0.0, 0.0, {"rows_learned": len(part.train), **facts})


@dataclass(frozen=True)
class Scratch(Settings):
    """The crystal graph network, trained on the task alone; the best epoch is that of the validation rows."""

    seed: int = 0

    def say(self, part: Part) -> Said:
        """See `Entrant.say`."""
        started = time.perf_counter()
        return gaussian(part, _train(part, None, self.seed), started, {})


@dataclass(frozen=True)
class Heads(Settings):
    """Pairwise transfer, the cheap way: each network's head trained anew on its pooled atoms, the best one kept."""

    seed: int = 0
    schedule: Schedule = HEAD

    def say(self, part: Part) -> Said:
        """See `Entrant.say`."""
        started = time.perf_counter()
        return _best(part, train_heads(part, self.seed, self.schedule), started)


@dataclass(frozen=True)
class Tuned(Settings):
    """Pairwise transfer in full: each network trained on, all its layers, and the best one kept.

    Attributes:
        tried: so many networks, those first whose heads did best; 18: all.
        seed: of the training.
        schedule: of the networks.
        head: of the heads.
    """

    tried: int = len(SOURCES)
    seed: int = 0
    schedule: Schedule = GENTLE
    head: Schedule = HEAD

    def say(self, part: Part) -> Said:
        """See `Entrant.say`."""
        started = time.perf_counter()
        names: Sequence[str] = SOURCES
        if self.tried < len(SOURCES):
            ranked = sorted(train_heads(part, self.seed, self.head), key=lambda head: head.error)
            names = [str(head.source) for head in ranked[: self.tried]]
        return _best(part, [_train(part, name, self.seed, self.schedule) for name in names], started)


def _best(part: Part, trained: Sequence[Trained], started: float) -> Said:
    best = min(trained, key=lambda each: each.error)
    errors = {str(each.source): each.error for each in trained}
    return gaussian(part, best, started, {"chosen": best.source, "validation_mae": errors})


def _train(part: Part, source: str | None, seed: int, schedule: Schedule | None = None) -> Trained:
    rows, value = part.known(), part.schema.value
    with tempfile.TemporaryDirectory() as folder:
        backbone = mf.train_cgcnn(
            rows["structure"],
            rows[value],
            name="task",
            folder=folder,
            start=None if source is None else mf.CGCNN(source),
            held=range(len(part.train), len(rows)),
            schedule=schedule,
            seed=seed,
        )
        error = json.loads((Path(folder) / "extractors.json").read_text())["task"]["best_val_mae"]
        return Trained(source, _ask(backbone, part.validation), _ask(backbone, part.test), error)


def _ask(backbone: mf.CGCNN, table: pd.DataFrame) -> Array:
    """Predictions of a network that is not kept, past the store of features."""
    reading = read_crystals(table["structure"])
    said = [backbone.compute(crystal, ("predictions",))["predictions"][0] for crystal in reading.crystals]
    return np.array(said)[reading.codes]


def train_heads(part: Part, seed: int, schedule: Schedule) -> list[Trained]:
    """The head of every source network (64 pooled numbers, 32 hidden, one), from its own weights."""
    featurizer = mf.Structure("structure", backbone=mf.CGCNN(SOURCES), level=("pooled",))
    # The units of a network are those of its own training; a head has to meet them as they were.
    blocks = [torch.from_numpy(featurizer.encode(t)[0]).float() for t in (part.train, part.validation, part.test)]
    parts = zip(SOURCES, *(block.chunk(len(SOURCES), dim=1) for block in blocks), strict=True)
    return [_train_head(part, name, pooled, seed, schedule) for name, *pooled in parts]


def _train_head(part: Part, name: str, pooled: Sequence[Tensor], seed: int, schedule: Schedule) -> Trained:
    value = part.schema.value
    y, held = (torch.tensor(t[value].to_numpy(), dtype=torch.float) for t in (part.train, part.validation))
    centre, scale = y.mean(), y.std()
    network = load_network(name)

    def predict(x: Tensor) -> Tensor:
        out: Tensor = network.fc_out(network.hide(x))
        return out[:, 0] * scale + centre

    def loss(rows: Tensor) -> Tensor:
        return mse_loss(predict(pooled[0][rows]), y[rows]) / scale**2

    def score() -> float:
        with torch.no_grad():
            return float((predict(pooled[1]) - held).abs().mean())

    parameters = [*network.conv_to_fc.parameters(), *network.fc_out.parameters()]
    train(parameters, loss, torch.arange(len(y)), score, schedule, seed=seed, title=f"the head of {name}")
    with torch.no_grad():
        validation, test = (predict(x).double().numpy() for x in pooled[1:])
    return Trained(name, validation, test, score())

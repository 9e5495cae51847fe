"""One cell of the table, measured in a process of its own: python -m transfer_table.cell CELL RESULT (both JSON)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import expert_table.cell as alone
import torch

from mfmat import metrics
from transfer_table import contents
from transfer_table.tasks import split


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What is measured.

    Attributes:
        data: short name of the task.
        learner: name of the learner.
        fold: number of the split.
        grouped: whether the split is one of those that divide no reduced formula, and not a published one.
        rows: learn from so many rows of the training part only; None: all.
    """

    data: str
    learner: str
    fold: int
    grouped: bool = False
    rows: int | None = None

    @property
    def name(self) -> str:
        """How the learner is called in tables."""
        return f"{self.learner} (grouped)" if self.grouped else self.learner

    @property
    def key(self) -> str:
        """Two cells with one key are the same measurement: the learner's options are part of it."""
        config = json.dumps(contents.learner(self.learner, self.data).config(), sort_keys=True)
        rows = [] if self.rows is None else [str(self.rows)]
        options = hashlib.sha256(config.encode()).hexdigest()[:12]
        return "/".join((self.data, self.name, str(self.fold), *rows, options))


def measure(cell: Cell) -> dict[str, Any]:
    """Learn, answer and score."""
    part = split(cell.data, cell.fold, cell.grouped)
    part = part if cell.rows is None else part.few(cell.rows)
    entrant = contents.learner(cell.learner, cell.data)
    said = entrant.say(part)
    y = torch.tensor(part.test[part.schema.value].to_numpy(), dtype=torch.double)[:, None, None]
    with torch.no_grad():
        found = metrics.summary(said.posterior, y)
    return {
        "rows_test": len(y),
        **{name: found[name] for name in alone.SCORES},
        "fit_s": said.fit_s,
        "encode_s": said.encode_s,
        "rows_per_s": len(y) / said.answer_s if said.answer_s else None,
        "peak_MB": alone.memory("VmHWM"),
        **said.facts,
        "config": entrant.config(),
    }


if __name__ == "__main__":
    alone.main(Cell, measure)

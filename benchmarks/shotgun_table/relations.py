"""Which source property helps which target: the map of a library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt

import mfmat as mf
from mfmat.encoded import Looker, seat
from mfmat.entry_models import read_entry
from mfmat.linear_heads import leave_out
from mfmat.reports import figures
from shotgun_table.tasks import SOURCES, TARGETS, draw, target

ROWS, DRAWS, NETWORKS = 100, 5, 6
"""Rows of a target, draws of them, and networks of each source that look at them."""
WIDE = 240.0
"""Of the picture, in mm."""
Row = dict[str, Any]


def measure_map(library: str) -> list[Row]:
    """Error on rows left out of a linear head on each source's networks, in spreads of the target.

    For each source the mean over networks and draws, with the standard deviation over draws of their mean.
    """
    facts = mf.Library(library).query()
    lines = []
    for name in TARGETS:
        data = target(name)
        parts = [draw(data, ROWS, number).train for number in range(DRAWS)]
        line: Row = {"target": name}
        for task in SOURCES:
            addresses = [f"{library}#{entry}" for entry in facts.index[facts["task"] == task][:NETWORKS]]
            surrogates = [read_entry(address) for address in addresses]
            lookers = [seat(task, each.model, each.schema.views, data) for each in surrogates]
            errors = [[_error(looker, part) for looker in lookers if looker] for part in parts]
            means = np.array(errors).mean(axis=1)
            line[task] = {"mean": float(means.mean()), "spread": float(means.std())}
        lines.append(line)
    return lines


def _error(looker: Looker, part: Any) -> float:
    z = (part.Y[:, 0] - part.Y.mean()) / part.Y.std()
    with torch.no_grad():
        found = leave_out(looker.look(part.X), z, part.groups)
    return float((found.mean - z).square().mean().sqrt())


def draw_map(lines: list[Row], path: Path) -> None:
    """A row for each target, a column for each source: the share of the variance that is explained."""
    errors = pd.DataFrame(lines).set_index("target")[list(SOURCES)]
    mean, spread = (errors.map(lambda cell, part=part: cell[part]) for part in ("mean", "spread"))
    found = [table.rename(columns=lambda task: task.split("/")[-1]) for table in (1 - mean**2, 2 * mean * spread)]
    mpl.use("agg")
    with figures.paper():
        ax = figures.transferability(*found, what="share of the variance explained on rows left out", width=WIDE)
        ax.set(xlabel="source of the networks", ylabel=f"target, {ROWS} rows")
        ax.figure.savefig(path, dpi=160)
    plt.close(ax.figure)

"""Which source property helps which target: the map of a library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch

import mfmat as mf
from mfmat.encoded import Looker, seat
from mfmat.entry_models import read_entry
from mfmat.linear_heads import leave_out
from shotgun_table.tasks import SOURCES, TARGETS, draw, target

ROWS, DRAWS, NETWORKS = 100, 5, 6
"""Rows of a target, draws of them, and networks of each source that look at them."""
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
    """A row for each target, a column for each source; dark where the source explains much."""
    values = np.array([[line[task]["mean"] for task in SOURCES] for line in lines])
    figure, axes = plt.subplots(figsize=(10, 6.2), layout="constrained")
    image = axes.imshow(
        1 - values**2, cmap="cividis", vmin=0, vmax=max(0.5, float((1 - values**2).max())), aspect="auto"
    )
    axes.set_xticks(range(len(SOURCES)), [task.split("/")[-1] for task in SOURCES], rotation=50, ha="right", fontsize=8)
    axes.set_yticks(range(len(lines)), [line["target"] for line in lines], fontsize=8)
    for i, line in enumerate(lines):
        for j, task in enumerate(SOURCES):
            light = 1 - values[i, j] ** 2 < 0.3
            spread = 2 * values[i, j] * line[task]["spread"]
            axes.text(
                j,
                i,
                f"{1 - values[i, j] ** 2:.2f}\n±{spread:.2f}",
                ha="center",
                va="center",
                fontsize=5.5,
                color="white" if light else "black",
            )
    axes.set_xlabel("source of the networks")
    axes.set_ylabel(f"target, {ROWS} rows")
    figure.colorbar(image, label="share of the variance explained on rows left out")
    figure.savefig(path, dpi=160)
    plt.close(figure)

"""What was measured: results, and cells that two learners have in common."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
DOCS = ROOT / "docs"
Row = Mapping[str, Any]
Place = tuple[str, int | None, int | None]
"""A table, with the rows of the target and of the other sources that were learned from, where not all were."""
ERRORS = 2
"""Standard errors of a paired difference beyond which one side is ahead."""
FEWEST = 3
"""Folds from which there is such an error."""


def results() -> list[Row]:
    """Every result, by name."""
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(RESULTS.glob("*.json"))]


@cache
def result(name: str) -> Row:
    """One result."""
    found: Row = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


@cache
def cells(name: str) -> Mapping[tuple[Place, str], Mapping[int, Row]]:
    """The newest finished measurement of each fold, by table and learner, of the learner's newest options."""
    lines = (RESULTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    latest: dict[tuple[Place, str], dict[str, Row]] = {}
    for row in map(json.loads, lines):
        if not row.get("grouped"):
            place = row["data"], row.get("rows"), row.get("cheap")
            # Measured again, a cell becomes the newest, and so do its options.
            own = latest.setdefault((place, row["name"]), {})
            own.pop(row["key"], None)
            own[row["key"]] = row
    found = {}
    for at, own in latest.items():
        options = next(reversed(own)).rsplit("/", 1)[1]
        kept = [row for key, row in own.items() if key.endswith(options) and row["status"] == "finished"]
        found[at] = {row["fold"]: row for row in kept}
    return found


@dataclass(frozen=True)
class Pair:
    """Two learners on the folds that both have finished."""

    ours: tuple[Row, ...]
    theirs: tuple[Row, ...]

    def mean(self, what: str) -> tuple[float, float]:
        """Of ours and of theirs."""
        first, second = (float(np.mean([row[what] for row in side])) for side in (self.ours, self.theirs))
        return first, second

    def ahead(self, what: str) -> str:
        """Who has the lower score: by more than two paired standard errors, or, of one or two folds, at all."""
        gain = np.array([their[what] - our[what] for our, their in zip(self.ours, self.theirs, strict=True)])
        if len(gain) >= FEWEST and abs(gain.mean()) <= ERRORS * gain.std(ddof=1) / math.sqrt(len(gain)):
            return "even"
        return "mfmat" if gain.mean() > 0 else "peer"


def pair(name: str, place: Place, ours: str, theirs: str) -> Pair | None:
    """Two learners on one table, where both have finished a fold."""
    first, second = (cells(name).get((place, learner), {}) for learner in (ours, theirs))
    folds = sorted(set(first) & set(second))
    return Pair(tuple(first[k] for k in folds), tuple(second[k] for k in folds)) if folds else None


def over_folds(name: str, place: Place, learners: list[str], what: str) -> dict[str, float]:
    """The mean score of several learners over the folds that all of them have finished, and how many these are."""
    own = {learner: cells(name)[place, learner] for learner in learners if (place, learner) in cells(name)}
    folds = set.intersection(*(set(found) for found in own.values())) if own else set()
    means = {learner: float(np.mean([found[k][what] for k in folds])) for learner, found in own.items() if folds}
    return {"folds": len(folds), **means}


def line_of(rows: list[Row], **facts: object) -> Row | None:
    """The first row that has these facts."""
    return next((row for row in rows if all(row.get(key) == value for key, value in facts.items())), None)


def made_by(*commands: str) -> str:
    """The commands that numbers come from, each with the date of its result: a benchmark's name, and its options."""
    lines = []
    for command in commands:
        name, _, options = command.partition(" ")
        said = f"python benchmarks/{name}.py {options}" if options else result(name)["command"]
        lines.append(f"{said}  # {result(name).get('date', '')}")
    return "```sh\n" + "\n".join(lines) + "\n```"

"""A library of networks of many properties, and what it teaches of properties that it does not hold.

    python benchmarks/shotgun.py --library FOLDER --networks 64 --draws 5

Trains the library first, as far as it is not there (finished networks stay), then draws rows of each target and has
everyone predict other compounds. Each finished draw is a line of results/shotgun.jsonl and is not measured again with
the same library; --summary sums up what is there. Needs MFMAT_DATA.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from record import RESULTS
from shotgun_table import summary
from shotgun_table.entrants import ENTRANTS, KIN
from shotgun_table.relations import draw_map, measure_map
from shotgun_table.tasks import SOURCES, TARGETS, Draw, draw, source, target
from torch import Tensor

import mfmat as mf

PATH, PICTURE = RESULTS / "shotgun.jsonl", "shotgun.png"
SCORES = ("mae", "rmse", "nll", "crps", "coverage", "width")
AT_TOP = 100
"""Rows that the prediction of the top is learned from."""


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--library", type=Path, default=Path("shotgun-library"), help="folder, made where it is not there"
    )
    parser.add_argument("--networks", type=int, default=64, help="of each source property")
    parser.add_argument("--every", type=int, default=1, help="ask every so manyth network alone, to be quicker")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--rows", nargs="+", type=int, default=[20, 50, 100, 200])
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--learners", nargs="+", choices=ENTRANTS, default=list(ENTRANTS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--summary", action="store_true", help="measure nothing, sum up and draw what is there")
    return parser.parse_args()


def main() -> None:
    """Train, measure, sum up."""
    asked = options()
    torch.set_num_threads(asked.threads)
    if not asked.summary:
        build(asked.library, asked.networks)
        measure(asked)
    rows = [json.loads(line) for line in PATH.read_text(encoding="utf-8").splitlines()]
    relations = measure_map(str(asked.library))
    draw_map(relations, Path(__file__).parents[1] / "docs" / PICTURE)
    summary.write(rows, {"Which source helps which target": relations}, PICTURE)


def build(folder: Path, networks: int) -> None:
    """Train what the library does not hold yet."""
    library = mf.Library(folder)
    started, before = time.perf_counter(), len(library)
    for name, quantity in SOURCES.items():
        library.train({name: source(name)}, networks, quantity=quantity)
    minutes, new = (time.perf_counter() - started) / 60, len(library) - before
    print(f"{new} networks in {minutes:.1f} minutes, {len(library)} in all", flush=True)


def measure(asked: argparse.Namespace) -> None:
    """Every draw that is not there yet, a line each."""
    entries = len(mf.Library(asked.library).query(f"seed % {asked.every} == 0"))
    known = (
        {tuple(row[k] for k in KEY) for row in map(json.loads, PATH.read_text().splitlines())}
        if PATH.exists()
        else set()
    )
    for number in range(asked.draws):
        for name in asked.targets:
            data = target(name)
            cases = [(rows, False) for rows in asked.rows if 2 * rows <= len(data)] + [(AT_TOP, True)]
            for rows, top in cases:
                part = draw(data, rows, number, top=top)
                for learner in asked.learners:
                    row = {
                        "data": name,
                        "rows": rows,
                        "draw": number,
                        "top": top,
                        "learner": learner,
                        "entries": entries,
                    }
                    if tuple(row[k] for k in KEY) in known:
                        continue
                    row |= score(part, learner, str(asked.library), condition(name, learner, asked.every))
                    with PATH.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(row, allow_nan=False) + "\n")
                    print(f"{name} {rows}{' top' if top else ''} {number} {learner}: {row['mae']:.3g}", flush=True)


KEY = ("data", "rows", "draw", "top", "learner", "entries")


def condition(name: str, learner: str, every: int) -> str:
    """Which entries take part."""
    some = f"seed % {every} == 0"
    return some if learner == KIN else f'{some} and quantity != "{TARGETS[name]}"'


def score(part: Draw, learner: str, library: str, query: str) -> dict[str, Any]:
    """Learn, answer and score."""
    started = time.perf_counter()
    model = ENTRANTS[learner](part.train, library, query)
    fit_s = time.perf_counter() - started
    X: Tensor = part.test.X.unsqueeze(1)
    with torch.no_grad():
        found = mf.metrics.summary(model.posterior(X, observation_noise=True), part.test.Y.unsqueeze(1))
    return {name: float(found[name]) for name in SCORES} | {"tested": len(X), "fit_s": fit_s}


if __name__ == "__main__":
    main()

"""What each level of a pretrained network is worth, for few rows and for more: one process a cell, resumable.

    python benchmarks/levels.py --tasks mp_poisson_ratio --sizes 100 300 --splits 0

Each finished cell (task, size, split, learner) is a line of results/levels.jsonl, and what stands there with the same
options is not measured again. At the end results/levels.json sums up all that is there, and docs/levels.png shows it;
--summary does that alone. A size that a training part does not have is all of it.
"""

from __future__ import annotations

import argparse

from expert_table.run import run
from record import RESULTS
from transfer_table import contents, levels
from transfer_table.cell import Cell
from transfer_table.tasks import SPLITS, split

PATH = RESULTS / "levels.jsonl"
SIZES = [100, 300, 1000]
LONG = (contents.OWN,)
"""Only asked by name: a network trained from scratch for every cell."""


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=levels.TASKS, default=list(levels.TASKS))
    parser.add_argument("--sizes", nargs="*", type=int, default=SIZES, help="rows to learn from, beside all of them")
    parser.add_argument("--some", action="store_true", help="the sizes alone, not all rows")
    parser.add_argument("--splits", nargs="+", type=int, choices=range(SPLITS), default=list(range(SPLITS)))
    parser.add_argument("--learners", nargs="+", choices=[*contents.LEVELS, *LONG], default=list(contents.LEVELS))
    parser.add_argument("--limit-s", type=float, default=1800, help="seconds for a cell, encoding included")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="measure what is there already, too")
    parser.add_argument("--summary", action="store_true", help="measure nothing, sum up and draw what is there")
    return parser.parse_args()


def sizes(task: str, number: int, asked: argparse.Namespace) -> list[int | None]:
    """Those that the training part of a split has; None, all of it, last."""
    found: list[int | None] = [n for n in sorted(asked.sizes) if n < len(split(task, number).train)]
    return found if asked.some else [*found, None]


def main() -> None:
    """Measure, then sum up and draw."""
    asked = options()
    if not asked.summary:
        cells = [
            Cell(data=task, learner=learner, fold=number, rows=rows)
            for number in asked.splits
            for task in asked.tasks
            for rows in sizes(task, number, asked)
            for learner in asked.learners
        ]
        run(cells, PATH, limit_s=asked.limit_s, threads=asked.threads, again=asked.again)
    levels.write(PATH)


if __name__ == "__main__":
    main()

"""Small tasks on crystals with the help of 18 source networks, on the authors' splits: one process a cell, resumable.

    python benchmarks/transfer.py --tasks jarvis_2d_eform --splits 0 1 --learners Auto "GP of all views" --limit-s 600
    python benchmarks/transfer.py --grouped
    python benchmarks/transfer.py --leak

Each finished cell (task, split, learner) is a line of results/transfer.jsonl, and what stands there with the same
options is not measured again. At the end results/transfer.json sums up all that is there; --summary does that alone.
"""

from __future__ import annotations

import argparse

from expert_table.run import run
from record import RESULTS, record
from transfer_table import contents, leak, summary
from transfer_table.cell import Cell
from transfer_table.tasks import PUBLISHED, SPLITS

PATH = RESULTS / "transfer.jsonl"
LONG = ("best pair, tuned",)
"""Only asked by name: 18 networks trained for a cell."""


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = [name for name in contents.names() if name not in LONG]
    parser.add_argument("--tasks", nargs="+", choices=PUBLISHED, default=list(PUBLISHED))
    parser.add_argument("--splits", nargs="+", type=int, choices=range(SPLITS), default=list(range(SPLITS)))
    parser.add_argument("--learners", nargs="+", choices=contents.names(), default=usual)
    parser.add_argument("--grouped", action="store_true", help="splits that divide no reduced formula")
    parser.add_argument("--limit-s", type=float, default=1800, help="seconds for a cell, encoding included")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="measure what is there already, too")
    parser.add_argument("--summary", action="store_true", help="measure nothing, sum up what is there")
    parser.add_argument("--leak", action="store_true", help="measure only what the sources may have seen of each task")
    return parser.parse_args()


def main() -> None:
    """Measure, then sum up."""
    asked = options()
    if asked.leak:
        record("transfer_leak", leak.measure(), leak.SAYS)
    elif not asked.summary:
        cells = [
            Cell(data=task, learner=learner, fold=number, grouped=asked.grouped)
            for number in asked.splits
            for task in asked.tasks
            for learner in asked.learners
        ]
        run(cells, PATH, limit_s=asked.limit_s, threads=asked.threads, again=asked.again)
    summary.write(PATH)


if __name__ == "__main__":
    main()

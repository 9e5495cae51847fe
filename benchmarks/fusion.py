"""Every fusion beside its peers: grouped 5-fold over the target's rows, all cheap rows at hand, one process a cell.

    python benchmarks/fusion.py --data mf-bandgap --learners Mixture "ForestLatent measured" --folds 0 1 --threads 2
    python benchmarks/fusion.py --data mf-bandgap --rows 500 --cheap 1500

Each finished cell is a line of results/fusion.jsonl and is not measured again; --summary sums up what is there.
"""

from __future__ import annotations

import argparse

from expert_table import fusions, summary
from expert_table.cell import FOLDS, Cell
from expert_table.run import run
from record import RESULTS

PATH = RESULTS / "fusion.jsonl"


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=fusions.DATA, default=["mf-bandgap"])
    parser.add_argument("--learners", nargs="+", choices=fusions.NAMES, default=fusions.NAMES)
    parser.add_argument("--folds", nargs="+", type=int, choices=range(FOLDS), default=list(range(FOLDS)))
    parser.add_argument("--seed", type=int, default=0, help="of the folds")
    parser.add_argument("--rows", type=int, help="rows of the target trained on; all unless given")
    parser.add_argument("--cheap", type=int, help="rows of the other sources; all unless given")
    parser.add_argument("--limit-s", type=float, default=900, help="seconds for a cell, encoding included")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="measure what is there already, too")
    parser.add_argument("--summary", action="store_true", help="measure nothing, sum up what is there")
    return parser.parse_args()


def main() -> None:
    """Measure, then sum up."""
    asked = options()
    cells = [
        Cell(data=data, learner=learner, fold=fold, seed=asked.seed, rows=asked.rows, cheap=asked.cheap)
        for data in asked.data
        for learner in asked.learners
        for fold in asked.folds
    ]
    if not asked.summary:
        run(cells, PATH, limit_s=asked.limit_s, threads=asked.threads, again=asked.again)
    summary.write_fusion(PATH)


if __name__ == "__main__":
    main()

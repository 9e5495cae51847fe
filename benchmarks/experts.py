"""Every expert beside its peers on six tables: grouped 5-fold, one process for each cell, resumable.

    python benchmarks/experts.py --data steels mbj_bandgap --learners GP Forest --folds 0 1 --limit-s 600 --threads 2

Each finished cell (table, learner, fold) is a line of results/experts.jsonl, and what stands there with the same
options is not measured again. At the end results/experts.json sums up all that is there; --summary does that alone.
"""

from __future__ import annotations

import argparse

from expert_table import contents, summary
from expert_table.cell import FOLDS, Cell
from expert_table.run import run
from record import RESULTS

PATH = RESULTS / "experts.jsonl"


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=contents.DATA, default=list(contents.DATA))
    parser.add_argument("--learners", nargs="+", choices=contents.names(), default=contents.names())
    parser.add_argument("--folds", nargs="+", type=int, choices=range(FOLDS), default=list(range(FOLDS)))
    parser.add_argument("--seed", type=int, default=0, help="of the folds")
    parser.add_argument("--limit-s", type=float, default=600, help="seconds for a cell, encoding included")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", help="where experts that can be told so are trained; others are left out")
    parser.add_argument("--again", action="store_true", help="measure what is there already, too")
    parser.add_argument("--summary", action="store_true", help="measure nothing, sum up what is there")
    return parser.parse_args()


def main() -> None:
    """Measure, then sum up."""
    asked = options()
    learners = [name for name in asked.learners if asked.device is None or contents.has_device(name)]
    cells = [
        Cell(data=data, learner=learner, fold=fold, seed=asked.seed, device=asked.device)
        for data in asked.data
        for learner in learners
        for fold in asked.folds
    ]
    if not asked.summary:
        run(cells, PATH, limit_s=asked.limit_s, threads=asked.threads, again=asked.again)
    summary.write(PATH)


if __name__ == "__main__":
    main()

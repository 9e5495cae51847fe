"""How the time to fit grows with the number of rows: each expert on more and more band gaps, until it gives up.

    python benchmarks/growth.py --learners GP Forest --sizes 250 500 1000 2000 --limit-s 600 --threads 2

Each finished fit is a line of results/growth.jsonl and is not measured again. At the end results/growth.json holds the
times with their exponents, and docs/experts-cost.png shows them; --summary does that alone.
"""

from __future__ import annotations

import argparse

from expert_table import contents, cost
from expert_table.cell import Cell
from expert_table.run import run
from record import RESULTS

PATH = RESULTS / "growth.jsonl"
SIZES = [250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000]
DATA = "mp_gap"


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    experts = [name for name in contents.names() if name in contents.EXPERTS]
    parser.add_argument("--learners", nargs="+", choices=contents.names(), default=experts)
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--limit-s", type=float, default=600, help="seconds for a fit, encoding included")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="measure what is there already, too")
    parser.add_argument("--summary", action="store_true", help="measure nothing, sum up and draw what is there")
    return parser.parse_args()


def main() -> None:
    """Measure, then sum up and draw."""
    asked = options()
    cells = [Cell(data=DATA, learner=name, fold=0, rows=n) for name in asked.learners for n in sorted(asked.sizes)]
    if not asked.summary:
        run(cells, PATH, limit_s=asked.limit_s, threads=asked.threads, again=asked.again)
    cost.write(PATH)


if __name__ == "__main__":
    main()

"""Screening beyond what is known: models that saw the lower four fifths of a property pick its highest values.

    python benchmarks/screening.py --tasks mp_poisson_ratio jarvis_2d_eform --seeds 3

The training rows have formulas all of whose values lie below the 80th percentile; the candidates are every formula with
a value above it, and a fifth of the other formulas. Of n candidates above the percentile a model picks n: `recall` is
the share of them that are among its picks by the predicted mean, `by_chance` what picking blindly finds, `by_exceeding`
the recall of picks by the probability of a value above the percentile. Needs MFMAT_DATA.
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from typing import Any

import numpy as np
import torch
from record import record
from transfer_table import contents
from transfer_table.entrants import Entrant
from transfer_table.tasks import PUBLISHED, Part

import mfmat as mf
from mfmat.posteriors import RowPosterior, cdf

TASKS = ("mp_poisson_ratio", "mp_eps_total", "jarvis_2d_eform", "expt_eform")
LEARNERS = ("Forest of composition", "GP of composition", "CGCNN", "GP without the 18", "GP of all views")
TOP, BESIDE = 0.2, 0.2
"""Share of the values that are to be found, and of the other formulas that they are found among."""
SAYS = (
    "Learned from formulas whose values all lie below the 80th percentile; n picks among candidates of which n lie "
    "above it. Recall by the mean, and by the probability of exceeding it; mean and standard deviation over seeds."
)


def main() -> None:
    """Every learner on every task, seed by seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=PUBLISHED, default=list(TASKS))
    parser.add_argument("--learners", nargs="+", default=list(LEARNERS))
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    record("screening", [row(task, name, asked.seeds) for task in asked.tasks for name in asked.learners], SAYS)


def row(task: str, name: str, seeds: int) -> dict[str, Any]:
    """One learner on one task."""
    found = [screen(task, name, seed) for seed in range(seeds)]
    print(task, name, found, flush=True)
    line: dict[str, Any] = {"task": task, "learner": name, "seeds": seeds}
    for key in found[0]:
        values = [each[key] for each in found]
        line[key] = {"mean": statistics.mean(values), "spread": statistics.pstdev(values)}
    return line


def screen(task: str, name: str, seed: int) -> dict[str, float]:
    """What one learner finds."""
    part, threshold = divide(task, seed)
    said = entrant(name, task).say(part)
    y = part.test[part.schema.value].to_numpy(float)
    above = y >= threshold
    n = int(above.sum())
    with torch.no_grad():
        mean = said.posterior.mean.flatten().numpy()
        exceeding = 1 - _below(said.posterior, threshold, len(y))
    recall, by_exceeding = (float(above[np.argsort(-score)[:n]].mean()) for score in (mean, exceeding))
    return {"recall": recall, "by_exceeding": by_exceeding, "by_chance": n / len(y), "fit_s": said.fit_s}


def divide(task: str, seed: int) -> tuple[Part, float]:
    """Rows to learn from, a sixth of them to choose with, and candidates; and the percentile."""
    table, schema = mf.datasets.load(f"moe/{task}")
    y = table[schema.value].to_numpy(float)
    threshold = float(np.quantile(y, 1 - TOP))
    formulas = mf.Composition("formula").groups(table)
    high = np.isin(formulas, formulas[y >= threshold])
    others = np.random.default_rng(seed).permutation(np.unique(formulas[~high]))
    held = high | np.isin(formulas, others[: round(BESIDE * len(others))])
    chosen = ~held & np.isin(formulas, others[-round(len(others) / 6) :])
    parts = (table[~held & ~chosen], table[chosen], table[held])
    return Part(task, schema, *parts), threshold


def entrant(name: str, task: str) -> Entrant:
    """As in the table of transfer, or trees."""
    if name == LEARNERS[0]:
        return contents.Recipe(mf.Forest(), (contents.COMPOSITION,))
    return contents.learner(name, task)


def _below(posterior: RowPosterior, threshold: float, rows: int) -> np.ndarray:
    return cdf(posterior, torch.full((rows, 1, 1), threshold, dtype=torch.double)).flatten().numpy()


if __name__ == "__main__":
    main()

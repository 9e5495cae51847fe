"""Intervals of the rows that a loop of `suggest` chooses next, before they are measured: do they hold?

    python benchmarks/calibration_loop.py --goals max learn --seeds 0 1 2

Experimental gaps: 200 compounds are known at the start, 1,000 are the pool, and in each of ten rounds ten are chosen,
predicted and then measured. Every way of calibrating works on the same fits. Each finished run (goal, seed) is a line
of results/calibration_loop.jsonl and is not measured again. Needs MFMAT_DATA.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd
import torch
from record import RESULTS, record

import mfmat as mf
from mfmat.learner import FittedModel
from mfmat.posteriors import interval

PATH = RESULTS / "calibration_loop.jsonl"
KNOWN, POOL, ROUNDS, CHOSEN, FOLDS, LEVEL = 200, 1000, 10, 10, 5, 0.9
LEARNER = mf.Hurdle(mf.Mixture([mf.GP(), mf.Forest()]), gate=mf.Forest())
WAYS: dict[str, mf.Conformal] = {
    "Conformal": mf.Conformal(LEARNER, folds=FOLDS),
    "Conformal, each end": mf.Conformal(LEARNER, ends="each", folds=FOLDS),
    "Conformal by origin": mf.Conformal(LEARNER, by="origin", folds=FOLDS),
    "Conformal refit by origin": mf.Conformal(LEARNER, form="refit", by="origin", folds=FOLDS),
}
SAYS = (
    "Share of the next round's values inside their 90% intervals, over ten rounds of ten compounds chosen by `suggest` "
    "from a pool of 1,000, and of 200 drawn at random; experimental gaps, a hurdle of a GP and a forest that starts "
    "from 200 compounds. `origin` is a column that says which rows were there at the start and which were chosen. The "
    "standard error is that over rows."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--goals", nargs="+", default=["max", "learn"], choices=["max", "min", "learn"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    done = [json.loads(line) for line in PATH.read_text(encoding="utf-8").splitlines()] if PATH.exists() else []
    for goal in asked.goals:
        for seed in asked.seeds:
            if not any((run["goal"], run["seed"]) == (goal, seed) for run in done):
                done.append({"goal": goal, "seed": seed, "inside": measure(goal, seed)})
                with PATH.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(done[-1]) + "\n")
    record(
        "calibration_loop",
        {"90% intervals of what is measured next": summed(done)},
        says=SAYS,
        packages=["scikit-learn"],
    )


def measure(goal: str, seed: int) -> dict[str, list[float]]:
    """Whether each chosen value lay inside, by the way of calibrating."""
    table, schema = mf.datasets.load("mf-bandgap")
    compounds = table[table[schema.source] == schema.sources[-1]].drop_duplicates("formula").reset_index(drop=True)
    order = np.random.default_rng(seed).permutation(len(compounds))
    known = compounds.iloc[order[:KNOWN]].assign(origin="start")
    pool = compounds.iloc[order[KNOWN : KNOWN + POOL]].assign(origin="chosen")
    alone = mf.Schema(mf.Composition("formula"), value=schema.value, metadata=mf.Groups("origin"))
    inside: dict[str, list[float]] = defaultdict(list)
    for number in range(ROUNDS):
        surrogate = mf.fit(known, alone, LEARNER)
        chosen = mf.suggest(surrogate, pool, CHOSEN, goal=goal)[list(pool.columns)]
        drawn = pool.sample(200, random_state=number)
        models = calibrated(surrogate)
        for way, model in models.items():
            inside[way] += held(model, alone, chosen)
        inside["Conformal, rows at random"] += held(models["Conformal"], alone, drawn)
        known, pool = pd.concat([known, chosen]), pool.drop(chosen.index)
        print(goal, seed, f"round {number + 1} of {ROUNDS}", flush=True)
    return dict(inside)


def calibrated(surrogate: mf.Surrogate) -> dict[str, FittedModel]:
    """Every way, on the same fits."""
    assert surrogate.data is not None
    folds = surrogate.data.split(FOLDS, 0)
    fitted = [surrogate.model, *LEARNER.cross_fit(surrogate.data, folds)]
    ways = {way: recipe.calibrate(surrogate.data, folds, fitted) for way, recipe in WAYS.items()}
    return {"as it is": surrogate.model} | ways


@torch.no_grad()
def held(model: FittedModel, schema: mf.Schema, rows: pd.DataFrame) -> list[float]:
    """Which values lie in their intervals."""
    lower, upper = interval(model.posterior(schema.encode(rows)[0], None, True), LEVEL)
    y = torch.tensor(rows[schema.value].tolist()).reshape(-1, 1, 1)
    return [float(flag) for flag in ((lower <= y) & (y <= upper)).flatten()]


def summed(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each goal and way, all seeds together."""
    rows = []
    for goal in dict.fromkeys(run["goal"] for run in runs):
        mine = [run["inside"] for run in runs if run["goal"] == goal]
        for way in mine[0]:
            flags = np.concatenate([each[way] for each in mine])
            error = (flags.mean() * (1 - flags.mean()) / len(flags)) ** 0.5
            found = {"inside": round(float(flags.mean()), 3), "error": round(float(error), 3)}
            rows.append({"goal": goal, "way": way, "runs": len(mine), "rows": len(flags)} | found)
    return rows


if __name__ == "__main__":
    main()

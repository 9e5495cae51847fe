"""The figure of merit zT = S² σ T / κ and the power factor S² σ of compounds not seen, from several properties.

    python benchmarks/thermoelectrics.py --folds 0 1
    python benchmarks/thermoelectrics.py --summary

Grouped 5-fold over the 870 formulas of `estm`; of a held-out row only formula and temperature are known. Each property
is a source of one schema, and the function is computed on joint draws; beside it models of each property on their own,
their draws combined as if independent, and one model of the function itself. All have the same expert and columns.
Each finished cell is a line of results/thermoelectrics.jsonl and is not measured again.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from record import RESULTS, record

import mfmat as mf
from mfmat.learner import Learner

PATH = RESULTS / "thermoelectrics.jsonl"
FOLDS, DRAWS, LEVEL = 5, 1000, 0.9
BAND = (0.87, 0.93)
"""Coverage of a 90% interval that counts as holding."""
PART = 60
"""Rows drawn at a time: the function is one of each row alone."""
SCORES = ("mae", "crps", "coverage", "width")
Draws = Mapping[str, NDArray[np.float64]]
"""Of each column, rows x draws."""


@dataclass(frozen=True)
class Way:
    """One way to the functions: the columns that are modelled, and how."""

    columns: tuple[str, ...]
    draw: Callable[[Way, pd.DataFrame, pd.DataFrame], Draws]
    recipe: Learner


def load() -> pd.DataFrame:
    """The table with the logarithms of what is positive; the sign of S takes no part in either function."""
    table, _ = mf.datasets.load("estm")
    logarithms: pd.DataFrame = table.assign(
        S=np.log10(table["seebeck_uV_K"].abs()) - 6,
        sigma=np.log10(table["electrical_conductivity_S_m"]),
        kappa=np.log10(table["thermal_conductivity_W_mK"]),
        PF=np.log10(table["power_factor_W_mK2"]),
        log_zT=np.log10(table["zT"]),
        power_factor=1000 * table["power_factor_W_mK2"],
    )
    return logarithms


def functions(draws: Draws, T: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """zT and the power factor (mW/(m K²)) of every draw, where the columns determine them."""
    found = {name: draws[name] for name in ("zT", "power_factor") if name in draws}
    if "log_zT" in draws:
        found["zT"] = 10 ** draws["log_zT"]
    if "PF" in draws or {"S", "sigma"} <= set(draws):
        power = draws["PF"] if "PF" in draws else 2 * draws["S"] + draws["sigma"]
        found["power_factor"] = 1000 * 10**power
        if "kappa" in draws and "zT" not in found:
            found["zT"] = T[:, None] * 10 ** (power - draws["kappa"])
    return found


def alone(way: Way, train: pd.DataFrame, test: pd.DataFrame) -> Draws:
    """A model of each column on its own; draws of different columns are independent."""
    schema = mf.datasets.load("estm")[1]
    draws = {}
    for seed, column in enumerate(way.columns):
        surrogate = mf.fit(train, mf.Schema(schema.inputs, value=column), mf.TargetOnly(way.recipe))
        draws[column] = marginal(surrogate, test, None, seed)
    return draws


def joint(way: Way, train: pd.DataFrame, test: pd.DataFrame) -> Draws:
    """The columns as sources of one schema; draws as `Surrogate.sample` gives them."""
    surrogate = _fuse(way, train)
    parts = [test.iloc[start : start + PART] for start in range(0, len(test), PART)]
    drawn = [surrogate.sample(part, n=DRAWS, source=list(way.columns), seed=i) for i, part in enumerate(parts)]
    return {name: np.concatenate([each.loc[name].to_numpy() for each in drawn]) for name in way.columns}


def marginal(surrogate: mf.Surrogate, test: pd.DataFrame, source: str | None, seed: int) -> NDArray[np.float64]:
    """Draws of new measurements (rows x draws), each row on its own."""
    X, _ = surrogate.schema.encode(test, source)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        parts = [
            surrogate.model.posterior(x, observation_noise=True).rsample(torch.Size([DRAWS])) for x in X.split(256)
        ]
    drawn: NDArray[np.float64] = torch.cat([part[..., 0, 0].T for part in parts]).numpy()
    return drawn


def _fuse(way: Way, train: pd.DataFrame) -> mf.Surrogate:
    wide = train[["formula", "temperature_K", *way.columns]]
    inputs = mf.datasets.load("estm")[1].inputs
    return mf.fit(*mf.Schema.from_wide(wide, inputs, dict.fromkeys(way.columns, 1.0)), way.recipe)


FOREST, PROCESS = mf.Forest(), mf.GP()
LATENT = mf.Latent([FOREST], chained=True, limit=None)
MIXED = mf.Latent([FOREST, PROCESS, PROCESS], chained=True, limit=None)
CHAIN = mf.Difference([FOREST], limit=10_000)
WAYS = {
    "direct: the function": Way(("zT", "power_factor"), alone, FOREST),
    "direct: its logarithm": Way(("log_zT", "PF"), alone, FOREST),
    "independent: S, σ, κ": Way(("S", "sigma", "kappa"), alone, FOREST),
    "independent: PF, κ": Way(("PF", "kappa"), alone, FOREST),
    "Latent: S, σ, κ": Way(("S", "sigma", "kappa"), joint, LATENT),
    "Latent: κ, PF": Way(("kappa", "PF"), joint, LATENT),
    "Latent: S, σ, κ, log zT on top": Way(("S", "sigma", "kappa", "log_zT"), joint, LATENT),
    "Difference: S, σ, κ": Way(("S", "sigma", "kappa"), joint, CHAIN),
    "Difference: κ, PF": Way(("kappa", "PF"), joint, CHAIN),
    "Latent: S by forest, σ and κ by GP": Way(("S", "sigma", "kappa"), joint, MIXED),
}
"""S, σ, κ and PF stand for the decimal logarithms of |S|, σ, κ and the power factor. Sources stand in the order in
which physics goes (carriers set S and σ, which carry part of the heat); it was not tuned."""


def split(table: pd.DataFrame, fold: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows to train on, and those of the formulas held out."""
    data = mf.datasets.load("estm")[1].data(table)
    held = table["formula"].isin(set(table["formula"].iloc[data.rows[data.split(FOLDS, 0)[fold]].numpy()]))
    return table[~held], table[held]


def measure(name: str, fold: int) -> dict[str, Any]:
    """Fit, draw and score both functions."""
    train, test = split(load(), fold)
    start = time.perf_counter()
    draws = WAYS[name].draw(WAYS[name], train, test)
    found = functions(draws, test["temperature_K"].to_numpy())
    seconds = time.perf_counter() - start
    scores = {what: score(values, test[what].to_numpy()) for what, values in found.items()}
    return {"way": name, "fold": fold, "rows_test": len(test), "seconds": seconds, "scores": scores}


def score(draws: NDArray[np.float64], y: NDArray[np.float64]) -> dict[str, float]:
    """Of the draws of each row: error of the median, CRPS (of the draws themselves), interval."""
    lower, median, upper = np.quantile(draws, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2], axis=1)
    rank = (2 * np.arange(1, DRAWS + 1) - DRAWS - 1) / DRAWS**2
    crps = np.abs(draws - y[:, None]).mean(axis=1) - np.sort(draws, axis=1) @ rank
    inside = (lower <= y) & (y <= upper)
    numbers = (np.abs(median - y).mean(), crps.mean(), inside.mean(), (upper - lower).mean())
    return dict(zip(SCORES, map(float, numbers), strict=True))


def summary() -> None:
    """Mean and standard deviation over the folds, a table for each function."""
    cells = [json.loads(line) for line in PATH.read_text(encoding="utf-8").splitlines()]
    tables = {
        heading: [row for name in WAYS if (row := _row(cells, name, what))]
        for heading, what in (("Figure of merit zT", "zT"), ("Power factor (mW/(m K²))", "power_factor"))
    }
    record("thermoelectrics", tables, says=_says(cells), command="python benchmarks/thermoelectrics.py")


def _row(cells: list[dict[str, Any]], name: str, what: str) -> dict[str, Any]:
    own = [cell for cell in cells if cell["way"] == name and what in cell["scores"]]
    if not own:
        return {}
    sizes = [cell["rows_test"] for cell in own]
    pooled = float(np.average([cell["scores"][what]["coverage"] for cell in own], weights=sizes))
    spread = {key: _spread([cell["scores"][what][key] for cell in own]) for key in ("mae", "crps", "width")}
    seconds = float(np.mean([cell["seconds"] for cell in own]))
    holds = BAND[0] <= pooled <= BAND[1]
    return {"way": name, "folds": len(own), **spread, "coverage": pooled, "holds": holds, "seconds": seconds}


def _spread(values: list[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "spread": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0}


def _says(cells: list[dict[str, Any]]) -> str:
    return (
        "Median, 90% interval and CRPS of a function of several measured properties, for compounds not seen (grouped "
        f"5-fold, formula and temperature alone are known; {DRAWS} draws; of forests unless it says GP). "
        f"{_claim(cells, 'zT', 'zT')} {_claim(cells, 'power_factor', 'the power factor')} Compared "
        "fold by fold; ± is the standard error of the mean difference. `sample` draws each row and "
        "property as predicted, in the order of the joint Gaussian's draws. "
        "Coverage is that of all rows together; seconds, of fit and draws, are those of one thread beside other work."
    )


def _claim(cells: list[dict[str, Any]], what: str, called: str) -> str:
    rows = {name: row for name in WAYS if (row := _row(cells, name, what))}
    best = {kind: min(_of(rows, kind), key=lambda name: rows[name]["crps"]["mean"]) for kind in ("j", "i", "d")}
    rivals = dict.fromkeys(["independent: S, σ, κ", best["i"], best["d"]])
    against = "; ".join(f"{_difference(cells, best['j'], name, what)} against {name}" for name in rivals)
    holding = ", ".join(name for name, row in rows.items() if row["holds"]) or "none"
    return (
        f"Of {called}, the joint posterior of lowest CRPS ({best['j']}) has {against}. Intervals that hold (coverage "
        f"within {BAND[0]} to {BAND[1]}): {holding}."
    )


def _of(rows: Mapping[str, Any], kind: str) -> list[str]:
    return [name for name in rows if (name[0] if name[0] in "id" else "j") == kind]


def _difference(cells: list[dict[str, Any]], a: str, b: str, what: str) -> str:
    by = {(cell["way"], cell["fold"]): cell["scores"].get(what) for cell in cells}
    folds = [fold for fold in range(FOLDS) if by.get((a, fold)) and by.get((b, fold))]
    parts = []
    for key in ("mae", "crps"):
        change = np.array([by[a, fold][key] - by[b, fold][key] for fold in folds])
        parts.append(f"{key.upper()} {change.mean():+.3f} ± {change.std(ddof=1) / len(folds) ** 0.5:.3f}")
    return " and ".join(parts)


def main() -> None:
    """Measure what is not there yet, then sum up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", nargs="+", type=int, choices=range(FOLDS), default=list(range(FOLDS)))
    parser.add_argument("--summary", action="store_true", help="measure nothing, sum up what is there")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    lines = PATH.read_text(encoding="utf-8").splitlines() if PATH.exists() else []
    done = {(cell["way"], cell["fold"]) for cell in map(json.loads, lines)}
    for name, fold in [(name, fold) for name in WAYS for fold in asked.folds if not asked.summary]:
        if (name, fold) in done:
            continue
        cell = measure(name, fold)
        print(json.dumps(cell, ensure_ascii=False), flush=True)
        with PATH.open("a", encoding="utf-8") as file:
            file.write(json.dumps(cell, ensure_ascii=False) + "\n")
    summary()


if __name__ == "__main__":
    main()

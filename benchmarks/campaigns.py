"""What a campaign pays until it has found, or learned, what it is for, on tables where all values are known.

    python benchmarks/campaigns.py --part cof --seeds 30
    python benchmarks/campaigns.py --part beside paper useless pools --seeds 10
    python benchmarks/campaigns.py --part learn --seeds 5 --tables hoip-perovskites

`cof`: minutes of simulation, those that each COF really took, until the one of the highest Xe/Kr selectivity (GCMC) has
been simulated by GCMC. The policies see the mean minutes of each level alone. The start, in both levels, is a COF drawn
at random and two by farthest point. `beside`: the same beside BoTorch's own loops, which take minutes a run. `paper`:
the same with the run times of the paper. `useless`: the same with the cheap values dealt out among the COFs at random.
`pools`: experiments until half and 80% of the best 5% of a measured pool are found, from two drawn at random, one at a
time. `learn`: error on held-out materials against trusted labels, every cheap value given. Every finished run is a line
of results/campaigns_<part>.jsonl and is not repeated. Needs MFMAT_DATA.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from botorch_policies import CostCooled, MaxValue, UpperBound
from record import RESULTS, record

import mfmat as mf
from mfmat.outcomes import Backtest, paired
from mfmat.policies import Policy

COF: dict[str, Any] = {"start": 3, "start_by": "farthest", "cost": "cost_minutes"}
HORIZON = 2400
"""Minutes over which the regret is averaged: those that single-fidelity expected improvement takes to find the best."""
POOLS = {"crossed_barrel": "max", "agnp": "min", "p3ht_cnt": "max", "autoam": "max", "perovskite_stability": "min"}
LEARN = {"hoip-perovskites": ("gga", 20.0), "pbe-hse-gaps": ("pbe", 20.0), "mf-bandgap": ("pbe", 400.0)}
"""The given source of each table, and the price of a trusted label."""
FLAGSHIP = ("pbe", "hse", "exp")
"""The sources that the learning on `mf-bandgap` is about; the formulas are those with a value of each."""
LABELS = 40
SHOWN = (8, 12, 24, LABELS)
"""Labels, paid by then, after which the errors are shown."""
SAYS = (
    "Cost until what is looked for has been measured at the target; each policy from the same starts. `mfmat` is "
    "`Ask()` as it comes, `single-fidelity` a GP of the target alone with expected improvement, `multi-task` BoTorch's "
    "MultiTaskGP with expected improvement at the target times the correlation of the source over its price, "
    "`max-value entropy` BoTorch's SingleTaskMultiFidelityGP with qMultiFidelityMaxValueEntropy, `mean + 2 sd` its "
    "SingleTaskGP with a Matern-5/2 kernel; `less mean + 2 sd` is the mean difference to that, in experiments to 80%. "
    "The regret area is "
    f"the mean difference to the best value over the first {HORIZON:,} minutes. Differences are paired, with 95% "
    "intervals of the bootstrap over seeds."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--pools", nargs="+", default=list(POOLS), choices=list(POOLS))
    parser.add_argument("--tables", nargs="+", default=list(LEARN), choices=list(LEARN))
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    # Parts are run on their own, too: what the others found stays.
    file = RESULTS / "campaigns.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["results"] if file.exists() else {}
    for part in asked.part:
        found |= PARTS[part](asked)
    record("campaigns", found, says=SAYS)


def cof(asked: argparse.Namespace) -> dict[str, Any]:
    """mfmat and the baselines of every backtest."""
    result = resumed("cof", *mf.datasets.load("cof-xe-kr"), [mf.Ask(name="mfmat")], seeds=asked.seeds, **COF)
    return {"COF of the highest Xe/Kr selectivity, minutes": campaigns(result)}


def beside(asked: argparse.Namespace) -> dict[str, Any]:
    """The same beside BoTorch's loops."""
    policies = [mf.Ask(name="mfmat"), CostCooled(), MaxValue()]
    result = resumed("beside", *mf.datasets.load("cof-xe-kr"), policies, seeds=asked.seeds, **COF)
    return {"The same COFs beside BoTorch, minutes": campaigns(result)}


def paper(asked: argparse.Namespace) -> dict[str, Any]:
    """The same with the paper's longer runs, whose published means are 48.0, 237.6 and 1,176 hours."""
    table, schema = mf.datasets.load("cof-xe-kr-paper-runs")
    return {
        "COFs with the run times of the paper, minutes": campaigns(
            resumed("paper", table, schema, [mf.Ask(name="mfmat")], seeds=asked.seeds, **COF)
        )
    }


def useless(asked: argparse.Namespace) -> dict[str, Any]:
    """What a cheap source costs that says nothing."""
    table, schema = mf.datasets.load("cof-xe-kr")
    cheap = (table[schema.source] == schema.sources[0]).to_numpy()
    table[schema.value] = table[schema.value].astype(float)
    drawn = np.random.default_rng(0).permutation(table.loc[cheap, schema.value].to_numpy())
    table.loc[cheap, schema.value] = drawn
    result = resumed("useless", table, schema, [mf.Ask(name="mfmat")], seeds=asked.seeds, **COF)
    return {"COFs with a cheap source that says nothing, minutes": campaigns(result)}


def pools(asked: argparse.Namespace) -> dict[str, Any]:
    """Experiments to half and to 80% of the best 5%."""
    return {f"Pool {pool}, experiments": experiments(pool, asked.seeds) for pool in asked.pools}


def learn(asked: argparse.Namespace) -> dict[str, Any]:
    """Errors after ever more labels, of mfmat's choice and of chance with the same recipe."""
    return {f"Learning {table}, labels": lessons(table, asked.seeds) for table in asked.tables}


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "cof": cof,
    "beside": beside,
    "paper": paper,
    "useless": useless,
    "pools": pools,
    "learn": learn,
}


def resumed(part: str, table: pd.DataFrame, schema: mf.Schema, policies: Sequence[Policy], **options: Any) -> Backtest:
    """The backtest of one part, from and into its own file."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    return mf.backtest(table, schema, policies, path=RESULTS / f"campaigns_{part}.jsonl", **options)


def campaigns(result: Backtest) -> list[dict[str, Any]]:
    """A row a policy, with paired differences to all others of interest."""
    rows = []
    for policy, row in result.summary().iterrows():
        quartiles = f"{row['lower_quartile']:.0f} to {row['upper_quartile']:.0f}"
        mine = result.steps[result.steps["policy"] == policy]
        asks = mine[mine["step"] > 0].groupby("source").size() / row["runs"]
        rows.append(
            {"policy": policy, "runs": int(row["runs"]), "median": row["median"], "quartiles": quartiles}
            | {"mean": row["mean"], "regret area": round(regret_area(mine), 2)}
            | {f"to {name}": _difference(row, name) for name in ("random", "single-fidelity")}
            | {"asks": ", ".join(f"{count:.1f} {source}" for source, count in asks.items())}
            | {"seconds an ask": round(float(row["seconds"]), 4)}
        )
    return rows


def regret_area(steps: pd.DataFrame) -> float:
    """The mean over runs of the mean regret, as a function of cost, from the start to the horizon."""
    areas = []
    for _, run in steps.groupby("seed"):
        known = run.dropna(subset=["regret"])
        costs = np.append(known["total_cost"].to_numpy(), HORIZON).clip(max=HORIZON)
        areas.append(float(np.diff(costs) @ known["regret"].to_numpy()) / max(HORIZON - costs[0], 1e-9))
    return float(np.mean(areas))


def experiments(pool: str, seeds: int) -> list[dict[str, Any]]:
    """A row a policy: experiments to half and to 80% of the best 5%."""
    table, schema = mf.datasets.load(f"al-pools/{pool}")
    options: dict[str, Any] = {"goal": POOLS[pool], "start": 2, "stop": 0.8, "seeds": seeds}
    result = resumed(pool, table, schema, [mf.Ask(name="mfmat"), UpperBound()], **options)
    half, most = result.cost_to(0.5), result.cost_to(0.8)
    rows = []
    for policy in result.policies:
        mean, lower, upper = paired(most[policy] - most["single-fidelity"])
        against = f"{mean:+.1f} ({lower:+.1f} to {upper:+.1f})"
        medians = {"to half": float(half[policy].median()), "to 80%": float(most[policy].median())}
        ends = dict(
            zip(("less mean + 2 sd", "lower", "upper"), paired(most[policy] - most["mean + 2 sd"]), strict=True)
        )
        seconds = float(result.summary().loc[policy, "seconds"])  # type: ignore[arg-type]
        rows.append({"pool": pool, "policy": policy, "runs": len(half)} | medians)
        rows[-1] |= {"80%, to single-fidelity": against} | {name: round(end, 1) for name, end in ends.items()}
        rows[-1]["seconds an ask"] = round(seconds, 4)
    return rows


def lessons(name: str, seeds: int) -> list[dict[str, Any]]:
    """A row a policy: errors on a fifth of the materials, which are never asked, and labels to a rival's last one."""
    table, schema = _flagship() if name == "mf-bandgap" else mf.datasets.load(name)
    given, price = LEARN[name]
    chance = mf.Random(recipe=mf.Auto(), learns=schema.sources, name="chance, all sources")
    budget = price * LABELS
    terms: dict[str, Any] = {"goal": "learn", "given": given, "start": 4, "batch": 4, "budget": budget}
    result = resumed(f"learn_{name}", table, schema, [mf.Ask(name="mfmat"), chance], seeds=seeds, **terms)
    tested = result.steps.dropna(subset=["mae"]).assign(labels=lambda steps: steps["total_cost"] / price)
    curves = {policy: _curve(mine) for policy, mine in tested.groupby("policy")}
    goals = {rival: float(curves[rival]["mae"].iloc[-1]) for rival in ("random", chance.name)}
    return [
        {"policy": policy, "runs": int(tested.loc[tested["policy"] == policy, "seed"].nunique())}
        | {f"MAE at {labels}": round(float(curve["mae"].loc[:labels].iloc[-1]), 4) for labels in SHOWN}
        | {"CRPS": round(float(curve["crps"].iloc[-1]), 4), "coverage": round(float(curve["coverage"].iloc[-1]), 3)}
        | {f"where {rival} ends": _first_below(curve, goal) for rival, goal in goals.items()}
        for policy, curve in curves.items()
    ]


def _flagship() -> tuple[pd.DataFrame, mf.Schema]:
    """PBE, HSE and experiment of the formulas that have a value of each."""
    table, schema = mf.datasets.load("mf-bandgap")
    table = table[table["fidelity"].isin(FLAGSHIP)]
    counts = table.groupby("formula")["fidelity"].nunique()
    table = table[table["formula"].isin(counts.index[counts == len(FLAGSHIP)])].reset_index(drop=True)
    return table, replace(schema, costs={name: schema.costs[name] for name in FLAGSHIP})


def _curve(tested: pd.DataFrame) -> pd.DataFrame:
    """Means over runs of what the last test found, by what had been paid (in prices of a trusted label)."""
    figures = ["mae", "crps", "coverage"]
    wide = tested.pivot_table(index="labels", columns="seed", values=figures, aggfunc="last")
    # Before every run has been tested, a mean would be of the runs that happen to be cheap.
    known = wide.ffill().dropna()
    return pd.DataFrame({figure: known[figure].mean(axis=1) for figure in figures})


def _first_below(curve: pd.DataFrame, goal: float) -> float | None:
    """What had been paid when the mean error first was no greater than a goal."""
    reached = curve.index[curve["mae"] <= goal]
    return round(float(reached[0]), 1) if len(reached) else None


def _difference(row: Any, name: str) -> str:
    lower, upper = row[f"to_{name}_lower"], row[f"to_{name}_upper"]
    return f"{row[f'to_{name}']:+.0f} ({lower:+.0f} to {upper:+.0f})"


if __name__ == "__main__":
    main()

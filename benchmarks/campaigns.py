"""What a campaign pays until it has found what it looks for, on tables where all values are known.

    python benchmarks/campaigns.py --part cof --seeds 30
    python benchmarks/campaigns.py --part pools --seeds 10

`cof`: minutes of simulation, those that each COF really took, until the one of the highest Xe/Kr selectivity (GCMC) has
been simulated by GCMC. The policies see the mean minutes of each level alone. The start, in both levels, is a COF drawn
at random and two by farthest point. `pools`: experiments until half and 80% of the best 5% of a measured pool are
found, from two drawn at random, one at a time. Every finished run is a line of results/campaigns_<part>.jsonl and is
not repeated. Needs MFMAT_DATA.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from botorch.acquisition import ExpectedImprovement
from botorch.fit import fit_gpytorch_mll
from botorch.models import MultiTaskGP
from gpytorch.mlls import ExactMarginalLogLikelihood
from record import RESULTS, record

import mfmat as mf
from mfmat.outcomes import Backtest, paired
from mfmat.policies import Answer, Policy, Situation

COF: dict[str, Any] = {"start": 3, "start_by": "farthest", "cost": "cost_minutes"}
POOLS = {"crossed_barrel": "max", "agnp": "min", "p3ht_cnt": "max", "autoam": "max", "perovskite_stability": "min"}
SAYS = (
    "Cost until what is looked for has been measured at the target; each policy from the same starts. `mfmat` is "
    "`Ask()` as it comes, `single-fidelity` a GP of the target alone with expected improvement, `multi-task` BoTorch's "
    "MultiTaskGP with expected improvement at the target times the correlation of the source over its price. "
    "Differences are paired, with 95% intervals of the bootstrap over seeds."
)


@dataclass(frozen=True)
class CostCooled(Policy, kind="benchmark_cost_cooled"):
    """BoTorch's MultiTaskGP: expected improvement at the target, times |correlation| of the source, over its price."""

    name: str = "multi-task"

    def ask(self, situation: Situation, n: int, previous: Answer | None = None) -> Answer:
        """See `Policy.ask`."""
        schema, sources = situation.schema, situation.schema.sources
        data = schema.data(situation.seen)
        width, target = data.X.shape[1] - 1 - (data.material is not None), len(sources) - 1
        pool = schema.encode(situation.pool)[0][:, 0, :width]
        low, high = pool.amin(0), pool.amax(0)
        span = torch.where(high > low, high - low, 1.0)
        model, y = _fitted((data.X[:, :width] - low) / span, data.fidelity, data.Y[:, 0])
        X = (pool - low) / span
        gain = ExpectedImprovement(model, best_f=y[data.fidelity == target].max())
        with torch.no_grad():
            improvement = torch.cat([gain(_at(part, target).unsqueeze(1)) for part in X.split(128)]).numpy()
            prior = model.covar_module(torch.cat([_at(X[:1], k) for k in range(len(sources))])).to_dense()
        spread = prior.diagonal().sqrt()
        correlation = (prior[:, target] / spread / spread[target]).abs().numpy()
        prices = np.array([schema.prices[name] for name in sources])
        score = np.where(situation.open, improvement[:, None] * correlation / prices, -np.inf)
        row, column = np.unravel_index(score.argmax(), score.shape)
        return Answer([(int(row), sources[column])])

    def learn(self, situation: Situation) -> mf.Surrogate:
        """See `Policy.learn`."""
        raise NotImplementedError


def _fitted(X: torch.Tensor, task: torch.Tensor, y: torch.Tensor) -> tuple[MultiTaskGP, torch.Tensor]:
    """The model of each task's standardised values, and these."""
    scaled = torch.empty_like(y)
    for k in task.unique():
        mine = y[task == k]
        scaled[task == k] = (mine - mine.mean()) / mine.std().clamp_min(1e-9)
    model = MultiTaskGP(
        torch.cat([X, task[:, None].double()], dim=1), scaled[:, None], task_feature=-1, output_tasks=[1]
    )
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    return model, scaled


def _at(X: torch.Tensor, task: int) -> torch.Tensor:
    return torch.cat([X, torch.full((len(X), 1), float(task)).double()], dim=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", default=["cof", "pools"], choices=["cof", "pools"])
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument(
        "--without", nargs="+", default=[], help="policies to leave out: multi-task takes minutes a run"
    )
    parser.add_argument("--pools", nargs="+", default=list(POOLS), choices=list(POOLS))
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    # Parts are run on their own, too: what the others found stays.
    file = RESULTS / "campaigns.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["results"] if file.exists() else {}
    if "cof" in asked.part:
        table, schema = mf.datasets.load("cof-xe-kr")
        policies = [each for each in (mf.Ask(name="mfmat"), CostCooled()) if each.name not in asked.without]
        result = resumed("cof", table, schema, policies, seeds=asked.seeds, **COF)
        found["COF of the highest Xe/Kr selectivity, minutes"] = campaigns(result)
    if "pools" in asked.part:
        found |= {f"Pool {pool}, experiments": experiments(pool, asked.seeds) for pool in asked.pools}
    record("campaigns", found, says=SAYS)


def resumed(part: str, table: pd.DataFrame, schema: mf.Schema, policies: Sequence[Policy], **options: Any) -> Backtest:
    """The backtest of one part, from and into its own file."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    return mf.backtest(table, schema, policies, path=RESULTS / f"campaigns_{part}.jsonl", **options)


def campaigns(result: Backtest) -> list[dict[str, Any]]:
    """A row a policy, with paired differences to all others of interest."""
    rows = []
    for policy, row in result.summary().iterrows():
        quartiles = f"{row['lower_quartile']:.0f} to {row['upper_quartile']:.0f}"
        shares = result.steps[(result.steps["policy"] == policy) & (result.steps["step"] > 0)]
        asks = shares.groupby("source").size() / row["runs"]
        rows.append(
            {"policy": policy, "runs": int(row["runs"]), "median": row["median"], "quartiles": quartiles}
            | {"mean": row["mean"]}
            | {f"to {name}": _difference(row, name) for name in ("random", "single-fidelity")}
            | {"asks": ", ".join(f"{count:.1f} {source}" for source, count in asks.items())}
            | {"seconds an ask": round(float(row["seconds"]), 4)}
        )
    return rows


def experiments(pool: str, seeds: int) -> list[dict[str, Any]]:
    """A row a policy: experiments to half and to 80% of the best 5%."""
    table, schema = mf.datasets.load(f"al-pools/{pool}")
    options: dict[str, Any] = {"goal": POOLS[pool], "start": 2, "stop": 0.8, "seeds": seeds}
    result = resumed(pool, table, schema, [mf.Ask(name="mfmat")], **options)
    half, most = result.cost_to(0.5), result.cost_to(0.8)
    rows = []
    for policy in result.policies:
        mean, lower, upper = paired(most[policy] - most["single-fidelity"])
        against = f"{mean:+.1f} ({lower:+.1f} to {upper:+.1f})"
        medians = {"to half": float(half[policy].median()), "to 80%": float(most[policy].median())}
        seconds = float(result.summary().loc[policy, "seconds"])  # type: ignore[arg-type]
        rows.append({"pool": pool, "policy": policy, "runs": len(half)} | medians)
        rows[-1] |= {"80%, to single-fidelity": against, "seconds an ask": round(seconds, 4)}
    return rows


def _difference(row: Any, name: str) -> str:
    lower, upper = row[f"to_{name}_lower"], row[f"to_{name}_upper"]
    return f"{row[f'to_{name}']:+.0f} ({lower:+.0f} to {upper:+.0f})"


if __name__ == "__main__":
    main()

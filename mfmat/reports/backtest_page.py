"""The page of a backtest: which policy to use, and what each one paid and found."""

from __future__ import annotations

from typing import Any

from mfmat.journal import now
from mfmat.outcomes import Backtest
from mfmat.reports import backtest_drawings as drawings
from mfmat.reports import backtest_tables as tables
from mfmat.reports.backtest_words import doubts, sentences, tiles
from mfmat.reports.wording import money, percent


def lay_out_backtest(x: Backtest) -> dict[str, Any]:
    """What the template of a backtest's page is filled in with."""
    summary, curve, held = x.summary(), x.curve(), x.calibration()
    calibration = held.loc[[policy for policy in x.policies if policy in held.index]]
    learn, stop = x.terms["goal"] == "learn", x.terms["stop"]
    found = None if learn else x.cost_to(None if isinstance(stop, str) else stop)
    what = "CRPS" if learn else "regret" if stop == "budget" else "cost"
    small = "CRPS" if learn else "regret"
    counts = {str(name): len(rows) for name, rows in x.steps.dropna(subset=["median"]).groupby("policy")}
    return {
        "title": "Would it have paid? A backtest",
        "created": now(),
        "verdict": sentences(x),
        "tiles": tiles(summary, what),
        "doubts": list(doubts(x, summary, counts)),
        "legend": {policy: drawings.style(x, policy) for policy in x.policies},
        "reached": None if found is None else drawings.reached(x, found),
        "looked_for": "the best material" if isinstance(stop, str) else f"{percent(stop)} of the best 5%",
        "course": drawings.course(x, curve, small),
        "difference": drawings.difference(x, curve, small) if "random" in x.policies else None,
        "small": small,
        "what": what,
        "policies": tables.policies(summary, what),
        "differences": tables.differences(summary),
        "calibration": drawings.calibration(x, calibration, counts) if counts else None,
        "seconds": drawings.seconds(x) if (x.steps["step"] > 0).any() else None,
        "calibrated": tables.calibration(x, calibration, counts) if counts else None,
        "runs": tables.runs(x, found),
        "facts": _facts(x),
    }


def _facts(x: Backtest) -> dict[str, str]:
    said = {name.replace("_", " "): "–" if value is None else str(value) for name, value in x.terms.items()}
    return said | {"runs": str(x.steps.groupby(["policy", "seed"]).ngroups), "to measure everything": money(x.dearest)}

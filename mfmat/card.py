"""The card: what is known about a surrogate, as JSON."""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mfmat.calibrators.held_out import COLUMNS, LEVEL, ask, score
from mfmat.cell_text import write_cell
from mfmat.data import Data, material_keys
from mfmat.features.featurizer import columns_of
from mfmat.learner import FittedModel
from mfmat.metrics import calibration_curve
from mfmat.prospects import moments_at
from mfmat.schema import Schema

GOLDEN = 5
"""Rows whose predictions are saved with a surrogate and compared when it is loaded."""


def make_card(
    table: pd.DataFrame,
    schema: Schema,
    data: Data,
    model: FittedModel,
    *,
    test: Data | None = None,
    origin: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Versions, provenance, held-out rows with their metrics and what they say of the calibration, golden predictions.

    Args:
        table: what was fitted to.
        schema: settled on that table.
        data: the table as tensors.
        model: what was fitted.
        test: rows of the table that were kept from the model, to say how good it is; None: what it held out itself.
        origin: `trace_origin` of these rows, where several models of them are made.
    """
    origin = origin or trace_origin(table, schema, data)
    columns = columns_of(schema.featurizers)
    rows = table[columns].iloc[data.rows[:GOLDEN].numpy()]
    evidence = model.evidence() if test is None else _judge(model, test)
    heldout = [] if evidence is None else _heldout(table, schema, evidence)
    created = origin["provenance"]["created"]
    return {
        **origin,
        "means": [] if schema.classes() else _means(data, model),
        "why": model.facts.get("why", []),
        "compared": model.facts.get("compared", []),
        "heldout": heldout,
        "metrics": _metrics(heldout),
        "calibration": _calibration(heldout, evidence, data if test is None else test, created),
        "golden": {
            "rows": [{str(k): _plain(v) for k, v in row.items()} for row in rows.to_dict("records")],
            "predictions": predict_golden(schema, model, rows),
        },
    }


def trace_origin(table: pd.DataFrame, schema: Schema, data: Data) -> dict[str, Any]:
    """What a card says of the rows, whatever was fitted to them: versions, provenance, and the materials by number."""
    keys = material_keys(data.X, data.material)
    return {
        "versions": {name: version(name) for name in ("mfmat", "torch", "botorch", "gpytorch")}
        | {"python": platform.python_version()},
        "provenance": _provenance(table, schema, data),
        "seen": {name: keys[data.fidelity == i].tolist() for i, name in enumerate(schema.sources)},
    }


def predict_golden(schema: Schema, model: FittedModel, rows: pd.DataFrame) -> list[list[float]]:
    """Mean and variance of new measurements, as the learner has them before any calibration."""
    X, _ = schema.encode(rows)
    # With gradients on, all of it is in double precision, as other machines will find it.
    posterior = FittedModel.posterior(model, X, observation_noise=True)
    said: list[list[float]] = torch.cat([posterior.mean, posterior.variance], dim=-1)[:, 0].tolist()
    return said


def digest(table: pd.DataFrame) -> str:
    """SHA-256 of the cells and the index."""
    return hashlib.sha256(pd.util.hash_pandas_object(_text(table)).to_numpy().tobytes()).hexdigest()


def _means(data: Data, model: FittedModel) -> list[float]:
    """The target's mean wherever it was measured, in order of size: noise has lifted the best value seen."""
    rows = data.X[data.fidelity == data.target]
    return sorted(moments_at(model, rows)[0].tolist()) if len(rows) else []


def _provenance(table: pd.DataFrame, schema: Schema, data: Data) -> dict[str, Any]:
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "table_sha256": digest(table),
        "rows": {name: int((data.fidelity == i).sum()) for i, name in enumerate(schema.sources)},
        "replicates": int(data.counts.sum()) - len(data),
        "limits": {name: int((data.bounded & (data.fidelity == i)).sum()) for i, name in enumerate(schema.sources)},
        "skipped": [str(problem) for problem in data.skipped],
    }


def _judge(model: FittedModel, test: Data) -> Tensor:
    rows = [torch.arange(len(test))]
    return score(ask([model], rows, test), rows, test)[0]


def _heldout(table: pd.DataFrame, schema: Schema, evidence: Tensor) -> list[dict[str, Any]]:
    positions = evidence[:, 0].long().numpy()
    inputs = table[columns_of(schema.featurizers)].iloc[positions].to_dict("records")
    said = [dict(zip(COLUMNS[1:], numbers, strict=True)) for numbers in evidence[:, 1:].tolist()]
    return [
        {"index": _plain(index), "inputs": {str(name): _plain(cell) for name, cell in row.items()}, **numbers}
        for index, row, numbers in zip(table.index[positions], inputs, said, strict=True)
    ]


def _metrics(heldout: list[dict[str, Any]]) -> dict[str, float]:
    if not heldout:
        return {}
    said = pd.DataFrame(heldout)
    y, lower, upper = said["y"], said["lower"], said["upper"]
    levels, observed = calibration_curve(torch.tensor(said["pit"].tolist(), dtype=torch.double))
    outside = (lower - y).clip(lower=0) + (y - upper).clip(lower=0)
    return {
        "mae": float((y - said["median"]).abs().mean()),
        "rmse": float(((y - said["mean"]) ** 2).mean() ** 0.5),
        "nll": float(said["nll"].mean()),
        "crps": float(said["crps"].mean()),
        "coverage": float(y.between(lower, upper).mean()),
        "width": float((upper - lower).mean()),
        "interval_score": float((upper - lower + 2 / (1 - LEVEL) * outside).mean()),
        "miscalibration_area": float(torch.trapezoid((observed - levels).abs(), levels)),
    }


def _calibration(
    heldout: list[dict[str, Any]], evidence: Tensor | None, data: Data, measured: str
) -> dict[str, Any] | None:
    """Where the intervals were tested, on how many rows and compounds, when, and how many values they held."""
    if evidence is None or not heldout:
        return None
    within = torch.isin(data.rows, evidence[:, 0].long()) & ~data.bounded
    inside = np.mean([row["lower"] <= row["y"] <= row["upper"] for row in heldout])
    return {
        "source": data.sources[-1],
        "rows": len(heldout),
        "compounds": len(data.groups[within].unique()),
        "measured": measured,
        "level": LEVEL,
        "coverage": float(inside),
        "coverage_error": float(np.sqrt(inside * (1 - inside) / len(heldout))),
    }


def _text(table: pd.DataFrame) -> pd.DataFrame:
    objects = [name for name in table.columns if table[name].dtype == object]
    table = table.copy(deep=False)
    for name in objects:
        # A structure is hashed as it is written, not as it is shown.
        table[name] = table[name].map(lambda cell: write_cell(cell) if _is_record(cell) else cell)
    return table.astype(dict.fromkeys(objects, str))


def _is_record(cell: Any) -> bool:
    return isinstance(cell, dict) or hasattr(cell, "as_dict")


def _plain(cell: Any) -> Any:
    cell = cell.item() if isinstance(cell, np.generic) else cell
    if isinstance(cell, float) and not math.isfinite(cell):
        return str(cell)
    return cell if isinstance(cell, bool | int | float | str) else write_cell(cell)

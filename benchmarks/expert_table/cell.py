"""One cell of the table, measured in a process of its own: python -m expert_table.cell CELL RESULT (both JSON)."""

from __future__ import annotations

import faulthandler
import hashlib
import json
import re
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import KFold
from torch import Tensor

import mfmat as mf
from expert_table import contents, fusions
from mfmat import metrics
from mfmat.data import Data
from mfmat.errors import MfmatError
from mfmat.learner import FittedModel
from mfmat.posteriors import interval, quantile
from mfmat.schema import Schema

CHUNK, PEERS_CHUNK = 1024, 4096
"""Rows predicted at a time: by mfmat as `Surrogate.predict` does, by peers as suits them."""
MEASURE_S = 1.0
"""Predictions are repeated until they have taken so long."""
SCORES = ("mae", "rmse", "nll", "crps", "coverage", "width")
OFTEN = 0.05
"""Share of rows with one and the same smallest value from which they are scored apart."""
FOLDS, MATBENCH = 5, 18012019
TIMED_OUT = "timed out"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What is measured.

    Attributes:
        data: short name of the table.
        learner: name of the learner.
        fold: which fifth is held out.
        seed: of the folds, and of the rows chosen where `rows` is given.
        rows: train on so many rows of the target only; None: all.
        cheap: train on so many rows of other sources only, drawn at random.
        device: trained there, where the learner can be told; None: as it comes.
    """

    data: str
    learner: str
    fold: int
    seed: int = 0
    rows: int | None = None
    cheap: int | None = None
    device: str | None = None

    @property
    def name(self) -> str:
        """How the learner is called in tables."""
        return self.learner if self.device is None else f"{self.learner} ({self.device})"

    @property
    def key(self) -> str:
        """Two cells with one key are the same measurement: the learner's options are part of it."""
        config = contents.learner(self.learner, self.data, self.device).config()
        if inputs := contents.inputs(self.learner, self.data):
            config["inputs"] = inputs.config()
        options = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:12]
        rows = f"{self.rows or 'all'}" + (f"+{self.cheap}" if self.cheap is not None else "")
        return "/".join(map(str, (self.data, self.name, self.fold, self.seed, rows, options)))


@dataclass(frozen=True)
class Split:
    """Rows to train on, and held-out rows as tensors and as the table that they came from."""

    schema: Schema
    train: Data
    X: Tensor
    Y: Tensor
    table: pd.DataFrame


def split(cell: Cell) -> Split:
    """The fold's rows; groups (reduced formulas) are never divided, but in the published folds."""
    table, schema = mf.datasets.load((contents.DATA | fusions.DATA)[cell.data])
    schema = replace(schema, inputs=contents.inputs(cell.learner, cell.data) or schema.inputs)
    if cell.data.endswith("-matbench"):
        # As published: rows in file order, compounds on both sides.
        parts = list(KFold(FOLDS, shuffle=True, random_state=MATBENCH).split(table))
        kept, held = parts[cell.fold]
        test = table.iloc[held]
        Y = torch.from_numpy(test[schema.value].to_numpy(np.float64))[:, None]
        train = schema.data(table.iloc[kept])
        return Split(schema, _some(train, cell), schema.encode(test)[0], Y, test)
    data = schema.data(table)
    fold = data.split(FOLDS, cell.seed)[cell.fold]
    test = table.iloc[data.rows[fold].numpy()]
    return Split(schema, _some(data.without(fold), cell), data.X[fold].unsqueeze(1), data.Y[fold], test)


def _some(train: Data, cell: Cell) -> Data:
    """As many rows of the target and of the others as the cell wants, drawn at random."""
    generator = torch.Generator().manual_seed(cell.seed)
    wanted = {True: cell.rows, False: cell.cheap}
    kept = []
    for target, count in wanted.items():
        own = torch.nonzero((train.fidelity == train.target) == target).flatten()
        order = torch.randperm(len(own), generator=generator) if count is not None else torch.arange(len(own))
        kept.append(own[order[:count]])
    return train.take(torch.cat(kept)) if any(count is not None for count in wanted.values()) else train


def measure(cell: Cell) -> dict[str, Any]:
    """Fit, predict and score; seconds to fit include the first prediction, which some models prepare then."""
    part = split(cell)
    chosen = contents.learner(cell.learner, cell.data, cell.device)
    held = memory("VmRSS")
    start = time.perf_counter()
    model: Any = chosen.fit(part.train)
    with torch.no_grad():
        answer(model, part.X[:1])
    fit_s = time.perf_counter() - start
    with torch.no_grad():
        rows_s = speed(model, part.X)
        score = scores(model, part.X, part.Y) | apart(model, part.X, part.Y)
    start = time.perf_counter()
    part.schema.encode(part.table)
    encode_s = (time.perf_counter() - start) / len(part.table)
    return {
        "rows_train": len(part.train),
        "rows_test": len(part.X),
        **score,
        "fit_s": fit_s,
        "rows_per_s": rows_s,
        "rows_per_s_encoded": 1 / (1 / rows_s + encode_s),
        "peak_MB": memory("VmHWM"),
        "before_fit_MB": held,
        "config": chosen.config(),
    }


def answer(model: Any, X: Tensor) -> None:
    """All that a table of predictions holds: median, mean, standard deviation and a 90% interval."""
    for part in X.split(CHUNK if isinstance(model, FittedModel) else PEERS_CHUNK):
        said = model.posterior(part, observation_noise=True)
        _ = said.mean, said.variance.sqrt(), quantile(said, 0.5), interval(said, 0.9)


def speed(model: Any, X: Tensor) -> float:
    """Rows predicted a second, without encoding them."""
    rows, start = 0, time.perf_counter()
    while (took := time.perf_counter() - start) < MEASURE_S:
        answer(model, X)
        rows += len(X)
    return rows / took


def scores(model: Any, X: Tensor, Y: Tensor) -> dict[str, float]:
    """Every metric over all rows, computed a few at a time."""
    parts, sizes = [], []
    for x, y in zip(X.split(CHUNK), Y.split(CHUNK), strict=True):
        found = metrics.summary(model.posterior(x, observation_noise=True), y.unsqueeze(1))
        parts.append(found | {"rmse": found["rmse"] ** 2})
        sizes.append(len(x))
    mean = {name: float(np.average([part[name] for part in parts], weights=sizes)) for name in parts[0]}
    return {name: mean[name] for name in SCORES} | {"rmse": mean["rmse"] ** 0.5}


def apart(model: Any, X: Tensor, Y: Tensor) -> dict[str, float]:
    """The scores of rows at the smallest value, where it is that of one row in twenty at least, and of those above."""
    at = Y[:, 0] == Y.min()
    if at.double().mean() < OFTEN:
        return {}
    above, below = scores(model, X[~at], Y[~at]), scores(model, X[at], Y[at])
    return {f"{name}_above": above[name] for name in SCORES} | {
        f"{name}_at_floor": below[name] for name in ("mae", "coverage", "width")
    }


def memory(what: str) -> float | None:
    """Memory of this process in MB: now (VmRSS) or at most so far (VmHWM), where the system tells."""
    file = Path("/proc/self/status")
    found = re.search(rf"{what}:\s*(\d+) kB", file.read_text()) if file.exists() else None
    return round(int(found[1]) / 1024, 1) if found else None


def main(kind: Callable[..., Any] = Cell, measured: Callable[[Any], dict[str, Any]] = measure) -> None:
    """Measure a cell of that kind; a watchdog, which no computation can keep waiting, ends the process at the limit."""
    asked, target = json.loads(sys.argv[1]), Path(sys.argv[2])
    limit_s, threads = asked.pop("limit_s"), asked.pop("threads")
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")
    cell = kind(**asked)
    with target.with_suffix(".watch").open("w") as watch:
        faulthandler.dump_traceback_later(limit_s, exit=True, file=watch)
        try:
            result = {"status": "finished", **measured(cell)}
        except MfmatError as error:
            result = {"status": "refused", "why": str(error)}
        faulthandler.cancel_dump_traceback_later()
    target.write_text(json.dumps(result, allow_nan=False), encoding="utf-8")


if __name__ == "__main__":
    main()

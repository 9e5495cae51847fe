"""Surrogate: recipe, schema and fitted model in one, from table to table."""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mfmat import saving
from mfmat.auto import Auto
from mfmat.calibrators.held_out import COLUMNS, LEVEL
from mfmat.data import Data, material_keys
from mfmat.draws import draw
from mfmat.errors import MfmatWarning, SavedFileError, SchemaError, warn
from mfmat.explanation import influences
from mfmat.learner import FittedModel, Learner
from mfmat.metrics import calibration_curve
from mfmat.schema import OnError, Schema

CHUNK = 1024
"""Rows predicted at a time: their covariance with some thousand training rows stays near the processor."""
GOLDEN = 5
"""Rows whose predictions are saved with a surrogate and compared when it is loaded."""


class FewRowsWarning(MfmatWarning):
    """The target has too few rows for more than a guess; the interval is as wide as the priors say."""


class GoldenWarning(MfmatWarning):
    """A loaded surrogate whose predictions could not be compared with those saved with it."""


@dataclass(frozen=True)
class Surrogate:
    """A fitted recipe that takes tables and gives tables.

    Attributes:
        recipe: the learner that was fitted.
        schema: what the columns mean.
        model: the BoTorch model; `model.posterior(X)` takes b x q x (d+1), see `Schema.encode`.
        card: what is known about it, as JSON: provenance, held-out predictions, metrics.
        data: the rows that it was fitted to; None where it was loaded.

    >>> import pandas as pd, mfmat as mf
    >>> table = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "y": [0.1, 0.9, 2.1, 2.9]})
    >>> line = mf.fit(table, mf.Schema(mf.Columns("x"), value="y"), mf.GP())
    >>> list(line.predict(table, level=0.8).columns)
    ['median', 'mean', 'std', 'lower', 'upper']
    """

    recipe: Learner
    schema: Schema
    model: FittedModel = field(repr=False)
    card: dict[str, Any] = field(repr=False)
    data: Data | None = field(default=None, repr=False, compare=False)

    def predict(
        self,
        table: pd.DataFrame,
        *,
        level: float = 0.9,
        source: str | None = None,
        noise: bool = True,
        on_error: OnError = "raise",
    ) -> pd.DataFrame:
        """Median, mean, std, lower and upper of a new measurement for each row, the index kept.

        Of a source whose kind is a label: the most probable `label`, and `p_` and its name for each class.

        Args:
            table: n rows with the schema's input columns; others are ignored.
            level: of the central interval from `lower` to `upper`.
            source: whose value is predicted; the target unless named.
            noise: a new measurement with its noise; False for the noise-free value, as the learner has it.
            on_error: `"raise"`, or `"skip"` to leave out rows that cannot be read, with a warning.

        Raises:
            TableError: a missing column or cells that cannot be read.
            CalibrationError: a level for which the calibration rows are too few.
        """
        X, rows = self.schema.encode(table, source, on_error=on_error)
        index = table.index[rows]
        if self.schema.classes(source):
            return self._predict_labels(X, index, source)
        with torch.no_grad():
            parts = [
                self.schema.decode(self.model.posterior(chunk, observation_noise=noise), index[at : at + CHUNK], level)
                for at, chunk in zip(range(0, len(X), CHUNK), X.split(CHUNK), strict=True)
            ]
        return pd.concat(parts)

    def _predict_labels(self, X: Tensor, index: pd.Index, source: str | None) -> pd.DataFrame:
        if self.schema.fidelity(source) != len(self.schema.sources) - 1:
            raise SchemaError(
                f"source={source!r}, a label that is not the target",
                expected="values, or the label that the surrogate was fitted for",
                fix=f"a surrogate with Schema(target={source!r})",
            )
        parts = [self.model.probabilities(chunk)[:, 0] for chunk in X.split(CHUNK)]
        return self.schema.decode_labels(torch.cat(parts), index, source)

    def sample(
        self,
        table: pd.DataFrame,
        n: int = 256,
        *,
        source: str | Sequence[str] | None = None,
        noise: bool = True,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Joint draws over all rows and sources, one column a draw.

        With several sources the index gains a level `source`. Each row is distributed as `predict` says of it, mixtures
        and atoms included, and rows depend on each other as in the learner's joint Gaussian (`draw`); a calibrator
        of intervals does not reshape them.

        Raises:
            SchemaError: more joint values than a covariance can hold (20,000).
        """
        names = [source] if source is None or isinstance(source, str) else list(source)
        if labels := [self.schema.sources[self.schema.fidelity(name)] for name in names if self.schema.classes(name)]:
            raise SchemaError(f"draws of the label {labels[0]!r}", expected="a source of values", fix="use predict")
        blocks = [self.schema.encode(table, name) for name in names]
        X = torch.cat([block for block, _ in blocks])[:, 0]
        if len(X) > 20_000:
            raise SchemaError(f"{len(X)} joint values", expected="at most 20000", fix="draw in parts, or use predict")
        draws = draw(self.model, X, n, noise=noise, seed=seed)
        index = table.index
        if len(names) > 1:
            index = pd.concat([pd.Series(0, index)] * len(names), keys=names, names=["source"]).index
        return pd.DataFrame(draws.numpy(), index=index)

    def explain(
        self, table: pd.DataFrame, *, seen: pd.DataFrame | None = None, on_error: OnError = "raise"
    ) -> pd.DataFrame:
        """What each source does to the prediction of each row: the model fitted again without it.

        Args:
            table: n rows, as for `predict`.
            seen: the table that the surrogate was fitted to; needed once it was loaded.
            on_error: as for `predict`.

        Returns:
            `median` and `std` as predicted; for each cheap source that has rows, and for `all` of them together,
            `shift_` and its name (mean with the source minus without it, in the units of the values) and `reduction_`
            and its name (share of the variance of a new measurement that the source takes away; below 0 where it
            adds doubt); where the prediction is a mixture, for each part of it `weight_` and `weight_std_` and its name
            (the probability of `floor`, and the weights of the members by their kind, with their uncertainty).

        Raises:
            SchemaError: a loaded surrogate without the table that it was fitted to, or another table; a target that
                is a label.
        """
        if self.schema.classes():
            raise SchemaError("the explanation of a label", expected="a target of values", fix="use predict")
        X, rows = self.schema.encode(table, on_error=on_error)
        recipe = Learner.of(self.model.facts["recipe"]) if isinstance(self.recipe, Auto) else self.recipe
        found = influences(recipe, self._data(seen), X)
        said = self.predict(table, on_error=on_error)[["median", "std"]]
        columns = {}
        for name, influence in found.items():
            columns[f"shift_{name}"] = influence.shift.numpy()
            columns[f"reduction_{name}"] = influence.reduction.numpy()
        with torch.no_grad():
            for name, (weight, std) in self.model.shares(X).items():
                columns[f"weight_{name}"] = weight.flatten().numpy()
                columns[f"weight_std_{name}"] = std.flatten().numpy()
        return said.join(pd.DataFrame(columns, index=table.index[rows]))

    def _data(self, seen: pd.DataFrame | None) -> Data:
        if seen is None:
            if self.data is None:
                raise SchemaError(
                    "a loaded surrogate, which keeps no rows",
                    expected="the table that it was fitted to",
                    fix="explain(table, seen=...)",
                )
            return self.data
        if _digest(seen) != self.card["provenance"]["table_sha256"]:
            raise SchemaError(
                f"seen, a table of {len(seen)} rows that differs from the one fitted to",
                expected="the same rows, columns and cells",
                fix="pass the table as it was given to fit",
            )
        return self.schema.data(seen, on_error="skip" if self.card["provenance"]["skipped"] else "raise")

    def save(self, path: str | Path) -> None:
        """Write `path` as a folder of JSON and safetensors with checksums; no pickle."""
        head = {"recipe": self.recipe.config(), "schema": self.schema.config(), "facts": self.model.facts}
        saving.write(path, {**head, **self.card}, self.model.state_dict())

    def heldout(self) -> pd.DataFrame | None:
        """Values of held-out rows with what the model that had not seen them said; None where nothing was held out."""
        return pd.DataFrame(self.card["heldout"]) if self.card["heldout"] else None


def fit(
    table: pd.DataFrame, schema: Schema, recipe: Learner | None = None, *, on_error: OnError = "raise"
) -> Surrogate:
    """Fit a recipe to a table.

    Args:
        table: one value a row; columns that the schema does not name are ignored.
        schema: what the columns mean.
        recipe: any learner; `Auto()` unless given.
        on_error: `"raise"`, or `"skip"` to leave out rows that cannot be read, with a warning.

    Raises:
        TableError: an empty table, a missing column, or cells that cannot be read (all are named).
        FitError: a learner that cannot be fitted to these rows.

    >>> import pandas as pd, mfmat as mf
    >>> table = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "y": [0.1, 0.9, 2.1, 2.9]})
    >>> mf.fit(table, mf.Schema(mf.Columns("x"), value="y"), mf.GP()).schema.sources
    ('y',)
    """
    recipe = recipe or Auto()
    schema = schema.settle(table)
    data = schema.data(table, on_error=on_error)
    at_target = int((data.fidelity == data.target).sum())
    if at_target < 3:
        warn(
            FewRowsWarning,
            f"{at_target} rows of the target {schema.sources[-1]!r}",
            expected="at least 3 to learn how it differs from the other sources",
            fix="trust the wide interval, or measure more",
        )
    model = recipe.fit(data)
    return Surrogate(recipe, schema, model, _card(table, schema, data, model), data)


def load(path: str | Path) -> Surrogate:
    """The surrogate saved at `path`, with predictions equal to those saved with it.

    Args:
        path: the folder that `Surrogate.save` wrote.

    Raises:
        SavedFileError: missing, cut short, altered or newer files, or predictions that differ.
        UnknownNameError: a learner or featurizer whose module has not been imported.
    """
    card, state = saving.read(path)
    recipe, schema = Learner.of(card.pop("recipe")), Schema.of(card.pop("schema"))
    model = recipe.restore(card.pop("facts"), state)
    kept = {name: entry for name, entry in card.items() if name not in ("format", "aliases")}
    surrogate = Surrogate(recipe, schema, model, kept)
    golden = card["golden"]
    now = _golden(surrogate.schema, model, pd.DataFrame(golden["rows"]))
    if not np.allclose(now, golden["predictions"], rtol=1e-6, atol=0):
        raise SavedFileError(
            f"{path}, whose predictions differ from those saved with it",
            expected="equal predictions within 1e-6",
            fix=f"the versions it was saved with: {card['versions']}",
        )
    return surrogate


def _golden(schema: Schema, model: FittedModel, rows: pd.DataFrame) -> list[list[float]]:
    X, _ = schema.encode(rows)
    # With gradients on, all of it is in double precision, as other machines will find it.
    posterior = FittedModel.posterior(model, X, observation_noise=True)
    said: list[list[float]] = torch.cat([posterior.mean, posterior.variance], dim=-1)[:, 0].tolist()
    return said


def _card(table: pd.DataFrame, schema: Schema, data: Data, model: FittedModel) -> dict[str, Any]:
    columns = [column for featurizer in schema.featurizers for column in featurizer.columns]
    rows = table[columns].iloc[data.rows[:GOLDEN].numpy()]
    heldout = _heldout(table, schema, model)
    target, keys = data.Y[data.fidelity == data.target], material_keys(data.X, data.material)
    labels = schema.classes()
    counts = {name: int((data.fidelity == i).sum()) for i, name in enumerate(schema.sources)}
    return {
        "versions": {name: version(name) for name in ("mfmat", "torch", "botorch", "gpytorch")}
        | {"python": platform.python_version()},
        "provenance": {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "table_sha256": _digest(table),
            "rows": counts,
            "replicates": int(data.counts.sum()) - len(data),
            "skipped": [str(problem) for problem in data.skipped],
        },
        "best": {"max": float(target.max()), "min": float(target.min())} if len(target) and not labels else None,
        "seen": {name: keys[data.fidelity == i].tolist() for i, name in enumerate(schema.sources)},
        "why": model.facts.get("why", []),
        "compared": model.facts.get("compared", []),
        "heldout": heldout,
        "metrics": _metrics(heldout),
        "golden": {
            "rows": [{str(k): _plain(v) for k, v in row.items()} for row in rows.to_dict("records")],
            "predictions": _golden(schema, model, rows),
        },
    }


def _heldout(table: pd.DataFrame, schema: Schema, model: FittedModel) -> list[dict[str, Any]]:
    evidence = model.evidence()
    if evidence is None:
        return []
    columns = [column for featurizer in schema.featurizers for column in featurizer.columns]
    rows, records = table[columns], []
    for position, *numbers in evidence.tolist():
        inputs = {str(name): _plain(cell) for name, cell in rows.iloc[int(position)].items()}
        said = dict(zip(COLUMNS[1:], numbers, strict=True))
        records.append({"index": _plain(table.index[int(position)]), "inputs": inputs, **said})
    return records


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


def _digest(table: pd.DataFrame) -> str:
    return hashlib.sha256(pd.util.hash_pandas_object(_text(table)).to_numpy().tobytes()).hexdigest()


def _text(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype({name: str for name in table.columns if table[name].dtype == object})


def _plain(cell: Any) -> Any:
    cell = cell.item() if isinstance(cell, np.generic) else cell
    if isinstance(cell, float) and not math.isfinite(cell):
        return str(cell)
    return cell if isinstance(cell, bool | int | float | str) else str(cell)

"""Surrogate: recipe, schema and fitted model in one, from table to table."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mfmat import saving
from mfmat.auto import Auto
from mfmat.card import digest, make_card, predict_golden
from mfmat.data import Data
from mfmat.draws import draw
from mfmat.errors import MfmatWarning, SavedFileError, SchemaError, warn
from mfmat.explanation import influences, weigh_members
from mfmat.learner import FittedModel, Learner, part
from mfmat.novelty import Novelty, warn_outside
from mfmat.schema import Schema
from mfmat.skipping import OnError

LOGGER = logging.getLogger("mfmat")
CHUNK = 1024
"""Rows predicted at a time: their covariance with some thousand training rows stays near the processor."""
NOVELTY = "novelty."
"""What names its tensors in a saved file."""


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
        measured: how unlike the target's measured compounds a row is; None where nothing was held out to calibrate
            by, and of files saved before it was kept.

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
    measured: Novelty | None = field(default=None, repr=False, compare=False)

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
        `OutsideWarning` names rows of new measurements of the target that are unlike all compounds that the intervals
        were calibrated on; about 1% of calls whose rows are all like them warn, too (`mfmat.novelty`).

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
        if noise and self.measured and self.schema.fidelity(source) == len(self.schema.sources) - 1:
            warn_outside(self.measured, X, index, self.schema.sources[-1])
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

    def novelty(self, table: pd.DataFrame, *, on_error: OnError = "raise") -> pd.Series:
        """A p-value for each row, the index kept: small where it is unlike the target's measured compounds.

        The share of measured compounds that are at least as far from all others as the row is from the nearest of
        them; beyond the farthest, the tail of their distances (`mfmat.novelty.Novelty`). Of rows like those that
        were measured one in a hundred has 0.01 or less.

        Args:
            table: n rows, as for `predict`.
            on_error: as for `predict`.

        Raises:
            SchemaError: a surrogate that holds no calibration evidence, or was saved before this was kept.
            TableError: as `predict`.

        >>> import pandas as pd, mfmat as mf
        >>> table = pd.DataFrame({"x": range(30), "y": [x % 7 + x / 2 for x in range(30)]})
        >>> model = mf.fit(table, mf.Schema(mf.Columns("x"), value="y"), mf.Conformal(mf.GP()))
        >>> model.novelty(pd.DataFrame({"x": [12.0, 900.0]}, index=["near", "far"])).round(3).tolist()
        [1.0, 0.0]
        """
        if self.measured is None:
            raise SchemaError(
                "the novelty of rows for a surrogate without calibration evidence",
                expected="a recipe that holds target compounds out",
                fix="fit with Auto() to 10 target compounds or more, or with Conformal(...)",
            )
        X, rows = self.schema.encode(table, on_error=on_error)
        return pd.Series(self.measured.p_values(X[:, 0]).numpy(), index=table.index[rows], name="novelty")

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
        found = influences(recipe, self.recall(seen), X)
        said = self.predict(table, on_error=on_error)[["median", "std"]]
        columns = {}
        for name, influence in found.items():
            columns[f"shift_{name}"] = influence.shift.numpy()
            columns[f"reduction_{name}"] = influence.reduction.numpy()
        columns |= {name: weight.numpy() for name, weight in weigh_members(self.model, X).items()}
        return said.join(pd.DataFrame(columns, index=table.index[rows]))

    def weights(self, *, level: float = 0.9) -> pd.DataFrame:
        """How much of what each process in the model expects comes from each view, and how sure that is.

        The posterior is Laplace's around the hyperparameters that were chosen, or that of the draws of
        `GP(inference="nuts")`; computing it takes about half as long as fitting.

        Args:
            level: of the central interval from `lower` to `upper`.

        Returns:
            A row for each process and view, the largest weight of a process first: `process` (its place among the
            members of a stack; "" of one that stands alone), `view` (`joint` is a function of several views at once),
            `weight` (the view's share of the prior variance; of `GatedTransfer` its gate's weight), and `std`, `lower`,
            `upper` of its posterior, NaN where there is none. No rows where nothing weighs views.

        >>> import pandas as pd, mfmat as mf
        >>> table = pd.DataFrame({"a": range(20), "b": [i * i % 7 for i in range(20)]}).assign(y=lambda t: t["a"] / 5)
        >>> schema = mf.Schema([mf.Columns("a", name="a"), mf.Columns("b", name="b")], value="y")
        >>> mf.fit(table, schema, mf.GP()).weights()["view"].tolist()[0]
        'a.numeric'
        """
        columns = ["process", "view", "weight", "std", "lower", "upper"]
        tables = []
        for process, found in self.model.weighings().items():
            low, high = found.interval(level)
            numbers = (part.numpy() for part in (found.share.detach(), found.std, low, high))
            rows = dict(zip(columns, [process, list(found.names), *numbers], strict=True))
            tables.append(pd.DataFrame(rows).sort_values("weight", ascending=False, kind="stable"))
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)

    def recall(self, seen: pd.DataFrame | None = None) -> Data:
        """The rows that it was fitted to.

        Args:
            seen: the table that they were in; needed once the surrogate was loaded.

        Raises:
            SchemaError: a loaded surrogate without that table, or another table.
        """
        if seen is None:
            if self.data is None:
                raise SchemaError(
                    "a loaded surrogate, which keeps no rows",
                    expected="the table that it was fitted to",
                    fix="pass it as seen=...",
                )
            return self.data
        if digest(seen) != self.card["provenance"]["table_sha256"]:
            raise SchemaError(
                f"seen, a table of {len(seen)} rows that differs from the one fitted to",
                expected="the same rows, columns and cells",
                fix="pass the table as it was given to fit",
            )
        data = self.schema.data(seen, on_error="skip" if self.card["provenance"]["skipped"] else "raise")
        split = self.card["provenance"].get("split")
        return data.without(data.split(split["parts"], split["seed"])[0]) if split else data

    def save(self, path: str | Path) -> None:
        """Write `path` as a folder of JSON and safetensors with checksums; no pickle."""
        head = {"recipe": self.recipe.config(), "schema": self.schema.config(), "facts": self.model.facts}
        novelty = self.measured.state() if self.measured else {}
        kept = {f"{NOVELTY}{name}": tensor for name, tensor in novelty.items()}
        saving.write(path, {**head, **self.card}, {**self.model.state_dict(), **kept})

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
    counts = ", ".join(f"{int((data.fidelity == i).sum())} {name}" for i, name in enumerate(schema.sources))
    LOGGER.info("fitting %s to %d rows (%s)", type(recipe).__name__, len(data), counts)
    began = time.monotonic()
    model = recipe.fit(data)
    LOGGER.info("fitted in %.1f s", time.monotonic() - began)
    for sentence in model.facts.get("why", []):
        LOGGER.info("%s", sentence)
    measured = Novelty.of_target(data) if model.evidence() is not None else None
    return Surrogate(recipe, schema, model, make_card(table, schema, data, model), data, measured)


def load(path: str | Path, *, compare: bool = True) -> Surrogate:
    """The surrogate saved at `path`, with predictions equal to those saved with it.

    Args:
        path: the folder that `Surrogate.save` wrote.
        compare: predict some rows again and compare; False where thousands of checked files are loaded at once.

    Raises:
        SavedFileError: missing, cut short, altered or newer files, or predictions that differ.
        UnknownNameError: a learner or featurizer whose module has not been imported.
    """
    card, state = saving.read(path)
    recipe, schema = Learner.of(card.pop("recipe")), Schema.of(card.pop("schema"))
    novelty = part(state, NOVELTY)
    model = recipe.restore(card.pop("facts"), {name: state[name] for name in state if not name.startswith(NOVELTY)})
    kept = {name: entry for name, entry in card.items() if name not in ("format", "aliases")}
    surrogate = Surrogate(recipe, schema, model, kept, measured=Novelty.restore(schema.views, novelty))
    if not compare:
        return surrogate
    golden = card["golden"]
    now = predict_golden(surrogate.schema, model, pd.DataFrame(golden["rows"]))
    if not np.allclose(now, golden["predictions"], rtol=1e-6, atol=0):
        raise SavedFileError(
            f"{path}, whose predictions differ from those saved with it",
            expected="equal predictions within 1e-6",
            fix=f"the versions it was saved with: {card['versions']}",
        )
    return surrogate

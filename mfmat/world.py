"""World: a table of known values that a campaign can be replayed on, pair by pair."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfmat.amounts import by_unit
from mfmat.data import Data, material_keys
from mfmat.errors import Problem, SchemaError, TableError
from mfmat.features.featurizer import columns_of
from mfmat.schema import Schema
from mfmat.sources import read_fidelities


@dataclass(frozen=True)
class World:
    """Known values, by material and source.

    Attributes:
        rows: one row for each (material, source) pair that has a value, replicates averaged, with the schema's columns.
        pool: one row for each material, its inputs alone, as its most trusted row has them; the index is 0, 1, ...
        index: the label of that row in the table.
        place: the position in `rows` of each material (row) and source (column); -1 where there is no value.
        value: of each of `rows`.
        cost: what each of `rows` really costs.
        keys: each material's number.
        inputs: of each material, encoded and standardised.
        schema: what the columns mean, with what it left open read off the whole table.
    """

    rows: pd.DataFrame = field(repr=False)
    pool: pd.DataFrame = field(repr=False)
    index: pd.Index = field(repr=False)
    place: NDArray[np.int64] = field(repr=False)
    value: NDArray[np.float64] = field(repr=False)
    cost: NDArray[np.float64] = field(repr=False)
    keys: Tensor = field(repr=False)
    inputs: NDArray[np.float64] = field(repr=False)
    schema: Schema

    def __len__(self) -> int:
        return len(self.pool)

    @property
    def target(self) -> NDArray[np.float64]:
        """Each material's value at the target; NaN where there is none."""
        place = self.place[:, -1]
        return np.where(place < 0, np.nan, self.value[place])

    @property
    def setup(self) -> NDArray[np.float64]:
        """What the first pair of a batch in each source costs on top (m)."""
        named = self.schema.setup or {}
        return np.array([math.fsum(by_unit(named.get(name, 0.0)).values()) for name in self.schema.sources])

    @property
    def dearest(self) -> float:
        """What it costs to measure every pair, each in a batch of its own."""
        return float(self.cost.sum() + (self.place >= 0).sum(axis=0) @ self.setup)

    @classmethod
    def of(cls, table: pd.DataFrame, schema: Schema, cost: str | None = None) -> World:
        """The world of a table.

        Args:
            table: a row for each value; a missing value is a pair that cannot be asked.
            schema: what the columns mean.
            cost: the column with what each row really costs; None: the schema's prices.

        Raises:
            TableError: as `fit`; a target without values; true costs that are no numbers of 0 or more.
            SchemaError: a target that is a label, prices in several units.
        """
        known = table[table[schema.value].notna()] if schema.value in table.columns else table
        schema = schema.settle(known)
        data = schema.data(known)
        _check(data, schema)
        keys, material = np.unique(material_keys(data.X, data.material).numpy(), return_inverse=True)
        place = np.full((len(keys), len(schema.sources)), -1)
        place[material, data.fidelity.numpy()] = np.arange(len(data))
        trusted = place.shape[1] - 1 - (place[:, ::-1] >= 0).argmax(axis=1)
        best = place[np.arange(len(keys)), trusted]
        order = best.argsort()
        first = known.iloc[data.rows.numpy()]
        return cls(
            rows=_averaged(first, data, schema),
            pool=first.iloc[best[order]][_inputs(schema)].reset_index(drop=True),
            index=first.index[best[order]],
            place=place[order],
            value=data.Y[:, 0].numpy(),
            cost=_costs(known, schema, data, cost),
            keys=torch.from_numpy(keys[order]),
            inputs=_standardised(data.X[torch.from_numpy(best[order])], schema),
            schema=schema,
        )


def _check(data: Data, schema: Schema) -> None:
    if len(schema.units) > 1:
        raise SchemaError(
            f"prices in {', '.join(map(repr, schema.units))} for a replay",
            expected="prices in one unit, by which runs are compared",
            fix="a Schema with prices in one unit, such as money",
        )
    if by_row := [cost for cost in (schema.costs or {}).values() if isinstance(cost, str)]:
        raise SchemaError(
            f"a price in the column {by_row[0]!r}",
            expected="numbers, by which the policies choose",
            fix=f'mean prices in the Schema, and cost="{by_row[0]}" for what is really paid',
        )
    if schema.classes():
        raise SchemaError(
            f"a campaign for the label {schema.sources[-1]!r}", expected="a target of values", fix="a numeric target"
        )
    if limits := int(data.bounded.sum()):
        raise TableError(
            f"{limits} limits in place of values, the first in row {int(data.rows[data.bounded][0])}",
            expected="values, which a replayed campaign can be shown and judged by",
            fix=f"a table without those rows (column {schema.censored!r})",
        )
    if not (data.fidelity == data.target).any():
        raise TableError(
            f"no value of the target {schema.sources[-1]!r}",
            expected="values of what a campaign may ask",
            fix="add them, or name another target",
        )


def _averaged(first: pd.DataFrame, data: Data, schema: Schema) -> pd.DataFrame:
    """The first row of each pair, with the mean of its replicates and the noise of that mean, as far as it is known."""
    columns = [*_inputs(schema), *(name for name in (schema.source, schema.group) if name), schema.value]
    rows = first[list(dict.fromkeys(columns))].reset_index(drop=True)
    rows[schema.value] = rows[schema.value].where(data.labelled.numpy(), data.Y[:, 0].numpy())
    if schema.noise:
        known = data.known.numpy() & (first[schema.noise].notna().to_numpy() | (data.counts.numpy() > 1))
        rows[schema.noise] = np.where(known, data.Yvar[:, 0].sqrt().numpy(), np.nan)
    return rows


def _inputs(schema: Schema) -> list[str]:
    """The columns that say what a material is; others, such as measured minutes, could tell its value."""
    named = columns_of(schema.featurizers)
    beside = (schema.metadata,) if not isinstance(schema.metadata, tuple) else schema.metadata
    named += [column for featurizer in beside for column in featurizer.columns]
    return list(dict.fromkeys([*named, *(name for name in (schema.material, schema.group) if name)]))


def _costs(table: pd.DataFrame, schema: Schema, data: Data, cost: str | None) -> NDArray[np.float64]:
    if cost is None:
        prices = np.array([schema.prices[name] for name in schema.sources])
        return np.asarray(prices[data.fidelity.numpy()], dtype=np.float64)
    if cost not in table.columns:
        raise TableError(f"a table without the column {cost!r}", expected="the cost of each row", fix="name it")
    paid = pd.to_numeric(table[cost], errors="coerce")
    bad = np.flatnonzero(~(paid >= 0) | np.isinf(paid)).tolist()
    if bad:
        cells = table[cost].tolist()
        raise TableError.of([Problem(i, table.index[i], cost, cells[i], "no cost of 0 or more") for i in bad])
    X, _ = schema.encode(table)
    keys = material_keys(X[:, 0], schema.material_column).numpy()
    fidelity, _ = read_fidelities(table, schema.source, schema.sources)
    mean = pd.Series(paid.to_numpy(dtype=np.float64)).groupby([keys, fidelity]).transform("mean")
    return np.asarray(mean.to_numpy()[data.rows.numpy()], dtype=np.float64)


def _standardised(X: Tensor, schema: Schema) -> NDArray[np.float64]:
    inputs = X[:, : max(view.stop for view in schema.views.values())].numpy()
    spread = inputs.std(axis=0)
    return np.asarray((inputs - inputs.mean(axis=0)) / np.where(spread > 0, spread, 1.0))

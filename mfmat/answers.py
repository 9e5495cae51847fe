"""A table that people filled in: which pair each row is, and what was measured."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfmat.cells import is_missing, make_problem
from mfmat.costs import cost_column, name_columns
from mfmat.data import material_keys
from mfmat.durations import DURATION, find_bad
from mfmat.errors import Problem, TableError
from mfmat.features.featurizer import columns_of
from mfmat.frames import plain
from mfmat.journal import Entry
from mfmat.readings import read_noise, read_values
from mfmat.schema import Schema
from mfmat.sources import read_fidelities


@dataclass(frozen=True)
class Catalogue:
    """The pool of a campaign, by which rows are recognised.

    A row is a candidate of the pool where both are one material (equal inputs, or equal names where the schema
    names a material); any other row is a material that somebody chose to measure all the same.

    >>> from mfmat import Columns, Schema
    >>> known = Catalogue(Schema(Columns("x"), value="y"), pd.DataFrame({"x": [0.1, 0.2]}, index=["a", "b"]))
    >>> known.recognise(pd.DataFrame({"x": [0.2, 0.7]}))
    ['"b"', '{"x": 0.7}']
    """

    schema: Schema
    pool: pd.DataFrame = field(repr=False)

    @property
    def source_column(self) -> str:
        """Where a table names the source of a row."""
        return self.schema.source or "source"

    @property
    def columns(self) -> list[str]:
        """Everything that the schema reads off a candidate."""
        schema = self.schema
        metadata = (schema.metadata,) if not isinstance(schema.metadata, tuple) else schema.metadata
        read = [column for each in (*schema.featurizers, *metadata) for column in each.columns]
        return list(dict.fromkeys([*read, *filter(None, (schema.material, schema.group))]))

    @cached_property
    def labels(self) -> list[str]:
        """The candidates of the pool, as events name them."""
        return [json.dumps(plain(label)) for label in self.pool.index]

    @cached_property
    def places(self) -> dict[str, int]:
        """The row of the pool that each candidate is."""
        return {label: place for place, label in enumerate(self.labels)}

    @cached_property
    def costs(self) -> NDArray[np.float64]:
        """The declared price of each candidate in each source and unit (n x m x u); 1 where only durations say it."""
        found: NDArray[np.float64] = self.schema.price(self.priced)[0].numpy()
        return found

    def price_row(self, row: Mapping[str, Any]) -> NDArray[np.float64] | None:
        """The declared price of a row that the pool lacks, in each source and unit (m x u); None where it has none."""
        columns = name_columns(self.schema.costs or {})
        if not columns or self.undeclared or any(pd.isna(row.get(name)) for name in columns):
            return None
        found: NDArray[np.float64] = self.schema.price(pd.DataFrame([row]), on_error="skip")[0].numpy()
        return found[0] if len(found) else None

    @property
    def undeclared(self) -> list[str]:
        """The sources whose price is the `duration` of what was measured, and that of no column of the pool."""
        costs = self.schema.costs or {}
        return [] if DURATION in self.pool else [name for name, cost in costs.items() if cost == DURATION]

    @cached_property
    def priced(self) -> pd.DataFrame:
        """The pool with a price in every column that holds prices."""
        return self.pool.assign(**{DURATION: 1.0}) if self.undeclared else self.pool

    @property
    def computed(self) -> tuple[str, ...]:
        """Columns of an asked table that are no part of a measurement."""
        units = self.schema.units
        return ("score", "cost", *(cost_column(unit) for unit in units if len(units) > 1), "reason")

    def check(self) -> None:
        """Nothing, for a pool that can be asked about.

        Raises:
            TableError: no rows, a missing column, one that an asked table gives a meaning of its own, labels that are
                not one for each candidate, or cells or prices that cannot be read.
        """
        pool = self.pool
        if pool.empty:
            raise TableError("an empty pool", expected="at least one candidate", fix="check the filter before it")
        check_columns(pool, self.columns, "a pool")
        meant = (self.schema.value, self.schema.censored, self.source_column, *self.computed)
        if taken := [name for name in meant if name in pool.columns]:
            raise TableError(
                f"a pool with the column {taken[0]!r}, which an asked table gives a meaning of its own",
                expected=f"a pool without {', '.join(map(repr, taken))}",
                fix=f"pool.drop(columns={taken}), or rename it",
            )
        check_columns(pool, pool.columns.tolist(), "a pool")
        if isinstance(pool.index, pd.MultiIndex) or not pool.index.is_unique:
            raise TableError(
                "a pool with several index levels, or the same label twice",
                expected="one label for each candidate",
                fix="pool.reset_index(drop=True)",
            )
        self.recognise(pool)
        self.schema.price(self.priced)

    def settle(self, *others: pd.DataFrame) -> Schema:
        """The schema with the levels of its categories, those of the pool and of other tables."""
        columns = columns_of(self.schema.featurizers)
        rows = pd.concat([table[columns] for table in (self.pool, *others)], ignore_index=True)
        return replace(self.schema, inputs=tuple(each.settle(rows) for each in self.schema.featurizers))

    def recognise(self, table: pd.DataFrame) -> list[str]:
        """Each row's candidate; of candidates that are one material, the first.

        Raises:
            TableError: a missing column, or cells that cannot be read.
        """
        check_columns(table, self.columns, "a table")
        rows = table[self.columns].to_dict("records")
        found = zip(self._find(table), rows, strict=True)
        return [label or json.dumps(self._name(row)) for label, row in found]

    def measured(self, table: pd.DataFrame) -> set[tuple[str, str]]:
        """The pairs of the pool that a table has a value of."""
        fidelity, _ = read_fidelities(table, self.schema.source, self.schema.sources)
        found = zip(self._find(table), fidelity, strict=True)
        return {(label, self.schema.sources[i]) for label, i in found if label}

    def cells(self, candidate: str) -> dict[Any, Any]:
        """The cells of a candidate of the pool; none of any other."""
        place = self.places.get(candidate)
        return {} if place is None else self._records[place]

    def row(self, entry: Entry) -> dict[str, Any]:
        """The cells of a candidate; what was told along with it, where the pool does not know better."""
        return {**entry.facts.get("row", {}), **self.cells(entry.candidate), self.source_column: entry.source}

    def label(self, entry: Entry) -> Any:
        """Its label in an index."""
        place = self.places.get(entry.candidate)
        return entry.facts.get("label") if place is None else self.pool.index[place]

    def asked(self, entries: Iterable[Entry]) -> pd.DataFrame:
        """The rows of the pool that were asked for, with their source."""
        found = list(entries)
        table = self.pool.iloc[[self.places[entry.candidate] for entry in found]].copy()
        table[self.source_column] = pd.Series([entry.source for entry in found], index=table.index, dtype=object)
        return table.astype({self.source_column: "str"})

    def rows(self, entries: Iterable[Entry]) -> pd.DataFrame:
        """The candidates of entries, one a row, with their source."""
        found = list(entries)
        cells = [self.row(entry) for entry in found]
        columns = dict.fromkeys([*self.pool.columns, self.source_column, *(name for row in cells for name in row)])
        index = pd.Index([self.label(entry) for entry in found], name=self.pool.index.name)
        return pd.DataFrame({name: [row.get(name) for row in cells] for name in columns}, index=index)

    @cached_property
    def firsts(self) -> list[str]:
        """The candidates, one for each material."""
        return [self.labels[i] for i in np.sort(np.unique(self._keys, return_index=True)[1])]

    @cached_property
    def _records(self) -> list[dict[Any, Any]]:
        # A row of a table would turn whole numbers into floats, and 12 and 12.0 are two names of a material.
        return self.pool.to_dict("records")

    @cached_property
    def _settled(self) -> Schema:
        return self.settle()

    @cached_property
    def _keys(self) -> NDArray[np.int64]:
        return _keys(self._settled, self.pool)

    def _find(self, table: pd.DataFrame) -> list[str | None]:
        """The candidate of the pool that each row is, if it is one."""
        schema = self.settle(table)
        known = self._keys if schema == self._settled else _keys(schema, self.pool)
        first = {int(key): label for key, label in zip(known[::-1], self.labels[::-1], strict=True)}
        return [first.get(int(key)) for key in _keys(schema, table)]

    def _name(self, row: Mapping[Any, Any]) -> dict[str, Any]:
        if (material := self.schema.material) is not None:
            return {material: plain(row[material])}
        cells = {str(name): plain(cell) for name, cell in row.items()}
        # 1 and 1.0 are one input, whichever of them a file was read as.
        return {name: float(cell) if type(cell) is int else cell for name, cell in cells.items()}

    def read_pairs(self, table: pd.DataFrame, kind: str) -> list[Entry]:
        """The pair that each row is about, as an entry of that kind.

        Raises:
            TableError: no rows, a missing column, an unknown source, a duration that is none, or cells that cannot
                be read.
        """
        needed = [*self.columns, *([self.schema.source] if self.schema.source else [])]
        if table.empty:
            raise TableError("a table without rows", expected="at least one row", fix="pass rows of an asked table")
        check_columns(table, needed, "a table")
        fidelity, problems = read_fidelities(table, self.schema.source, self.schema.sources)
        # A pool may have a column of that name for another purpose.
        problems = problems or ([] if DURATION in self.pool else find_bad(table))
        if problems:
            raise TableError.of(problems)
        left_out = {*self.computed, self.schema.value, self.schema.noise, self.schema.censored, self.source_column}
        kept = [name for name in table.columns if name not in left_out]
        records = table[kept].to_dict("records")
        entries = []
        for candidate, i, row, label in zip(self.recognise(table), fidelity, records, table.index, strict=True):
            facts = {"row": {str(name): plain(cell) for name, cell in row.items()}, "label": plain(label)}
            entries.append(Entry(kind, candidate, self.schema.sources[i], facts))
        return entries

    def read_answers(self, table: pd.DataFrame, kind: str) -> tuple[list[Entry], list[Entry]]:
        """The rows with a value, and those without one yet.

        Raises:
            TableError: as `read_pairs`; a value that is no finite number (or none of the label's classes), a bad
                noise, or not one value at all.
        """
        check_columns(table, [self.schema.value], "a table")
        cells = [None if isinstance(cell, str) and not cell.strip() else cell for cell in table[self.schema.value]]
        filled = np.array([not is_missing(cell) for cell in cells], dtype=bool)
        if not filled.any():
            raise TableError(
                f"{len(table)} rows without one value in {self.schema.value!r}",
                expected="at least one value",
                fix="fill in what was measured; rows without a value stay pending",
            )
        entries = self.read_pairs(table, kind)
        values, signs, noise = self._read_values(table, filled)
        answers = []
        for place in np.flatnonzero(filled).tolist():
            known: dict[str, Any] = {} if np.isnan(noise[place]) else {"noise": float(noise[place])}
            known |= {"censored": "<" if signs[place] < 0 else ">"} if signs[place] else {}
            facts = {**entries[place].facts, "value": values[place], **known}
            answers.append(replace(entries[place], facts=facts))
        return answers, [entry for entry, full in zip(entries, filled, strict=True) if not full]

    def _read_values(
        self, table: pd.DataFrame, filled: NDArray[np.bool_]
    ) -> tuple[list[Any], NDArray[np.int64], NDArray[np.float64]]:
        """Numbers or class names, which are limits, the known noise (n each), where a value is filled in."""
        schema = self.schema
        fidelity, _ = read_fidelities(table, schema.source, schema.sources)
        labels = {i for i, name in enumerate(schema.sources) if name in (schema.kinds or {})}
        classes = {i: found for i in labels if (found := schema.classes(schema.sources[i]))}
        free = np.array([i in labels - set(classes) for i in fidelity], dtype=bool)
        numbers, signs, problems = read_values(table, (schema.value, schema.censored), fidelity, classes)
        problems = [problem for problem in problems if filled[problem.position] and not free[problem.position]]
        if schema.censored in table.columns:
            alone = np.flatnonzero(~filled & (signs != 0)).tolist()
            problems += [make_problem(table[schema.censored], i, "a sign without its limit") for i in alone]
        noise, bad = read_noise(table, schema.noise if schema.noise in table.columns else None)
        problems += [problem for problem in bad if filled[problem.position]]
        if problems:
            raise _bad(problems)
        cells = [plain(cell) for cell in table[schema.value]]
        return (
            [
                str(cell) if i in labels else float(number)
                for cell, i, number in zip(cells, fidelity, numbers, strict=True)
            ],
            signs,
            noise,
        )


def check_columns(table: pd.DataFrame, columns: list[str], what: str) -> None:
    """Nothing, for a table that has each of these columns once.

    Raises:
        TableError: one is missing, or there twice.
    """
    counts = {column: list(table.columns).count(column) for column in columns}
    if wrong := [column for column, count in counts.items() if count != 1]:
        fault = "without the column" if counts[wrong[0]] == 0 else "with more than one column"
        raise TableError(
            f"{what} {fault} {wrong[0]!r} (it has {', '.join(map(repr, table.columns))})",
            expected=f"the columns {', '.join(map(repr, columns))}, once each",
            fix="pass the asked table with its columns as they were",
        )


def _keys(schema: Schema, table: pd.DataFrame) -> NDArray[np.int64]:
    X, _ = schema.encode(table)
    keys: NDArray[np.int64] = material_keys(X[:, 0], schema.material_column).numpy()
    return keys


def _bad(problems: list[Problem]) -> TableError:
    error = TableError.of(problems)
    return TableError(
        error.came,
        expected="a finite value in every row that is filled in",
        fix="mend those cells and tell the table again; nothing of it was recorded",
        problems=problems,
    )


def refuse(entries: Sequence[Entry], what: str, fix: str) -> None:
    """Nothing, where there are no entries.

    Raises:
        TableError: the first of them, and how many more.
    """
    if entries:
        first = entries[0]
        more = f", and {len(entries) - 1} more" if len(entries) > 1 else ""
        raise TableError(
            f"the pair {first.candidate}, {first.source!r} {what}{more}",
            expected="other rows; nothing of the table was recorded",
            fix=fix,
        )

"""What the columns of a table mean: the one boundary between tables and tensors."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfmat.amounts import Amount
from mfmat.cells import find_levels, find_missing
from mfmat.costs import Cost, check_costs, check_rates, check_setup, find_units, name_columns, read_costs, scalar
from mfmat.data import Data, material_keys
from mfmat.errors import Problem, SchemaError, TableError, UnknownNameError, nearest
from mfmat.features.featurizer import Featurizer, check_distinct, columns_of, encode_all, find_places
from mfmat.identities import number_names, number_rows
from mfmat.posteriors import RowPosterior, interval, quantile
from mfmat.readings import read_noise, read_values
from mfmat.replicates import find_implied, merge
from mfmat.skipping import OnError, keep
from mfmat.sources import check_kinds, order_sources, read_fidelities
from mfmat.values import Value
from mfmat.wide import lengthen


@dataclass(frozen=True)
class Schema(Value, kind="schema"):
    """What the columns of a table mean; turns tables into `Data` and posteriors into tables.

    Args:
        inputs: a featurizer or several, each giving named views.
        value: column of the measured or computed values.
        source: column naming where a value came from; left out, there is one source.
        costs: price of one value of each source, in order of trust, the target last; or the name of a pool's column
            that holds the price of each candidate; or one of these for each unit, `{"money": 400, "days": 3}`.
        target: the source whose values are wanted, where it is not the last.
        noise: column with the known standard deviation of a value (a missing cell: unknown).
        material: column naming the material; left out, equal inputs are one material.
        group: column naming what a split must not divide; left out, the compound, else the material.
        unit: of the values, for axes.
        kinds: `{"is_metal": "label"}` for a source whose values are class names, not numbers; the classes are
            read off the table, or given in place of `"label"`.
        floor: the smallest value that the target can have and often has exactly, such as the gap 0 of metals; left
            out, a smallest value that 5% of its rows share is taken for one where that matters (`Hurdle`).
        metadata: a featurizer or several whose features travel with the rows and that no learner sees: groups and
            weights for a calibrator, by the feature's name. A table to predict may lack their columns.
        setup: what the first pair of a batch in a source costs on top, such as the start of an instrument.
        rates: what one of each unit counts for where pairs are compared; left out, its share of the budget.
        censored: column that says of which rows the value column is only a limit: `"<"` where the value lies below it,
            `">"` where above, `"="` or nothing where it is the value. The value column may then also hold `"<0.5"`.

    Raises:
        SchemaError: costs missing, negative, not numbers or only some in units, set-ups and rates likewise; an unknown
            target; inputs that share a view, metadata that share a feature; a kind of an unknown source; a floor that
            is no number.

    >>> from mfmat.features import Composition
    >>> schema = Schema(Composition("formula"), value="gap", source="method", costs={"pbe": 1, "exp": 400})
    >>> schema.sources
    ('pbe', 'exp')
    """

    inputs: Featurizer | tuple[Featurizer, ...]
    value: str
    source: str | None = None
    costs: Mapping[str, Cost] | None = None
    target: str | None = None
    noise: str | None = None
    material: str | None = None
    group: str | None = None
    unit: str = ""
    kinds: Mapping[str, str | tuple[str, ...]] | None = None
    floor: float | None = None
    metadata: Featurizer | tuple[Featurizer, ...] = ()
    setup: Mapping[str, Amount] | None = None
    rates: Mapping[str, float] | None = None
    censored: str | None = None

    def __post_init__(self) -> None:
        inputs = self.inputs if isinstance(self.inputs, Featurizer) else tuple(self.inputs)
        object.__setattr__(self, "inputs", inputs)
        metadata = (self.metadata,) if isinstance(self.metadata, Featurizer) else tuple(self.metadata)
        object.__setattr__(self, "metadata", metadata)
        object.__setattr__(self, "costs", costs := check_costs(self.costs, self.source, self.value))
        object.__setattr__(self, "setup", check_setup(self.setup, costs))
        object.__setattr__(self, "rates", check_rates(self.rates, self.units))
        order_sources(tuple(costs), self.target)
        object.__setattr__(self, "kinds", check_kinds(self.kinds, self.sources))
        if self.floor is not None:
            if not isinstance(self.floor, numbers.Real) or not math.isfinite(self.floor):
                raise SchemaError(f"floor={self.floor!r}", expected="a finite number", fix="floor=0.0, or leave it out")
            object.__setattr__(self, "floor", float(self.floor))
        check_distinct([name for each in self.featurizers for name in each.views], "inputs with the view")
        check_distinct([name for each in self._metadata for name in each.features], "metadata with the feature")

    @classmethod
    def from_wide(
        cls,
        table: pd.DataFrame,
        inputs: Featurizer | Sequence[Featurizer],
        costs: Mapping[str, Cost],
        *,
        value: str = "value",
        source: str = "source",
        **options: Any,
    ) -> tuple[pd.DataFrame, Schema]:
        """The long table and the schema of a wide one, which has one column of values for each source.

        Args:
            table: a row for each material; missing cells were not measured.
            inputs: as of a schema.
            costs: the columns of values, in order of trust, and the price of one value of each.
            value, source: names of the two columns that the long table gets.
            options: whatever else a schema takes.

        Raises:
            TableError: a column of `costs` that the table lacks, or a new name that it has already.

        >>> from mfmat.features import Composition
        >>> wide = pd.DataFrame({"formula": ["Si", "Ge"], "pbe": [0.6, 0.1], "exp": [1.1, None]})
        >>> table, schema = Schema.from_wide(wide, Composition("formula"), {"pbe": 1, "exp": 400})
        >>> len(table), schema.sources
        (3, ('pbe', 'exp'))
        """
        schema = cls(inputs, value=value, source=source, costs=costs, **options)  # type: ignore[arg-type]
        return lengthen(table, list(costs), value, source), schema

    @property
    def featurizers(self) -> tuple[Featurizer, ...]:
        """The inputs, always as a tuple."""
        return (self.inputs,) if isinstance(self.inputs, Featurizer) else self.inputs

    @property
    def sources(self) -> tuple[str, ...]:
        """Every source in order of trust, the target last."""
        return order_sources(tuple(self.costs or {}), self.target)

    @property
    def units(self) -> tuple[str, ...]:
        """The units of prices and set-ups; `("",)` where these are plain numbers."""
        return find_units(self.costs or {}, self.setup or {})

    @property
    def prices(self) -> dict[str, float]:
        """The costs, also where none were given (one source, price 1); NaN where a source has no one price."""
        rates = self.rates or (dict.fromkeys(self.units, 1.0) if len(self.units) == 1 else {})
        return {name: scalar(cost, rates) for name, cost in (self.costs or {}).items()}

    def price(self, pool: pd.DataFrame, *, on_error: OnError = "raise") -> tuple[Tensor, NDArray[np.int64]]:
        """The price of each candidate in each source and unit (n x m x u), and the positions of those that have one.

        Raises:
            TableError: a missing column of prices, or cells that are none.
        """
        self._require(pool, name_columns(self.costs or {}))
        found, problems = read_costs(pool, self.costs or {}, self.sources, self.units)
        good = keep(len(pool), problems, on_error)
        return torch.from_numpy(found[good]), good

    def settle(self, table: pd.DataFrame) -> Schema:
        """This schema with what it leaves open (levels of categories, classes of labels) read off the table."""
        self._require(table, columns_of(self.featurizers))
        settled = tuple(featurizer.settle(table) for featurizer in self.featurizers)
        metadata = tuple(each.settle(table) if each.reads(table) else each for each in self._metadata)
        kinds = {name: self._classes(table, name) if kind == "label" else kind for name, kind in self._kinds.items()}
        inputs = settled[0] if isinstance(self.inputs, Featurizer) else settled
        return replace(self, inputs=inputs, kinds=kinds, metadata=metadata)

    def classes(self, source: str | None = None) -> tuple[str, ...] | None:
        """The classes of a source (the target unless named) whose kind is a label; None for values."""
        kind = self._kinds.get(self.sources[self.fidelity(source)])
        return kind if isinstance(kind, tuple) else None

    @property
    def views(self) -> dict[str, slice]:
        """Each view's columns in X."""
        return find_places(self.featurizers).views

    def data(self, table: pd.DataFrame, *, on_error: OnError = "raise") -> Data:
        """The table as tensors; values of one source for one material are merged.

        Limits are never averaged with values: each stays a row of its own, but for those that follow from the others
        (see `find_implied`).

        Args:
            table: n rows with every column that the schema names; others are ignored.
            on_error: `"raise"`, or `"skip"` to leave out rows that cannot be read, with a warning.

        Raises:
            TableError: a missing column, an empty table, or cells that cannot be read (all are named).
        """
        columns = [self.value, self.source, self.noise, self.material, self.group, self.censored]
        columns += [column for each in self._metadata for column in each.columns]
        self._require(table, [column for column in columns if column])
        schema = self.settle(table)
        X, problems = schema._features(table)
        fidelity, unknown = read_fidelities(table, self.source, self.sources)
        classes = {i: found for i, name in enumerate(self.sources) if (found := schema.classes(name))}
        values, signs, not_numbers = read_values(table, (self.value, self.censored), fidelity, classes)
        noise, bad_noise = read_noise(table, self.noise)
        nameless = [p for column in (self.material, self.group) if column for p in find_missing(table[column])]
        problems = problems + unknown + not_numbers + bad_noise + nameless
        good = keep(len(table), problems, on_error)
        X = torch.cat([X, torch.from_numpy(fidelity)[:, None].double()], dim=1)[good]
        keys = material_keys(X, schema.material_column)
        # One material may bear two labels, of which no mean can be taken.
        label = np.where(np.isin(fidelity, list(classes)), values, 0)[good].astype(np.int64)
        pairs = np.column_stack([keys.numpy(), fidelity[good], label])
        told = ~find_implied(pairs[:, :2], values[good], signs[good])
        X, keys, good = X[told], keys[told], good[told]
        merged = merge(np.column_stack([pairs[told], signs[good]]), values[good], noise[good])
        return Data(
            X=X[merged.first],
            Y=torch.from_numpy(merged.mean)[:, None],
            Yvar=torch.from_numpy(merged.variance)[:, None],
            known=torch.from_numpy(merged.known),
            views=schema.views,
            sets=find_places(schema.featurizers).sets,
            kernels={view: family for each in schema.featurizers for view, family in each.kernels.items()},
            sources=self.sources,
            groups=schema._groups(table, keys, good)[merged.first],
            rows=torch.from_numpy(good[merged.first]),
            counts=torch.from_numpy(merged.counts),
            material=schema.material_column,
            metadata=schema.metadata_columns,
            skipped=tuple(problems),
            classes=classes,
            floor=self.floor,
            censored=torch.from_numpy(signs[good][merged.first]) if self.censored else None,
        )

    def encode(
        self, table: pd.DataFrame, source: str | None = None, *, on_error: OnError = "raise"
    ) -> tuple[Tensor, NDArray[np.int64]]:
        """Rows to predict (n x 1 x (d+1)) at one source (the target unless named), and their positions.

        Raises:
            UnknownNameError: a source that the schema does not know.
            TableError: as `data`.
        """
        self._require(table, columns_of(self.featurizers))
        X, problems = self._features(table)
        good = keep(len(table), problems, on_error)
        fidelity = torch.full((len(good), 1), float(self.fidelity(source)), dtype=torch.double)
        return torch.cat([X[good], fidelity], dim=1).unsqueeze(1), good

    def decode(self, posterior: RowPosterior, index: pd.Index, level: float = 0.9) -> pd.DataFrame:
        """A posterior over n x 1 rows as a table: median, mean, std, lower, upper, in the units of the values.

        `lower` and `upper` bound the central interval of that level.
        """
        if not 0 < level < 1:
            raise SchemaError(f"level={level!r}", expected="a number between 0 and 1", fix="0.9 for 90% intervals")
        lower, upper = interval(posterior, level)
        columns = {
            "median": quantile(posterior, 0.5),
            "mean": posterior.mean,
            "std": posterior.variance.sqrt(),
            "lower": lower,
            "upper": upper,
        }
        return pd.DataFrame({name: x.detach().reshape(-1).numpy() for name, x in columns.items()}, index=index)

    def decode_labels(self, probabilities: Tensor, index: pd.Index, source: str | None = None) -> pd.DataFrame:
        """Probabilities (n x c) as a table: the most probable label, then `p_` and the name of each class."""
        classes = self.classes(source) or ()
        label = [classes[code] for code in probabilities.argmax(dim=-1).tolist()]
        shares = {f"p_{name}": column.numpy() for name, column in zip(classes, probabilities.T, strict=True)}
        return pd.DataFrame({"label": label, **shares}, index=index)

    def fidelity(self, source: str | None = None) -> int:
        """A source's position in order of trust; the target's unless named."""
        name = self.sources[-1] if source is None else source
        if name not in self.sources:
            raise UnknownNameError(
                f"source {name!r}",
                expected=f"one of {', '.join(map(repr, self.sources))}",
                fix=nearest(name, self.sources) + "name a source of the schema's costs",
            )
        return self.sources.index(name)

    @property
    def numbers(self) -> tuple[str, ...]:
        """The columns whose cells must be numbers."""
        read = [column for each in (*self.featurizers, *self._metadata) for column in each.numbers]
        return tuple(dict.fromkeys([*read, self.value, *filter(None, [self.noise]), *name_columns(self.costs or {})]))

    @property
    def _kinds(self) -> dict[str, str | tuple[str, ...]]:
        return dict(self.kinds or {})

    def _classes(self, table: pd.DataFrame, source: str) -> tuple[str, ...]:
        rows = table if self.source is None else table[table[self.source].astype(str) == source]
        classes = find_levels(rows[self.value])
        if len(classes) < 2:
            raise TableError(
                f"{len(classes)} classes of the label {source!r}",
                expected="at least 2 among its rows",
                fix=f'kinds={{"{source}": ("no", "yes")}} where one has not been seen yet',
            )
        return classes

    @property
    def metadata_columns(self) -> dict[str, int]:
        """The column of X that each feature of the metadata has."""
        names = [name for each in self._metadata for name in each.features]
        return {name: self._width + i for i, name in enumerate(names)}

    @property
    def material_column(self) -> int | None:
        """The column of X that names the material; None where all inputs together do."""
        if not self.material and not self.metadata:
            return None
        return self._width + len(self.metadata_columns)

    @property
    def _width(self) -> int:
        return find_places(self.featurizers).width

    @property
    def _metadata(self) -> tuple[Featurizer, ...]:
        return (self.metadata,) if isinstance(self.metadata, Featurizer) else self.metadata

    def _features(self, table: pd.DataFrame) -> tuple[Tensor, list[Problem]]:
        if table.empty:
            raise TableError(
                "an empty table", expected="at least one row", fix="check the filter or the file before it"
            )
        inputs, problems = encode_all(self.featurizers, table)
        blocks = [inputs]
        for each in self._metadata:
            known = each.reads(table)
            block, bad = each.encode(table) if known else (np.full((len(table), len(each.features)), np.nan), [])
            blocks.append(block)
            problems += bad
        if self.material:
            blocks.append(number_names(table, self.material))
        elif self.metadata:
            # Equal inputs are one material, whatever the metadata say.
            blocks.append(number_rows(inputs))
        return torch.from_numpy(np.concatenate(blocks, axis=1)), problems

    def _groups(self, table: pd.DataFrame, keys: Tensor, good: NDArray[np.int64]) -> Tensor:
        if self.group:
            labels: Any = table[self.group].astype(str).to_numpy()[good]
        else:
            named = [g for f in self.featurizers if (g := f.groups(table)) is not None]
            labels = named[0][good] if named else keys.numpy()
        return torch.from_numpy(pd.factorize(labels)[0].astype(np.int64))

    def _require(self, table: pd.DataFrame, columns: Sequence[str]) -> None:
        for column in columns:
            if list(table.columns).count(column) > 1:
                raise TableError(
                    f"a table with the column {column!r} more than once",
                    expected="columns of different names",
                    fix="rename or drop one of them",
                )
            if column not in table.columns:
                known = ", ".join(map(repr, table.columns))
                raise TableError(
                    f"a table without the column {column!r} (it has {known})",
                    expected=f"the columns {', '.join(map(repr, columns))}",
                    fix=nearest(column, table.columns) + "rename the column or name another one in the Schema",
                )

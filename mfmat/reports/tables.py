"""The tables of a page: cells that say what is read and what is sorted by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from mfmat.data import material_keys
from mfmat.features.featurizer import columns_of
from mfmat.reports.contributions import Contribution
from mfmat.reports.drawings import bar_cell, interval_cell
from mfmat.reports.evidence import Evidence
from mfmat.reports.wording import cell, decimals, losses, number, percent, short
from mfmat.surrogate import Surrogate
from mfmat.validation import accuracy

LISTED = 5000
"""Rows of a table at most."""
SHOWN = 6
"""Input columns of a table at most."""
FEW = 12
"""Rows up to which a table needs no filter."""


@dataclass(frozen=True)
class Cell:
    """What is read, the number it stands for, and a drawing (SVG) in its place."""

    text: str = ""
    value: float | None = None
    drawing: str = ""


@dataclass(frozen=True)
class Table:
    """Columns of cells.

    Attributes:
        name: unique on the page.
        caption: what the table shows.
        columns: titles and cells, in order.
        total: rows there are, of which the first `LISTED` are in the columns.
        choices: columns of few different texts, by which rows can be picked.
    """

    name: str
    caption: str
    columns: Mapping[str, Sequence[Cell]]
    total: int
    choices: tuple[str, ...] = ()

    @property
    def picks(self) -> list[tuple[str, int, list[str]]]:
        """Title, place and texts of the columns that rows can be picked by."""
        titles = list(self.columns)
        found = [(name, titles.index(name), sorted({c.text for c in self.columns[name]})) for name in self.choices]
        return [(name, place, texts) for name, place, texts in found if len(texts) > 1]

    @property
    def rows(self) -> list[tuple[Cell, ...]]:
        """The cells row by row."""
        return list(zip(*self.columns.values(), strict=True))

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers."""
        return [bool(cells) and any(c.value is not None for c in cells) for cells in self.columns.values()]

    @property
    def filtered(self) -> bool:
        """Whether it is long enough to search in."""
        return self.total > FEW


def numbers(values: Sequence[float], places: int | None = None) -> list[Cell]:
    """Cells of one column of numbers, all with as many decimals."""
    places = decimals(values) if places is None else places
    return [Cell(number(value, places), value) if math.isfinite(value) else Cell("–") for value in values]


def texts(contents: Sequence[object]) -> list[Cell]:
    """Cells of one column of text; numbers among them stay numbers."""
    return [Cell(cell(content), float(content) if isinstance(content, int | float) else None) for content in contents]


def compared(found: Evidence, baselines: Mapping[str, pd.DataFrame], ours: str) -> Table:
    """How far off each recipe is on the held-out values, and how often its intervals held."""
    tables = {ours: found.table, **baselines}
    scores = [accuracy(table) for table in tables.values()]
    error = [row["mae"] for row in scores]
    places = decimals(error)
    columns = {
        "recipe": texts(list(tables)),
        "mean absolute error": numbers(error, places),
        "root mean square error": numbers([row["rmse"] for row in scores], places),
        f"{percent(found.level)} intervals held": [Cell(percent(row["coverage"]), row["coverage"]) for row in scores],
        "their mean width": numbers([row["width"] for row in scores], places),
        "values": [Cell(str(len(table)), len(table)) for table in tables.values()],
    }
    return Table("accuracy-table", "Errors on held-out values", columns, len(tables))


def predictions(
    surrogate: Surrogate, inputs: pd.DataFrame, predicted: pd.DataFrame, level: float, likeness: pd.Series | None
) -> Table:
    """The candidates of a pool, as sorted: what is predicted, where they were measured, how like those that were."""
    inputs, shown = inputs.iloc[:LISTED], predicted.iloc[:LISTED]
    limits = float(shown["lower"].min()), float(shown["upper"].max())
    places = decimals([*shown["median"]])
    median, lower, upper = (shown[name].tolist() for name in ("median", "lower", "upper"))
    table = inputs_of(surrogate, inputs)
    table |= {name: numbers(shown[name].tolist(), places) for name in ("median", "lower", "upper")}
    scale = f"{percent(level)} interval, {short(limits[0], 2)} to {short(limits[1], 2)}"
    table[scale] = [Cell(drawing=interval_cell(each, limits)) for each in zip(median, lower, upper, strict=True)]
    if surrogate.schema.source is not None:
        table["measured in"] = texts(_known(surrogate, inputs))
    if likeness is not None:
        table["likeness (p)"] = [Cell(short(p, 2), p) for p in likeness.iloc[:LISTED].tolist()]
    return Table("predictions-table", "Predictions of the pool", table, len(predicted))


def candidates(surrogate: Surrogate) -> Table | None:
    """The fusions that were tried on held-out values; None where there was no choice."""
    rows = surrogate.card["compared"]
    if not rows:
        return None
    loss, values = losses(rows)
    places = decimals(values)
    columns = {
        "fusion": [Cell(row["candidate"] + (" (chosen)" if i == 0 else "")) for i, row in enumerate(rows)],
        loss: numbers(values, places),
    }
    if "mae" in rows[0]:
        columns["mean absolute error"] = numbers([float(row["mae"]) for row in rows], places)
    columns[f"{loss}, drawn"] = [
        Cell(drawing=bar_cell(value, max(values), chosen=i == 0)) for i, value in enumerate(values)
    ]
    return Table("candidates-table", "Fusions tried on held-out values", columns, len(rows))


def links(found: Sequence[Contribution]) -> Table:
    """Each source: its rows and price, what leaving it out does, and how the next one follows it."""

    def each(attribute: str, places: int | None = None) -> list[Cell]:
        values = [getattr(one, attribute) for one in found]
        return numbers([math.nan if value is None else float(value) for value in values], places)

    changes = [one.change for one in found]
    columns = {
        "source": texts([one.source for one in found]),
        "values": each("rows", 0),
        "price": [Cell("by row" if math.isnan(one.price) else f"{one.price:g}", one.price) for one in found],
        "error without it": [
            Cell("–") if change is None else Cell(number(100 * change, 0) + "%", change) for change in changes
        ],
        "followed by": texts([one.follower or "–" for one in found]),
        "slope": each("slope", 2),
        "trust": [Cell("–") if one.trust is None else Cell(percent(round(one.trust, 2)), one.trust) for one in found],
    }
    signed = [
        Cell("+" + c.text if c.value and c.value > 0 and not c.text.startswith("0") else c.text, c.value)
        for c in columns["error without it"]
    ]
    columns["error without it"] = signed
    filled = {name: cells for name, cells in columns.items() if any(cell.text != "–" for cell in cells)}
    return Table("sources-table", "The sources", filled, len(found))


def weighed(surrogate: Surrogate, level: float) -> Table | None:
    """What each process in the model makes of its views; None where none has a choice of several."""
    rows = surrogate.weights(level=level)
    rows = rows[rows["process"].duplicated(keep=False)]
    if rows.empty:
        return None
    columns = {"process": texts(rows["process"].tolist())} if rows["process"].any() else {}
    columns["view"] = texts(rows["view"].tolist())
    shown = {"weight": "weight", "std": "standard deviation", "lower": "lower", "upper": "upper"}
    columns |= {title: numbers(rows[name].tolist(), 3) for name, title in shown.items()}
    filled = {title: cells for title, cells in columns.items() if any(cell.text != "–" for cell in cells)}
    return Table(
        "weights-table", "The weights of the views", filled, len(rows), ("process",) if "process" in columns else ()
    )


def suggested(surrogate: Surrogate, suggestions: pd.DataFrame) -> Table:
    """The measurements that `suggest` chose, in its order."""
    schema = surrogate.schema
    shown = suggestions.iloc[:LISTED]
    table = inputs_of(surrogate, shown)
    table["source"] = texts(shown[schema.source or "source"].tolist())
    table["price"] = [Cell(f"{cost:g}", cost) for cost in shown["cost"].tolist()]
    table["worth per price"] = [Cell(short(score, 2), score) for score in shown["score"].tolist()]
    table["reason"] = texts(shown["reason"].tolist())
    return Table("suggestions-table", "The next measurements", table, len(suggestions))


def inputs_of(surrogate: Surrogate, rows: pd.DataFrame) -> dict[str, list[Cell]]:
    """The input columns of rows, as far as there is room."""
    names = columns_of(surrogate.schema.featurizers)
    return {name: texts(rows[name].tolist()) for name in names[:SHOWN]}


def _known(surrogate: Surrogate, rows: pd.DataFrame) -> list[str]:
    """The sources in which each candidate was measured."""
    X, _ = surrogate.schema.encode(rows)
    keys = material_keys(X[:, 0], surrogate.schema.material_column).tolist()
    seen = {name: set(keys) for name, keys in surrogate.card["seen"].items()}
    return [", ".join(name for name, measured in seen.items() if key in measured) for key in keys]

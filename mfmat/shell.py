"""What the verbs of the shell share: options, and tables in and out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    import pandas as pd

    from mfmat import acquisitions
    from mfmat.amounts import Amount
    from mfmat.features import Featurizer
    from mfmat.learner import Learner
    from mfmat.schema import Schema
    from mfmat.stopping import Rule

V = TypeVar("V")


class Goal(StrEnum):
    """What the suggestions are for."""

    MAX = "max"
    MIN = "min"
    LEARN = "learn"


class Prices(StrEnum):
    """Which prices a campaign asks by."""

    DECLARED = "declared"
    LEARNED = "learned"


class OnError(StrEnum):
    """What happens to rows that cannot be read."""

    RAISE = "raise"
    SKIP = "skip"


COLUMNS = "What the columns mean"
"""Of the options that make a schema, in the help of a verb."""


def _column(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel=COLUMNS)


Table = Annotated[Path, typer.Argument(help="CSV, JSON or Parquet, one value a row.")]
ValueColumn = Annotated[str, _column("Column of the values.")]
Formula = Annotated[str | None, _column("Column of chemical formulas.")]
Numbers = Annotated[list[str] | None, _column("A column of numbers (repeat).")]
Categories = Annotated[list[str] | None, _column("A column of categories (repeat).")]
Source = Annotated[str | None, _column("Column naming where a value came from.")]
Costs = Annotated[
    list[str] | None,
    _column(
        "SOURCE=PRICE, in order of trust, the target last; PRICE as 400, '400 money, 3 days', or a column of them."
    ),
]
Setups = Annotated[list[str] | None, _column("SOURCE=PRICE of the first pair of a batch, on top (repeat).")]
Rates = Annotated[list[str] | None, _column("UNIT=RATE by which prices in several units are compared (repeat).")]
Noise = Annotated[str | None, _column("Column of known standard deviations.")]
Material = Annotated[str | None, _column("Column naming the material.")]
Censored = Annotated[str | None, _column("Column of < and >, where a value is only a limit.")]
Group = Annotated[str | None, _column("Column naming what a split must not divide.")]
Unit = Annotated[str, _column("Unit of the values, such as eV.")]
Labels = Annotated[list[str] | None, _column("A source whose values are class names (repeat).")]
Floor = Annotated[float | None, _column("The smallest value, which many rows have exactly.")]
Saved = Annotated[Path, typer.Argument(help="A surrogate saved by `mfmat fit`.")]
Skip = Annotated[OnError, typer.Option(help="Rows that cannot be read: an error that names them, or left out.")]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="A .csv, .json or .parquet to write; the terminal unless given.")
]
Recipe = Annotated[Path | None, typer.Option(help="JSON of a recipe (`recipe.config()`); Auto unless given.")]
Acquisition = Annotated[
    str | None,
    typer.Option(help='What an observation is worth, as JSON: {"kind": "thompson"}; by the goal unless given.'),
]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, for machines, and nothing else there.")]


def read_table(path: Path, schema: Schema) -> pd.DataFrame:
    """The table in a file; in the columns of numbers only the cells that are none stay text."""
    import pandas as pd

    from mfmat.table_files import read_file

    rows = read_file(path)
    # One text makes pandas read a whole column as text; only that cell is wrong.
    for column in set(schema.numbers) & set(rows.columns):
        if not pd.api.types.is_numeric_dtype(rows[column]):
            parsed = pd.to_numeric(rows[column], errors="coerce")
            rows[column] = parsed.astype(object).where(parsed.notna(), rows[column])
    return rows


def write_table(rows: pd.DataFrame, out: Path | None, as_json: bool = False) -> None:
    """A table into a file, or onto the terminal as CSV or, where asked for, as JSON: a list of objects, one a row."""
    from mfmat.table_files import to_records, write_file, write_json

    if out is not None:
        write_file(rows, out)
        say({"wrote": str(out), "rows": len(rows)}, as_json, f"wrote {out}")
    elif as_json:
        typer.echo(write_json(to_records(rows)))
    else:
        typer.echo(rows.to_csv(index=False), nl=False)


def say(facts: Mapping[str, Any], as_json: bool, *sentences: object) -> None:
    """What a verb did: facts as one line of JSON where asked for, else sentences, a line each."""
    from mfmat.table_files import write_json

    for line in [write_json(facts)] if as_json else sentences:
        typer.echo(line)


def read_json(path: Path, what: str) -> Any:
    """The content of a JSON file.

    Raises:
        SchemaError: a file that is none.
    """
    from mfmat.errors import SchemaError

    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SchemaError(
            f"{path}: {error}", expected=f"{what} as JSON", fix="json.dumps(x.config()) writes it"
        ) from error


def make_inputs(formula: str | None, columns: list[str], categories: list[str]) -> tuple[Featurizer, ...]:
    """The featurizers of the columns that were named."""
    from mfmat.features import Columns, Composition

    inputs: list[Featurizer] = [Composition(formula)] if formula else []
    if columns or categories:
        inputs.append(Columns(columns, categories=tuple(categories)))
    if not inputs:
        raise typer.BadParameter("no inputs: give --formula, --column or --category")
    return tuple(inputs)


def make_schema(
    inputs: tuple[str | None, list[str] | None, list[str] | None],
    cost: list[str] | None,
    label: list[str] | None = None,
    **options: Any,
) -> Schema:
    """The schema that the options of a verb describe.

    Args:
        inputs: the column of formulas, those of numbers and those of categories.
        cost: SOURCE=PRICE of each source; one source unless given.
        label: sources whose values are class names.
        options: whatever else a schema takes, as it is.
    """
    from mfmat.schema import Schema

    formula, columns, categories = inputs
    return Schema(
        make_inputs(formula, columns or [], categories or []),
        costs=read_prices("--cost", cost),
        kinds=dict.fromkeys(label or [], "label"),
        **options,
    )


def read_prices(option: str, texts: list[str] | None) -> dict[str, Amount | str] | None:
    """The price of each source, of SOURCE=PRICE, an amount or a column of the table; None where none is given."""
    found: dict[str, Amount | str] = {}
    for text in texts or []:
        name, equals, price = text.rpartition("=")
        amount = read_amount(price) if equals and name else None
        if amount is None and not (name and price.isidentifier() and "=" not in name):
            example = f"{option} exp=400 or {option} 'exp=400 money, 3 days'"
            raise typer.BadParameter(f"{option} {text}: expected SOURCE=PRICE, as in {example}, or a column's name")
        found[name] = price if amount is None else amount
    return found or None


def read_budget(text: str | None) -> Amount | None:
    """What may be spent: a number, or one for each unit; None where nothing is given."""
    amount = None if text is None else read_amount(text)
    if amount is None and text is not None:
        raise typer.BadParameter(f"--budget {text}: expected 400, or '400 money, 3 days'")
    return amount


def read_amount(text: str) -> Amount | None:
    """A number, or one for each unit, of "400" or "400 money, 3 days"; None for anything else."""
    parts = [part.split(maxsplit=1) for part in text.split(",")]
    try:
        if len(parts) == len(parts[0]) == 1:
            return float(text)
        units = {unit.strip(): float(number) for number, unit in parts}
    except ValueError:
        return None
    return units if len(units) == len(parts) else None


def read_recipe(path: Path | None) -> Learner | None:
    """The learner that a JSON file describes; None where none is given."""
    # Whatever a file may name is in one of these.
    from mfmat import auto  # noqa: F401
    from mfmat.learner import Learner

    return Learner.of(read_json(path, "a recipe")) if path else None


def read_rates(texts: list[str] | None) -> dict[str, float] | None:
    """What one of each unit counts for, of UNIT=RATE; None where none is given."""
    found = {}
    for text in texts or []:
        unit, equals, rate = text.rpartition("=")
        try:
            found[unit] = float(rate if equals and unit else "")
        except ValueError as error:
            raise typer.BadParameter(f"--rate {text}: expected UNIT=RATE, as in --rate 'cpu hours=0.05'") from error
    return found or None


def read_acquisition(text: str | None) -> acquisitions.Acquisition | None:
    """The acquisition that a piece of JSON describes; None where none is given."""
    from mfmat.acquisitions import Acquisition

    fix = '--acquisition \'{"kind": "thompson", "maximize": true}\''
    return None if text is None else _read_value(Acquisition.of, text, ("an", "acquisition"), fix)


def read_rule(text: str) -> Rule:
    """The stopping rule that a piece of JSON describes."""
    from mfmat.stopping import Rule

    return _read_value(Rule.of, text, ("a", "rule"), '--stop \'{"kind": "same_top", "k": 5, "rounds": 3}\'')


def _read_value(of: Callable[[Any], V], text: str, what: tuple[str, str], fix: str) -> V:
    """What a piece of JSON describes; `what` is its article and its noun."""
    from mfmat.errors import SchemaError

    try:
        return of(json.loads(text))
    except (ValueError, TypeError, AttributeError) as error:
        raise SchemaError(f"the {what[1]} {text}", expected=f"{' '.join(what)} as JSON", fix=fix) from error

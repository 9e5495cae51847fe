"""One verb per public call. Exit codes: 0 done, 1 an error of mfmat (one line on stderr), 2 wrong usage."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mfmat import backtest_cli

if TYPE_CHECKING:
    import pandas as pd

    from mfmat.features import Featurizer
    from mfmat.schema import Schema

app = typer.Typer(
    help="Fuse cheap and trusted values of materials, with intervals that hold.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


class Goal(StrEnum):
    """What the suggestions are for."""

    MAX = "max"
    MIN = "min"
    LEARN = "learn"


class OnError(StrEnum):
    """What happens to rows that cannot be read."""

    RAISE = "raise"
    SKIP = "skip"


Table = Annotated[Path, typer.Argument(help="CSV, one value a row.")]
ValueColumn = Annotated[str, typer.Option(help="Column of the values.")]
Formula = Annotated[str | None, typer.Option(help="Column of chemical formulas.")]
Numbers = Annotated[list[str] | None, typer.Option(help="A column of numbers (repeat).")]
Categories = Annotated[list[str] | None, typer.Option(help="A column of categories (repeat).")]
Source = Annotated[str | None, typer.Option(help="Column naming where a value came from.")]
Costs = Annotated[list[str] | None, typer.Option(help="SOURCE=PRICE, in order of trust, the target last.")]
Noise = Annotated[str | None, typer.Option(help="Column of known standard deviations.")]
Material = Annotated[str | None, typer.Option(help="Column naming the material.")]
Group = Annotated[str | None, typer.Option(help="Column naming what a split must not divide.")]
Saved = Annotated[Path, typer.Argument(help="A surrogate saved by `mfmat fit`.")]
Skip = Annotated[OnError, typer.Option(help="Rows that cannot be read: an error that names them, or left out.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="CSV to write; the terminal unless given.")]


@app.command()
def demo(out: Annotated[Path, typer.Option("--out", "-o", help="The report.")] = Path("mfmat-demo.html")) -> None:
    """The main job on the embedded table, in under a minute.

    Example: `mfmat demo`
    """
    from mfmat.demo import run

    run(out)


@app.command()
def fit(
    table: Table,
    value: ValueColumn,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the surrogate is saved.")],
    formula: Formula = None,
    column: Numbers = None,
    category: Categories = None,
    source: Source = None,
    cost: Costs = None,
    noise: Noise = None,
    material: Material = None,
    group: Group = None,
    unit: Annotated[str, typer.Option(help="Of the values.")] = "",
    label: Annotated[list[str] | None, typer.Option(help="A source whose values are class names (repeat).")] = None,
    floor: Annotated[float | None, typer.Option(help="The smallest value, which many rows have exactly.")] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="JSON of a recipe (`recipe.config()`); Auto unless given.")
    ] = None,
    on_error: Skip = OnError.RAISE,
) -> None:
    """Fit a recipe to a table and save the surrogate.

    Example: `mfmat fit gaps.csv --formula formula --value gap --source method --cost pbe=1 --cost exp=400 -o gap.mfmat`
    """
    from mfmat.learner import Learner
    from mfmat.schema import Schema
    from mfmat.surrogate import fit as fit_surrogate

    schema = Schema(
        _inputs(formula, column or [], category or []),
        value=value,
        source=source,
        costs=dict(map(_price, cost)) if cost else None,
        noise=noise,
        material=material,
        group=group,
        unit=unit,
        kinds=dict.fromkeys(label or [], "label"),
        floor=floor,
    )
    learner = Learner.of(json.loads(recipe.read_text())) if recipe else None
    surrogate = fit_surrogate(_read(table, schema), schema, learner, on_error=on_error.value)
    surrogate.save(out)
    for sentence in surrogate.card["why"]:
        typer.echo(sentence)
    typer.echo(f"saved {out}")


@app.command()
def predict(
    surrogate: Saved,
    table: Annotated[Path, typer.Argument(help="CSV of materials.")],
    level: Annotated[float, typer.Option(help="Of the interval from lower to upper.")] = 0.9,
    source: Annotated[str | None, typer.Option(help="Whose value; the target unless given.")] = None,
    out: Out = None,
    on_error: Skip = OnError.RAISE,
) -> None:
    """Median, mean, std, lower and upper for each row of a table.

    Example: `mfmat predict gap.mfmat new.csv --level 0.9 -o predicted.csv`
    """
    from mfmat.surrogate import load

    fitted = load(surrogate)
    rows = _read(table, fitted.schema)
    said = fitted.predict(rows, level=level, source=source, on_error=on_error.value)
    said = said.rename(columns={name: f"{name}_predicted" for name in said.columns if name in rows.columns})
    _write(rows.loc[said.index].join(said), out)


@app.command()
def suggest(
    surrogate: Saved,
    pool: Annotated[Path, typer.Argument(help="CSV of candidates.")],
    n: Annotated[int, typer.Option("-n", help="Pairs wanted.")] = 5,
    goal: Annotated[Goal, typer.Option(help="Large values, small ones, or to learn the pool.")] = Goal.MAX,
    out: Out = None,
    on_error: Skip = OnError.RAISE,
) -> None:
    """The (candidate, source) pairs most worth their price, with a reason each.

    Example: `mfmat suggest gap.mfmat pool.csv -n 5 --goal max`
    """
    from mfmat.suggestion import suggest as choose
    from mfmat.surrogate import load

    fitted = load(surrogate)
    _write(choose(fitted, _read(pool, fitted.schema), n, goal=goal.value, on_error=on_error.value), out)


@app.command()
def diagnose(
    table: Table,
    value: ValueColumn,
    source: Source,
    cost: Costs,
    formula: Formula = None,
    column: Numbers = None,
    category: Categories = None,
    material: Material = None,
    by: Annotated[str | None, typer.Option(help="Column with regions to judge apart.")] = None,
    out: Out = None,
    on_error: Skip = OnError.RAISE,
) -> None:
    """What each cheap source is worth for the target: use, use here or drop, and up to which price.

    Example: `mfmat diagnose gaps.csv --formula formula --value gap --source method --cost pbe=1 --cost exp=400`
    """
    from mfmat.diagnosis import diagnose as judge
    from mfmat.schema import Schema

    inputs, costs = _inputs(formula, column or [], category or []), dict(map(_price, cost or []))
    schema = Schema(inputs, value=value, source=source, costs=costs, material=material)
    _write(judge(_read(table, schema), schema, by=by, on_error=on_error.value).reset_index(), out)


@app.command()
def report(
    surrogate: Saved,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page.")] = Path("report.html"),
    pool: Annotated[Path | None, typer.Option(help="CSV of candidates to predict on the page.")] = None,
) -> None:
    """One self-contained HTML page: accuracy, calibration, predictions, what each source contributed.

    Example: `mfmat report gap.mfmat -o gap.html`
    """
    from mfmat.reports import report as write
    from mfmat.surrogate import load

    fitted = load(surrogate)
    typer.echo(f"wrote {write(fitted, out, pool=_read(pool, fitted.schema) if pool else None)}")


def main() -> None:
    """The command `mfmat`."""
    from mfmat.errors import MfmatError

    try:
        app()
    except (MfmatError, OSError, json.JSONDecodeError) as error:
        typer.echo(f"mfmat: {error}", err=True)
        sys.exit(1)


def _read(path: Path, schema: Schema) -> pd.DataFrame:
    import pandas as pd

    from mfmat.errors import TableError

    try:
        # Only an empty cell is missing: "NaN" is sodium nitride, "None" may be a name.
        rows = pd.read_csv(path, keep_default_na=False, na_values=[""])
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise TableError(
            f"{path}: {str(error).strip()}", expected="a CSV with a header", fix="save it as UTF-8 CSV"
        ) from error
    # One text makes pandas read a whole column as text; only that cell is wrong.
    for column in set(schema.numbers) & set(rows.columns):
        if not pd.api.types.is_numeric_dtype(rows[column]):
            parsed = pd.to_numeric(rows[column], errors="coerce")
            rows[column] = parsed.astype(object).where(parsed.notna(), rows[column])
    return rows


def _write(rows: pd.DataFrame, out: Path | None) -> None:
    text = rows.to_csv(out, index=False)
    typer.echo(text if text is not None else f"wrote {out}", nl=text is None)


def _inputs(formula: str | None, columns: list[str], categories: list[str]) -> tuple[Featurizer, ...]:
    from mfmat.features import Columns, Composition

    inputs: list[Featurizer] = [Composition(formula)] if formula else []
    if columns or categories:
        inputs.append(Columns(columns, categories=tuple(categories)))
    if not inputs:
        raise typer.BadParameter("no inputs: give --formula, --column or --category")
    return tuple(inputs)


def _price(text: str) -> tuple[str, float]:
    name, equals, price = text.rpartition("=")
    try:
        return name, float(price if equals and name else "")
    except ValueError as error:
        raise typer.BadParameter(f"--cost {text}: expected SOURCE=PRICE, as in --cost exp=400") from error


backtest_cli.add_to(app, _read, _inputs, _price)

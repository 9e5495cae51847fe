"""One verb per public call. Exit codes: 0 done, 1 an error of mfmat (one line on stderr), 2 wrong usage."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from mfmat import backtest_cli, campaign_cli, library_cli
from mfmat.shell import (
    Categories,
    Censored,
    Costs,
    Floor,
    Formula,
    Goal,
    Group,
    Labels,
    Material,
    Noise,
    Numbers,
    OnError,
    Out,
    Recipe,
    Saved,
    Skip,
    Source,
    Table,
    Unit,
    ValueColumn,
    make_schema,
    read_recipe,
    read_table,
    write_table,
)

app = typer.Typer(
    help="Fuse cheap and trusted values of materials, with intervals that hold.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.add_typer(campaign_cli.app, name="campaign")
app.add_typer(library_cli.app, name="library")
app.command()(backtest_cli.backtest)


@app.command()
def demo(out: Annotated[Path, typer.Option("--out", "-o", help="The report.")] = Path("mfmat-demo.html")) -> None:
    """The main job on the embedded table, in a few minutes.

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
    censored: Censored = None,
    material: Material = None,
    group: Group = None,
    unit: Unit = "",
    label: Labels = None,
    floor: Floor = None,
    recipe: Recipe = None,
    on_error: Skip = OnError.RAISE,
) -> None:
    """Fit a recipe to a table and save the surrogate.

    Example: `mfmat fit gaps.csv --formula formula --value gap --source method --cost pbe=1 --cost exp=400 -o gap.mfmat`
    """
    from mfmat.surrogate import fit as fit_surrogate

    options = {"value": value, "source": source, "noise": noise, "material": material, "group": group}
    options["censored"] = censored
    schema = make_schema((formula, column, category), cost, label, **options, unit=unit, floor=floor)
    learner = read_recipe(recipe)
    surrogate = fit_surrogate(read_table(table, schema), schema, learner, on_error=on_error.value)
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
    rows = read_table(table, fitted.schema)
    said = fitted.predict(rows, level=level, source=source, on_error=on_error.value)
    said = said.rename(columns={name: f"{name}_predicted" for name in said.columns if name in rows.columns})
    write_table(rows.loc[said.index].join(said), out)


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
    write_table(choose(fitted, read_table(pool, fitted.schema), n, goal=goal.value, on_error=on_error.value), out)


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

    schema = make_schema((formula, column, category), cost, value=value, source=source, material=material)
    write_table(judge(read_table(table, schema), schema, by=by, on_error=on_error.value).reset_index(), out)


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
    typer.echo(f"wrote {write(fitted, out, pool=read_table(pool, fitted.schema) if pool else None)}")


def main() -> None:
    """The command `mfmat`."""
    from mfmat.errors import MfmatError

    try:
        app()
    except (MfmatError, OSError, json.JSONDecodeError) as error:
        typer.echo(f"mfmat: {error}", err=True)
        sys.exit(1)

"""One verb per public call, and what the command as a whole does: help, errors in one line, exit codes."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    Json,
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
    say,
    write_table,
)

if TYPE_CHECKING:
    import pandas as pd

    from mfmat.surrogate import Surrogate

PREDICT, DECIDE, KEEP = "Learn and predict", "Decide what to measure", "Keep and show"
EXIT_CODES = """Every verb has its own `--help` with an example. Tables are CSV, JSON or Parquet, by the file's name.

Exit codes: 0 done; 1 an error, told in one line on stderr with what to try (or `library verify` found damage); 2 wrong
usage; 130 stopped by Ctrl-C."""

app = typer.Typer(
    help="Fuse cheap and trusted values of materials, with intervals that hold.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("mfmat"))
        raise typer.Exit


@app.callback()
def begin(
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say on stderr what long work did.")] = False,
) -> None:
    """What holds for every verb."""
    if verbose:
        logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
        logging.getLogger("mfmat").setLevel(logging.INFO)


@app.command(rich_help_panel=PREDICT)
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="The report.")] = Path("mfmat-demo.html"),
    as_json: Json = False,
) -> None:
    """The main job on the embedded table, in a few minutes.

    Example: `mfmat demo`
    """
    from rich.console import Console

    from mfmat.demo import run

    page = run(out, Console(stderr=as_json))
    say({"wrote": str(page)}, as_json)


@app.command(rich_help_panel=PREDICT)
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
    as_json: Json = False,
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
    card = surrogate.card
    facts = {"saved": str(out), "why": card["why"], "rows": card["provenance"]["rows"], "metrics": card["metrics"]}
    say(facts, as_json, *card["why"], f"saved {out}")


@app.command(rich_help_panel=PREDICT)
def predict(
    surrogate: Saved,
    table: Annotated[Path, typer.Argument(help="Table of materials.")],
    level: Annotated[float, typer.Option(help="Share of new values that the interval should hold.")] = 0.9,
    source: Annotated[str | None, typer.Option(help="Whose value; the target unless given.")] = None,
    out: Out = None,
    on_error: Skip = OnError.RAISE,
    as_json: Json = False,
) -> None:
    """Median, mean, std, lower and upper for each row of a table.

    Example: `mfmat predict gap.mfmat new.csv --level 0.9 -o predicted.csv`
    """
    from mfmat.surrogate import load

    fitted = load(surrogate)
    rows = read_table(table, fitted.schema)
    said = fitted.predict(rows, level=level, source=source, on_error=on_error.value)
    said = said.rename(columns={name: f"{name}_predicted" for name in said.columns if name in rows.columns})
    write_table(rows.loc[said.index].join(said), out, as_json)


@app.command(rich_help_panel=DECIDE)
def suggest(
    surrogate: Saved,
    pool: Annotated[Path, typer.Argument(help="Table of candidates.")],
    n: Annotated[int, typer.Option("-n", help="Pairs wanted.")] = 5,
    goal: Annotated[Goal, typer.Option(help="Large values, small ones, or to learn the pool.")] = Goal.MAX,
    out: Out = None,
    on_error: Skip = OnError.RAISE,
    as_json: Json = False,
) -> None:
    """The (candidate, source) pairs most worth their price, with a reason each.

    Example: `mfmat suggest gap.mfmat pool.csv -n 5 --goal max`
    """
    from mfmat.suggestion import suggest as choose
    from mfmat.surrogate import load

    fitted = load(surrogate)
    chosen = choose(fitted, read_table(pool, fitted.schema), n, goal=goal.value, on_error=on_error.value)
    write_table(chosen, out, as_json)


@app.command(rich_help_panel=DECIDE)
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
    as_json: Json = False,
) -> None:
    """What each cheap source is worth for the target: use, use here or drop, and up to which price.

    Example: `mfmat diagnose gaps.csv --formula formula --value gap --source method --cost pbe=1 --cost exp=400`
    """
    from mfmat.diagnosis import diagnose as judge

    schema = make_schema((formula, column, category), cost, value=value, source=source, material=material)
    verdicts = judge(read_table(table, schema), schema, by=by, on_error=on_error.value).reset_index()
    write_table(verdicts, out, as_json)


@app.command(rich_help_panel=KEEP)
def report(
    surrogate: Saved,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page.")] = Path("report.html"),
    pool: Annotated[Path | None, typer.Option(help="Table of candidates to predict on the page.")] = None,
    explain: Annotated[
        Path | None,
        typer.Option(help="The table given to `mfmat fit`: shows what each source did to each row of --pool."),
    ] = None,
    validate: Annotated[
        Path | None,
        typer.Option(help="That table: cross-validates the recipe, the target alone and the train median, in 5 folds."),
    ] = None,
    as_json: Json = False,
) -> None:
    """One self-contained HTML page: accuracy, calibration, predictions, what each source contributed.

    Example: `mfmat report gap.mfmat -o gap.html`

    What each source did to each prediction, which fits the recipe again without it:
    `mfmat report gap.mfmat --pool new.csv --explain gaps.csv -o gap.html`

    Errors on compounds that it has not seen, beside simpler recipes, for five times the time of the fit:
    `mfmat report gap.mfmat --validate gaps.csv -o gap.html`
    """
    from mfmat.reports import report as write
    from mfmat.surrogate import load

    if explain and not pool:
        raise typer.BadParameter("--explain without candidates to explain: give --pool")
    fitted = load(surrogate)
    rows = read_table(pool, fitted.schema) if pool else None
    explained = fitted.explain(rows, seen=read_table(explain, fitted.schema)) if explain and rows is not None else None
    checked = _validate(fitted, read_table(validate, fitted.schema)) if validate else {}
    page = write(fitted, out, pool=rows, explained=explained, **checked)
    say({"wrote": str(page)}, as_json, f"wrote {page}")


def _validate(fitted: Surrogate, table: pd.DataFrame) -> dict[str, Any]:
    """What a report compares: the recipe and simpler ones, each on compounds that it has not seen."""
    from mfmat.experts import GP
    from mfmat.stacks import TargetOnly
    from mfmat.validation import cross_validate, train_median

    schema = fitted.schema
    if schema.classes():
        raise typer.BadParameter("--validate for a target that is a label: cross_validate(...) in Python")
    rivals = {"the target alone": TargetOnly(GP())} if len(schema.sources) > 1 else {}
    baselines = {name: cross_validate(table, schema, rival) for name, rival in rivals.items()}
    baselines["the train median"] = train_median(table, schema)
    return {"validated": cross_validate(table, schema, fitted.recipe), "baselines": baselines}


app.command(rich_help_panel=DECIDE)(backtest_cli.backtest)
app.add_typer(campaign_cli.app, name="campaign", rich_help_panel=DECIDE)
app.add_typer(library_cli.app, name="library", rich_help_panel=KEEP)

WrongUsage: Any = typer.BadParameter.__base__
"""What the parser raises; newer versions of typer have classes of their own, older ones those of click."""


def main() -> None:
    """The command `mfmat`: whatever goes wrong on purpose is one line on stderr."""
    from mfmat.errors import MfmatError

    # One line, as an error is, without the line of code that no user wrote.
    warnings.showwarning = lambda message, *_: _complain(f"warning: {message}")
    try:
        sys.exit(app(prog_name="mfmat", standalone_mode=False) or 0)
    except WrongUsage as error:
        # Without any argument, the help was shown already.
        if said := error.format_message():
            command = error.ctx.command_path if error.ctx else "mfmat"
            _complain(f"{said.rstrip('.')}; try: {command} --help")
        sys.exit(2)
    except typer.Abort:
        sys.exit(130)
    except MfmatError as error:
        _complain(error)
    except OSError as error:
        came = f"{error.filename}: {error.strerror}" if error.filename else error
        _complain(f"got {came}; expected a file that is there and may be used; try: check its name and its folder")
    sys.exit(1)


def _complain(what: object) -> None:
    typer.echo(f"mfmat: {' '.join(str(what).split())}", err=True)

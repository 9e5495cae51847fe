"""One verb per call of a campaign: create, restore, extend, ask, tell, fail, withdraw, status, report, export."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mfmat.shell import (
    Acquisition,
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
    Out,
    Prices,
    Rates,
    Recipe,
    Setups,
    Source,
    Unit,
    ValueColumn,
    make_schema,
    read_acquisition,
    read_budget,
    read_prices,
    read_rates,
    read_recipe,
    read_rule,
    read_table,
    say,
    write_table,
)

if TYPE_CHECKING:
    import pandas as pd

    from mfmat.campaign import Campaign

app = typer.Typer(
    help="A search over months: ask, measure, tell; everything is kept in a database.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

Database = Annotated[str, typer.Argument(help="A file such as gap.db, or postgresql://host/name.")]
Filled = Annotated[Path, typer.Argument(help="The asked table with its value column filled in.")]
Rows = Annotated[Path, typer.Argument(help="A table with rows of the asked one.")]
STOP = 'A rule to end by, as JSON: {"kind": "same_top", "k": 5, "rounds": 3} (repeat).'
Why = Annotated[str, typer.Option(help="For the history.")]


@app.command(rich_help_panel="Begin")
def create(
    database: Database,
    pool: Annotated[Path, typer.Argument(help="Table of candidates.")],
    value: ValueColumn,
    seen: Annotated[Path | None, typer.Option(help="Table of what is measured already.")] = None,
    formula: Formula = None,
    column: Numbers = None,
    category: Categories = None,
    source: Source = None,
    cost: Costs = None,
    setup: Setups = None,
    rate: Rates = None,
    prices: Annotated[Prices, typer.Option(help="As declared, or by the durations that were told.")] = Prices.DECLARED,
    noise: Noise = None,
    censored: Censored = None,
    material: Material = None,
    group: Group = None,
    unit: Unit = "",
    label: Labels = None,
    floor: Floor = None,
    budget: Annotated[
        str | None, typer.Option(help="What all that is asked may cost: 5000 or '5000 money, 90 days'.")
    ] = None,
    goal: Annotated[Goal, typer.Option(help="Large values, small ones, or to learn the pool.")] = Goal.MAX,
    seed: Annotated[int, typer.Option(help="Seed of all random draws.")] = 0,
    temperature: Annotated[float, typer.Option(help="0 takes the best; above, draws, with the chance recorded.")] = 0.0,
    acquisition: Acquisition = None,
    stop: Annotated[list[str] | None, typer.Option(help=STOP)] = None,
    recipe: Recipe = None,
    as_json: Json = False,
) -> None:
    """Begin a campaign over a pool of candidates.

    Example: `mfmat campaign create gap.db pool.csv --seen gaps.csv --formula formula --value gap --source method
    --cost pbe=1 --cost exp=400 --budget 5000`
    """
    from mfmat.campaign import Campaign

    options: dict[str, Any] = {"value": value, "source": source, "noise": noise, "material": material, "group": group}
    options["censored"] = censored
    options |= {"setup": read_prices("--setup", setup), "rates": read_rates(rate)}
    schema = make_schema((formula, column, category), cost, label, **options, unit=unit, floor=floor)
    campaign = Campaign.create(
        database,
        schema,
        recipe=read_recipe(recipe),
        pool=read_table(pool, schema),
        seen=read_table(seen, schema) if seen else None,
        budget=read_budget(budget),
        goal=goal.value,
        seed=seed,
        temperature=temperature,
        acquisition=read_acquisition(acquisition),
        stop=[read_rule(text) for text in stop or []],
        prices=prices.value,
    )
    candidates, values = len(campaign.pool), len(campaign.seen())
    facts = {"created": database, "candidates": candidates, "values": values}
    say(facts, as_json, f"created {database}: {candidates} candidates, {values} values")


@app.command(rich_help_panel="Begin")
def extend(
    database: Database,
    pool: Annotated[Path | None, typer.Option(help="Table of further candidates; known ones are left out.")] = None,
    cost: Costs = None,
    setup: Setups = None,
    budget: Annotated[str | None, typer.Option(help="The new budget, what is spent already included.")] = None,
    why: Why = "",
    as_json: Json = False,
) -> None:
    """Go on with further candidates, sources, other prices or another budget.

    A source that `--cost` names and the campaign lacks comes before the target.

    Example: `mfmat campaign extend gap.db --pool more.csv --cost scan=20 --budget 9000 --why "the new instrument"`
    """
    from dataclasses import replace

    from mfmat.campaign import Campaign

    campaign = Campaign.open(database)
    schema = before = campaign.schema
    new: dict[str, Any] = {"costs": read_prices("--cost", cost), "setup": read_prices("--setup", setup)}
    if any(new.values()):
        costs, target = {**(schema.costs or {}), **(new["costs"] or {})}, schema.sources[-1]
        costs[target] = costs.pop(target)
        schema = replace(schema, costs=costs, setup={**(schema.setup or {}), **(new["setup"] or {})})
    said = campaign.extend(
        schema=None if schema is before else schema,
        pool=read_table(pool, schema) if pool else None,
        budget=read_budget(budget),
        why=why,
    )
    say({"extended": said}, as_json, said or "nothing new")


@app.command(rich_help_panel="Every round")
def ask(
    database: Database,
    n: Annotated[int, typer.Option("-n", help="Pairs wanted.")] = 1,
    budget: Annotated[str | None, typer.Option(help="What this call may spend at most: 500 or '500 money'.")] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Also where a rule says that all is done.")] = False,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """The pairs to measure next, with an empty column to fill in.

    Example: `mfmat campaign ask gap.db -n 5 -o todo.csv`
    """
    from mfmat.campaign import Campaign
    from mfmat.table_files import check_place

    if out is not None:
        # What is asked is paid for: where it cannot be written, nothing may be asked.
        check_place(out)
    campaign = Campaign.open(database)
    todo = campaign.ask(n, budget=read_budget(budget), anyway=anyway)
    write_table(todo.assign(**{campaign.schema.value: ""}), out, as_json)
    if note := campaign.status().note:
        typer.echo(note, err=True)


@app.command(rich_help_panel="Every round")
def tell(
    database: Database,
    filled: Filled,
    again: Annotated[bool, typer.Option(help="Record also values equal to what was told before.")] = False,
    as_json: Json = False,
) -> None:
    """Record what was measured; rows without a value stay pending.

    Example: `mfmat campaign tell gap.db filled.csv`
    """
    campaign, table = _opened(database, filled)
    told, pending = campaign.tell(table, again=again), len(campaign.pending())
    say({**asdict(told), "pending": pending}, as_json, told, f"{pending} asked and not yet told")


@app.command(rich_help_panel="When something went wrong")
def correct(database: Database, filled: Filled, why: Why = "", as_json: Json = False) -> None:
    """Replace what was told of these pairs; the old values stay in the history.

    Example: `mfmat campaign correct gap.db mended.csv --why "wrong unit"`
    """
    campaign, table = _opened(database, filled)
    n = campaign.correct(table, why)
    say({"corrected": n}, as_json, f"{n} corrected")


@app.command(rich_help_panel="When something went wrong")
def fail(database: Database, rows: Rows, why: Why = "", as_json: Json = False) -> None:
    """Record that these measurements gave no value: they are not asked again.

    Example: `mfmat campaign fail gap.db broken.csv --why "did not crystallise"`
    """
    campaign, table = _opened(database, rows)
    n = campaign.fail(table, why)
    say({"failed": n}, as_json, f"{n} failed")


@app.command(rich_help_panel="When something went wrong")
def withdraw(database: Database, rows: Rows, why: Why = "", as_json: Json = False) -> None:
    """Take back an ask: the pairs go back to the pool, and their price to the budget.

    Example: `mfmat campaign withdraw gap.db late.csv`
    """
    campaign, table = _opened(database, rows)
    n = campaign.withdraw(table, why)
    say({"withdrawn": n}, as_json, f"{n} withdrawn")


@app.command(rich_help_panel="Look")
def status(
    database: Database,
    pending: Annotated[Path | None, typer.Option(help="Table to write what is asked and not yet told to.")] = None,
    as_json: Json = False,
) -> None:
    """Where the campaign stands.

    Example: `mfmat campaign status gap.db --pending todo.csv`
    """
    from mfmat.campaign import Campaign
    from mfmat.table_files import write_file

    campaign = Campaign.open(database)
    status = campaign.status()
    if pending:
        write_file(campaign.pending().assign(**{campaign.schema.value: ""}), pending)
    say(asdict(status), as_json, status, *([f"wrote {pending}"] if pending else []))


@app.command(rich_help_panel="Look")
def report(
    database: Database,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page.")] = Path("campaign.html"),
    level: Annotated[float, typer.Option(help="Share of new values that the intervals should hold.")] = 0.9,
    as_json: Json = False,
) -> None:
    """One self-contained HTML page: progress against cost, what is pending, whether predictions came true, the history.

    Example: `mfmat campaign report gap.db -o gap.html`
    """
    from mfmat.campaign import Campaign
    from mfmat.reports import report as write

    page = write(Campaign.open(database), out, level=level)
    say({"wrote": str(page)}, as_json, f"wrote {page}")


@app.command(rich_help_panel="Look")
def export(
    database: Database, folder: Annotated[Path, typer.Argument(help="A folder to make.")], as_json: Json = False
) -> None:
    """Everything as plain files, which `mfmat campaign restore` reads.

    Example: `mfmat campaign export gap.db gap-campaign`
    """
    from mfmat.campaign import Campaign

    made = Campaign.open(database).export(folder)
    say({"wrote": str(made)}, as_json, f"wrote {made}")


@app.command(rich_help_panel="Begin")
def restore(
    folder: Annotated[Path, typer.Argument(help="What `mfmat campaign export` wrote.")],
    database: Database,
    as_json: Json = False,
) -> None:
    """The campaign of an exported folder, in a new database.

    Example: `mfmat campaign restore gap-campaign postgresql://host/gap`
    """
    from mfmat.campaign import Campaign

    campaign = Campaign.restore(folder, database)
    n = len(campaign.history())
    say({"created": database, "events": n}, as_json, f"created {database}: {n} events")


def _opened(database: str, path: Path) -> tuple[Campaign, pd.DataFrame]:
    """The campaign, and a table of it that a person filled in."""
    from mfmat.campaign import Campaign
    from mfmat.durations import DURATION
    from mfmat.filled_in import read_filled
    from mfmat.table_files import JSON, PARQUET

    campaign = Campaign.open(database)
    if path.suffix.lower() in JSON + PARQUET:
        return campaign, read_table(path, campaign.schema)
    return campaign, read_filled(path, [*campaign.schema.numbers, DURATION])

"""`mfmat backtest`: would a campaign have paid?"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mfmat.shell import (
    Categories,
    Costs,
    Formula,
    Goal,
    Json,
    Material,
    Numbers,
    Recipe,
    Setups,
    Source,
    Table,
    ValueColumn,
    make_schema,
    read_budget,
    read_prices,
    read_recipe,
    read_table,
    say,
)

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from mfmat.outcomes import Backtest


class StartBy(StrEnum):
    """How the first materials are chosen."""

    RANDOM = "random"
    FARTHEST = "farthest"


def backtest(
    table: Table,
    value: ValueColumn,
    formula: Formula = None,
    column: Numbers = None,
    category: Categories = None,
    source: Source = None,
    cost: Costs = None,
    setup: Setups = None,
    material: Material = None,
    paid: Annotated[str | None, typer.Option(help="Column with what each row really costs.")] = None,
    recipe: Recipe = None,
    goal: Annotated[Goal, typer.Option(help="Large values, small ones, or to learn the pool.")] = Goal.MAX,
    budget: Annotated[
        str | None, typer.Option(help="What a campaign may pay, 500 or '500 money'; no limit unless given.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Campaigns of each policy.")] = 20,
    start: Annotated[int, typer.Option(help="Materials measured in every source at the beginning.")] = 3,
    start_by: Annotated[StartBy, typer.Option(help="How these are chosen.")] = StartBy.RANDOM,
    batch: Annotated[int, typer.Option(help="Pairs at each ask.")] = 1,
    stop: Annotated[str, typer.Option(help="best, budget, or a share of the best 5%.")] = "best",
    test: Annotated[float | None, typer.Option(help="To learn: share of the target to test on (0.2).")] = None,
    given: Annotated[list[str] | None, typer.Option(help="A source that is known beforehand (repeat).")] = None,
    workers: Annotated[int, typer.Option(help="Processes that replay at a time.")] = 1,
    runs: Annotated[Path | None, typer.Option(help="File of finished runs, to go on from.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A .csv, .json or .parquet of the summary.")] = None,
    report: Annotated[Path | None, typer.Option(help="HTML page of it all to write.")] = None,
    as_json: Json = False,
) -> None:
    """Replay campaigns on known values: what would mfmat, one source alone, and chance have paid?

    Example: `mfmat backtest gaps.csv --formula formula --value gap --source method --cost pbe=1 --cost exp=400`
    """
    from mfmat.backtesting import backtest as replay
    from mfmat.policies import Ask

    named = {"setup": read_prices("--setup", setup), "material": material}
    schema = make_schema((formula, column, category), cost, None, value=value, source=source, **named)
    learner = read_recipe(recipe)
    with _workers(workers) as executor:
        result = replay(
            read_table(table, schema),
            schema,
            Ask(learner) if learner else None,
            budget=read_budget(budget),
            goal=goal.value,
            seeds=seeds,
            start=start,
            start_by=start_by.value,
            batch=batch,
            stop=_stop(stop),
            cost=paid,
            test=test,
            given=given or (),
            path=runs,
            executor=executor,
        )
    _tell(result, out, report, as_json)


def _tell(result: Backtest, out: Path | None, page: Path | None, as_json: bool) -> None:
    """The verdict, and the summary where no file takes it."""
    from mfmat.table_files import to_records, write_file

    summary = result.summary().reset_index()
    if out:
        write_file(summary, out)
    if page:
        from mfmat.reports import report as write

        write(result, page)
    wrote = [str(path) for path in (out, page) if path]
    facts = {"verdict": result.verdict(), "summary": to_records(summary), "wrote": wrote}
    table = [] if out else [summary.to_csv(index=False).rstrip("\n")]
    say(facts, as_json, result.verdict(), *table, *(f"wrote {path}" for path in wrote))


def _workers(n: int) -> AbstractContextManager[Executor | None]:
    """Processes of their own; none for one, which is this."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    if n < 1:
        raise typer.BadParameter(f"--workers {n}: expected 1 or more")
    return nullcontext() if n == 1 else ProcessPoolExecutor(n, mp_context=get_context("spawn"))


def _stop(text: str) -> Any:
    try:
        return text if text in ("best", "budget") else float(text)
    except ValueError as error:
        raise typer.BadParameter(f"--stop {text}: expected best, budget, or a share such as 0.5") from error

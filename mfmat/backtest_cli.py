"""`mfmat backtest`: would a campaign have paid?"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class Goal(StrEnum):
    """What a campaign is for."""

    MAX = "max"
    MIN = "min"
    LEARN = "learn"


class StartBy(StrEnum):
    """How the first materials are chosen."""

    RANDOM = "random"
    FARTHEST = "farthest"


def add_to(
    app: typer.Typer,
    read: Callable[..., Any],
    inputs: Callable[..., Any],
    price: Callable[[str], tuple[str, float]],
) -> None:
    """Give the command its verb `backtest`.

    Args:
        app: the command.
        read: a table from a path and a schema.
        inputs: featurizers from a column of formulas, columns of numbers and columns of categories.
        price: a source and its price from SOURCE=PRICE.
    """

    @app.command()
    def backtest(
        table: Annotated[Path, typer.Argument(help="CSV of known values, one a row.")],
        value: Annotated[str, typer.Option(help="Column of the values.")],
        formula: Annotated[str | None, typer.Option(help="Column of chemical formulas.")] = None,
        column: Annotated[list[str] | None, typer.Option(help="A column of numbers (repeat).")] = None,
        category: Annotated[list[str] | None, typer.Option(help="A column of categories (repeat).")] = None,
        source: Annotated[str | None, typer.Option(help="Column naming where a value came from.")] = None,
        cost: Annotated[list[str] | None, typer.Option(help="SOURCE=PRICE, the target last.")] = None,
        material: Annotated[str | None, typer.Option(help="Column naming the material.")] = None,
        paid: Annotated[str | None, typer.Option(help="Column with what each row really costs.")] = None,
        recipe: Annotated[Path | None, typer.Option(help="JSON of a recipe; Auto unless given.")] = None,
        goal: Annotated[Goal, typer.Option(help="Large values, small ones, or to learn the pool.")] = Goal.MAX,
        budget: Annotated[float | None, typer.Option(help="What a campaign may pay; no limit unless given.")] = None,
        seeds: Annotated[int, typer.Option(help="Campaigns of each policy.")] = 20,
        start: Annotated[int, typer.Option(help="Materials measured in every source at the beginning.")] = 3,
        start_by: Annotated[StartBy, typer.Option(help="How these are chosen.")] = StartBy.RANDOM,
        batch: Annotated[int, typer.Option(help="Pairs at each ask.")] = 1,
        stop: Annotated[str, typer.Option(help="best, budget, or a share of the best 5%.")] = "best",
        runs: Annotated[Path | None, typer.Option(help="File of finished runs, to go on from.")] = None,
        out: Annotated[Path | None, typer.Option("--out", "-o", help="CSV of the summary to write.")] = None,
    ) -> None:
        """Replay campaigns on known values: what would mfmat, one source alone, and chance have paid?

        Example: `mfmat backtest gaps.csv --formula formula --value gap --source method --cost pbe=1 --cost exp=400`
        """
        import json

        from mfmat.backtesting import backtest as replay
        from mfmat.learner import Learner
        from mfmat.policies import Ask
        from mfmat.schema import Schema

        schema = Schema(
            inputs(formula, column or [], category or []),
            value=value,
            source=source,
            costs=dict(map(price, cost)) if cost else None,
            material=material,
        )
        result = replay(
            read(table, schema),
            schema,
            Ask(Learner.of(json.loads(recipe.read_text()))) if recipe else None,
            budget=budget,
            goal=goal.value,
            seeds=seeds,
            start=start,
            start_by=start_by.value,
            batch=batch,
            stop=_stop(stop),
            cost=paid,
            path=runs,
        )
        typer.echo(result.verdict())
        text = result.summary().to_csv(out)
        typer.echo(text if text is not None else f"wrote {out}", nl=text is None)


def _stop(text: str) -> Any:
    try:
        return text if text in ("best", "budget") else float(text)
    except ValueError as error:
        raise typer.BadParameter(f"--stop {text}: expected best, budget, or a share such as 0.5") from error

"""The main job, end to end, on the embedded table."""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from mfmat.auto import Auto
from mfmat.datasets import load
from mfmat.experts import GP
from mfmat.reports import report
from mfmat.schema import Schema
from mfmat.stacks import TargetOnly
from mfmat.suggestion import suggest
from mfmat.surrogate import fit
from mfmat.validation import accuracy, cross_validate, train_median

NEW = ("ZnTe", "MgS", "MgSe", "SrSe", "BaTe", "In2O3", "Ga2O3", "KBr", "CsI", "SrF2")
"""Compounds of which the table has no value at all."""


def run(path: str | Path = "mfmat-demo.html", console: Console | None = None) -> Path:
    """Fuse the levels of "semiconductor-gaps", check, predict, suggest, and write the report to `path`."""
    console = console or Console()
    start = time.perf_counter()
    table, schema = load("semiconductor-gaps")
    target = schema.sources[-1]
    compounds, counts = table["formula"].nunique(), table[schema.source].value_counts()
    levels = ", ".join(f"{name} {counts[name]}" for name in schema.sources)
    console.print(f"[bold]semiconductor-gaps[/]: {compounds} compounds, values of {levels}; the target is {target}.")

    validated = _compare(table, schema, console)
    with console.status("fitting the default recipe to every row"):
        gap = fit(table, schema)
    for sentence in gap.card["why"]:
        console.print(sentence)

    known = table.loc[table[schema.source] == target, "formula"]
    waiting = table.loc[~table["formula"].isin(known), ["formula"]].drop_duplicates("formula")
    pool = pd.concat([waiting, pd.DataFrame({"formula": NEW})], ignore_index=True)
    _print(console, f"Predicted {target} of compounds without one", pool.join(gap.predict(pool)))
    with console.status("weighing what to measure next"):
        suggestions = suggest(gap, pool, 5, goal="learn")
    _print(console, "Worth their price, to learn most about the compounds above", suggestions)
    with console.status("writing the report"):
        page = report(
            gap, path, validated=validated.pop("mfmat"), baselines=validated, pool=pool, suggestions=suggestions
        )
    console.print(f"Report: {page.resolve()} ({time.perf_counter() - start:.0f} s in all)")
    return page


def _compare(table: pd.DataFrame, schema: Schema, console: Console) -> dict[str, pd.DataFrame]:
    recipes = {"mfmat": Auto(), "target alone": TargetOnly(GP())}
    predicted = {}
    for name, recipe in recipes.items():
        with console.status(f"5-fold cross-validation over compounds: {name}"):
            predicted[name] = cross_validate(table, schema, recipe)
    predicted["train median"] = train_median(table, schema)
    rows = (
        pd.DataFrame({name: accuracy(said) for name, said in predicted.items()}).T.rename_axis("recipe").reset_index()
    )
    _print(console, "Held-out compounds, in eV; intervals at 90%", rows)
    return predicted


def _print(console: Console, title: str, rows: pd.DataFrame) -> None:
    printed = Table(title=title, title_justify="left")
    for name in rows.columns:
        printed.add_column(str(name), overflow="fold")
    for row in rows.itertuples(index=False):
        printed.add_row(*(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row))
    console.print(printed)

"""Where not to trust a surrogate: families whose intervals fail, and candidates unlike what was measured."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from mfmat.reports.evidence import Evidence, hold
from mfmat.reports.tables import Cell, Table, inputs_of, numbers, texts
from mfmat.reports.wording import decimals, listed, percent, short
from mfmat.surrogate import Surrogate

FEW = 30
"""Target values below which little is known of how far off predictions are."""
STRANGE, ODD = 0.01, 0.05
"""p-values up to which a candidate is told as unlike the measured compounds, and up to which it is listed."""
NAMED, MOST = 5, 20
"""Candidates named in a sentence, and in the table."""
FAMILY = 5
"""Values from which a family's error is told."""


def doubts(x: Surrogate, found: Evidence | None, likeness: pd.Series | None) -> list[str]:
    """Sentences; `likeness` has the p-value of each candidate (`Surrogate.novelty`), by its name."""
    return [*_of_rows(x), *_of_evidence(x, found), *_of_families(found), *_of_candidates(x, likeness)]


def families(found: Evidence | None) -> Table | None:
    """How far off predictions are in each family of compounds, and how often intervals held there."""
    if found is None or "family" not in found.table or found.table["family"].nunique() < 2:
        return None
    table = found.table
    held = hold(table["y"].between(table["lower"], table["upper"]), table["family"].tolist())[::-1]
    errors = (table["y"] - table["median"]).abs().groupby(table["family"]).mean()[held.index]
    widths = (table["upper"] - table["lower"]).groupby(table["family"]).mean()[held.index]
    places = decimals([*errors, *widths])
    columns = {
        "family": texts(list(held.index)),
        "values": [Cell(str(n), n) for n in held["size"].tolist()],
        "mean absolute error": numbers(errors.tolist(), places),
        "their intervals held": [Cell(percent(share), share) for share in (held["held"] / held["size"]).tolist()],
        "mean width": numbers(widths.tolist(), places),
    }
    return Table("families-table", "Held-out values by family", columns, len(held))


def strangers(x: Surrogate, inputs: pd.DataFrame, predicted: pd.DataFrame, likeness: pd.Series) -> Table | None:
    """The candidates least like the measured compounds, the strangest first; None where all are like them."""
    order = likeness.to_numpy().argsort(kind="stable")
    order = order[likeness.to_numpy()[order] <= ODD][:MOST]
    if not len(order):
        return None
    shown = predicted.iloc[order]
    places = decimals([*shown["median"]])
    columns = inputs_of(x, inputs.iloc[order])
    columns["p-value"] = [Cell(short(p, 2), p) for p in likeness.iloc[order].tolist()]
    columns |= {name: numbers(shown[name].tolist(), places) for name in ("median", "lower", "upper")}
    total = int((likeness <= ODD).sum())
    return Table("strangers-table", "Candidates least like the measured compounds", columns, total)


def _of_rows(x: Surrogate) -> Iterator[str]:
    target = x.schema.sources[-1]
    n = x.card["provenance"]["rows"][target]
    if n < FEW:
        many = f"{n} value{'s' * (n != 1)} of {target}"
        yield f"It learned from {many} only: of so few, errors and intervals are themselves uncertain."


def _of_evidence(x: Surrogate, found: Evidence | None) -> Iterator[str]:
    if found is None:
        yield "Nothing was held out, so nothing says how far off it is, or whether its intervals hold."
        return
    if found.promise == "less":
        yield f"Its {percent(found.level)} intervals held less often than they say, beyond chance: they are too narrow."
    low, high = short(float(found.table["y"].min())), short(float(found.table["y"].max()))
    unit = f" {x.schema.unit}" if x.schema.unit else ""
    yield (
        f"It was tested on values of {x.schema.value} between {low} and {high}{unit}; beyond them, and for compounds "
        "unlike all that were measured, no calibration reaches."
    )


def _of_families(found: Evidence | None) -> Iterator[str]:
    if found is None or "family" not in found.table or found.table["family"].nunique() < 2:
        return
    table = found.table
    held = hold(table["y"].between(table["lower"], table["upper"]), table["family"].tolist())
    for name, row in held[held["high"] < found.level].iterrows():
        yield (
            f"Of {row['size']:.0f} {name}, {row['held']:.0f} lay inside their {percent(found.level)} intervals, less "
            "often than chance allows: read intervals of that family as too narrow."
        )
    errors = (table["y"] - table["median"]).abs().groupby(table["family"]).agg(["mean", "size"])
    errors = errors[errors["size"] >= FAMILY].sort_values("mean")
    if len(errors) > 1:
        best, *_, worst = zip(errors.index, (short(each) for each in errors["mean"]), strict=True)
        yield f"It errs most on {worst[0]} ({worst[1]} on average) and least on {best[0]} ({best[1]})."


def _of_candidates(x: Surrogate, likeness: pd.Series | None) -> Iterator[str]:
    if likeness is None:
        return
    target, n = x.schema.sources[-1], len(likeness)
    strange = likeness[likeness <= STRANGE].sort_values(kind="stable")
    if not len(strange):
        yield f"None of the {n} candidates is unlike the compounds measured in {target}."
        return
    names = [str(name) for name in strange.index[:NAMED]]
    more = [*names, f"{len(strange) - NAMED} more"] if len(strange) > NAMED else names
    yield (
        f"{len(strange)} of the {n} candidates {'is' if len(strange) == 1 else 'are'} farther from all compounds "
        f"measured in {target} than 99 in 100 of those are from each other: {listed(more)}."
    )

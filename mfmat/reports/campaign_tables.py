"""The tables of a campaign's page."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from mfmat.amounts import Amount, say
from mfmat.reports import wording
from mfmat.reports.campaign_words import price_of, worth_of
from mfmat.reports.chronicle import Chronicle
from mfmat.reports.drawings import bar_cell
from mfmat.reports.tables import LISTED, Cell, Table, numbers, texts
from mfmat.reports.wording import decimals, number, percent, short


def asked(told: Chronicle) -> Table | None:
    """What is pending and what the newest round asked for, with what was expected and why; None where nothing is."""
    rows = told.latest.iloc[:LISTED]
    if rows.empty:
        return None
    columns = {"material": texts(rows["name"].tolist())}
    if told.schema.source:
        columns["source"] = texts(rows["source"].tolist())
    columns |= {
        "came out": [_state(row["state"], row["value"]) for _, row in rows.iterrows()],
        "round": _whole(rows["round"]),
        "price": _prices(rows["cost"]),
        "worth per price": [Cell("–") if math.isnan(s) else Cell(short(s, 2), s) for s in rows["score"]],
        f"{told.target} predicted ({percent(told.level)})": _predicted(rows),
        "reason": texts(rows["reason"].tolist()),
    }
    return Table("asked-table", "Pending, and the newest suggestions", columns, len(told.latest))


def money(told: Chronicle) -> Table:
    """What each source got of the money, and what came of it."""
    mine, sources = told.purchases, list(told.schema.sources)
    paid = [float(mine.loc[mine["source"] == name, "cost"].sum()) for name in sources]
    counts = [told.status.sources[name] for name in sources]
    total = sum(paid)
    columns = {
        "source": texts(sources),
        "price": _prices(pd.Series([price_of(told, name) for name in sources])),
        "told": numbers([float(each.told) for each in counts], 0),
        "failed": numbers([float(each.failed) for each in counts], 0),
        "pending": numbers([float(each.pending) for each in counts], 0),
        "spent": _prices(pd.Series(paid)),
        "share": [Cell(percent(round(cost / total, 2)), cost / total) if total else Cell("–") for cost in paid],
        "share, drawn": [
            Cell(drawing=bar_cell(cost, total, chosen=name == told.target))
            for name, cost in zip(sources, paid, strict=True)
        ],
    }
    took = told.campaign.costs()
    if took["n"].sum():
        columns["really took (median)"] = numbers(took["median"].tolist())
    return Table("money-table", "Money by source", columns, len(sources))


def rounds(told: Chronicle) -> Table | None:
    """Whether predictions came true, round by round, as `Campaign.calibration` says; None where none was judged."""
    found = told.rounds
    if found.empty:
        return None
    shown = found.iloc[:LISTED]
    columns = {
        "round": _counts(shown.index.to_series()),
        "told": _counts(shown["told"]),
        "inside": _counts(shown["held"]),
        "mean error": numbers(shown["error"].tolist(), 2),
        "root mean square": numbers(shown["spread"].tolist(), 2),
        "told so far": _counts(shown["all_told"]),
        "inside so far": _counts(shown["all_held"]),
        "share so far": [Cell(_percent(share), share) for share in shown["share"]],
        "honest ones": [
            Cell(f"{_percent(low)} to {_percent(high)}", low)
            for low, high in zip(shown["low"], shown["high"], strict=True)
        ],
        "as promised": texts(shown["promise"].replace("as", "yes").tolist()),
    }
    return Table("rounds-table", "Predictions round by round", columns, len(found))


def worth(told: Chronicle) -> Table | None:
    """What `diagnose` says of each cheap source; None where it cannot yet."""
    found = told.diagnosis
    if isinstance(found, str):
        return None
    names = [str(name) for name in found.index]
    gains, worths = found[["gain", "gain_lower", "gain_upper"]].astype(float), [worth_of(told, name) for name in names]
    bars = [
        Cell("–")
        if gains.loc[n].isna().any()
        else Cell(" to ".join(f"{_percent(e)}" for e in gains.loc[n, ["gain_lower", "gain_upper"]]))
        for n in found.index
    ]
    columns = {
        "source": texts(names),
        "verdict": texts(found["verdict"].tolist()),
        "error it takes away": [Cell("–") if math.isnan(g) else Cell(_percent(g), g) for g in gains["gain"]],
        "90% interval": bars,
        "correlation": numbers(found["correlation"].astype(float).tolist(), 2),
        "worth up to": [
            Cell("any price") if math.isinf(most) else shown
            for most, shown in zip(worths, numbers(worths), strict=True)
        ],
        "price": _prices(pd.Series([price_of(told, name) for name in names])),
        "where": texts([w or "–" for w in found["where"].fillna("")]),
    }
    return Table("worth-table", "What each cheap source is worth", columns, len(names))


def history(told: Chronicle) -> Table:
    """Every event, the newest first."""
    rows = told.history.iloc[::-1]
    shown = rows.iloc[:LISTED]
    columns = {"material": texts(shown["name"].tolist()), "what": texts(shown["kind"].tolist())}
    if told.schema.source:
        columns["source"] = texts(shown["source"].tolist())
    values = [value if isinstance(value, str) or pd.notna(value) else None for value in shown["value"]]
    places = decimals([value for value in values if isinstance(value, int | float)])
    times = [str(time)[:16].replace("T", " ") for time in shown["time"]]
    columns |= {
        "value": [_value(value, places) for value in values],
        "price": [_paid(cost) for cost in shown["cost"]],
        "round": _whole(shown["round"]),
        # Sorted by the number of the event: a minute may see many.
        "time (UTC)": [Cell(time, float(event)) for time, event in zip(times, shown.index, strict=True)],
        "why": texts([_why(row) for _, row in shown.iterrows()]),
    }
    choices = ("what", "source") if told.schema.source else ("what",)
    return Table("history-table", "Everything that happened", columns, len(rows), choices)


def _predicted(rows: pd.DataFrame) -> list[Cell]:
    """Medians with the ends of their intervals, as far as they are known; sorted by the median."""
    places = decimals(rows["median"].dropna().tolist())
    cells = []
    for middle, lower, upper in rows[["median", "lower", "upper"]].itertuples(index=False, name=None):
        ends = "" if math.isnan(lower) else f" ({number(lower, places)} to {number(upper, places)})"
        cells.append(Cell("–") if math.isnan(middle) else Cell(number(middle, places) + ends, middle))
    return cells


def _why(row: pd.Series) -> str:
    """The reason of an ask, what a person said of another event, or that nobody had asked."""
    said = [row[name] for name in ("reason", "why") if isinstance(row[name], str) and row[name]]
    if row["kind"] in ("told", "failed") and row["origin"] == "human":
        said.append("not asked for")
    return "; ".join(said)


def _value(value: object, places: int | None) -> Cell:
    if value is None:
        return Cell()
    return Cell(str(value)) if isinstance(value, str) else numbers([float(value)], places)[0]  # type: ignore[arg-type]


def _state(state: str, value: float) -> Cell:
    return Cell(short(value), value) if state == "told" and not math.isnan(value) else Cell(state)


def _whole(values: pd.Series) -> list[Cell]:
    return [Cell() if pd.isna(value) else Cell(str(int(value)), float(value)) for value in values]


def _counts(values: pd.Series) -> list[Cell]:
    return [Cell(str(value), float(value)) for value in values.tolist()]


def _prices(values: pd.Series) -> list[Cell]:
    return [Cell() if math.isnan(value) else Cell(wording.money(value), value) for value in values.astype(float)]


def _paid(cost: Amount | None) -> Cell:
    """What an event cost, in the units that it was paid in."""
    if isinstance(cost, Mapping):
        return Cell(say(cost), sum(cost.values()))
    return _prices(pd.Series([cost]))[0]


def _percent(share: float) -> str:
    return percent(round(share, 2)).replace("-", "−")

"""A campaign in plain words: the verdict, and where not to trust it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from mfmat.costs import convert, exchange
from mfmat.metrics.calibration import band
from mfmat.reports.chronicle import RARE, Chronicle
from mfmat.reports.verdict import Tile
from mfmat.reports.wording import listed, money, percent, short

FEW = 20
"""Predictions below which how often they held says little."""
PROMISES = {
    "less": "less often than promised",
    "as": "as often as promised, within chance",
    "more": "more often than promised",
}
NAMED = 5
"""Pending pairs that a sentence names at most."""


def sentences(told: Chronicle) -> list[str]:
    """The verdict: what is looked for, what was found, for how much, what is open, what speaks for an end."""
    found = [_progress(told)] if told.campaign.goal != "learn" else _learned(told)
    parts = [_aim(told), *found, _spent(told), *_pending(told), *_note(told), *_calibration(told), *_worth(told)]
    return [part for part in parts if part]


def tiles(told: Chronicle) -> list[Tile]:
    """The same as numbers."""
    status, unit = told.status, told.schema.unit
    made = []
    if status.best is not None:
        made.append(
            Tile("best", status.best, f"{short(status.best)} {unit}".strip(), f"best {told.target} value so far")
        )
    elif not told.learned.empty:
        std = float(told.learned["std"].iloc[-1])
        made.append(Tile("std", std, f"{short(std)} {unit}".strip(), f"expected error of {told.target} over the pool"))
    of = "" if told.campaign.budget is None else f" of {money(told.campaign.budget)}"
    made.append(Tile("spent", float(told.course["spent"].iloc[-1]), money(status.spent), f"spent{of}"))
    counts = status.sources.values()
    told_, pending = sum(each.told for each in counts), sum(each.pending for each in counts)
    made.append(Tile("told", told_, str(told_), f"values told in {status.rounds} round{'s' * (status.rounds != 1)}"))
    made.append(Tile("pending", pending, str(pending), "measurements pending"))
    if len(told.judged):
        share = float(told.judged["inside"].mean())
        made.append(Tile("coverage", share, percent(share), f"of {percent(told.level)} intervals held"))
    return made


def doubts(told: Chronicle) -> list[str]:
    """Where the campaign is not to be trusted, and why."""
    said = [*_doubts_of_predictions(told), *_doubts_of_rows(told)]
    if told.strange is not None and told.strange > RARE:
        said.append(
            f"{percent(told.strange)} of the pool are unlike anything measured in {told.target}: what is predicted "
            "there is extrapolated, intervals included."
        )
    if isinstance(told.diagnosis, pd.DataFrame):
        warnings = told.diagnosis["warning"].fillna("")
        said += [f"{source}: {warning}." for source, warning in warnings.items() if warning]
    return said


def _aim(told: Chronicle) -> str:
    what = {"max": "looks for the highest", "min": "looks for the lowest", "learn": "is to learn"}[told.campaign.goal]
    where = f" at the level of {told.target}" if told.schema.source else ""
    return f"This campaign {what} {told.schema.value}{where} among {len(told.campaign.pool)} candidates."


def _progress(told: Chronicle) -> str:
    best, unit = told.status.best, told.schema.unit
    if best is None:
        return f"No value of {told.target} is known yet."
    head = f"The best so far is {told.best_name} with {short(best)} {unit}".strip()
    if told.found == 0:
        unasked = "" if len(told.purchases) == 0 else ": nothing better was found since"
        return f"{head}, known from the start{unasked}."
    row, start = told.course.iloc[told.found], float(told.course["best"].iloc[0])
    by = "" if pd.isna(row["round"]) else f" in round {row['round']}"
    before = "no value was known when it began" if math.isnan(start) else f"it was {short(start)} when it began"
    return f"{head}, found{by} once {money(row['spent'])} was spent; {before}."


def _learned(told: Chronicle) -> list[str]:
    std, unit = told.learned["std"].tolist(), told.schema.unit
    if not std:
        return ["No model was needed yet."]
    if len(std) == 1:
        return [
            f"By its model's own account, predictions over the pool are off by {short(std[0])} {unit}".strip() + "."
        ]
    way = "fell" if std[-1] < std[0] else "rose (the first models were too sure)"
    spent = money(told.learned["spent"].iloc[-1])
    return [
        f"By its models' own account, the error expected over the pool {way} from {short(std[0])} to {short(std[-1])} "
        f"{unit}".strip()
        + f" with what the first {spent} brought."
    ]


def _spent(told: Chronicle) -> str:
    mine, left = told.purchases, told.status.left
    failed = int((mine["state"] == "failed").sum())
    lost = f", {failed} of which failed" if failed else ""
    rest = "there is no limit" if left is None else f"{money(left)} is left"
    size = f"{len(mine)} measurement{'s' * (len(mine) != 1)}"
    return (
        f"{money(told.status.spent)} is spent on {size}{lost}; {rest}." if len(mine) else f"Nothing is spent; {rest}."
    )


def _pending(told: Chronicle) -> Iterator[str]:
    open_ = told.purchases[told.purchases["state"] == "pending"]
    if open_.empty:
        return
    one = told.schema.source is None
    names = [name if one else f"{name} ({source})" for name, source in zip(open_["name"], open_["source"], strict=True)]
    more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
    yield f"{len(names)} {'is' if len(names) == 1 else 'are'} pending: {listed(names[:NAMED] + more)}."


def _note(told: Chronicle) -> Iterator[str]:
    if told.status.note:
        yield f"The last ask said: {told.status.note}."


def _calibration(told: Chronicle) -> Iterator[str]:
    if told.rounds.empty:
        return
    last = told.rounds.iloc[-1]
    held, n = last["all_held"], last["all_told"]
    size = f"{held} of {n} {told.target} values that were asked for lay" if n > 1 else f"{held} of 1 value lay"
    word = PROMISES[last["promise"]] + drift(told.rounds)
    yield f"{size} inside the {percent(told.level)} interval predicted for them: {word}."


def drift(rounds: pd.DataFrame) -> str:
    """When the share of intervals that held left the band of chance, after the words on where it is now.

    >>> rounds = pd.DataFrame({"promise": ["as", "less", "less"]}, index=[1, 2, 4])
    >>> drift(rounds), drift(rounds.iloc[:1]), drift(rounds.iloc[[1, 0]])
    (', since round 2', '', ' (but not after round 2: less often then)')
    >>> drift(pd.DataFrame({"promise": ["less", "less", "as"]}, index=[1, 2, 4]))
    ' (but not after rounds 1 to 2: less often then)'
    """
    now = rounds["promise"].iloc[-1]
    other = np.flatnonzero(rounds["promise"] != now)
    if now != "as":
        since = rounds.index[other[-1] + 1] if len(other) else rounds.index[0]
        return f", since round {since}" if since != rounds.index[-1] else ", since the last round that was told"
    if not len(other):
        return ""
    words = {promise: f"{promise} often then" for promise in ("less", "more")}
    first, last = rounds.index[other[0]], rounds.index[other[-1]]
    run = len(other) == other[-1] - other[0] + 1
    when = f"after rounds {first} to {last}" if run else f"at times between rounds {first} and {last}"
    when = when if first != last else f"after round {first}"
    return f" (but not {when}: {' and '.join(words[each] for each in dict.fromkeys(rounds['promise'].iloc[other]))})"


def _worth(told: Chronicle) -> Iterator[str]:
    """Which source earned its price."""
    if len(told.schema.sources) < 2:
        return
    if isinstance(told.diagnosis, str):
        yield f"Which source earns its price cannot be told yet: {told.diagnosis}."
        return
    for source, row in told.diagnosis.iterrows():
        if pd.isna(row["gain"]):
            continue
        gain, worth, price = percent(round(row["gain"], 2)), worth_of(told, str(source)), price_of(told, str(source))
        if row["verdict"] == "drop":
            yield f"{source} has not helped to predict {told.target} so far."
            continue
        where = "" if row["verdict"] == "use" else f" for {row['where']}"
        verdict = "earns its price" if worth > price else "helps, but costs more than it is worth"
        much = "any price" if math.isinf(worth) else f"up to {short(worth, 2)} a value"
        yield (
            f"{source} {verdict}{where}: it takes {gain} off the error of held-out {told.target} values, worth {much}, "
            f"and costs {short(price)}."
        )


def worth_of(told: Chronicle, source: str) -> float:
    """The price up to which a value of a source pays, by `diagnose`."""
    assert isinstance(told.diagnosis, pd.DataFrame)
    return float(told.diagnosis.loc[source, "break_even"]) * price_of(told, told.target)  # type: ignore[arg-type]


def price_of(told: Chronicle, source: str) -> float:
    """The mean price of a candidate of the pool in a source."""
    schema, campaign = told.schema, told.campaign
    if campaign.prices == "learned":
        return float(campaign.costs()["price"].to_dict()[source])
    rates = exchange(schema.units, schema.rates, None)
    prices = schema.price(campaign.pool)[0][:, schema.sources.index(source)].mean(dim=0).tolist()
    return convert(dict(zip(schema.units, prices, strict=True)), rates)


def _doubts_of_predictions(told: Chronicle) -> Iterator[str]:
    n = len(told.judged)
    if told.campaign.goal != "learn":
        yield (
            "The campaign measures where it hopes for much, so errors and intervals on this page are those of "
            f"promising candidates, not of {told.schema.value} in general; the best of many predictions disappoints."
        )
    if 0 < n < FEW:
        low, high = (float(end[0]) for end in band(n, np.array([told.level])))
        yield (
            f"{n} predictions came to a test: honest {percent(told.level)} intervals hold between {percent(low)} and "
            f"{percent(high)} of so few."
        )
    if not n:
        yield f"No {told.target} value was predicted before it was told, so nothing is known yet of how far off it is."
    yield from _drifted(told)
    empty = int(told.told["inside"].isna().sum())
    if empty and n:
        many = f"{empty} {told.target} value{'s' * (empty != 1)}"
        yield f"{many} told had no prediction to compare with: no model had asked for {'it' if empty == 1 else 'them'}."


def _drifted(told: Chronicle) -> Iterator[str]:
    """What intervals that held too seldom or too often mean for those on the page."""
    rounds = told.rounds
    if rounds.empty or rounds["promise"].iloc[-1] == "as":
        return
    size = math.sqrt((rounds["told"] * rounds["spread"] ** 2).sum() / rounds["told"].sum())
    word = rounds["promise"].iloc[-1]
    yield (
        f"Intervals held {word} often than promised{drift(rounds)}: errors were {short(size, 2)} times as large as "
        f"stated (root mean square), so take what is predicted of {told.target} on this page for {word} certain than "
        "it says."
    )


def _doubts_of_rows(told: Chronicle) -> Iterator[str]:
    mine = told.purchases
    failed = mine[mine["state"] == "failed"]
    if len(failed):
        names = listed(list(dict.fromkeys(failed["name"]))[:NAMED])
        many = f"{len(failed)} measurements" if len(failed) > 1 else "1 measurement"
        yield f"{many} failed ({names}): of what they would have shown the models know nothing."
    corrected = int((told.history["kind"] == "corrected").sum())
    if corrected:
        many = "1 value was" if corrected == 1 else f"{corrected} values were"
        yield f"{many} corrected; models before that had learned from what was told first."

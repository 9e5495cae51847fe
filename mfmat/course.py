"""The course of a campaign: everything that was paid for, what came of it, and whether it was as expected."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mfmat.costs import convert, exchange
from mfmat.data import material_keys
from mfmat.errors import CalibrationError
from mfmat.journal import Event, Journal, Log
from mfmat.ledger import Ledger, Pair, replicate
from mfmat.metrics.calibration import band
from mfmat.novelty import OutsideWarning
from mfmat.packing import unpack
from mfmat.progress import track
from mfmat.readings import read_noise, read_values
from mfmat.records import Records
from mfmat.replicates import merge
from mfmat.surrogate import Surrogate

Bills = Mapping[int, tuple[str, Mapping[str, float]]]
SAID = ("median", "mean", "std", "lower", "upper")
COLUMNS = (
    *("time", "state", "round", "candidate", "source", "cost", "spent", "value", "best"),
    *(*SAID, "inside", "score", "reason", "why"),
)


@dataclass
class Purchase:
    """One measurement that was paid for.

    Attributes:
        event: what was told or failed; the ask, where nobody answered it yet.
        state: `"told"`, `"failed"`, `"pending"`, or `"replaced"`: told, and corrected together with a later value.
        ask: the ask that it answers; None where nobody asked.
        reading: the event whose value counts.
    """

    event: Event
    state: str
    ask: Event | None
    reading: Event | None = None


def retrace(journal: Journal, records: Records, level: float) -> pd.DataFrame:
    """The course of the campaign in a journal; see `Campaign.course`."""
    with journal.reading() as log:
        events, ledger = records.events(log), records.ledger(log)
        purchases = _purchases(events, ledger)
        said = _expected(log, records, purchases, level)
    schema = records.catalogue.schema
    rates = exchange(schema.units, schema.rates, None)
    rows: list[dict[str, Any]] = [
        {"state": "start", "cost": 0.0},
        *(_row(each, ledger.bills, rates) for each in purchases),
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS), index=pd.Index([0, *(p.event.id for p in purchases)]))
    table.index.name = "event"
    table[list(SAID)] = np.vstack([np.full((1, len(SAID)), np.nan), said])
    table["spent"] = table["cost"].astype(float).cumsum()
    table["best"] = _best(records, ledger, purchases)
    numbers = ["cost", "spent", "value", "best", *SAID, "score"]
    table[numbers] = table[numbers].astype(float)
    inside = table["value"].between(table["lower"], table["upper"]).astype(object)
    known = (table["source"] == records.catalogue.schema.sources[-1]) & table[["value", "lower"]].notna().all(axis=1)
    return table.assign(inside=inside.where(known, None), round=table["round"].astype("Int64"))


def judge_rounds(course: pd.DataFrame, level: float) -> pd.DataFrame:
    r"""Whether what was predicted came true, round by round, and all rounds up to each one together.

    What counts is a value of the target that a model asked for and that was told since. Its standardised error is
    $z = (y - \mu) / \sigma$ with the mean and standard deviation that were predicted of it: honest predictions have
    a mean of $z$ near 0 and a mean of $z^2$ near 1.

    Args:
        course: of `Campaign.course`.
        level: of its intervals.

    Returns:
        By round: `told` (values that count), `held` (inside their interval), `error` (mean of z), `spread` (root mean
        square of z); of all up to it `all_told`, `all_held`, `share` that held, `low` and `high`, between which chance
        leaves it in 19 of 20 honest campaigns at that number of values (binomial), and `promise`: `"less"`, `"as"` or
        `"more"` often than promised. Rounds without such a value are left out.

    >>> told = pd.DataFrame({"round": [1, 1, 2], "value": [0.0, 1.0, 9.0], "inside": [True, True, False]})
    >>> rounds = judge_rounds(told.assign(mean=0.0, std=1.0), 0.9)
    >>> rounds[["told", "held", "spread", "all_held", "promise"]].values.tolist()
    [[2, 2, 0.7071067811865476, 2, 'as'], [1, 0, 9.0, 2, 'as']]
    """
    judged = course[course["inside"].notna()]
    z = (judged["value"] - judged["mean"]) / judged["std"]
    by_round = pd.DataFrame({"inside": judged["inside"].astype(int), "z": z, "square": z**2}).groupby(judged["round"])
    columns = {"told": by_round["z"].size(), "held": by_round["inside"].sum(), "error": by_round["z"].mean()}
    found = pd.DataFrame({**columns, "spread": by_round["square"].mean() ** 0.5})
    found.index = found.index.astype(int)
    found["all_told"], found["all_held"] = found["told"].cumsum(), found["held"].cumsum()
    found["share"] = found["all_held"] / found["all_told"]
    ends = [band(n, np.array([level])) for n in found["all_told"].tolist()]
    found["low"], found["high"] = np.array(ends, dtype=float).reshape(-1, 2).T
    out = [found["share"] < found["low"], found["share"] > found["high"]]
    found["promise"] = np.select(out, ["less", "more"], "as")
    return found


def _purchases(events: Sequence[Event], ledger: Ledger) -> list[Purchase]:
    """In the order of the answers, what is pending last."""
    asks: dict[tuple[Pair, int | None], Event] = {}
    made: dict[Pair, list[Purchase]] = {}
    for event in events:
        mine = made.setdefault(event.pair, [])
        if event.kind == "asked":
            asks[event.pair, event.round] = event
        elif event.kind == "corrected":
            _replace(mine, event)
        elif event.kind in ("told", "failed"):
            reading = event if event.kind == "told" else None
            mine.append(Purchase(event, event.kind, asks.get((event.pair, event.round)), reading))
    answered = sorted((each for mine in made.values() for each in mine), key=lambda each: each.event.id)
    return answered + [Purchase(ask, "pending", ask) for ask in ledger.pending.values()]


def _replace(mine: Sequence[Purchase], correction: Event) -> None:
    """A correction cost nothing: it stands where the value that it replaces was paid for, or at the start."""
    told = [each for each in mine if each.state in ("told", "replaced")]
    place, count = replicate(correction)
    if place == 0:
        for each in told:
            each.state, each.reading = "replaced", None
    if len(told) >= count - place:
        mended = told[place - count]
        mended.state, mended.reading = "told", correction


def _row(purchase: Purchase, bills: Bills, rates: Mapping[str, float]) -> dict[str, Any]:
    event, ask = purchase.event, purchase.ask
    _, paid = bills[ask.id if ask else event.id]
    facts = purchase.reading.facts if purchase.reading else {}
    number = purchase.reading and not isinstance(facts["value"], str) and "censored" not in facts
    return {
        "time": event.time,
        "state": purchase.state,
        "round": event.round,
        "candidate": event.candidate,
        "source": event.source,
        "cost": convert(paid, rates),
        # The class of a label is no number, nor is a limit the value; the history has them.
        "value": facts["value"] if number else None,
        "score": ask.facts["score"] if ask else None,
        "reason": ask.facts["reason"] if ask else "",
        "why": (purchase.reading or event).facts.get("why", ""),
    }


def _expected(log: Log, records: Records, purchases: Sequence[Purchase], level: float) -> np.ndarray[Any, Any]:
    """What the model of its round said of the target at each purchase (n x 5); NaN where no model chose it."""
    models = {each.id: each.table_sha256 for each in log.rounds() if each.table_sha256}
    by_model: dict[str, list[int]] = {}
    for i, purchase in enumerate(purchases):
        if purchase.ask and (table := models.get(purchase.ask.round or 0)):
            by_model.setdefault(table, []).append(i)
    found = np.full((len(purchases), len(SAID)), np.nan)
    for table, rows in track(by_model.items(), "reading the models of the rounds", len(by_model)):
        content = log.model(table)
        assert content is not None
        places = [records.catalogue.places[purchases[i].event.candidate] for i in rows]
        found[rows] = predict_quietly(unpack(content), records.catalogue.pool.iloc[places], level)[list(SAID)]
    return found


def predict_quietly(surrogate: Surrogate, table: pd.DataFrame, level: float) -> pd.DataFrame:
    """As `Surrogate.predict`, without the warning of alien rows; no ends (NaN) where it can promise no such level."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutsideWarning)
        try:
            return surrogate.predict(table, level=level)
        except CalibrationError:
            X, rows = surrogate.schema.encode(table)
            said = surrogate.model.posterior(X, observation_noise=True)
            mean, variance = (each.detach()[:, 0, 0].numpy() for each in (said.mean, said.variance))
            ends = {"lower": np.nan, "upper": np.nan}
            return pd.DataFrame(
                {"median": mean, "mean": mean, "std": np.sqrt(variance), **ends}, index=table.index[rows]
            )


def _best(records: Records, ledger: Ledger, purchases: Sequence[Purchase]) -> list[float]:
    """The best value of the target before the first purchase and after each, replicates with their mean."""
    if records.settings.goal == "learn":
        return [math.nan] * (len(purchases) + 1)
    known: dict[int, list[tuple[float, float]]] = {}
    means: dict[int, float] = {}
    pick = max if records.settings.goal == "max" else min

    def take(key: int, value: float, noise: float) -> None:
        known.setdefault(key, []).append((value, noise))
        values, noises = np.array(known[key]).T
        means[key] = float(merge(np.zeros((len(values), 1), dtype=np.int64), values, noises).mean[0])

    begun, told = _target_values(records, ledger)
    paid = {purchase.reading.id for purchase in purchases if purchase.reading}
    for reading in [*begun, *(found for event, found in told.items() if event not in paid)]:
        take(*reading)
    best = [pick(means.values(), default=math.nan)]
    for purchase in purchases:
        if purchase.reading and (found := told.get(purchase.reading.id)):
            take(*found)
        best.append(pick(means.values(), default=math.nan))
    return best


Reading = tuple[int, float, float]


def _target_values(records: Records, ledger: Ledger) -> tuple[list[Reading], dict[int, Reading]]:
    """Material, value and noise of what the target was known by at the start, and of what was told, by event."""
    schema, seen = records.catalogue.schema, records.seen(ledger)
    if seen.empty:
        return [], {}
    start = len(seen) - len(ledger.readings)
    events = [0] * start + [event.id for event in ledger.readings]
    rows = np.ones(len(seen), dtype=bool)
    if schema.source is not None:
        rows = (seen[schema.source].astype(str) == schema.sources[-1]).to_numpy()
    places = np.flatnonzero(rows)
    if not len(places):
        return [], {}
    mine = seen.iloc[places]
    X, _ = records.catalogue.settle(seen).encode(mine)
    keys = material_keys(X[:, 0], schema.material_column).numpy()
    fidelity = np.full(len(mine), len(schema.sources) - 1)
    values, signs, _ = read_values(mine, (schema.value, schema.censored), fidelity, {})
    # A limit says how good a value is at least, or nothing of that; it is no replicate of anything.
    keys = np.where(signs == 0, keys, -1 - np.arange(len(keys)))
    good = signs * (1 if records.settings.goal == "max" else -1) >= 0
    noise = read_noise(mine, schema.noise)[0]
    readings = list(zip(keys.tolist(), values.tolist(), noise.tolist(), strict=True))
    pairs = [(place, each) for place, each, says in zip(places.tolist(), readings, good, strict=True) if says]
    return [each for i, each in pairs if i < start], {events[i]: each for i, each in pairs if i >= start}

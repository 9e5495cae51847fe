"""The verdict: a surrogate in one paragraph of plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mfmat.reports.evidence import Evidence, gain
from mfmat.reports.wording import listed, percent, short
from mfmat.surrogate import Surrogate
from mfmat.validation import accuracy


@dataclass(frozen=True)
class Tile:
    """One number to remember, and what it is."""

    name: str
    value: float
    text: str
    label: str


def verdict(surrogate: Surrogate, found: Evidence | None, baselines: Mapping[str, pd.DataFrame]) -> list[str]:
    """Sentences: what was fitted, how far off it is, how often its intervals hold, and against what."""
    said = [_fitted(surrogate)]
    if found is None:
        return [*said, "Nothing was held out, so nothing is known yet of how far off its predictions are."]
    return [*said, _error(surrogate, found), *_against(found, baselines), _coverage(found)]


def tiles(surrogate: Surrogate, found: Evidence | None) -> list[Tile]:
    """The same as numbers."""
    unit, rows = surrogate.schema.unit, surrogate.card["provenance"]["rows"]
    total = sum(rows.values())
    sources = len([name for name in rows if rows[name]])
    made = [Tile("rows", total, str(total), f"values from {sources} source{'s' * (sources != 1)}")]
    if found is not None:
        scores = found.scores
        made += [
            Tile("mae", scores["mae"], f"{short(scores['mae'])} {unit}".strip(), "mean absolute error, unseen"),
            Tile(
                "coverage",
                scores["coverage"],
                percent(scores["coverage"]),
                f"of {percent(found.level)} intervals held",
            ),
            Tile("width", scores["width"], f"{short(scores['width'])} {unit}".strip(), "mean width of an interval"),
        ]
    return made


def recipe_name(surrogate: Surrogate) -> str:
    """The recipe in a few words: what Auto chose, or the kinds that it nests.

    `conformal (target only (gp))`.
    """
    compared = surrogate.card["compared"]
    if compared:
        return str(compared[0]["candidate"])
    return _nested(surrogate.model.facts.get("recipe", surrogate.recipe.config()))


def _nested(config: Mapping[str, Any]) -> str:
    inner: list[str] = []
    for name, field in config.items():
        if name == "gate":
            continue
        parts = field if isinstance(field, list | tuple) else [field]
        inner += [_nested(part) for part in parts if isinstance(part, Mapping) and "kind" in part]
    kind = str(config["kind"]).replace("_", " ")
    return f"{kind} ({', '.join(dict.fromkeys(inner))})" if inner else kind


def _fitted(surrogate: Surrogate) -> str:
    schema, rows = surrogate.schema, surrogate.card["provenance"]["rows"]
    target, value = schema.sources[-1], schema.value
    chosen = " (chosen by Auto)" if surrogate.card["compared"] else ""
    counts = [f"{rows[name]} {name}" for name in reversed(schema.sources) if rows[name]]
    if schema.source is None:
        return f"“{recipe_name(surrogate)}”{chosen} was fitted to {rows[target]} values of {value}."
    return (
        f"To predict {value} at the level of {target}, “{recipe_name(surrogate)}”{chosen} was fitted, "
        f"from a table with {listed(counts)} values."
    )


def _error(surrogate: Surrogate, found: Evidence) -> str:
    unit, scores, n = surrogate.schema.unit, found.scores, len(found.table)
    parts = f" in {found.folds} folds" if found.folds else ""
    how = f"{n} values{parts}, each predicted by a model that had not seen its compound"
    return f"Its predictions of unseen compounds are off by {short(scores['mae'])} {unit} on average ({how}).".replace(
        "  ", " "
    )


def _against(found: Evidence, baselines: Mapping[str, pd.DataFrame]) -> list[str]:
    ours, parts = found.scores["mae"], []
    for name, table in baselines.items():
        theirs = accuracy(table)["mae"]
        if theirs <= 0:
            continue
        share = round(abs(1 - ours / theirs), 2)
        size = f"{percent(share)} {'less' if ours < theirs else 'more'} than {name}" if share else f"as much as {name}"
        paired = gain(found.table, table)
        close = paired is not None and abs(paired[0]) < 2 * paired[1]
        parts.append(f"{size} ({short(theirs)}{', within chance' if close else ''})")
    return [f"That is {listed(parts)}."] if parts else []


def _coverage(found: Evidence) -> str:
    n, promise = (
        len(found.table),
        {
            "as": "as often as they say, within chance",
            "less": "less often than they say: read them as too narrow",
            "more": "more often than they say: they are wider than they need to be",
        },
    )
    whose = "Its" if found.origin == "validated" else "The learner's own, uncalibrated"
    return f"{whose} {percent(found.level)} intervals held {found.held} of {n} values, {promise[found.promise]}."


def skipped(problems: Sequence[str], replicates: int) -> list[str]:
    """What became of rows that are not in the model one by one."""
    merged = (
        f"{replicates} value{'s' * (replicates != 1)} that repeat a material within a source were merged into the mean."
        if replicates
        else "No material was repeated within a source."
    )
    left = (
        f"{len(problems)} cell{'s' * (len(problems) != 1)} could not be read, and their rows were left out:"
        if problems
        else "Every row could be read."
    )
    return [merged, left]

"""What each source contributed to a surrogate, read off its card and the facts of its model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mfmat.reports.wording import losses, percent, short
from mfmat.surrogate import Surrogate

SLIGHT, CLEAR = 0.02, 0.1
"""Changes of the held-out error: below the first not worth a word, below the second possibly chance."""


@dataclass(frozen=True)
class Contribution:
    """One source.

    Attributes:
        source: its name.
        rows: values of it, replicates merged.
        price: of one value.
        without: held-out CRPS of the fusion that leaves it out; None where that was not tried.
        change: of the CRPS, in parts, when it is left out; positive where the source helps.
        used: whether the model stands on its rows.
        follower: the source that stands on it; None where none does.
        slope: of the follower on it.
        spread: standard deviation of the slope.
        trust: part of a measured surprise that the follower takes over.
    """

    source: str
    rows: int
    price: float
    without: float | None = None
    change: float | None = None
    used: bool = True
    follower: str | None = None
    slope: float | None = None
    spread: float | None = None
    trust: float | None = None

    def sentences(self) -> list[str]:
        """What that means, in words."""
        said = []
        if self.change is not None:
            size = f"{percent(round(abs(self.change), 2))} {'higher' if self.change > 0 else 'lower'}"
            much = (
                ""
                if abs(self.change) > CLEAR
                else "seems to help a little"
                if self.change > 0
                else "seems to hurt a little"
            )
            verdict = much or ("helps" if self.change > 0 else "hurts")
            said.append(
                f"leaving it out makes the held-out error {size}: it {verdict}."
                if abs(self.change) > SLIGHT
                else "leaving it out makes no difference to speak of."
            )
        if not self.used:
            said.append("its rows are not used." if self.rows else "it has no rows.")
        elif self.follower and self.slope is not None and self.spread is not None and self.trust is not None:
            said.append(
                f"{self.follower} follows it with a slope of {short(self.slope)}\u00a0±\u00a0{short(self.spread, 2)}; "
                f"where a material has a {self.source} value, {percent(round(self.trust, 2))} of the difference "
                "between that value and the one expected there is passed on."
            )
        # The first goes on after the name of the source.
        return said[:1] + [
            sentence[0].upper() + sentence[1:] if sentence.startswith("it") else sentence for sentence in said[1:]
        ]


def contributions(surrogate: Surrogate) -> list[Contribution]:
    """One for each source, in order of trust, the target last."""
    schema, card = surrogate.schema, surrogate.card
    target, (whole, errors) = schema.sources[-1], _errors(surrogate)
    links = dict(_links(surrogate.model.facts, schema.sources))
    used = _used(surrogate)
    found = []
    for name in schema.sources:
        without = errors.get(name)
        change = without / whole - 1 if without is not None and whole else None
        rows = card["provenance"]["rows"][name]
        here = name == target or (rows > 0 and (used is None or name in used))
        found.append(
            Contribution(
                name, rows, schema.prices[name], without, change, here, **(links.get(name, {}) if here else {})
            )
        )
    return found


def _errors(surrogate: Surrogate) -> tuple[float | None, dict[str, float]]:
    """The held-out CRPS (of labels the log loss) of the fusion of all sources, and of that without each."""
    rows = surrogate.card["compared"]
    tried = dict(zip((str(row["candidate"]) for row in rows), losses(rows)[1], strict=True))
    cheap = surrogate.schema.sources[:-1]
    whole = next((crps for name, crps in tried.items() if name.startswith("difference over ")), None)
    without = {name: tried[key] for name in cheap if (key := f"difference without {name}") in tried}
    # Of two sources, leaving the cheap one out leaves the target alone.
    if len(cheap) == 1 and "the target alone" in tried:
        without[cheap[0]] = tried["the target alone"]
    return whole, without


def _links(facts: dict[str, Any], sources: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    for i, level in enumerate(_levels(facts) or []):
        # Latents are no links: what they carry has no one slope.
        link, parent = level.get("link"), level.get("parent")
        if link is None or parent is None or level["member"].get("rows") == 0:
            continue
        said = {"slope": link["slope"], "spread": math.sqrt(link["variance"]), "trust": link["trust"]}
        yield sources[parent], {"follower": sources[i], **said}


def _used(surrogate: Surrogate) -> set[str] | None:
    """The cheap sources whose rows the model stands on; None where its facts do not say."""
    facts, sources = surrogate.model.facts, surrogate.schema.sources
    levels = _levels(facts)
    if levels and "sees" in levels[-1]:
        return {sources[seen["fidelity"]] for level in levels for seen in level["sees"]}
    if levels is not None:
        return {sources[i] for i, level in enumerate(levels) if level["member"].get("rows") != 0}
    recipe = facts.get("recipe", surrogate.recipe.config())
    while "learner" in recipe:
        recipe = recipe["learner"]
    return set() if recipe["kind"] == "target_only" else None


def _levels(facts: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The chain of sources in the facts of a model, however deeply it is wrapped."""
    while facts and "levels" not in facts:
        facts = facts.get("inner", {})
    return facts.get("levels")

"""What an index says of a surrogate: numbers and words of its card, and what its owner adds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mfmat.errors import SchemaError
from mfmat.surrogate import Surrogate

Facts = dict[str, Any]
"""By name: text, numbers, truth values, None."""
FACTS = "facts.json"
"""In every entry, so that the index can be written anew."""
OWN = ("property", "unit")
"""Told by the schema unless the owner says otherwise."""


def gather_facts(surrogate: Surrogate, told: Mapping[str, Any]) -> Facts:
    """Everything that a query can ask for, by name.

    From the card: `property` (the value column, unless told), `unit`, `source` (the target), `learner` and `inputs` by
    their kinds, `rows` of the target and `cheap_rows` of the others, what was measured on held-out rows (`mae`, `rmse`,
    `nll`, `crps`, `coverage`, `width` and so on, of 90% intervals), `table_sha256`, `created` and `mfmat`, the version.

    Raises:
        SchemaError: a told fact that is no text, finite number, truth value or None, or whose name the card uses.
    """
    schema, provenance = surrogate.schema, surrogate.card["provenance"]
    counts: dict[str, int] = dict(provenance["rows"])
    target = schema.sources[-1]
    card: Facts = {"property": schema.value, "unit": schema.unit, "source": target}
    card |= {"learner": surrogate.recipe.kind, "inputs": ", ".join(each.kind for each in schema.featurizers)}
    card |= {"rows": counts.pop(target), "cheap_rows": sum(counts.values())}
    card |= surrogate.card["metrics"]
    card |= {name: provenance[name] for name in ("table_sha256", "created")}
    card["mfmat"] = surrogate.card["versions"]["mfmat"]
    _check(told, [name for name in card if name not in OWN])
    return card | dict(told)


def _check(told: Mapping[str, Any], taken: list[str]) -> None:
    if wrong := [name for name in told if name in taken]:
        raise SchemaError(
            f"the fact {wrong[0]!r}, which the card tells itself",
            expected="names that are free",
            fix=f"another name; the card's are {', '.join(taken)}",
        )
    for name, fact in told.items():
        plain = fact is None or isinstance(fact, bool | int | float | str)
        if not plain or (isinstance(fact, float) and not math.isfinite(fact)):
            raise SchemaError(
                f"the fact {name}={fact!r}",
                expected="text, a finite number, True, False or None",
                fix="put what is longer in a file, and its name here",
            )

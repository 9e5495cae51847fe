"""renew: a surrogate of the table as it is now, for as little work as is honest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from mfmat.auto import FEWEST, Auto
from mfmat.calibrators import Conformal
from mfmat.learner import Learner
from mfmat.schema import Schema
from mfmat.stacks import Mixture
from mfmat.surrogate import Surrogate, fit

GROWTH = 1.25
"""Target compounds, in multiples of those at the last comparison, from which the choice is made anew."""
NOTE = "renewal"
"""Where a card keeps what was compared when, and what came of it."""


def renew(
    table: pd.DataFrame, schema: Schema, recipe: Learner | None = None, previous: Surrogate | None = None
) -> Surrogate:
    """A surrogate of the table as it is now; what `previous` found out of a slightly smaller table is not asked again.

    `Auto` compares recipes at the first call and whenever the target's compounds have grown by a quarter since.
    Between, what it chose is refitted as `bare` makes it: for acquisitions, which use the joint Gaussian alone. Below
    10 target compounds `Auto` compares nothing and is run as it is. Every other recipe is fitted as it is.
    `card["renewal"]` says which recipe was asked for, what was chosen and from how many compounds.

    Args:
        table: everything measured so far.
        schema: what the columns mean.
        recipe: any learner; `Auto()` unless given.
        previous: what the last call returned; one of another recipe or schema is not used.

    Raises:
        TableError, FitError: as `fit`.

    >>> import pandas as pd, mfmat as mf
    >>> table = pd.DataFrame({"x": range(14), "y": [x % 5 + x / 3 for x in range(14)]})
    >>> schema = mf.Schema(mf.Columns("x"), value="y")
    >>> first = renew(table.head(12), schema)
    >>> first.recipe.kind, renew(table, schema, previous=first).recipe.kind
    ('auto', 'target_only')
    """
    recipe, settled = recipe or Auto(), schema.settle(table)
    if not isinstance(recipe, Auto):
        return fit(table, settled, recipe)
    compounds = _compounds(table, settled)
    note = _note(previous, recipe, settled)
    if note and min(compounds, note["compounds"]) >= FEWEST and compounds < GROWTH * note["compounds"]:
        return _noted(fit(table, settled, Learner.of(note["chosen"])), note)
    full = fit(table, settled, recipe)
    found = Learner.of(full.model.facts["recipe"])
    chosen = bare(found)
    inside = found.learner if isinstance(found, Conformal) else found
    # A calibrator leaves the joint Gaussian as it is; what else `bare` takes away does not.
    now = full if chosen == inside else fit(table, settled, chosen)
    return _noted(now, {"recipe": recipe.config(), "chosen": chosen.config(), "compounds": compounds})


def bare(recipe: Learner) -> Learner:
    """The recipe as acquisitions need it.

    They read the joint Gaussian, so a calibrator goes. Of a mixture its first member stays, in `Auto` the best: weights
    would take a fit for each fold and member at every ask.

    >>> from mfmat.experts import GP, Forest
    >>> bare(Conformal(Mixture([GP(), Forest()]))).kind
    'gp'
    """
    if isinstance(recipe, Conformal):
        return bare(recipe.learner)
    if isinstance(recipe, Mixture):
        return bare(recipe.members[0])
    return recipe


def _compounds(table: pd.DataFrame, schema: Schema) -> int:
    data = schema.data(table)
    return data.compounds()


def _note(previous: Surrogate | None, recipe: Auto, schema: Schema) -> dict[str, Any] | None:
    """What the last comparison of the same question left."""
    note: dict[str, Any] | None = previous.card.get(NOTE) if previous else None
    same = previous and note and note["recipe"] == recipe.config() and previous.schema == schema
    return note if same else None


def _noted(surrogate: Surrogate, note: dict[str, Any]) -> Surrogate:
    return replace(surrogate, card={**surrogate.card, NOTE: note})

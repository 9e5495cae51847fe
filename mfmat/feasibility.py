"""How likely a measurement is to give a value, learned from those that did and those that failed."""

from __future__ import annotations

import pandas as pd

from mfmat.experts import GP
from mfmat.learner import Learner
from mfmat.schema import Schema
from mfmat.surrogate import fit

ENOUGH = 3
"""Failures, and successes, below which nothing is learned."""
FAILED, WORKED = "failed", "worked"


def chance_of_success(
    schema: Schema, worked: pd.DataFrame, failed: pd.DataFrame, pool: pd.DataFrame, recipe: Learner | None = None
) -> pd.Series | None:
    """For each row of the pool the probability that a measurement there gives a value; None where too little is known.

    Args:
        schema: whose inputs are learned from, with its categories settled.
        worked: materials of which a value was told.
        failed: materials whose measurement failed.
        pool: candidates.
        recipe: a learner of labels; `GP()` unless given.

    >>> import mfmat as mf
    >>> x = pd.DataFrame({"x": [0.0, 0.1, 0.2, 0.8, 0.9, 1.0]})
    >>> chance = chance_of_success(mf.Schema(mf.Columns("x"), value="y"), x[:3], x[3:], x)
    >>> bool(chance[0] > 0.5 > chance[5])
    True
    """
    if min(len(worked), len(failed)) < ENOUGH:
        return None
    outcome = "outcome"
    labels = Schema(
        schema.inputs,
        value=outcome,
        material=schema.material,
        kinds={outcome: (FAILED, WORKED)},
    )
    read = [column for each in schema.featurizers for column in each.columns]
    columns = list(dict.fromkeys([*read, *filter(None, [schema.material])]))
    parts = [failed[columns].assign(**{outcome: FAILED}), worked[columns].assign(**{outcome: WORKED})]
    surrogate = fit(pd.concat(parts, ignore_index=True), labels, recipe or GP())
    return surrogate.predict(pool)[f"p_{WORKED}"].rename("chance")

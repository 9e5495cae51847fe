"""What each source does to each prediction: the model fitted again without it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mfmat.calibrators.conformal import Conformal
from mfmat.data import Data
from mfmat.learner import FittedModel, Learner
from mfmat.progress import track

WEIGHTS = ("weight_", "weight_std_")
"""Before the name of a member, in tables: its weight, and how sure that is."""
CHUNK = 512
"""Rows asked at a time."""


@dataclass(frozen=True)
class Influence:
    r"""What leaving sources out does to n predictions of a new measurement.

    Attributes:
        shift: mean with the source minus mean without it, in the units of y (n).
        reduction: $1 - v_{with} / v_{without}$, the share of the variance that the source takes away; below 0 where it
            adds doubt (n).
    """

    shift: Tensor
    reduction: Tensor


def influences(recipe: Learner, data: Data, X: Tensor) -> dict[str, Influence]:
    """The influence of each cheap source that has rows, then of all of them together, by name (`"all"`).

    Args:
        recipe: what was fitted; around it, calibrators of intervals are left aside.
        data: what it was fitted to.
        X: n x 1 x (d+1), rows of the target.

    Cook & Weisberg 1982, ISBN 041224280X, for deletion; here whole sources are deleted and everything is learned anew.
    """
    while isinstance(recipe, Conformal):
        recipe = recipe.learner
    present = [s for s in range(data.target) if bool((data.fidelity == s).any())]
    if not present:
        return {}
    left_out = {data.sources[s]: [s] for s in present} | ({"all": present} if len(present) > 1 else {})
    mean, variance = _said(recipe.fit(data), X)
    found = {}
    for name, sources in track(left_out.items(), "leaving sources out", len(left_out)):
        kept = ~torch.isin(data.fidelity, torch.tensor(sources, dtype=torch.long))
        without, doubt = _said(recipe.fit(data.take(kept)), X)
        found[name] = Influence(mean - without, 1 - variance / doubt)
    if len(present) == 1:
        found["all"] = found[data.sources[present[0]]]
    return found


def weigh_members(model: FittedModel, X: Tensor) -> dict[str, Tensor]:
    """`weight_` and `weight_std_` of each member of a mixture, by its name (n each); nothing where nothing is mixed."""
    with torch.no_grad():
        found = model.shares(X)
    return {
        f"{kind}{name}": part.flatten()
        for name, both in found.items()
        for kind, part in zip(WEIGHTS, both, strict=True)
    }


def _said(model: FittedModel, X: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of a new measurement (n and n): what is taken for noise without a source counts as doubt."""
    with torch.no_grad():
        parts = [model.posterior(chunk, observation_noise=True) for chunk in X.split(CHUNK)]
    columns = ([part.mean for part in parts], [part.variance for part in parts])
    mean, variance = (torch.cat(column)[:, 0, 0] for column in columns)
    return mean, variance

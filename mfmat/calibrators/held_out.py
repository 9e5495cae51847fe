"""What models say of the rows that they had not seen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.learner import FittedModel
from mfmat.metrics import row_crps, row_nll
from mfmat.posteriors import cdf, interval, outlyingness, quantile
from mfmat.types import Codes

COLUMNS = ("position", "y", "median", "mean", "std", "lower", "upper", "pit", "crps", "nll")
"""Of a held-out row: its position in the table, what was measured, what was predicted (the interval is that of 90%),
the cumulative probability of the measured value, and its scores."""
LEVEL = 0.9
OFTEN = 0.05
"""Share of the target's rows, and two at least, that agree exactly where a value counts as an atom."""
WINDOW = 0.01
"""Half the width within which a value is on its atom, in standard deviations of the target."""


def score(members: Sequence[FittedModel], folds: Sequence[Tensor], data: Data) -> tuple[Tensor, Codes]:
    """What each member says of the fold (rows of `data`) that it had not seen.

    Returns a row for each held-out row, with the numbers that `COLUMNS` names (n x 10), and which member predicted it
    (n).
    """
    heldout, member = [], []
    for i, (fitted, fold) in enumerate(zip(members, folds, strict=True)):
        y = data.Y[fold].unsqueeze(1)
        with torch.no_grad():
            posterior = fitted.posterior(data.X[fold].unsqueeze(1), observation_noise=True)
            said = [quantile(posterior, 0.5), posterior.mean, posterior.variance.sqrt(), *interval(posterior, LEVEL)]
            scores = [cdf(posterior, y), row_crps(posterior, y), row_nll(posterior, y)]
        columns = [data.rows[fold], y, *said, *scores]
        heldout.append(torch.stack([column.reshape(-1).double() for column in columns], dim=1))
        member.append(torch.full((len(fold),), i))
    return torch.cat(heldout), torch.cat(member)


def outlying(members: Sequence[FittedModel], folds: Sequence[Tensor], data: Data, seed: int) -> tuple[Tensor, Tensor]:
    """How far out each held-out value lies in what the member that had not seen it said (see `outlyingness`; n).

    And whether it is on no atom (n flags).
    """
    target = data.Y[data.fidelity == data.target, 0]
    values, counts = target.unique(return_counts=True)
    atoms = values[counts >= max(2.0, OFTEN * len(target))]
    width = WINDOW * data.standards()[-1][1]
    scores, on = [], []
    for fitted, fold in zip(members, folds, strict=True):
        y = data.Y[fold].unsqueeze(1)
        on.append(torch.isin(y, atoms))
        with torch.no_grad():
            posterior = fitted.posterior(data.X[fold].unsqueeze(1), observation_noise=True)
            scores.append(outlyingness(posterior, y, width * on[-1], seed).flatten())
    return torch.cat(scores), ~torch.cat(on).flatten()

"""What models say of the rows that they had not seen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.learner import FittedModel
from mfmat.metrics import row_crps, row_nll
from mfmat.posteriors import RowPosterior, cdf, interval, outlyingness, quantile
from mfmat.types import Codes

COLUMNS = ("position", "y", "median", "mean", "std", "lower", "upper", "pit", "crps", "nll")
"""Of a held-out row: its position in the table, what was measured, what was predicted (the interval is that of 90%),
the cumulative probability of the measured value, and its scores."""
LEVEL = 0.9
WINDOW = 0.01
"""Half the width within which a value is on its atom, in standard deviations of the target."""


def ask(members: Sequence[FittedModel], folds: Sequence[Tensor], data: Data) -> list[RowPosterior]:
    """What each member says of new measurements in the fold (rows of `data`) that it had not seen."""
    with torch.no_grad():
        return [
            fitted.posterior(data.X[fold].unsqueeze(1), observation_noise=True)
            for fitted, fold in zip(members, folds, strict=True)
        ]


def score(said: Sequence[RowPosterior], folds: Sequence[Tensor], data: Data) -> tuple[Tensor, Codes]:
    """What was said of each fold (see `ask`), and how good that was.

    Returns a row for each held-out row, with the numbers that `COLUMNS` names (n x 10), and which member predicted it
    (n).
    """
    heldout, member = [], []
    for i, (posterior, fold) in enumerate(zip(said, folds, strict=True)):
        y = data.Y[fold].unsqueeze(1)
        with torch.no_grad():
            answers = [quantile(posterior, 0.5), posterior.mean, posterior.variance.sqrt(), *interval(posterior, LEVEL)]
            scores = [cdf(posterior, y), row_crps(posterior, y), row_nll(posterior, y)]
        columns = [data.rows[fold], y, *answers, *scores]
        heldout.append(torch.stack([column.reshape(-1).double() for column in columns], dim=1))
        member.append(torch.full((len(fold),), i))
    return torch.cat(heldout), torch.cat(member)


def outlying(said: Sequence[RowPosterior], folds: Sequence[Tensor], data: Data, seed: int) -> tuple[Tensor, Tensor]:
    """How far out each held-out value lies in what was said of it (see `ask`, `outlyingness`; n).

    And whether it is on no atom (n flags).
    """
    atoms, width = data.atoms(), WINDOW * data.standards()[-1][1]
    scores, on = [], []
    for posterior, fold in zip(said, folds, strict=True):
        y = data.Y[fold].unsqueeze(1)
        on.append(torch.isin(y, atoms))
        with torch.no_grad():
            scores.append(outlyingness(posterior, y, width * on[-1], seed).flatten())
    return torch.cat(scores), ~torch.cat(on).flatten()

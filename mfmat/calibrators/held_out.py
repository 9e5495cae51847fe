"""What models say of the rows that they had not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.learner import FittedModel
from mfmat.metrics import row_crps, row_nll
from mfmat.posteriors import RowPosterior, ShapedPosterior, cdf, interval, normal_score, quantile
from mfmat.types import Codes, Flags

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


Score = Literal["cdf", "scaled", "absolute"]
SCORES = ("cdf", "scaled", "absolute")


@dataclass(frozen=True)
class Scores:
    """What calibration rows say of the models that had not seen them.

    Attributes:
        heldout: n x 10, see `COLUMNS`.
        scores: n, how far each value lies from its prediction, with its sign.
        smooth: n, True where the value is on no atom.
        member: n, which model predicted it.
    """

    heldout: Tensor
    scores: Tensor
    smooth: Flags
    member: Codes


def compare(
    members: Sequence[FittedModel], folds: Sequence[Tensor], data: Data, fidelity: int, *, by: Score, seed: int
) -> Scores:
    """The scores of each fold (rows of one source) by the member that had not seen it."""
    said = ask(members, folds, data)
    heldout, member = score(said, folds, data)
    y, median, std = heldout[:, 1], heldout[:, 2], heldout[:, 4]
    smooth = torch.ones(len(y), dtype=torch.bool)
    if by == "cdf" and any(isinstance(each, ShapedPosterior) for each in said):
        return Scores(heldout, *_normal_scores(said, folds, data, fidelity, seed), member)
    return Scores(heldout, (y - median) / (1.0 if by == "absolute" else std), smooth, member)


def _normal_scores(
    said: Sequence[RowPosterior], folds: Sequence[Tensor], data: Data, fidelity: int, seed: int
) -> tuple[Tensor, Flags]:
    """How far out each held-out value lies in what was said of it (see `normal_score`; n), and whether on no atom."""
    atoms, width = data.atoms(fidelity), WINDOW * data.standards()[fidelity][1]
    scores, on = [], []
    for posterior, fold in zip(said, folds, strict=True):
        y = data.Y[fold].unsqueeze(1)
        on.append(torch.isin(y, atoms))
        with torch.no_grad():
            scores.append(normal_score(posterior, y, width * on[-1], seed).flatten())
    return torch.cat(scores), ~torch.cat(on).flatten()

"""What the members of a mixture said of rows, and how probable that made what was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Normal

from mfmat.data import Data
from mfmat.gates import Evidence, FittedGate
from mfmat.learner import FittedModel
from mfmat.metrics import has_atoms
from mfmat.posteriors import RowPosterior, log_density, log_mass

FLOOR = 1e-3
"""Share of a broad distribution that is mixed into every member's density of a row."""
BROAD = 3.0
"""Standard deviation of that distribution, in standard deviations of the source."""
WINDOW = 0.1
"""Half the width over which densities are averaged where a member has an atom, in the same units."""

Asked = Sequence[tuple[Tensor, Sequence[FittedModel]]]
"""Rows (positions in the data), and the K models that are asked about them."""


def gather(data: Data, asked: Asked, members: int) -> Evidence:
    """The logarithm of the density that each of K members gives to what was measured, and its standard deviation.

    All rows are of one source. Of a label, the logarithm of the probability of the true class.
    """
    rows = torch.cat([at for at, _ in asked]) if asked else torch.zeros(0, dtype=torch.long)
    X, views = data.X[rows], dict(data.views)
    if not len(rows):
        none = data.Y.new_zeros(0, members)
        return Evidence(X, none, none, views)
    with torch.no_grad():
        said = [[model.posterior(data.X[at].unsqueeze(1), None, True) for model in models] for at, models in asked]
        spreads = torch.cat([torch.stack([p.variance[:, 0, 0].sqrt() for p in own], dim=1) for own in said])
        labels = data.classes.get(int(data.fidelity[rows[0]]))
        if labels is None:
            return Evidence(X, _densities(data, [at for at, _ in asked], said), spreads, views)
        found = [torch.stack([model.probabilities(data.X[at].unsqueeze(1)) for model in own]) for at, own in asked]
    chances = torch.cat(found, dim=1)[:, torch.arange(len(rows)), 0, data.Y[rows, 0].round().long()].T
    return Evidence(X, ((1 - FLOOR) * chances + FLOOR / len(labels)).log(), spreads, views)


def _densities(data: Data, folds: Sequence[Tensor], said: Sequence[Sequence[RowPosterior]]) -> Tensor:
    """Logarithms (n x K), with the floor that keeps one row from deciding alone."""
    centre, spread = data.standards()[int(data.fidelity[folds[0][0]])]
    window = WINDOW * spread if any(has_atoms(p) for own in said for p in own) else None
    scores = []
    for at, own in zip(folds, said, strict=True):
        y = data.Y[at].unsqueeze(1)
        if window is None:
            each = [log_density(p, y) for p in own]
        else:
            each = [log_mass(p, y - window, y + window) - math.log(2 * window) for p in own]
        scores.append(torch.stack([score[:, 0, 0] for score in each], dim=1))
    y = data.Y[torch.cat(list(folds))]
    floor = Normal(centre, BROAD * spread).log_prob(y) + math.log(FLOOR)
    return torch.logaddexp(torch.cat(scores) + math.log(1 - FLOOR), floor)


def describe(names: Sequence[str], gate: FittedGate, evidence: Evidence) -> list[str]:
    """A sentence on the weights at the rows that were held out, and one on how much they vary."""
    if len(names) == 1:
        return []
    if not len(evidence.X):
        return [f"{', '.join(names)}: equal weights, as the target compounds are too few to hold some out."]
    X, spreads = evidence.X.unsqueeze(1), evidence.spreads.T.unsqueeze(-1)
    weights, stds = gate.weights(X, spreads)[..., 0], gate.weight_std(X, spreads)[..., 0]
    scores = evidence.scores.mean(0)
    said = [
        f"{name} {float(weights[k].mean()):.2f} ± {float(stds[k].mean()):.2f} (mean log density {float(scores[k]):.3g})"
        for k, name in enumerate(names)
    ]
    spread = float(weights.std(1).max()) if len(evidence.X) > 1 else 0.0
    varies = f"They differ from material to material by up to {spread:.2f} (standard deviation)."
    return [f"Weights from {len(evidence.X)} held-out values: {'; '.join(said)}.", *([varies] if spread > 0.01 else [])]

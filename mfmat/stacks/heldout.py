"""What the members of a mixture said of rows, and how probable that made what was measured."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.descent import few_threads
from mfmat.gates import Evidence, FittedGate
from mfmat.learner import FittedModel
from mfmat.posteriors import components
from mfmat.rescaling import FLOOR, learn_scale, score_pools

Asked = Sequence[tuple[Tensor, Sequence[FittedModel]]]
"""Rows (positions in the data), and the K models that are asked about them."""


def gather(data: Data, asked: Asked, members: int, *, rescale: bool = False) -> Evidence:
    """The logarithm of the density that each of K members gives to what was measured, and its standard deviation.

    All rows are of one source; limits are left out. Of a label, the logarithm of the probability of the true class.
    With `rescale`, the densities are those of members whose standard deviations are multiplied by the factor that the
    rows suggest.
    """
    asked = [(at, models) for whole, models in asked if len(at := data.scored([whole])[0])]
    rows = torch.cat([at for at, _ in asked]) if asked else torch.zeros(0, dtype=torch.long)
    X, views = data.X[rows], dict(data.views)
    if not len(rows):
        none = data.Y.new_zeros(0, members)
        return Evidence(X, none, none, views)
    with torch.no_grad(), few_threads(len(rows)):
        said = [[model.posterior(data.X[at].unsqueeze(1), None, True) for model in models] for at, models in asked]
        spreads = torch.cat([torch.stack([p.variance[:, 0, 0].sqrt() for p in own], dim=1) for own in said])
        labels = data.classes.get(int(data.fidelity[rows[0]]))
        if labels is None:
            pools = [[components(posterior) for posterior in own] for own in said]
            y = [data.Y[at].unsqueeze(1) for at, _ in asked]
            score = score_pools(pools, y, data.standards()[int(data.fidelity[rows[0]])])
            scale = learn_scale(score) if rescale else 1.0
            return Evidence(X, score(scale), spreads, views, scale)
        found = [torch.stack([model.probabilities(data.X[at].unsqueeze(1)) for model in own]) for at, own in asked]
    chances = torch.cat(found, dim=1)[:, torch.arange(len(rows)), 0, data.Y[rows, 0].round().long()].T
    return Evidence(X, ((1 - FLOOR) * chances + FLOOR / len(labels)).log(), spreads, views)


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
    told = f"All standard deviations are multiplied by {evidence.scale:.2f}, so that the pool fits those values best."
    return [
        f"Weights from {len(evidence.X)} held-out values: {'; '.join(said)}.",
        *([varies] if spread > 0.01 else []),
        *([told] if evidence.scale != 1 else []),
    ]

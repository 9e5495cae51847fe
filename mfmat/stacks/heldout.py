"""What the members of a mixture said of rows, and how probable that made what was measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from botorch.posteriors import GPyTorchPosterior
from torch import Tensor
from torch.distributions import Normal

from mfmat.data import Data
from mfmat.gates import Evidence, FittedGate
from mfmat.learner import FittedModel
from mfmat.posteriors import CalibratedPosterior, MixturePosterior
from mfmat.stacks.gated import components
from mfmat.stacks.rescaling import learn_scale

FLOOR = 1e-3
"""Share of a broad distribution that is mixed into every member's density of a row."""
BROAD = 3.0
"""Standard deviation of that distribution, in standard deviations of the source."""
WINDOW = 0.1
"""Half the width over which densities are averaged where a member has an atom, in the same units."""

Asked = Sequence[tuple[Tensor, Sequence[FittedModel]]]
"""Rows (positions in the data), and the K models that are asked about them."""
Said = GPyTorchPosterior | CalibratedPosterior


def gather(data: Data, asked: Asked, members: int, *, rescale: bool = False) -> Evidence:
    """The logarithm of the density that each of K members gives to what was measured, and its standard deviation.

    All rows are of one source. Of a label, the logarithm of the probability of the true class. With `rescale`, the
    densities are those of members whose standard deviations are multiplied by the factor that the rows suggest.
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
            score = _scorer(data, [at for at, _ in asked], said)
            scale = learn_scale(score) if rescale else 1.0
            return Evidence(X, score(scale), spreads, views, scale)
        found = [torch.stack([model.probabilities(data.X[at].unsqueeze(1)) for model in own]) for at, own in asked]
    chances = torch.cat(found, dim=1)[:, torch.arange(len(rows)), 0, data.Y[rows, 0].round().long()].T
    return Evidence(X, ((1 - FLOOR) * chances + FLOOR / len(labels)).log(), spreads, views)


def _scorer(data: Data, folds: Sequence[Tensor], said: Sequence[Sequence[Said]]) -> Callable[[float], Tensor]:
    """Logarithms of densities (n x K) by the factor on standard deviations.

    A floor keeps one row from deciding alone.
    """
    centre, spread = data.standards()[int(data.fidelity[folds[0][0]])]
    y = data.Y[torch.cat(list(folds))].unsqueeze(1)
    broad = Normal(centre, BROAD * spread).log_prob(y[..., 0]) + math.log(FLOOR)
    # Not one tensor a member: in a fold without a value at its floor, a hurdle has fewer components.
    parts = [[components(posterior) for posterior in own] for own in said]
    atoms = any(bool((covariances == 0).any()) for own in parts for _, covariances, _ in own)
    window = WINDOW * spread

    def score(scale: float) -> Tensor:
        found = []
        for own, measured in zip(parts, y.split([len(at) for at in folds]), strict=True):
            pools = [MixturePosterior(means, covariances * scale**2, weights) for means, covariances, weights in own]
            if atoms:
                masses = [pool.log_mass(measured - window, measured + window) for pool in pools]
                densities = [mass - math.log(2 * window) for mass in masses]
            else:
                densities = [pool.log_density(measured) for pool in pools]
            found.append(torch.stack([density[:, 0, 0] for density in densities], dim=1))
        return torch.logaddexp(torch.cat(found) + math.log(1 - FLOOR), broad)

    return score


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

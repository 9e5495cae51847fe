"""Class labels (metal or not, a colour): one latent function for each class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.learner import Expert, Facts, FittedModel, StackModel, part
from mfmat.types import Covariance, Flags, Rows

ROUNDS = 20
"""Alternations at most; the bound has flattened long before on most data."""
TOLERANCE = 0.02
"""Change of the scaled latent function at which it counts as flat."""


class LabelExpert(Expert):
    r"""An expert that also fits a source whose kind is a label.

    For each class against the rest, $P(y = 1 | x) = \sigma(f(x))$, with f under the expert's own prior unless a
    concrete class fits it otherwise. The logistic likelihood is bounded from below by a Gaussian in f, for any
    $\xi > 0$, with the pseudo-value $z_i = (y_i - 1/2) / 2\lambda_i$ of known variance $1 / 2\lambda_i$,
    $\lambda = \tanh(\xi/2) / 4\xi$. Fitting the expert to the pseudo-values and setting $\xi_i^2 = E f_i^2$ raise the
    same bound in turn. More than two classes give one function each, and probabilities divided by their sum.

    Jaakkola & Jordan 2000, doi:10.1023/A:1008932416310.
    """

    def fit(self, data: Data) -> FittedModel:
        """The model of these data; of labels, a `LabelModel`."""
        classes = data.labels()
        if classes is None:
            return super().fit(data)
        codes = data.Y[:, 0].round().long()
        named = [1] if len(classes) == 2 else range(len(classes))
        members = [self._fit_class(data, codes == code) for code in named]
        return LabelModel(members, classes).eval()

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> FittedModel:
        """The fitted model that had these facts and this state."""
        if "classes" not in facts:
            return super().restore(facts, state)
        members = [self._restore_class(fact, part(state, f"members.{i}.")) for i, fact in enumerate(facts["members"])]
        return LabelModel(members, tuple(facts["classes"])).eval()

    def _fit_class(self, data: Data, inside: Tensor) -> FittedModel:
        """The latent function of one class against the rest."""
        half = torch.where(inside, 0.5, -0.5).double()
        xi = torch.zeros_like(half)
        for _ in range(ROUNDS):
            precision = 2 * _curvature(xi) * data.counts
            z = half * data.counts / precision
            known = torch.ones_like(inside)
            pseudo = replace(data, Y=z[:, None], Yvar=1 / precision[:, None], known=known, classes={})
            model = super().fit(pseudo)
            if not len(data):
                break
            with torch.no_grad():
                said = model.posterior(data.X.unsqueeze(1))
            before, xi = xi, (said.mean.square() + said.variance).sqrt()[:, 0, 0]
            if float(((xi - before).abs() / (1 + xi)).max()) < TOLERANCE:
                break
        return model

    def _restore_class(self, facts: Facts, state: Mapping[str, Tensor]) -> FittedModel:
        return super().restore(facts, state)


class LabelModel(StackModel):
    """One latent function for each class, or one for two classes.

    The joint Gaussian and the posterior are those of the latent function of the last class; what a
    label is, `probabilities` says.
    """

    def __init__(self, members: list[FittedModel], classes: tuple[str, ...]) -> None:
        facts: dict[str, Any] = {"classes": list(classes), "members": [member.facts for member in members]}
        super().__init__(members, {**members[0].facts, **facts})
        self.latent = list(members)

    @property
    def member_names(self) -> Sequence[str]:
        """See `StackModel.member_names`: the classes."""
        return list(self.facts["classes"])[-len(self.latent) :]

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """See `FittedModel.joint`; an observed row stands for a pseudo-value."""
        return self.latent[-1].joint(X, observed)

    def noise(self, X: Rows) -> Tensor:
        """Of a pseudo-value."""
        return self.latent[-1].noise(X)

    def probabilities(self, X: Rows) -> Tensor:
        """P(class | x) of each row (b x q x (d+1) to b x q x c), the uncertainty of the functions averaged over."""
        # Only who asks along which way the rows should move gets slopes.
        with torch.set_grad_enabled(torch.is_grad_enabled() and X.requires_grad):
            inside = torch.cat([_average(model, X) for model in self.latent], dim=-1)
        if inside.shape[-1] == 1:
            return torch.cat([1 - inside, inside], dim=-1)
        return inside / inside.sum(dim=-1, keepdim=True)


def _curvature(xi: Tensor) -> Tensor:
    """The bound's lambda; 1/8 at 0."""
    safe = xi.clamp_min(1e-4)
    return torch.tanh(safe / 2) / (4 * safe)


def _average(model: FittedModel, X: Rows) -> Tensor:
    """The mean of the logistic function over the latent Gaussian of each row, by Gauss-Hermite quadrature."""
    said = model.posterior(X)
    nodes, weights = (torch.from_numpy(a).to(said.mean) for a in np.polynomial.hermite_e.hermegauss(32))
    draws = said.mean + said.variance.sqrt() * nodes
    average: Tensor = (torch.sigmoid(draws) @ weights / math.sqrt(2 * math.pi)).unsqueeze(-1)
    return average

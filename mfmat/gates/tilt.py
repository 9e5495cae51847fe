"""Weights that are tilted from place to place: their posterior at a given scale of the tilts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mfmat.descent import descend

STEPS = 200
"""Of L-BFGS at most."""


@dataclass(frozen=True)
class Tilt:
    r"""$\pi_k(x_i) \propto \bar w_k \exp(b_k^T \phi_i + c\, s_{ik})$, seen through $\sum_k \pi_k p_k(y_i)$.

    Attributes:
        scores: n x K, $\ln p_k(y_i)$.
        base: K, $\ln \bar w_k$.
        features: n x P, $\phi$.
        own: n x K, s.
    """

    scores: Tensor
    base: Tensor
    features: Tensor
    own: Tensor

    def logits(self, slopes: Tensor, trust: Tensor) -> Tensor:
        """Before the softmax (n x K), for b (K x P) and c (1)."""
        return self.base + self.features @ slopes.T + trust * self.own

    def likelihood(self, slopes: Tensor, trust: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Its logarithm, and the weights before and after y is seen (n x K each)."""
        before = torch.log_softmax(self.logits(slopes, trust), dim=-1)
        both = before + self.scores
        total = torch.logsumexp(both, dim=-1, keepdim=True)
        return total.sum(), before.exp(), (both - total).exp()

    def settle(self, scale: float, reach: float) -> Settled:
        r"""A Gaussian around the mode of b and c, with $b \sim N(0, scale^2)$ and $c \sim N(0, reach^2)$.

        reach 0 leaves c out. The curvature is that of the marginal likelihood itself, so that not knowing which
        member a row belongs to widens it.
        """
        members, width = self.scores.shape[1], self.features.shape[1]
        slopes, trust = self.features.new_zeros(members, width), self.features.new_zeros(1)
        on = float(reach > 0)
        precision = torch.cat(
            [slopes.new_full((members * width,), scale**-2), trust.new_full((1,), (reach or 1.0) ** -2)]
        )

        def closure() -> tuple[Tensor, list[Tensor]]:
            found, before, after = self.likelihood(slopes, trust)
            push = after - before
            theta = torch.cat([slopes.flatten(), trust])
            loss = 0.5 * (precision * theta.square()).sum() - found
            slope = slopes / scale**2 - push.T @ self.features
            return loss, [slope, on * (trust * precision[-1] - (push * self.own).sum())]

        descend(closure, {"slopes": slopes, "trust": trust}, {}, STEPS)
        found, before, after = self.likelihood(slopes, trust)
        curvature = self._curvature(before, after, on) + torch.diag(precision)
        values, vectors = torch.linalg.eigh(curvature)
        # At the mode no direction is flatter than far below the prior; rounding and early stops may say so.
        values = values.clamp_min(0.1 * float(precision.min()))
        theta = torch.cat([slopes.flatten(), trust])
        evidence = found + 0.5 * (precision.log() - values.log() - precision * theta.square()).sum()
        return Settled(theta, vectors / values.sqrt(), float(evidence))

    def _curvature(self, before: Tensor, after: Tensor, on: float) -> Tensor:
        """The second derivatives of the negative logarithm of the likelihood ((KP+1) x (KP+1))."""
        apart = torch.diag_embed(before - after) - _outer(before) + _outer(after)
        phi, size = self.features, before.shape[1] * self.features.shape[1]
        blocks = torch.einsum("ikl,ij,im->kjlm", apart, phi, phi).reshape(size, size)
        pull = torch.einsum("ikl,il->ik", apart, self.own) * on
        side = torch.einsum("ik,ij->kj", pull, phi).reshape(size, 1)
        corner = (pull * self.own).sum().reshape(1, 1)
        return torch.cat([torch.cat([blocks, side], 1), torch.cat([side.T, corner], 1)])


@dataclass(frozen=True)
class Settled:
    """A Gaussian over b (flat) and c, by its mode and a root of its covariance, and the logarithm of the evidence."""

    mode: Tensor
    root: Tensor
    evidence: float


def _outer(x: Tensor) -> Tensor:
    return x.unsqueeze(-1) * x.unsqueeze(-2)

"""A trunk with heads for the value and its noise, and how they are trained."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from mfmat.data import Data
from mfmat.learner import Facts, views_of
from mfmat.networks import Inputs, Trunk
from mfmat.scaling import Scaling
from mfmat.training import Schedule, train
from mfmat.types import Codes

FLOOR = 1e-6
"""Variance added to every row, in standardised units."""
CONTRAST = 4.0
"""The logarithm of the noise of a row lies at most this far from that of its source."""


class MultiHead(torch.nn.Module):
    r"""$f(x, s) = \phi(x, s)^T w$ with $\phi = (1, h/\sqrt k)$ and $h(x)$ the k units of the last layer.

    With a head for each source $\phi$ also holds $(1, h/\sqrt k)$ in the place of source s, and zeros in the
    places of the others: $f(x, s) = (w_0 + w_s)^T (1, h/\sqrt k)$. The noise is $\sigma_s^2 r(x)$ with r = 1, or
    with a second head $\ln r = 4 \tanh(v^T h / 4)$. All in standardised units.

    Args:
        facts: views, width and sources.
        hidden: units of each layer; none: h are the columns.
        dropout: share of units left out in training.
        own: a head for each source beside the shared one.
        uneven: a second head for the noise.
    """

    def __init__(self, facts: Facts, hidden: Sequence[int], dropout: float, own: bool, uneven: bool) -> None:
        super().__init__()
        views = views_of(facts)
        # A linear model is one of the columns themselves, not of their ranks.
        self.inputs = (Inputs if hidden else Scaling)(views, facts["width"])
        self.trunk = Trunk(facts["width"], hidden, dropout)
        self.sources = len(facts["sources"])
        self.own = own
        self.head = torch.nn.Parameter(torch.zeros(sum(self.blocks)))
        self.log_noise = torch.nn.Parameter(torch.full((self.sources,), -2.0))
        self.spread = torch.nn.Parameter(torch.zeros(self.trunk.width + 1)) if uneven else None
        self.double()

    @property
    def blocks(self) -> list[int]:
        """The number of features of each kind: shared, then each source's own."""
        shared = [1, self.trunk.width]
        return [*shared, *(self.sources * size for size in shared)] if self.own else shared

    def forward(self, z: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        r"""What rows on one scale (b x q x d) of these fidelities (b x q) look like to the heads.

        The features $\phi$ (b x q x k), and the logarithm of the relative noise (b x q).
        """
        h = self.trunk(z)
        units = torch.cat([torch.ones_like(h[..., :1]), h / max(self.trunk.width, 1) ** 0.5], dim=-1)
        return self._heads(units, source), self._contrast(units)

    def _heads(self, units: Tensor, source: Tensor) -> Tensor:
        if not self.own:
            return units
        place = functional.one_hot(source, self.sources).to(units)
        own = (place.unsqueeze(-1) * units[..., 1:].unsqueeze(-2)).flatten(-2)
        return torch.cat([units, place, own], dim=-1)

    def _contrast(self, units: Tensor) -> Tensor:
        if self.spread is None:
            return torch.zeros_like(units[..., 0])
        return CONTRAST * torch.tanh(units @ self.spread / CONTRAST)


def fit_heads(
    network: MultiHead,
    data: Data,
    standard: tuple[Tensor, Tensor],
    parts: tuple[Tensor, Tensor],
    schedule: Schedule,
    *,
    device: str,
    seed: int = 0,
) -> None:
    r"""Train on the first part of the rows, in single precision, and stop where the second is predicted best.

    The loss is $\beta$-NLL, $\hat v^{1/2} [\ln v + (y - f)^2 / v] / 2$ with $\hat v$ the variance v held fixed:
    plain likelihood learns little where it believes in much noise. Seitzer et al. 2022, arXiv:2203.09168.

    Args:
        network: its inputs measured.
        data: the rows.
        standard: their values and known noise, in standardised units (n and n).
        parts: positions to train on, and held out (none: train to the end).
        schedule: how long and how fast.
        device: where to.
        seed: of the order of the rows.
    """
    work = copy.deepcopy(network).float().to(device)
    with torch.no_grad():
        z = network.inputs(data.X[:, :-1]).float().to(device)
    s, known = data.fidelity.to(device), data.known.to(device)
    y, extra = (column.float().to(device) for column in standard)
    rows, held = (part.to(device) for part in parts)

    def loss(batch: Codes) -> Tensor:
        features, contrast = work(z[batch], s[batch])
        value = features @ work.head
        learned = torch.exp(work.log_noise[s[batch]] + contrast)
        variance = FLOOR + extra[batch] + torch.where(known[batch], 0.0, learned)
        score = 0.5 * (variance.log() + (y[batch] - value).square() / variance)
        mean: Tensor = (score * variance.detach().sqrt()).mean()
        return mean

    def score() -> float:
        work.eval()
        with torch.no_grad():
            features, contrast = work(z[held], s[held])
            total = surprise((y[held] - features @ work.head).square(), contrast, s[held])
        work.train()
        return total

    work.train()
    train(list(work.parameters()), loss, rows, score if len(held) else None, schedule, seed=seed)
    with torch.no_grad():
        for mine, trained in zip(network.parameters(), work.parameters(), strict=True):
            mine.copy_(trained)


def surprise(squares: Tensor, contrast: Tensor, source: Codes) -> float:
    """The negative log likelihood of errors, at the noise of each source that suits them best."""
    total = 0.5 * contrast.sum()
    for s in source.unique():
        mine = source == s
        total = total + 0.5 * mine.sum() * (FLOOR + (squares[mine] / contrast[mine].exp()).mean()).log()
    return float(total)

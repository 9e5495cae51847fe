"""How well linear heads on given features predict rows that they have not seen, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mfmat.types import Codes

RATIOS = torch.logspace(-3, 2, 16).double()
"""Of the noise to what a head explains, among which the evidence chooses."""
CONSTANT = 3.0
"""Prior standard deviation of the constant, in those of the values."""
ROUNDS = 12
"""Heads, repeats included, that an average is made of."""


@dataclass(frozen=True)
class LeftOut:
    """What is said of each row by a head that has not seen its group: mean and variance (n each)."""

    mean: Tensor
    variance: Tensor


def leave_out(features: Tensor, y: Tensor, groups: Codes) -> LeftOut:
    r"""What a Bayesian linear head says of each group of rows, given all others.

    With standardised features Z (n x h) beside a constant, $y \sim N(0, s^2 A)$, $A = ZZ^T / h + \lambda I$: lambda
    maximises the evidence with s integrated out, and of a group G that is left out the errors are
    $[A^{-1}]_{GG}^{-1} [A^{-1} y]_G$, with the variances $s^2 \mathrm{diag}([A^{-1}]_{GG}^{-1})$. One singular value
    decomposition gives all: cost n h^2.

    Args:
        features: n x h.
        y: n, standardised.
        groups: n; rows of one are left out together.

    Rasmussen & Williams 2006, ISBN 026218253X, section 5.4.2.

    >>> x = torch.linspace(-1, 1, 9).double()[:, None]
    >>> found = leave_out(x, 2 * x[:, 0], torch.arange(9))
    >>> bool((found.mean - 2 * x[:, 0]).abs().max() < 0.01)
    True
    """
    n = len(y)
    Z = (features - features.mean(0)) / features.std(0).clamp_min(1e-9)
    Z = torch.cat([Z / max(Z.shape[1], 1) ** 0.5, torch.full_like(Z[:, :1], CONSTANT)], dim=1)
    U, S, _ = torch.linalg.svd(Z, full_matrices=False)
    ratios = RATIOS.to(y)[:, None]
    # A^-1 = I / lambda - U diag(lost) U^T, for every ratio at once.
    lost, b = 1 / ratios - 1 / (S.square() + ratios), U.T @ y
    energy = y.square().sum() / ratios[:, 0] - lost @ b.square()
    volume = (S.square() + ratios).log().sum(1) + (n - len(S)) * ratios[:, 0].log()
    best = int((-0.5 * n * energy.clamp_min(1e-12).log() - 0.5 * volume).argmax())
    ratio, lost, unit = ratios[best], lost[best], energy[best] / n
    weights, precision = y / ratio - U @ (lost * b), 1 / ratio - U.square() @ lost
    errors, variances = weights / precision, unit / precision
    codes, counts = groups.unique(return_counts=True)
    for code in codes[counts > 1]:
        at = torch.nonzero(groups == code).flatten()
        block = torch.eye(len(at)).to(y) / ratio - (U[at] * lost) @ U[at].T
        inverse = torch.linalg.inv(block)
        errors[at], variances[at] = inverse @ weights[at], unit * inverse.diagonal()
    return LeftOut(y - errors, variances)


def choose_heads(found: Sequence[LeftOut], y: Tensor, keep: int) -> list[int]:
    """Positions of heads that are good and different: those of which the average errs least, the best first.

    Added one after the other, repeats allowed, to the average of what they said of left-out rows, each time the one
    that lowers its squared error most; at most `keep` different ones.

    Caruana et al. 2004, doi:10.1145/1015330.1015432.

    >>> y = torch.tensor([1.0, 2.0, 3.0])
    >>> high, low, wild = (LeftOut(y + shift, y) for shift in (0.5, -0.4, 3.0))
    >>> choose_heads([high, low, wild], y, keep=2)
    [1, 0]
    """
    means = torch.stack([each.mean for each in found])
    total = torch.zeros_like(y)
    chosen: list[int] = []
    for count in range(1, ROUNDS + 1):
        errors = ((total + means) / count - y).square().mean(1)
        if len(set(chosen)) >= keep:
            closed = torch.ones(len(means), dtype=torch.bool)
            closed[chosen] = False
            errors[closed] = torch.inf
        chosen.append(int(errors.argmin()))
        total = total + means[chosen[-1]]
    return list(dict.fromkeys(chosen))

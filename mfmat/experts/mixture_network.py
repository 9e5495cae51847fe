"""Networks whose answer is a small mixture of Gaussians, several of them trained side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional

FLOOR = 1e-6
"""Variance added to every component, in standardised units."""
NARROW, WIDE = 0.01, 3.0
"""Where a network may put the standard deviation of a component, in standardised units."""


class MixtureHead(torch.nn.Module):
    r"""$p(y | x) = \sum_k w_k(x) N(\mu_k(x), \sigma_k^2(x))$ from the features h(x) of a trunk, in standardised units.

    Args:
        trunk: gives the features; `trunk.width` of them.
        components: K.
    """

    def __init__(self, trunk: torch.nn.Module, width: int, components: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = torch.nn.Linear(width, 3 * components)
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.zeros_(self.head.bias)
        with torch.no_grad():
            # Components that start as one would stay one.
            self.head.bias[2 * components :] = torch.linspace(3, 1, components)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logarithms of the weights, means and standard deviations (each n x K) of rows on one scale (n x width)."""
        weights, means, spread = self.head(self.trunk(z)).chunk(3, dim=-1)
        span = torch.sigmoid(spread - 2) * math.log(WIDE / NARROW) + math.log(NARROW)
        return functional.log_softmax(weights, dim=-1), means, span.exp()


class Members(torch.nn.Module):
    """M networks of one form, their parameters stacked, so that one pass serves all (`torch.func.vmap`).

    Args:
        networks: M, without buffers that training changes.
    """

    def __init__(self, networks: Sequence[torch.nn.Module]) -> None:
        super().__init__()
        parameters, buffers = stack_module_state(list(networks))
        # In a tuple, so that only the stacked parameters count as this module's own.
        self._form = (networks[0],)
        self.names = {name.replace(".", "/"): name for name in [*parameters, *buffers]}
        for name, value in parameters.items():
            self.register_parameter(name.replace(".", "/"), torch.nn.Parameter(value.detach()))
        for name, value in buffers.items():
            self.register_buffer(name.replace(".", "/"), value)

    def __len__(self) -> int:
        return len(next(self.parameters()))

    def hidden(self, z: Tensor) -> Tensor:
        """The units of every member's trunk (n x d to M x n x h)."""
        form = self._form[0].train(self.training).get_submodule("trunk")
        state = {
            name.removeprefix("trunk."): getattr(self, stacked)
            for stacked, name in self.names.items()
            if name.startswith("trunk.")
        }
        units: Tensor = vmap(lambda own: functional_call(form, own, (z,)), randomness="different")(state)
        return units

    def forward(self, z: Tensor, each: bool = False) -> tuple[Tensor, ...]:
        """Every member's answer, M in front, to the same rows (n x d) or, with `each`, to its own (M x n x d)."""
        form = self._form[0].train(self.training)

        def answer(state: dict[str, Tensor], z: Tensor) -> tuple[Tensor, ...]:
            said: tuple[Tensor, ...] = functional_call(form, state, (z,))
            return said

        state = {name: getattr(self, stacked) for stacked, name in self.names.items()}
        said: tuple[Tensor, ...] = vmap(answer, in_dims=(0, 0 if each else None), randomness="different")(state, z)
        return said


def crps(log_weights: Tensor, means: Tensor, variances: Tensor, y: Tensor) -> Tensor:
    r"""The continuous ranked probability score of Gaussian mixtures (each ... x K, y: ...; to ...).

    $\sum_k w_k A(y - \mu_k, \sigma_k^2) - \frac12 \sum_{kl} w_k w_l A(\mu_k - \mu_l, \sigma_k^2 + \sigma_l^2)$ with
    $A(m, v) = E|N(m, v)|$. In the units of y, and proper: smallest on average for the true distribution.
    Grimit et al. 2006, doi:10.1256/qj.05.235.
    """
    weights = log_weights.exp()
    apart = _size(means.unsqueeze(-1) - means.unsqueeze(-2), variances.unsqueeze(-1) + variances.unsqueeze(-2))
    pairs = (weights.unsqueeze(-1) * weights.unsqueeze(-2) * apart).sum((-2, -1))
    return (weights * _size(y.unsqueeze(-1) - means, variances)).sum(-1) - 0.5 * pairs


def surprise(log_weights: Tensor, means: Tensor, variances: Tensor, y: Tensor) -> Tensor:
    """The negative logarithm of the density of Gaussian mixtures at y (each ... x K, y: ...; to ...)."""
    inside = log_weights - 0.5 * (variances.log() + (y.unsqueeze(-1) - means).square() / variances)
    return 0.5 * math.log(2 * math.pi) - torch.logsumexp(inside, dim=-1)


def _size(m: Tensor, v: Tensor) -> Tensor:
    """E|N(m, v)|."""
    root = v.sqrt()
    ratio = m / root
    return m * torch.erf(ratio / math.sqrt(2)) + root * math.sqrt(2 / math.pi) * torch.exp(-0.5 * ratio.square())

"""The posterior of a trained network's weights, linear in them: its last layer, or all of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from mfmat.data import Data
from mfmat.experts.multi_head import MultiHead
from mfmat.familiarity import Familiarity
from mfmat.feature_model import FeatureModel
from mfmat.learner import Facts
from mfmat.types import Rows

SINGLE = 1e-3
"""Noise (variance, standardised) above which tables are predicted from units in single precision."""


class LaplaceModel(FeatureModel):
    r"""A network around its trained weights, $f(x) \approx f^*(x) + J(x)(\theta - \theta^*)$.

    Linear in the weights, so that their posterior is Gaussian and in closed form (`Weights`): of the last layer
    exactly, with the units before it as J; of all layers in the generalised Gauss-Newton approximation, with
    a prior precision for each tensor of weights.

    Args:
        facts: what the model is built from.
        network: the network.
        names: the weights that have a posterior beside the last layer's.
    """

    def __init__(self, facts: Facts, network: MultiHead, names: Sequence[str]) -> None:
        blocks = [*network.blocks, *(network.get_parameter(name).numel() for name in names)]
        inputs = network.inputs
        super().__init__(facts, blocks, Familiarity(inputs.views, facts["width"], getattr(inputs, "sets", ())))
        self.network = network
        self.names = list(names)

    def learn(self, data: Data, parts: tuple[Tensor, Tensor]) -> None:
        """Precisions and noise by the evidence of the second part given the first, then the weights by all rows.

        With an empty second part, by the evidence of the first.
        """
        given, held = (self.evidence_of(data.take(part)) for part in parts)
        if len(parts[1]):
            self.weights.learn(held, given)
        elif len(parts[0]):
            self.weights.learn(given)
        self.condition(data)

    def measure(self, x: Tensor) -> None:
        """Learn the scales and ranges of the columns (n x d)."""
        self.network.inputs.measure(x)
        if self.familiarity is not None:
            self.familiarity.measure(x)

    def hidden(self, X: Rows) -> Tensor:
        """See `FittedModel.hidden`."""
        units: Tensor = self.network.trunk(self.network.inputs(X[..., :-1]))
        return units

    def features(self, X: Rows) -> Tensor:
        """Slopes of the value along the weights (b x q x k)."""
        return self.expand(X)[0]

    def expand(self, X: Rows) -> tuple[Tensor, Tensor]:
        """See `FeatureModel.expand`."""
        units = self._look(X)[0]
        if not self.names:
            return units, torch.zeros_like(X[..., -1])
        slopes = self._slopes(self.network.inputs(X[..., :-1]), self.source(X))
        centre = torch.cat([self.network.get_parameter(name).reshape(-1) for name in self.names])
        return torch.cat([units, slopes], dim=-1), -(slopes @ centre)

    def relative(self, X: Rows) -> Tensor:
        """See `FeatureModel.relative`."""
        return super().relative(X) if self.network.spread is None else self._look(X)[1].exp()

    def _look(self, X: Rows) -> tuple[Tensor, Tensor]:
        z, source = self.network.inputs(X[..., :-1]), self.source(X)
        if self.names or torch.is_grad_enabled() or bool((self.weights.noise < SINGLE).any()):
            units, contrast = self.network(z, source)
            return units, contrast
        single = {name: p.float() for name, p in self.network.named_parameters()}
        units, contrast = functional_call(self.network, single, (z.float(), source))
        return units.double(), contrast.double()

    def _slopes(self, z: Tensor, source: Tensor) -> Tensor:
        """Along the weights of the trunk (b x q x k)."""
        head = self.network.head

        def value(weights: dict[str, Tensor], z: Tensor, source: Tensor) -> Tensor:
            units: Tensor = functional_call(self.network, weights, (z, source))[0]
            return units @ head

        weights: dict[str, Tensor] = {name: self.network.get_parameter(name) for name in self.names}
        every = vmap(grad(value), in_dims=(None, 0, 0))(weights, z.reshape(-1, z.shape[-1]), source.reshape(-1))
        slopes = torch.cat([every[name].flatten(1) for name in self.names], dim=1)
        return slopes.reshape(*z.shape[:-1], slopes.shape[-1])

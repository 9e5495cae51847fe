"""LocalGate: weights that depend on the material and on how sure each member is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mfmat.descent import few_threads
from mfmat.errors import SchemaError
from mfmat.gates.constant import check
from mfmat.gates.gate import Evidence, FittedGate, Gate
from mfmat.gates.place import Place
from mfmat.gates.shares import DRAWS, TINY, draw_largest
from mfmat.gates.tilt import Settled, Tilt
from mfmat.learner import views_of
from mfmat.types import Rows

LOCAL = 64
"""Draws of the weights that depend on x."""
REACH = 1.0
"""Prior spread of the slope along the logarithm of a member's own standard deviation."""


@dataclass(frozen=True, kw_only=True)
class LocalGate(Gate, kind="local-gate"):
    r"""Bayesian hierarchical stacking: weights for each material, drawn towards constant ones.

    $w_k(x) \propto \bar w_k \exp(g(x)[b_k^T \phi(x) + c\,s_k(x)])$: $\bar w$ the weights of `ConstantGate`,
    $\phi$ a one and the leading principal components of the views, $s_k$ the logarithm of the member's own standard
    deviation, less the mean over members, and $g \in [0, 1]$ the trust that x is among the materials seen
    (`Familiarity`): far from them the constant weights return. $b \sim N(0, \tau^2)$, $c \sim N(0, 1)$.
    How far weights may vary is not a choice but has a posterior: $\tau$ is 0 (constant weights) with a prior
    probability of a half, or one of `scales`, with and without c; each has its evidence by Laplace's method, and
    draws come from all of them by their probability. Where nothing speaks for weights that vary, they do not.

    Args:
        concentration: of the constant part, see `ConstantGate`.
        keep: at most so many members share the weight; None: all.
        components: principal components.
        scales: values of $\tau$ that are tried beside 0.
        seed: of the draws.

    Raises:
        SchemaError: an impossible concentration, number of members or of components, or scale.

    Yao et al. 2021, arXiv:2101.08954; with $\tau$ integrated out as in Rue et al. 2009,
    doi:10.1111/j.1467-9868.2008.00700.x.

    >>> x = torch.linspace(-1, 1, 100).double()[:, None]
    >>> scores = torch.cat([-3.0 * (x > 0), -3.0 * (x < 0)], dim=1)
    >>> evidence = Evidence(torch.cat([x, 0 * x], dim=1), scores, torch.ones(100, 2).double(), {"x": slice(0, 1)})
    >>> at = torch.tensor([[[-0.9, 0.0]], [[0.9, 0.0]]]).double()
    >>> LocalGate().fit(evidence).weights(at, torch.ones(2, 2, 1).double())[0].squeeze().round(decimals=1)
    tensor([1., 0.], dtype=torch.float64)
    """

    concentration: float = 1.0
    keep: int | None = None
    components: int = 3
    scales: tuple[float, ...] = (0.3, 1.0, 3.0)
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", tuple(self.scales))
        check(self.concentration, self.keep)
        if self.components < 0 or not all(scale > 0 for scale in self.scales):
            raise SchemaError(
                f"components={self.components}, scales={self.scales}",
                expected="0 components or more, and scales above 0",
                fix="LocalGate(components=3, scales=(0.3, 1.0, 3.0))",
            )

    def fit(self, evidence: Evidence) -> FittedLocalGate:
        """See `Gate.fit`."""
        width = evidence.X.shape[1] - 1
        views = {name: [view.start, view.stop] for name, view in evidence.views.items()}
        columns = sum(stop - start for start, stop in views.values())
        facts = {"members": evidence.scores.shape[1], "width": width, "views": views}
        gate = FittedLocalGate({**facts, "components": min(self.components, columns)})
        mean, draws = draw_largest(evidence.scores, self.concentration, self.keep, self.seed)
        gate.mean.copy_(mean)
        gate.shares.copy_(draws)
        if len(evidence.X) and len(mean) > 1:
            gate.place.measure(evidence.X[:, :-1].double())
            # Of thousands of rows and a handful of members, threads would only wait for each other.
            with few_threads(0):
                self._tilt(gate, evidence)
        return gate

    def restore(self, facts: Mapping[str, Any], state: Mapping[str, Tensor]) -> FittedLocalGate:
        """See `Gate.restore`."""
        gate = FittedLocalGate(dict(facts))
        gate.load_state_dict(dict(state), strict=True)
        return gate

    def _tilt(self, gate: FittedLocalGate, evidence: Evidence) -> None:
        """Weigh each scale by its evidence, and draw from all of them."""
        features, _ = gate.place(evidence.X[:, :-1].double())
        scores = (evidence.scores - evidence.scores.amax(1, keepdim=True)).double()
        tilt = Tilt(scores, gate.mean.log(), features, relative(evidence.spreads.T.double()).T)
        zero = features.new_zeros(gate.slopes.shape[1:]), features.new_zeros(1)
        tried = [tilt.settle(scale, reach) for scale in self.scales for reach in (0.0, REACH)]
        prior = np.log([0.5, *[0.5 / len(tried)] * len(tried)])
        evidences = np.array([float(tilt.likelihood(*zero)[0]), *(each.evidence for each in tried)]) + prior
        odds = np.exp(evidences - evidences.max())
        odds = odds / odds.sum()
        gate.constant.fill_(odds[0])
        if odds[0] < 1:
            self._draw(gate, tried, odds[1:] / odds[1:].sum())

    def _draw(self, gate: FittedLocalGate, tried: list[Settled], odds: Any) -> None:
        rng = np.random.default_rng(self.seed)
        chosen = np.searchsorted(odds.cumsum(), (np.arange(LOCAL) + 0.5) / LOCAL).clip(max=len(tried) - 1)
        for s, which in enumerate(chosen):
            settled = tried[which]
            theta = settled.mode + settled.root @ torch.from_numpy(rng.standard_normal(len(settled.mode)))
            gate.slopes[s] = theta[:-1].reshape(gate.slopes.shape[1:])
            gate.own[s] = theta[-1] * (which % 2)


class FittedLocalGate(FittedGate):
    """The constant part, draws of the tilts, and the probability that there are none."""

    mean: Tensor
    shares: Tensor
    slopes: Tensor
    own: Tensor
    constant: Tensor

    def __init__(self, facts: dict[str, Any]) -> None:
        super().__init__()
        self.facts = facts
        members, components = facts["members"], facts["components"]
        views = views_of(facts)
        self.place = Place(views, facts["width"], components)
        self.register_buffer("mean", torch.full((members,), 1 / members).double())
        self.register_buffer("shares", self.mean.expand(DRAWS, -1).clone())
        self.register_buffer("slopes", torch.zeros(LOCAL, members, 1 + components).double())
        self.register_buffer("own", torch.zeros(LOCAL).double())
        self.register_buffer("constant", torch.ones(()).double())

    def draws(self, X: Rows, spreads: Tensor) -> Tensor:
        """See `FittedGate.draws`; constant ones and others by their probability."""
        flat = round(float(self.constant) * LOCAL)
        each = self._base(X)[:, :, *[None] * (X.ndim - 1)].expand(-1, -1, *X.shape[:-1])
        return torch.cat([each[:flat], self._local(X, spreads)[flat:]])

    def weights(self, X: Rows, spreads: Tensor) -> Tensor:
        """See `FittedGate.weights`."""
        return self._moments(X, spreads)[0]

    def weight_std(self, X: Rows, spreads: Tensor) -> Tensor:
        """See `FittedGate.weight_std`."""
        return self._moments(X, spreads)[1].sqrt()

    def _moments(self, X: Rows, spreads: Tensor) -> tuple[Tensor, Tensor]:
        flat = self.constant
        one = self.mean[:, *[None] * (X.ndim - 1)].expand(-1, *X.shape[:-1])
        within = self.shares.var(0)[:, *[None] * (X.ndim - 1)]
        if float(flat) == 1:
            return one, within.expand(one.shape)
        local = self._local(X, spreads)
        other = local.mean(0)
        mean = flat * one + (1 - flat) * other
        return mean, flat * within + (1 - flat) * local.var(0) + flat * (1 - flat) * (one - other).square()

    def _base(self, X: Rows) -> Tensor:
        """As many draws of the constant part as there are of the tilts."""
        return self.shares[:: DRAWS // LOCAL]

    def _local(self, X: Rows, spreads: Tensor) -> Tensor:
        """Draws of the weights that depend on x (s x K x b x q)."""
        features, trust = self.place(X[..., :-1])
        behind = [None] * trust.ndim
        tilt = torch.einsum("skp,...p->sk...", self.slopes, features) + self.own[:, None, *behind] * relative(spreads)
        near = self.mean.clamp_min(TINY).log()[:, *behind] + tilt
        far = self._base(X).clamp_min(TINY).log()[:, :, *behind]
        # Of exactly 0 the root, which covariances are weighed by, would have no slope.
        return torch.softmax(trust * near + (1 - trust) * far, dim=1).clamp_min(TINY)


def relative(spreads: Tensor) -> Tensor:
    """The logarithm of each member's standard deviation less the mean over members (K x ...)."""
    logs = spreads.clamp_min(torch.finfo(spreads.dtype).tiny).log()
    return logs - logs.mean(0)

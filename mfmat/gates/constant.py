"""ConstantGate: the same weights for every material."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mfmat.errors import SchemaError
from mfmat.gates.gate import Evidence, FittedGate, Gate
from mfmat.gates.shares import DRAWS, draw_largest
from mfmat.types import Rows


def check(concentration: float, keep: int | None) -> None:
    """Refuse what no Dirichlet prior can be.

    Raises:
        SchemaError: a concentration that is not above 0, fewer than one member kept.
    """
    if not concentration > 0:
        raise SchemaError(f"concentration={concentration}", expected="a number above 0", fix="ConstantGate()")
    if keep is not None and keep < 1:
        raise SchemaError(f"keep={keep}", expected="at least 1, or None for all", fix="keep=None")


@dataclass(frozen=True, kw_only=True)
class ConstantGate(Gate, kind="constant-gate"):
    r"""Bayesian stacking: one weight for each member, from how well each predicted rows that it had not seen.

    $p(w | y) \propto Dir(w; \alpha/K) \prod_i \sum_k w_k p_k(y_i)$ with $p_k(y_i)$ the density that member k,
    fitted without row i, gave to it. The mode is the stacking of Yao et al. with a prior; the whole posterior is
    drawn by Gibbs sampling (`draw_shares`), and the members are mixed with its mean. Without evidence all members
    have equal weights, and very uncertain ones.

    Args:
        concentration: $\alpha$, the evidence that the prior counts for, in rows, shared by all members: small, and few
            members hold all the weight; large, and all have the same.
        keep: at most so many members, those with the largest weights, share it all; None: all.
        seed: of the draws.

    Raises:
        SchemaError: a concentration that is not above 0, fewer than one member kept.

    Yao et al. 2018, doi:10.1214/17-BA1091.

    >>> evidence = Evidence(torch.zeros(60, 2), torch.tensor([[-1.0, -3.0]]).expand(60, 2), torch.ones(60, 2), {})
    >>> ConstantGate().fit(evidence).weights(torch.zeros(1, 1, 2), torch.ones(2, 1, 1)).squeeze().round(decimals=1)
    tensor([1., 0.], dtype=torch.float64)
    """

    concentration: float = 1.0
    keep: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check(self.concentration, self.keep)

    def fit(self, evidence: Evidence) -> FittedConstantGate:
        """See `Gate.fit`."""
        gate = FittedConstantGate({"members": evidence.scores.shape[1]})
        mean, draws = draw_largest(evidence.scores, self.concentration, self.keep, self.seed)
        gate.mean.copy_(mean)
        gate.shares.copy_(draws)
        return gate

    def restore(self, facts: Mapping[str, Any], state: Mapping[str, Tensor]) -> FittedConstantGate:
        """See `Gate.restore`."""
        gate = FittedConstantGate(dict(facts))
        gate.load_state_dict(dict(state), strict=True)
        return gate


class FittedConstantGate(FittedGate):
    """The mean of the weights, and draws of them."""

    mean: Tensor
    shares: Tensor

    def __init__(self, facts: dict[str, Any]) -> None:
        super().__init__()
        self.facts = facts
        self.register_buffer("mean", torch.full((facts["members"],), 1 / facts["members"]).double())
        self.register_buffer("shares", self.mean.expand(DRAWS, -1).clone())

    def draws(self, X: Rows, spreads: Tensor) -> Tensor:
        """See `FittedGate.draws`."""
        return self.shares[:, :, *[None] * (X.ndim - 1)].expand(-1, -1, *X.shape[:-1])

    def weights(self, X: Rows, spreads: Tensor) -> Tensor:
        """See `FittedGate.weights`."""
        return self.mean[:, *[None] * (X.ndim - 1)].expand(-1, *X.shape[:-1])

    def weight_std(self, X: Rows, spreads: Tensor) -> Tensor:
        """See `FittedGate.weight_std`."""
        return self.shares.std(0)[:, *[None] * (X.ndim - 1)].expand(-1, *X.shape[:-1])

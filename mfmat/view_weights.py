"""How much of what a process expects comes from each view, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ViewWeights:
    r"""The share of each term of a kernel in the prior variance, $w_v / \sum_u w_u$, with draws of its posterior.

    Attributes:
        names: of the k terms: the views, and `joint`, a function of several of them at once.
        share: what the model predicts with (k).
        draws: from the posterior, each of which sums to 1 (s x k); s = 0 where there is none.

    >>> weights = ViewWeights(("a", "b"), torch.tensor([0.7, 0.3]), torch.tensor([[0.6, 0.4], [0.8, 0.2]]))
    >>> weights.interval(0.5)[0]
    tensor([0.6500, 0.2500])
    """

    names: tuple[str, ...]
    share: Tensor
    draws: Tensor

    @classmethod
    def alone(cls, names: tuple[str, ...], share: Tensor) -> ViewWeights:
        """Without a posterior."""
        return cls(names, share, share.new_zeros(0, len(names)))

    @property
    def std(self) -> Tensor:
        """Standard deviation of each share (k); NaN without draws."""
        return self.draws.std(dim=0) if len(self.draws) else torch.full_like(self.share, torch.nan)

    def interval(self, level: float) -> tuple[Tensor, Tensor]:
        """Ends of the central interval of each share (k and k); NaN without draws."""
        if not len(self.draws):
            return self.std, self.std
        low, high = (self.draws.quantile((1 + sign * level) / 2, dim=0) for sign in (-1, 1))
        return low, high

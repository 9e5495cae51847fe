"""Where a row lies, in a few numbers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mfmat.familiarity import Familiarity


class Place(torch.nn.Module):
    r"""The leading principal components $\phi(x)$ of standardised views, each of variance 1 over the rows.

    A view counts as much as another, whatever its width.

    Args:
        views: each view's columns.
        width: columns in all.
        components: how many, J.
    """

    axes: Tensor

    def __init__(self, views: Mapping[str, slice], width: int, components: int) -> None:
        super().__init__()
        ends = {name: [view.start, view.stop] for name, view in views.items()}
        self.facts = {"views": ends, "width": width, "components": components}
        self.familiarity = Familiarity(views, width)
        self.register_buffer("axes", torch.zeros(width, components).double())

    def measure(self, X: Tensor) -> None:
        """Learn scales, ranges and axes (n x d)."""
        self.familiarity.measure(X)
        if len(X) < 2:
            return
        z = self.familiarity(X)
        even = torch.zeros(z.shape[1]).to(z)
        for view in self.familiarity.views.values():
            even[view] = max(view.stop - view.start, 1) ** -0.5
        values, vectors = torch.linalg.eigh(torch.cov((z * even).T).reshape(len(even), len(even)))
        count = self.axes.shape[1]
        values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count]
        # Eigenvectors have no sign of their own.
        largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
        spread = torch.where(values > 1e-12 * values.sum(), values, torch.inf).sqrt()
        self.axes.copy_(even[:, None] * vectors * largest.sign() / spread)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """A one and the components of rows (... x d to ... x (1 + J)), and the trust in them (...)."""
        phi = self.familiarity(x) @ self.axes
        return torch.cat([torch.ones_like(phi[..., :1]), phi], dim=-1), self.familiarity.trust(x)

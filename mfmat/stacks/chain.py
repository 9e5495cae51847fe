"""A fitted chain of sources: one joint Gaussian over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from mfmat.data import at_fidelity, material_keys_of
from mfmat.gates.place import Place
from mfmat.learner import Facts, FittedModel, StackModel
from mfmat.stacks.levels import MeasuredLevel
from mfmat.stacks.links import Link
from mfmat.types import Codes, Covariance, Flags, Rows


@dataclass(frozen=True)
class Level(MeasuredLevel):
    """One source's place in the chain: its fitted member, what it stands on, and what was measured there.

    `keys` (sorted) are the materials measured in this source, `values` theirs. `place` is where the slope of the link
    is told apart; with `sees_below` the member takes the value of the source below as its last input.
    """

    model: FittedModel
    parent: int | None
    link: Link | None
    keys: Codes
    values: Tensor
    place: Place | None = None
    sees_below: bool = False


@dataclass(frozen=True)
class Handed:
    r"""What a source hands to the next at each row, for a trust t in its measurements.

    The source's value of a material is $f(x) + u$, of which a measurement adds noise: $y = f + u + e$
    with $Var(u) = t\sigma^2$, $Var(e) = (1-t)\sigma^2$. Given all rows of the source, a Gaussian process
    then has $E[f + u] = p + t(y - p)$ and $Var(f + u) = (1-t)^2 Var(f) + t(1-t)\sigma^2$ where y was measured.

    Attributes:
        predicted: p, the posterior mean of f.
        surprise: y - p; 0 where not measured.
        measured: 1 where measured, else 0.
        noise: $\sigma^2$.
    """

    predicted: Tensor
    surprise: Tensor
    measured: Tensor
    noise: Tensor

    def mean(self, trust: Tensor | float) -> Tensor:
        """The material's value, given what was measured of it."""
        return self.predicted + trust * self.surprise

    def own(self, trust: Tensor | float) -> Tensor:
        """Variance of the part that no other material shares."""
        return self.noise * trust * (1 - trust * self.measured)

    def variance(self, trust: Tensor | float, latent: Tensor) -> Tensor:
        """Variance of the material's value, from that of f."""
        return (1 - trust * self.measured) ** 2 * latent + self.own(trust)


class DifferenceModel(StackModel):
    """A fitted chain: every row's value is a weighted sum of the levels' independent functions."""

    def __init__(self, levels: Sequence[Level], facts: Facts) -> None:
        described = [
            {
                "member": level.model.facts,
                "parent": level.parent,
                "link": asdict(level.link) if level.link else None,
                "place": level.place.facts if level.place else None,
                "sees_below": level.sees_below,
            }
            for level in levels
        ]
        super().__init__([level.model for level in levels], {**facts, "levels": described})
        self.levels = tuple(levels)
        self.places = torch.nn.ModuleList([level.place or torch.nn.Module() for level in levels])
        for i, level in enumerate(levels):
            self.register_buffer(f"keys_{i}", level.keys)
            self.register_buffer(f"values_{i}", level.values)

    @property
    def member_names(self) -> Sequence[str]:
        """See `StackModel.member_names`: the sources."""
        return [str(name) for name in self.facts["sources"]]

    def hand(self, X: Tensor, fidelity: int) -> tuple[Handed, Tensor]:
        """What a source hands to the next at n rows (n x (d+1)), and the variance of its noise-free value."""
        rows = at_fidelity(X.unsqueeze(1), fidelity)
        with torch.no_grad():
            handed = self._handed(rows, self._keys(rows))[0][fidelity]
            variance = self.posterior(rows).variance
        flat = (x[:, 0] for x in (handed.predicted, handed.surprise, handed.measured, handed.noise))
        return Handed(*flat), variance[:, 0, 0]

    def noise(self, X: Rows) -> Tensor:
        """See `FittedModel.noise`."""
        fidelity, total = X[..., -1].round(), torch.zeros_like(X[..., -1])
        # A member that sees the source below cannot be asked without it.
        handed = self._handed(X, self._keys(X))[0] if any(level.sees_below for level in self.levels) else None
        for i, level in enumerate(self.levels):
            total = torch.where(fidelity == i, handed[i].noise if handed else level.model.noise(X), total)
        return total

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """See `FittedModel.joint`."""
        fidelity, keys = X[..., -1].round(), self._keys(X)
        same = (keys.unsqueeze(-1) == keys.unsqueeze(-2)).to(X)
        handed, covariances = self._handed(X, keys)
        mean, covariance = torch.zeros_like(fidelity), torch.zeros_like(same)
        weight = [(fidelity == i).to(X) for i in range(len(self.levels))]
        trust = [(fidelity == i) * observed * self._trust_in(i) for i in range(len(self.levels))]
        for i in reversed(range(len(self.levels))):
            level, here, t, w = self.levels[i], fidelity == i, trust[i], weight[i]
            mean = mean + here * handed[i].mean(t)
            fresh = here * observed * (1 - t) * handed[i].noise
            covariance = covariance + _outer(w * handed[i].own(t).sqrt()) * same + torch.diag_embed(fresh)
            w = w * (1 - t * handed[i].measured)
            covariance = covariance + _outer(w) * covariances[i]
            if level.link is not None and level.parent is not None:
                below, basis = handed[level.parent], locate(level.place, X)
                for error in level.link.errors(below.predicted, below.surprise, basis):
                    covariance = covariance + _outer(w * error)
                weight[level.parent] = weight[level.parent] + w * level.link.slopes(basis)
                trust[level.parent] = torch.where(weight[i] != 0, level.link.trust, trust[level.parent])
        return mean, covariance

    def _handed(self, X: Rows, keys: Tensor) -> tuple[list[Handed], list[Covariance]]:
        """Each level's hand and the covariance of its own function, from the bottom up."""
        handed: list[Handed] = []
        covariances = []
        latent = torch.zeros(X.shape[-2], dtype=torch.bool)
        for i, level in enumerate(self.levels):
            rows = at_fidelity(X, i)
            if level.link is not None and level.parent is not None:
                z = handed[level.parent].mean(level.link.trust)
                rows = widen(rows, z) if level.sees_below else rows
                predicted, covariance = level.model.joint(rows, latent)
                predicted = predicted + level.link.follow(z, locate(level.place, X))
            else:
                predicted, covariance = level.model.joint(rows, latent)
            found, values = level.measured(keys)
            surprise = torch.where(found, values - predicted, 0.0)
            noise = level.model.noise(rows)
            handed.append(Handed(predicted, surprise, found.to(X), noise))
            covariances.append(covariance)
        return handed, covariances

    def _trust_in(self, fidelity: int) -> float:
        """How far measurements of a source are trusted by the first source that stands on it."""
        links = [level.link for level in self.levels if level.parent == fidelity and level.link and len(level.keys)]
        return links[0].trust if links else 0.0

    def _keys(self, X: Rows) -> Tensor:
        return material_keys_of(X, self.facts["material"])


def locate(place: Place | None, X: Tensor) -> Tensor | None:
    """What a slope depends on (... x (d+1) to ... x (1 + J)): a one, and components that far from all rows are 0."""
    if place is None:
        return None
    basis, trust = place(X[..., :-1])
    return torch.cat([basis[..., :1], basis[..., 1:] * trust.unsqueeze(-1)], dim=-1)


def widen(X: Tensor, z: Tensor) -> Tensor:
    """Rows with the value of the source below as one more input, the last (... x (d+1) and ... to ... x (d+2))."""
    return torch.cat([X[..., :-1], z.unsqueeze(-1), X[..., -1:]], dim=-1)


def _outer(weights: Tensor) -> Tensor:
    return weights.unsqueeze(-1) * weights.unsqueeze(-2)

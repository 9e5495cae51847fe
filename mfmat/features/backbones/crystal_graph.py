"""The crystal graph convolutional network, several of them side by side on one crystal."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from mfmat.features.backbones.neighbours import Neighbours, find_kinds, find_neighbours
from mfmat.features.crystals import Crystal

NEAREST, RADIUS = 12, 8.0
ATOM, HIDDEN, LAYERS = 64, 32, 4
_CENTRES = np.arange(0, RADIUS + 0.1, 0.2)


class CrystalGraphs:
    """Crystals as tensors: elements, neighbours and distances of all their atoms, one crystal after the other.

    Args:
        crystals: one or more.
        found: the neighbours of each, where they were searched for before.

    Attributes:
        numbers: n, the atomic number of each atom.
        atoms: n x 12, the neighbours' places among the n.
        bonds: n x 12 x 41, their distances on Gaussians, exp(-(d - mu)^2 / 0.2^2) with mu from 0 to 8 Å.
        owner: n, the crystal that each atom is of.
        count: of the crystals.
    """

    def __init__(self, crystals: Sequence[Crystal], found: Sequence[Neighbours] | None = None) -> None:
        found = found or [search(crystal) for crystal in crystals]
        sizes = [len(crystal.numbers) for crystal in crystals]
        starts = np.cumsum([0, *sizes[:-1]])
        atoms = np.concatenate([near.atoms + start for near, start in zip(found, starts, strict=True)])
        distances = np.concatenate([near.distances for near in found])
        self.numbers = torch.from_numpy(np.concatenate([crystal.numbers for crystal in crystals]))
        self.atoms = torch.from_numpy(atoms)
        self.bonds = spread(distances)
        self.owner = torch.repeat_interleave(torch.tensor(sizes))
        self.count = len(crystals)

    def to(self, device: str) -> Self:
        """These graphs on a device, in place."""
        for name in ("numbers", "atoms", "bonds", "owner"):
            setattr(self, name, getattr(self, name).to(device))
        return self


def spread(distances: NDArray[np.float64]) -> Tensor:
    """Distances on Gaussians, 41 for each."""
    return torch.from_numpy(np.exp(-(((distances[..., None] - _CENTRES) / 0.2) ** 2)))


def search(crystal: Crystal) -> Neighbours:
    """The neighbours that the network looks at: the 12 nearest within 8 Å."""
    return find_neighbours(crystal, NEAREST, RADIUS)


class Convolution(nn.Module):
    r"""One layer: $v_i \leftarrow s(v_i + \sum_j \sigma(z_{ij} W_f) s(z_{ij} W_c))$ with $z_{ij} = (v_i, v_j, u_{ij})$.

    s is softplus, and both sums are normalised over the batch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fc_full = nn.Linear(2 * ATOM + len(_CENTRES), 2 * ATOM)
        self.bn1 = nn.BatchNorm1d(2 * ATOM)
        self.bn2 = nn.BatchNorm1d(ATOM)

    def forward(self, v: Tensor, graphs: CrystalGraphs) -> Tensor:
        """Atoms' features before (n x 64) and after."""
        own, near, bond = self.fc_full.weight.split([ATOM, ATOM, len(_CENTRES)], dim=1)
        # One product for each atom rather than for each of its twelve bonds.
        z = linear(v, own, self.fc_full.bias)[:, None] + linear(v, near)[graphs.atoms]
        z = z + linear(graphs.bonds.to(v.dtype), bond)
        gate, core = self.bn1(z.flatten(0, 1)).view_as(z).chunk(2, dim=-1)
        return softplus(v + self.bn2((torch.sigmoid(gate) * softplus(core)).sum(dim=1)))


class CrystalGraphNetwork(nn.Module):
    r"""Xie and Grossman's network on crystal graphs, in the sizes of Chang, Wang and Ertekin.

    Elements' vectors (92) to 64, four layers over at most 12 neighbours within 8 Å, the mean over atoms, 32 hidden
    units, one standardised number.

    Args:
        elements: 100 x 92, each element's vector.

    Xie and Grossman 2018, doi:10.1103/PhysRevLett.120.145301; Chang et al. 2022, doi:10.1038/s41524-022-00929-x.
    """

    elements: Tensor

    def __init__(self, elements: Tensor) -> None:
        super().__init__()
        self.register_buffer("elements", elements, persistent=False)
        self.embedding = nn.Linear(elements.shape[1], ATOM)
        self.convs = nn.ModuleList(Convolution() for _ in range(LAYERS))
        self.conv_to_fc = nn.Linear(ATOM, HIDDEN)
        self.fc_out = nn.Linear(HIDDEN, 1)

    def atoms(self, graphs: CrystalGraphs) -> list[Tensor]:
        """The atoms' features (n x 64): of their element, and after each layer."""
        levels = [self.embedding(self.elements[graphs.numbers - 1])]
        for layer in self.convs:
            levels.append(layer(levels[-1], graphs))
        return levels

    def pool(self, v: Tensor, graphs: CrystalGraphs) -> Tensor:
        """The mean over each crystal's atoms (count x 64)."""
        total = v.new_zeros(graphs.count, v.shape[1]).index_add(0, graphs.owner, v)
        return total / torch.bincount(graphs.owner, minlength=graphs.count)[:, None]

    def hide(self, pooled: Tensor) -> Tensor:
        """The hidden layer (count x 32)."""
        return softplus(self.conv_to_fc(softplus(pooled)))

    def forward(self, graphs: CrystalGraphs) -> Tensor:
        """The standardised prediction of each crystal (count)."""
        out: Tensor = self.fc_out(self.hide(self.pool(self.atoms(graphs)[-1], graphs)))
        return out[:, 0]


class NetworkBank:
    """m trained networks side by side on one crystal: one product of matrices for all of them.

    In double precision and one crystal at a time, with the normalisations folded into the weights. Atoms that the
    networks cannot tell apart are worked out once.

    Args:
        networks: trained ones, with the same elements' vectors.
    """

    def __init__(self, networks: Sequence[CrystalGraphNetwork]) -> None:
        doubles = [deepcopy(network).double().requires_grad_(False) for network in networks]
        self._embedded = torch.stack([n.embedding(n.elements) for n in doubles])
        self._layers = [_Folded([cast(Convolution, n.convs[i]) for n in doubles]) for i in range(LAYERS)]
        self._hidden = _stack([n.conv_to_fc for n in doubles])
        self._out = _stack([n.fc_out for n in doubles])

    def run(self, crystal: Crystal) -> list[Tensor]:
        """Atoms after each step (m x n x 64), pooled (m x 64), hidden (m x 32) and standardised predictions (m)."""
        near = search(crystal)
        kinds = find_kinds(crystal, near, LAYERS)
        first, count = np.unique(kinds, return_index=True, return_counts=True)[1:]
        atoms, bonds = torch.from_numpy(kinds[near.atoms[first]]), spread(near.distances[first]).flatten(0, 1)
        levels = [self._embedded[:, torch.from_numpy(crystal.numbers[first] - 1)]]
        for layer in self._layers:
            levels.append(layer(levels[-1], atoms, bonds))
        share = torch.from_numpy(count / count.sum())
        pooled = (levels[-1] * share[:, None]).sum(dim=1, keepdim=True)
        hidden = softplus(torch.baddbmm(self._hidden[1], softplus(pooled), self._hidden[0]))
        out = torch.baddbmm(self._out[1], hidden, self._out[0])
        every = torch.from_numpy(kinds)
        return [*(level[:, every] for level in levels), pooled[:, 0], hidden[:, 0], out[:, 0, 0]]


class _Folded:
    """One layer of m networks, in which both normalisations are a factor and a shift."""

    def __init__(self, layers: Sequence[Convolution]) -> None:
        factors = [_affine(layer.bn1) for layer in layers]
        pairs = list(zip(layers, factors, strict=True))
        weights = [(layer.fc_full.weight * factor[:, None]).T for layer, (factor, _) in pairs]
        shifts = [layer.fc_full.bias * factor + shift for layer, (factor, shift) in pairs]
        self._own, self._near, self._bond = torch.stack(weights).split([ATOM, ATOM, len(_CENTRES)], dim=1)
        self._shift = torch.stack(shifts)[:, None]
        self._factor2, self._shift2 = (torch.stack(part)[:, None] for part in zip(*map(_bn2, layers), strict=True))

    def __call__(self, v: Tensor, atoms: Tensor, bonds: Tensor) -> Tensor:
        """Features before (m x n x 64) and after; atoms n x 12, bonds 12 n x 41."""
        m, n = v.shape[:2]
        z = torch.bmm(bonds.expand(m, -1, -1), self._bond).view(m, n, NEAREST, 2 * ATOM)
        z += torch.baddbmm(self._shift, v, self._own)[:, :, None]
        z += torch.bmm(v, self._near).index_select(1, atoms.flatten()).view_as(z)
        gate, core = z.chunk(2, dim=-1)
        return softplus(v + (torch.sigmoid(gate) * softplus(core)).sum(dim=2) * self._factor2 + self._shift2)


def _bn2(layer: Convolution) -> tuple[Tensor, Tensor]:
    return _affine(layer.bn2)


def _affine(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """The factor and the shift that a trained normalisation is."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    factor = norm.weight / torch.sqrt(variance + norm.eps)
    return factor, norm.bias - mean * factor


def _stack(layers: Sequence[nn.Linear]) -> tuple[Tensor, Tensor]:
    return torch.stack([layer.weight.T for layer in layers]), torch.stack([layer.bias[None] for layer in layers])

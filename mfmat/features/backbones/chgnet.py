"""CHGNet, a universal potential pretrained on relaxations of the Materials Project, layer by layer."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from io import StringIO
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mfmat.descent import few_threads
from mfmat.errors import check_choice
from mfmat.extras import require
from mfmat.features.backbones.backbone import Arrays, Backbone, Level, RefusedError
from mfmat.features.crystals import Crystal

MODELS = ("0.3.0", "0.2.0", "r2scan")
_WIDTH, _LAYERS, _ELEMENTS = 64, 4, 94
_GPA = 160.21766208
"""Of 1 eV/Å^3."""
_ATOMS = tuple(f"V{i}" for i in range(_LAYERS + 1))
_PREDICTIONS = ("energy per atom", "mean magnetic moment", "largest magnetic moment")
_STRESS = ("pressure", "von Mises stress")


@dataclass(frozen=True)
class CHGNet(Backbone, kind="chgnet"):
    """CHGNet: a graph network trained on energies, forces, stresses and magnetic moments of 1.6 million cells.

    Levels: `V0`, its embedding of the elements; `V1` to `V4`, the atoms after each layer (64 numbers each), of which
    `V3` tells the magnetic moments; `crystal`, the mean of `V4` (64); `predictions`: energy per atom (eV), mean and
    largest magnetic moment (Bohr magnetons); `stress`: pressure and von Mises stress (GPa), which takes twice the time.

    Args:
        model: which of the weights in chgnet's wheel.

    Raises:
        SchemaError: another model.
        MissingExtraError: when it is run, chgnet is not installed: `pip install "mfmat[structures]"`.

    Deng et al. 2023, doi:10.1038/s42256-023-00716-3.

    >>> CHGNet().levels["predictions"].features
    ('energy per atom', 'mean magnetic moment', 'largest magnetic moment')
    """

    model: str = "0.3.0"
    name = "chgnet"
    usual = ("V3", "crystal", "predictions")

    def __post_init__(self) -> None:
        check_choice("model", self.model, MODELS)

    @property
    def levels(self) -> Mapping[str, Level]:
        """V0 to V4, crystal, predictions and stress."""
        atoms = {v: Level(tuple(f"{v} {i}" for i in range(_WIDTH)), "atom") for v in _ATOMS}
        crystal = Level(tuple(f"crystal {i}" for i in range(_WIDTH)))
        return atoms | {"crystal": crystal, "predictions": Level(_PREDICTIONS), "stress": Level(_STRESS)}

    @property
    def version(self) -> str:
        """The model, and the release of chgnet that runs it."""
        require("chgnet", "the backbone CHGNet", "structures")
        return f"1-{self.model}-{version('chgnet')}"

    def compute(self, crystal: Crystal, levels: Sequence[str]) -> Arrays:
        """One crystal's features, in double precision."""
        if crystal.numbers.max() > _ELEMENTS:
            raise RefusedError(f"chgnet knows the first {_ELEMENTS} elements")
        with few_threads(1):
            return _load(self.model).run(crystal, stress="stress" in levels)


class _Network:
    """The loaded network, which tells what its layers give."""

    def __init__(self, model: str) -> None:
        module = require("chgnet.model.model", "the backbone CHGNet", "structures")
        # It says how many parameters it has.
        with redirect_stdout(StringIO()):
            network = module.CHGNet.load(model_name=model, use_device="cpu", verbose=False)
        self._batch = module.BatchedGraph.from_graphs
        self._network = network.double().eval().requires_grad_(False)
        self._seen: list[Tensor] = []
        for layer in (network.atom_embedding, *network.atom_conv_layers):
            layer.register_forward_hook(lambda *call: self._seen.append(call[-1].detach()))

    def run(self, crystal: Crystal, *, stress: bool) -> Arrays:
        """Every level of one crystal; stress on request."""
        network, graph = self._network, self._graph(crystal)
        strain = torch.zeros(3, 3, dtype=torch.double, requires_grad=stress)
        with nullcontext() if stress else torch.no_grad(), warnings.catch_warnings():
            # Of a volume that nobody takes the gradient of.
            warnings.simplefilter("ignore", UserWarning)
            graph.lattice = graph.lattice @ (torch.eye(3, dtype=torch.double) + strain)
            bases = {"bond_basis_expansion": network.bond_basis_expansion}
            batch = self._batch([graph], **bases, angle_basis_expansion=network.angle_basis_expansion)
            said = network._compute(batch, compute_magmom=True)
        atoms, self._seen[:] = list(self._seen), []
        if network.readout_norm is not None:
            atoms[-1] = network.readout_norm(atoms[-1])
        moments = said["m"][0].detach()
        # The network tells what the sum of single atoms does not.
        single = network.composition_model.fc.weight[0, torch.from_numpy(crystal.numbers) - 1].mean()
        told = torch.stack([said["e"][0].detach() + single, moments.mean(), moments.max()])
        found = dict(zip(_ATOMS, atoms, strict=True)) | {"crystal": atoms[-1].mean(0), "predictions": told}
        if stress:
            energy = said["e"].sum() * len(crystal.numbers)
            found["stress"] = _invariants(torch.autograd.grad(energy, strain)[0] * _GPA / crystal.volume)
        return {level: array.numpy() for level, array in found.items()}

    def _graph(self, crystal: Crystal) -> Any:
        try:
            graph = self._network.graph_converter(crystal.structure())
        except (ValueError, RuntimeError) as error:
            if "isolated" in str(error):
                raise RefusedError("an atom has no neighbour within chgnet's 6 Å") from None
            raise RefusedError(f"chgnet makes no graph of it ({error})") from None
        for name in ("atom_frac_coord", "lattice", "neighbor_image"):
            setattr(graph, name, getattr(graph, name).detach().double())
        # The graph's numbers came in single precision.
        graph.lattice = torch.from_numpy(np.array(crystal.lattice))
        graph.atom_frac_coord = torch.from_numpy(np.array(crystal.positions))
        return graph


@lru_cache(maxsize=2)
def _load(model: str) -> _Network:
    return _Network(model)


def _invariants(stress: Tensor) -> Tensor:
    """Pressure and von Mises stress, whatever the orientation of the cell."""
    pressure = -stress.trace() / 3
    deviator = (stress + stress.T) / 2 + pressure * torch.eye(3, dtype=torch.double)
    return torch.stack([pressure, torch.sqrt(1.5 * deviator.square().sum())])

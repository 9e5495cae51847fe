"""Pretrained crystal graph networks: the 18 of Chang, Wang and Ertekin, or one's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load

from mfmat.data_folder import read_bytes
from mfmat.descent import few_threads
from mfmat.errors import SavedFileError, SchemaError
from mfmat.features.backbones.backbone import Arrays, Backbone, Level, RefusedError
from mfmat.features.backbones.crystal_graph import ATOM, HIDDEN, LAYERS, CrystalGraphNetwork, NetworkBank
from mfmat.features.crystals import Crystal

SOURCES = (
    *("castelli_eform", "jarvis_bandgap", "jarvis_dielectric_opt", "jarvis_eform", "jarvis_gvrh", "jarvis_kvrh"),
    *("mp_bandgap", "mp_eform", "mp_gvrh", "mp_kvrh", "mp_n_effective_mass", "mp_n_electronic_conductivity"),
    *("mp_n_seebeck", "mp_n_thermal_conductivity", "mp_p_effective_mass", "mp_p_electronic_conductivity"),
    *("mp_p_seebeck", "mp_p_thermal_conductivity"),
)
"""The source tasks whose networks stand in the folder of public data."""
FOLDER = "cgcnn_extractors"
FACTS, ELEMENTS = "extractors.json", "atom_init.json"
_RULES = "1"
"""Changes with how weights become features: neighbours, distances, levels."""


@dataclass(frozen=True)
class CGCNN(Backbone, kind="cgcnn"):
    r"""Crystal graph convolutional networks, several of which share one search for neighbours.

    Levels of each network, by its name: `mp_eform.V0`, its embedding of the elements; `mp_eform.V1` to `mp_eform.V4`,
    the atoms after each layer (64 numbers each); `mp_eform.pooled`, their mean (64), which Chang's mixture gates;
    `mp_eform.hidden`, after the last hidden layer (32); and of all together `predictions`, in the units that each
    was trained in.

    Args:
        networks: their names; one or several.
        folder: of their files, as `train_cgcnn` writes it; None: `cgcnn_extractors` in the folder that MFMAT_DATA
            names.

    Raises:
        SchemaError: no network, or one twice.

    Xie and Grossman 2018, doi:10.1103/PhysRevLett.120.145301; weights: Chang, Wang and Ertekin 2022,
    doi:10.1038/s41524-022-00929-x.

    >>> CGCNN("mp_eform").levels["mp_eform.hidden"].features[:2]
    ('mp_eform hidden 0', 'mp_eform hidden 1')
    """

    networks: tuple[str, ...] = ("mp_eform",)
    folder: str | None = None
    name = "cgcnn"
    usual = ("hidden", "predictions")

    def __post_init__(self) -> None:
        networks = (self.networks,) if isinstance(self.networks, str) else tuple(self.networks)
        if not networks or len(set(networks)) < len(networks):
            raise SchemaError(f"networks={self.networks!r}", expected="one or more names", fix="name each once")
        object.__setattr__(self, "networks", networks)
        object.__setattr__(self, "folder", None if self.folder is None else str(self.folder))

    @property
    def levels(self) -> Mapping[str, Level]:
        """Of each network V0 to V4, pooled and hidden; the predictions of all."""
        found = {}
        for network in self.networks:
            for level, width in _WIDTHS.items():
                features = tuple(f"{network} {level} {i}" for i in range(width))
                found[f"{network}.{level}"] = Level(features, "atom" if level.startswith("V") else "crystal")
        return found | {"predictions": Level(self.networks)}

    @property
    def version(self) -> str:
        """A digest of the weights."""
        return self._bank.digest

    @property
    def _bank(self) -> _Bank:
        return _load(self.networks, self.folder, _stamp(self.folder))

    def compute(self, crystal: Crystal, levels: Sequence[str]) -> Arrays:
        """One crystal's features; a number for each network costs as much as all levels."""
        bank = self._bank
        if crystal.numbers.max() > bank.elements:
            raise RefusedError(f"cgcnn knows the first {bank.elements} elements")
        with few_threads(1), torch.inference_mode():
            *inner, out = [part.numpy() for part in bank.networks.run(crystal)]
        found = {"predictions": bank.means + bank.scales * out}
        for i, network in enumerate(self.networks):
            found |= {f"{network}.{level}": part[i] for level, part in zip(_WIDTHS, inner, strict=True)}
        return {level: found[level] for level in levels}


class _Bank(NamedTuple):
    """Networks side by side, what their standardised predictions mean, and a digest of their files."""

    networks: NetworkBank
    means: np.ndarray
    scales: np.ndarray
    elements: int
    digest: str


_WIDTHS = {f"V{i}": ATOM for i in range(LAYERS + 1)} | {"pooled": ATOM, "hidden": HIDDEN}


def load_network(name: str, folder: str | None = None) -> CrystalGraphNetwork:
    """One network with its weights, in evaluation mode.

    Raises:
        DownloadError: no folder is named by MFMAT_DATA, or its file is missing or altered.
        SavedFileError: a file of the folder is missing, or holds no such network.
    """
    network = CrystalGraphNetwork(_elements(_read(folder, ELEMENTS)))
    try:
        network.load_state_dict(load(_read(folder, f"{name}.safetensors")))
    except (SafetensorError, RuntimeError) as error:
        raise SavedFileError(
            f"a file {name}.safetensors that does not fit ({error})",
            expected="the weights of a crystal graph network",
            fix="copy the file again, or train it again",
        ) from error
    return network.eval()


def list_networks(folder: str | None = None) -> tuple[str, ...]:
    """The names of a folder's networks; without one, of those that the folder of public data holds.

    Raises:
        SavedFileError: a folder without a list of networks.
    """
    return SOURCES if folder is None else tuple(sorted(json.loads(_read(folder, FACTS))))


@lru_cache(maxsize=8)
def _load(networks: tuple[str, ...], folder: str | None, stamp: int) -> _Bank:  # noqa: ARG001
    """The networks of a folder as it was at that time."""
    facts = json.loads(_read(folder, FACTS))
    if missing := [name for name in networks if name not in facts]:
        raise SavedFileError(
            f"no network {missing[0]!r} in {FACTS} of {folder or FOLDER}",
            expected=f"one of {', '.join(sorted(facts))}",
            fix="name one of them, or the folder that holds it",
        )
    scales = np.array([[facts[name]["normalizer"][key] for key in ("mean", "std")] for name in networks], dtype=float)
    digest = hashlib.sha256(_read(folder, ELEMENTS) + scales.tobytes())
    for name in networks:
        digest.update(_read(folder, f"{name}.safetensors"))
    bank = NetworkBank([load_network(name, folder) for name in networks])
    elements = len(json.loads(_read(folder, ELEMENTS)))
    return _Bank(bank, scales[:, 0], scales[:, 1], elements, f"{_RULES}-{digest.hexdigest()[:16]}")


def _stamp(folder: str | None) -> int:
    """When a folder was last written; a folder of one's own may have been trained anew since it was read."""
    facts = Path(folder or ".").expanduser() / FACTS
    return facts.stat().st_mtime_ns if folder is not None and facts.is_file() else 0


def _elements(content: bytes) -> torch.Tensor:
    vectors = json.loads(content)
    return torch.tensor([vectors[str(z)] for z in range(1, len(vectors) + 1)], dtype=torch.float32)


def _read(folder: str | None, name: str) -> bytes:
    if folder is None:
        return read_bytes(f"{FOLDER}/{name}")
    try:
        return (Path(folder).expanduser() / name).read_bytes()
    except OSError as error:
        raise SavedFileError(
            f"{Path(folder) / name}: {error.strerror}",
            expected="a folder as train_cgcnn writes it",
            fix="name the folder that the network was written to",
        ) from error

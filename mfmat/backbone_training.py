"""Train a crystal graph network of one's own, from scratch or from a trained one."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from mfmat.cells import read_numbers
from mfmat.descent import few_threads
from mfmat.errors import FitError, SchemaError, TableError
from mfmat.features.backbones.cgcnn import CGCNN, ELEMENTS, FACTS, load_network
from mfmat.features.backbones.crystal_graph import CrystalGraphNetwork, CrystalGraphs, search
from mfmat.features.crystals import Crystal, read_crystals
from mfmat.features.elements import load_elements
from mfmat.features.formulas import write_formula
from mfmat.training import Schedule, hold_out_groups, train

FEWEST = 10
"""Compounds below which none can be held out."""


@dataclass(frozen=True)
class Rows:
    """Crystals with their neighbours, standardised values and compounds.

    Attributes:
        crystals: n.
        y: n, standardised by `mean` and `std`.
        groups: n, the compound of each.
    """

    crystals: list[Crystal]
    y: Tensor
    groups: Tensor
    mean: float
    std: float


def train_cgcnn(
    structures: Sequence[object] | pd.Series,
    y: Sequence[float] | pd.Series,
    *,
    name: str,
    folder: str | Path,
    start: CGCNN | None = None,
    held: float | Sequence[int] = 0.15,
    schedule: Schedule | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> CGCNN:
    r"""A crystal graph network trained on these values, as a backbone.

    It minimises $\frac{1}{n}\sum_i (f(x_i) - (y_i - \bar y)/s)^2$ by AdamW. A share of the compounds (reduced formulas)
    is held out, none divided; training stops when their mean absolute error no longer falls, and ends at the best
    epoch.

    Args:
        structures: n crystals, as `Structure` reads them.
        y: n values.
        name: of the network, in the names of levels and files.
        folder: where its files are written, beside other networks; `CGCNN` and `SourceNetworks` read it.
        start: a backbone of one network whose weights to start from; None: from scratch.
        held: share of the compounds held out, or the positions of the rows held out, as some are published.
        schedule: how long and how fast; `Schedule(epochs=100, steps=1000, batch=64, rate=3e-3)` unless given.
        seed: of the first weights, the compounds held out and the batches.
        device: where to train, such as `"cuda"`.

    Raises:
        TableError: crystals or values that cannot be read, each by its row.
        FitError: fewer than 10 compounds, values that are all equal.
        SchemaError: a folder of networks with other elements' vectors, a start of several networks, held-out rows that
            are not there or that leave none to learn from.

    Xie and Grossman 2018, doi:10.1103/PhysRevLett.120.145301.

    >>> import tempfile
    >>> metals = ["Li", "Na", "K", "Rb", "Cs", "Cu", "Ag", "Au", "Al", "Ni"]
    >>> cells = [{"lattice": np.eye(3) * 3, "species": [m], "frac_coords": [[0, 0, 0]]} for m in metals]
    >>> brief = Schedule(epochs=2, steps=2)
    >>> train_cgcnn(cells, range(10), name="demo", folder=tempfile.mkdtemp(), schedule=brief).networks
    ('demo',)
    """
    rows = _read(structures, y)
    if start is not None and len(start.networks) != 1:
        raise SchemaError(f"a start of {len(start.networks)} networks", expected="one", fix='start=CGCNN("mp_eform")')
    path = Path(folder).expanduser()
    network = _begin(start, seed)
    vectors = network.elements.tolist()
    _check_folder(path, vectors)
    parts = _hold_out(rows, held, seed)
    schedule = schedule or Schedule(epochs=100, steps=1000, batch=64, rate=3e-3, decay=1e-4)
    with few_threads(1):
        error = _train(network.to(device), rows, parts, schedule, seed=seed, device=device)
    facts = {
        "best_val_mae": error,
        "normalizer": {"mean": rows.mean, "std": rows.std},
        "rows": len(rows.crystals),
        "held_out": len(parts[1]),
        "seed": seed,
    }
    _write(path, name, network.cpu(), vectors, facts)
    return CGCNN((name,), folder=str(folder))


def _read(structures: Sequence[object] | pd.Series, y: Sequence[float] | pd.Series) -> Rows:
    cells = (
        structures if isinstance(structures, pd.Series) else pd.Series(list(structures), name="structure", dtype=object)
    )
    values = y if isinstance(y, pd.Series) else pd.Series(list(y), name="y")
    if len(cells) != len(values):
        raise SchemaError(f"{len(cells)} structures and {len(values)} values", expected="as many", fix="pass one each")
    reading = read_crystals(cells)
    numbers, wrong = read_numbers(values)
    if problems := reading.problems + wrong:
        raise TableError.of(problems)
    crystals = [reading.crystals[code] for code in reading.codes]
    groups = pd.factorize(np.array([write_formula(c.formula) for c in crystals], dtype=object))[0]
    count, spread = len(set(groups)), float(numbers.std()) if len(numbers) else 0.0
    if count < FEWEST or spread == 0:
        raise FitError(
            f"{count} compounds whose values spread by {spread:g}",
            expected=f"at least {FEWEST} compounds with different values",
            fix="use a trained network: CGCNN() or CHGNet()",
        )
    mean = float(numbers.mean())
    y_standard = torch.from_numpy((numbers - mean) / spread).float()
    return Rows(crystals, y_standard, torch.from_numpy(groups.astype(np.int64)), mean, spread)


def _hold_out(rows: Rows, held: float | Sequence[int], seed: int) -> tuple[Tensor, Tensor]:
    """Positions to train on and positions held out."""
    if isinstance(held, float | int):
        return hold_out_groups(rows.groups, held, seed)
    named, n = sorted(set(held)), len(rows.crystals)
    if not named or named[0] < 0 or named[-1] >= n or len(named) == n:
        raise SchemaError(
            f"held={named[:1]} to {named[-1:]}, {len(named)} of {n} rows",
            expected=f"some of the positions 0 to {n - 1}, and not all",
            fix="held=0.15 holds out a share of the compounds",
        )
    out = torch.zeros(n, dtype=torch.bool)
    out[named] = True
    return torch.nonzero(~out).flatten(), torch.nonzero(out).flatten()


def _begin(start: CGCNN | None, seed: int) -> CrystalGraphNetwork:
    if start is not None:
        return load_network(start.networks[0], start.folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CrystalGraphNetwork(torch.from_numpy(_standard_elements()).float())


def _standard_elements() -> NDArray[np.float64]:
    """The properties of the element table (98 x 54), each with mean 0 and spread 1 over the elements."""
    matrix = load_elements().matrix
    found: NDArray[np.float64] = (matrix - matrix.mean(axis=0)) / matrix.std(axis=0)
    return np.round(found, 6)


def _train(
    network: CrystalGraphNetwork,
    rows: Rows,
    parts: tuple[Tensor, Tensor],
    schedule: Schedule,
    *,
    seed: int,
    device: str,
) -> float:
    """Train in place and end at the best epoch; the mean absolute error of the held-out rows there."""
    found = [search(crystal) for crystal in rows.crystals]
    y, (fit, held) = rows.y.to(device), parts
    best, kept = math.inf, {}

    def predict(batch: Tensor) -> Tensor:
        places = batch.tolist()
        graphs = CrystalGraphs([rows.crystals[i] for i in places], [found[i] for i in places]).to(device)
        # A lone atom has no spread that its layer could be normalised by.
        network.train(network.training and len(graphs.numbers) > 1)
        out: Tensor = network(graphs)
        return out

    def loss(batch: Tensor) -> Tensor:
        network.train()
        return (predict(batch) - y[batch.to(device)]).square().mean()

    def score() -> float:
        nonlocal best, kept
        network.eval()
        with torch.no_grad():
            errors = torch.cat([(predict(b) - y[b.to(device)]).abs() for b in held.split(schedule.batch)])
        if (now := float(errors.mean())) < best:
            # The statistics of the normalisations belong to the epoch as much as the weights do.
            best, kept = now, {key: value.clone() for key, value in network.named_buffers()}
        return now

    train(list(network.parameters()), loss, fit, score, schedule, seed=seed, title="training a crystal graph network")
    for key, value in network.named_buffers():
        value.copy_(kept[key])
    network.eval()
    return best * rows.std


def _check_folder(folder: Path, vectors: list[list[float]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    known = folder / ELEMENTS
    if known.is_file() and list(json.loads(known.read_text()).values()) != vectors:
        raise SchemaError(
            f"{folder}, which holds networks with other elements' vectors",
            expected="networks that begin alike",
            fix="name another folder",
        )


def _write(
    folder: Path, name: str, network: CrystalGraphNetwork, vectors: list[list[float]], facts: dict[str, Any]
) -> None:
    """The elements' vectors, the weights, and last the list of networks, each at once."""
    listed = folder / FACTS
    known = json.loads(listed.read_text()) if listed.is_file() else {}
    _replace(folder / ELEMENTS, json.dumps({str(z + 1): row for z, row in enumerate(vectors)}).encode())
    tensors = {key: value.contiguous() for key, value in network.state_dict().items() if "num_batches" not in key}
    _replace(folder / f"{name}.safetensors", save(tensors))
    _replace(listed, json.dumps(known | {name: facts}, indent=1).encode())


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(content)
    os.replace(beside, path)

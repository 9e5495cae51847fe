"""MODNet's way on the columns that all have: features by relevance and redundancy, then networks, chosen out of bag.

After De Breuck et al. 2021, doi:10.1038/s41524-021-00552-2, written for this table: of the package itself it has the
selection and the shape of the networks, not its featurizers, joint learning or genetic search.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import torch
from sklearn.feature_selection import mutual_info_regression
from sklearn.preprocessing import MinMaxScaler
from torch import Tensor, nn

from expert_table.peers import Array, Fitted, Settings, calibrated_out_of_bag
from mfmat.data import Data

MANY = 1000
"""Rows at most from which mutual information is estimated."""
LEAST = 0.2
"""Entropy below which a column says next to nothing."""


@dataclass(frozen=True)
class ModnetStyle(Settings):
    """Networks on columns ranked by relevance over redundancy; share of the columns and widths by out-of-bag error."""

    shares: tuple[float, ...] = (0.25, 0.5, 1.0)
    widths: tuple[tuple[int, ...], ...] = ((64, 8, 8), (256, 128, 8, 8))
    rate: float = 5e-3
    batch: int = 64
    epochs: int = 300
    bags: int = 20
    seed: int = 0

    def fit(self, data: Data) -> Fitted:
        """A network on each bag, with the best share and shape; its variance as that of `RandomForest`."""
        X, y = data.X[:, :-1].numpy(), data.Y[:, 0].numpy()
        ranked = ranking(X, y, self.seed)
        drawn = np.random.default_rng(self.seed).integers(len(y), size=(self.bags, len(y)))
        out = np.stack([~np.isin(np.arange(len(y)), bag) for bag in drawn])
        tried = [
            self._networks(X, y, drawn, ranked[: max(1, round(share * len(ranked)))], widths)
            for share, widths in product(self.shares, self.widths)
        ]
        nets = min(tried, key=lambda each: np.abs(each(X) - y)[out].mean())
        said = nets(X) * out
        noise, factor = calibrated_out_of_bag(y, np.stack([out.sum(0), said.sum(0), (said**2).sum(0)]))

        def say(X: Array) -> tuple[Array, Array]:
            every = nets(X)
            return every.mean(0), np.sqrt(noise + factor * every.var(0))

        return Fitted(say)

    def _networks(self, X: Array, y: Array, drawn: Array, columns: Array, widths: tuple[int, ...]) -> Networks:
        scaler, centre, spread = MinMaxScaler().fit(X[:, columns]), float(y.mean()), float(y.std())
        nets = Networks(columns, scaler, layers(len(columns), widths, len(drawn), self.seed), centre, spread)
        rows = torch.from_numpy(drawn)
        inputs, outputs = nets.scaled(X)[rows], torch.from_numpy((y - centre) / spread).float()[rows]
        weights = [each for layer in nets.layers for each in layer]
        optimizer = torch.optim.Adam(weights, lr=self.rate)
        steps = self.epochs * -(-len(y) // self.batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.rate, total_steps=steps)
        shuffle = torch.Generator().manual_seed(self.seed)
        for _ in range(self.epochs):
            for some in torch.randperm(len(y), generator=shuffle).split(self.batch):
                optimizer.zero_grad()
                # A sum over networks, so that each is trained as if alone.
                (forward(nets.layers, inputs[:, some]) - outputs[:, some]).abs().mean(1).sum().backward()
                optimizer.step()
                schedule.step()
        return nets


@dataclass(frozen=True)
class Networks:
    """Trained networks, one a bag, and the scales of what they take and say."""

    columns: Array
    scaler: MinMaxScaler
    layers: list[tuple[Tensor, Tensor]]
    centre: float
    spread: float

    def scaled(self, X: Array) -> Tensor:
        """The columns that they take, between 0 and 1."""
        return torch.from_numpy(self.scaler.transform(X[:, self.columns])).float()

    def __call__(self, X: Array) -> Array:
        """What each says of new rows (bags x n), from all columns."""
        with torch.no_grad():
            return self.centre + self.spread * forward(self.layers, self.scaled(X)[None]).double().numpy()


def layers(width: int, widths: tuple[int, ...], networks: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Weights and biases of many networks of these widths, drawn uniformly after Glorot."""
    sizes, generator = [width, *widths, 1], torch.Generator().manual_seed(seed)
    drawn = []
    for rows, columns in pairwise(sizes):
        bound = (6 / (rows + columns)) ** 0.5
        weight = bound * (2 * torch.rand(networks, rows, columns, generator=generator) - 1)
        drawn.append((weight.requires_grad_(), torch.zeros(networks, 1, columns, requires_grad=True)))
    return drawn


def forward(layers: list[tuple[Tensor, Tensor]], inputs: Tensor) -> Tensor:
    """Outputs of all networks (networks x n), ELU between the layers."""
    for i, (weight, bias) in enumerate(layers):
        inputs = (nn.functional.elu(inputs) if i else inputs) @ weight + bias
    return inputs[..., 0]


def ranking(X: Array, y: Array, seed: int) -> Array:
    r"""Columns by $\min_{g \in S} NMI(f, y) / (NMI(f, g)^p + c)$, S those before; those of little entropy come last.

    p falls and c grows with the number of columns in S.
    """
    few = np.random.default_rng(seed).permutation(len(y))[:MANY]
    X, y = X[few], y[few]
    entropy = np.array(
        [mutual_information(X[:, [i]], X[:, i], seed)[0] if np.ptp(X[:, i]) else 0.0 for i in range(X.shape[1])]
    )
    able = np.flatnonzero(entropy > LEAST)
    if not len(able):
        return np.arange(X.shape[1])
    entropy, kept = entropy[able], X[:, able]
    own = mutual_information(y[:, None], y, seed)[0]
    relevance = 2 * mutual_information(kept, y, seed) / (entropy + own)
    between = np.stack(
        [2 * mutual_information(kept, kept[:, i], seed) / (entropy + entropy[i]) for i in range(len(able))]
    )
    chosen = [int(relevance.argmax())]
    while len(chosen) < len(able):
        n = len(chosen)
        p, c = max(0.1, 4.5 - n**0.4), min(1e5, 1e-6 * n**3)
        scores = (relevance / ((between[chosen] ** p) + c)).min(0)
        scores[chosen] = -np.inf
        chosen.append(int(scores.argmax()))
    return np.r_[able[chosen], np.setdiff1d(np.arange(X.shape[1]), able)]


def mutual_information(X: Array, y: Array, seed: int) -> Array:
    """Of each column with y, by three neighbours."""
    found: Array = mutual_info_regression(X, y, random_state=seed)
    return found

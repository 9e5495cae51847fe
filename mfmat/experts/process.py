"""A fitted Gaussian process: kernel, noise, and the rows that it is conditioned on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mfmat.data import Data, find_distinct
from mfmat.descent import ENOUGH, descend, few_threads
from mfmat.experts.input_noise import InputNoise
from mfmat.experts.limits import RowProcess
from mfmat.experts.view_posterior import doubt, share_out
from mfmat.kernel_families import Placed
from mfmat.kernels import Families, ViewKernel, prefer
from mfmat.learner import Facts, views_of
from mfmat.posteriors import root
from mfmat.types import Covariance, Flags, Rows
from mfmat.view_weights import ViewWeights

NOISE_FLOOR = 1e-6
"""Variance added to every row, in standardised units: keeps the covariance of noise-free rows invertible."""
SINGLE = 1e-3
"""Noise (variance, standardised) above which tables are predicted in single precision."""
NOISE_PRIOR = (-3.0, 1.5)
"""Centre and standard deviation of the logarithm of the noise, in standardised units."""
BOUNDS = {
    "log_noise": (-14.0, 3.0),
    "log_weight": (-14.0, 6.0),
    "log_length": (-5.0, 8.0),
    "log_joint": (-5.0, 8.0),
    "log_shape": (-5.0, 8.0),
    "log_relevance": (-5.0, 5.0),
}
"""Where a line search may look; the priors keep the optimum far inside."""
ROUNDS = 2
"""Times that input-dependent noise is learned and the hyperparameters after it."""


@dataclass(frozen=True)
class Conditioned:
    """What follows from the rows a process is conditioned on: the factor of their covariance, and their weights."""

    placed: list[Placed]
    factor: Tensor
    weights: Tensor
    single: Conditioned | None = None

    def answer(self, kernel: ViewKernel, placed: list[Placed]) -> tuple[Tensor, Tensor]:
        """Mean of n new rows and the prior variance that is explained, for each row on its own (n and n)."""
        dtype = self.factor.dtype
        cross = kernel.covariance(kernel.squares(_cast(placed, dtype), self.placed))
        reach: Tensor = torch.linalg.solve_triangular(self.factor, cross.mT, upper=False)
        return (cross @ self.weights).double(), reach.square().sum(0).double()

    def with_single(self) -> Conditioned:
        """The same, with a copy in single precision for tables: half the time."""
        single = Conditioned(_cast(self.placed, torch.float), self.factor.float(), self.weights.float())
        return replace(self, single=single)


def _cast(placed: list[Placed], dtype: torch.dtype) -> list[Placed]:
    parts = [part.to(dtype) for part, _ in placed]
    return [(part, part.square().sum(-1)) for part in parts]


Closure = Callable[[], tuple[Tensor, list[Tensor]]]
"""A loss at the present parameters, and its slope along each of them."""


def noise_prior(log_noise: Tensor) -> Tensor:
    """The logarithm of the prior of each source's noise, up to a constant."""
    centre, spread = NOISE_PRIOR
    return -0.5 * ((log_noise - centre) / spread).square().sum()


class GPModel(RowProcess):
    """A fitted Gaussian process: its kernel, its noise, and the rows that it is conditioned on.

    Args:
        facts: sizes, views, sources and their scales.
        families: of the kernel, see `ViewKernel`.
        ard: a relevance for every column.
        field: rows that input-dependent noise is learned from; 0 for noise that is the same everywhere.
        subset: how many rows hyperparameters are learned on at most, and the seed of their choice.
    """

    known: Tensor
    typical: Tensor

    def __init__(
        self,
        facts: Facts,
        families: Families,
        ard: bool = False,
        field: int = 0,
        subset: tuple[int, int] = (1000, 0),
    ) -> None:
        super().__init__()
        self.facts, self.subset = facts, subset
        n, width, m = facts["rows"], facts["width"], len(facts["sources"])
        views = views_of(facts)
        self.kernel = ViewKernel(views, width, prefer(families, facts), ard)
        self.log_noise = torch.nn.Parameter(torch.full((m,), -3.0).double())
        self.field = InputNoise(views, width, min(n, field)) if min(n, field) else None
        self.register_buffer("train_X", torch.zeros(n, width + 1).double())
        self.register_buffer("residuals", torch.zeros(n).double())
        self.register_buffer("extra", torch.zeros(n).double())
        self.register_buffer("known", torch.zeros(n, dtype=torch.bool))
        self.register_buffer("typical", torch.full((m,), math.nan).double())
        scales = torch.tensor(facts["scales"], dtype=torch.double).reshape(m, 2)
        self.register_buffer("centre", scales[:, 0], persistent=False)
        self.register_buffer("scale", scales[:, 1], persistent=False)
        self._rows: Conditioned | None = None

    def hold(self, data: Data) -> None:
        """Take in the rows, standardised for each source."""
        s = data.fidelity
        self.train_X.copy_(data.X)
        self.residuals.copy_((data.Y[:, 0] - self.centre[s]) / self.scale[s])
        self.extra.copy_(data.Yvar[:, 0] / self.scale[s] ** 2)
        self.known.copy_(data.known)
        self.kernel.measure(data.X[:, :-1])
        for source in s.unique():
            if bool(data.known[s == source].all()):
                self.typical[source] = self.extra[s == source].median()

    def start_from(self, other: GPModel) -> None:
        """Begin with the hyperparameters of another process, where it has the same views and sources."""
        if any(self.facts[what] != other.facts[what] for what in ("views", "sources")):
            return
        found = dict(other.named_parameters())
        with torch.no_grad():
            for name, p in self.named_parameters():
                p.copy_(found[name])

    def chosen(self) -> Tensor:
        """Positions of the rows that hyperparameters are learned on."""
        most, seed = self.subset
        return torch.randperm(len(self.train_X), generator=torch.Generator().manual_seed(seed))[:most]

    def learn(self, rows: Tensor, steps: int, trend: Tensor | None = None) -> None:
        """Maximise marginal likelihood times prior on these rows, any trend integrated out."""
        descend(self.loss(rows, trend), self.hyperparameters(), BOUNDS, steps, ENOUGH)
        self._rows = None
        if self.field is None:
            return
        for _ in range(ROUNDS):
            errors, doubts = self._left_out(rows, trend)
            learned = torch.where(self.known[rows], 0.0, self._noise_of(rows) - self.extra[rows]).detach()
            self.field.learn(self.train_X[rows, :-1], errors, doubts, learned)
            descend(self.loss(rows, trend), self.hyperparameters(), BOUNDS, steps, ENOUGH)

    def covariance_of_rows(self) -> Covariance:
        """See `RowProcess.covariance_of_rows`."""
        x, every = self.train_X[:, :-1], torch.arange(len(self.train_X))
        return self.kernel.forward(x, x) + torch.diag(self._noise_of(every))

    def hyperparameters(self) -> dict[str, Tensor]:
        """What is learned by marginal likelihood, by name."""
        return {name: p for name, p in self.named_parameters() if p.numel() and p.requires_grad}

    def loss(self, rows: Tensor, trend: Tensor | None = None) -> Closure:
        """The negative logarithm of marginal likelihood times prior on these rows, as a function of no arguments."""
        X, y = self.train_X[rows], self.residuals[rows]
        parameters = list(self.hyperparameters().values())
        i, j = torch.tril_indices(len(X), len(X), -1)
        fixed, level = self._trend(rows, trend), self._level(rows)

        def compare() -> tuple[list[Placed], list[Tensor]]:
            placed = self.kernel.place(X[:, :-1])
            return placed, [square[i, j] for square in self.kernel.squares(placed, placed)]

        cached = None if len(self.kernel.log_relevance) else compare()

        def closure() -> tuple[Tensor, list[Tensor]]:
            placed, squares = cached or compare()
            below = self.kernel.covariance(squares)
            diagonal = self.kernel.diagonal(placed) + self._noise_of(rows, level)
            K = torch.diag(diagonal.detach())
            K[i, j] = below.detach()
            K = K + fixed
            loss, slope = evidence_slope(K, y)
            prior = self.kernel.log_prior() + noise_prior(self.log_noise)
            # The slope of the loss along K is known in closed form; autograd carries it to the parameters.
            along = 2 * (slope[i, j] @ below) + slope.diagonal() @ diagonal
            return loss - prior.detach(), list(torch.autograd.grad(along - prior, parameters))

        return closure

    def weighings(self) -> dict[str, ViewWeights]:
        """See `FittedModel.weighings`: Laplace's approximation around the hyperparameters that were chosen."""
        parameters = self.hyperparameters()
        spreads = {"log_noise": NOISE_PRIOR[1]} | {name: spread for name, (_, spread) in self.kernel.priors.items()}
        with few_threads(len(self.train_X)):
            covariance = doubt(self.loss(self.chosen()), parameters, spreads)
        return {"": share_out(self.kernel, parameters, covariance)}

    def _left_out(self, rows: Tensor, trend: Tensor | None) -> tuple[Tensor, Tensor]:
        r"""Error of each row when left out, $[K^{-1}y]_i / [K^{-1}]_{ii}$, and its variance, $1 / [K^{-1}]_{ii}$."""
        with torch.no_grad():
            x = self.train_X[rows, :-1]
            K = self.kernel.forward(x, x) + torch.diag(self._noise_of(rows)) + self._trend(rows, trend)
            inverse = torch.cholesky_inverse(root(K))
            return inverse @ self.residuals[rows] / inverse.diagonal(), 1 / inverse.diagonal()

    def _trend(self, rows: Tensor, trend: Tensor | None) -> Tensor:
        H = torch.zeros(len(rows), 0).to(self.residuals) if trend is None else trend[rows]
        H = H / self.scale[self.train_X[rows, -1].long(), None]
        return H @ H.mT

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """See `FittedModel.joint`."""
        kept, place = find_distinct(X)
        mean, covariance = self._standardised(X[..., kept, :-1])
        mean, covariance = mean[..., place], covariance[..., place, :][..., place]
        s = self._source(X)
        scale = self.scale[s]
        covariance = _positive(covariance, self.kernel) * scale.unsqueeze(-1) * scale.unsqueeze(-2)
        if bool(observed.any()):
            covariance = covariance + torch.diag_embed(self.noise(X) * observed)
        return self.centre[s] + scale * mean, covariance

    def _standardised(self, x: Tensor) -> tuple[Tensor, Covariance]:
        """Mean and covariance of the latent function, whatever the source (b x q x d to b x q, b x q x q)."""
        rows, batch, q = self._conditioned(), x.shape[:-2], x.shape[-2]
        placed = self.kernel.place(x.reshape(-1, x.shape[-1]))
        if q == 1:
            quick = rows if torch.is_grad_enabled() else rows.single or rows
            mean, known = quick.answer(self.kernel, placed)
            return mean.reshape(*batch, 1), (self.kernel.diagonal(placed) - known).reshape(*batch, 1, 1)
        cross = self.kernel.covariance(self.kernel.squares(placed, rows.placed))
        reach = torch.linalg.solve_triangular(rows.factor, cross.mT, upper=False)
        blocks = reach.reshape(len(rows.factor), batch.numel(), q).transpose(0, 1)
        covariance = self.kernel.forward(x, x) - (blocks.mT @ blocks).reshape(*batch, q, q)
        return (cross @ rows.weights).reshape(*batch, q), covariance

    def noise(self, X: Rows) -> Tensor:
        """See `FittedModel.noise`; where all noise is known, its median."""
        s = self._source(X)
        noise = torch.where(self.typical.isnan(), self.log_noise.exp(), self.typical)[s]
        if self.field is not None:
            noise = noise * torch.where(self.typical.isnan()[s], self.field(X[..., :-1]).exp(), 1.0)
        return (NOISE_FLOOR + noise) * self.scale[s] ** 2

    def held_noise(self) -> Tensor | None:
        """See `FittedModel.held_noise`; none where noise was learned from the errors themselves."""
        source = self.train_X[:, -1].long()
        at = torch.nonzero(source == len(self.centre) - 1).flatten()
        return None if self.field is not None else self._noise_of(at).detach() * self.scale[source[at]] ** 2

    def solve(self, B: Tensor) -> Tensor:
        """See `FittedModel.solve`."""
        factor = self._conditioned().factor
        scale = self.scale[self.train_X[:, -1].long()][:, None]
        return torch.cholesky_solve(B / scale, factor) / scale

    def _source(self, X: Rows) -> Tensor:
        return X[..., -1].round().long()

    def _noise_of(self, rows: Tensor, level: Tensor | None = None) -> Tensor:
        learned = self.log_noise.exp()[self.train_X[rows, -1].long()]
        learned = learned * (self._level(rows) if level is None else level)
        return NOISE_FLOOR + self.extra[rows] + torch.where(self.known[rows], 0.0, learned)

    def _level(self, rows: Tensor) -> Tensor:
        if self.field is None:
            return torch.ones(()).to(self.residuals)
        level: Tensor = self.field(self.train_X[rows, :-1]).exp()
        return level

    def _conditioned(self) -> Conditioned:
        if self._rows is None:
            with torch.no_grad(), few_threads(len(self.train_X)):
                placed, every = self.kernel.place(self.train_X[:, :-1]), torch.arange(len(self.train_X))
                noise = self._noise_of(every)
                factor = root(self.kernel.covariance(self.kernel.squares(placed, placed)) + torch.diag(noise))
                weights = torch.cholesky_solve(self.residuals[:, None], factor)[:, 0]
                rows = Conditioned(placed, factor, weights)
                # Rounding, here 1e-4 of the predicted spread, is then far below the noise.
                even = self.kernel.smooth and bool((noise > SINGLE).all())
                self._rows = rows.with_single() if even else rows
        return self._rows

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """As torch's, forgetting what was computed from the earlier state."""
        self._rows = None
        return super().load_state_dict(*args, **kwargs)


def evidence_slope(K: Covariance, y: Tensor) -> tuple[Tensor, Tensor]:
    r"""The negative log marginal likelihood and its slope along K, $(K^{-1} - K^{-1}yy^TK^{-1})/2$.

    Of K only the lower triangle is read.
    """
    factor = root(K)
    inverse = torch.cholesky_inverse(factor)
    weights = inverse @ y
    loss = 0.5 * (y @ weights) + factor.diagonal().log().sum() + 0.5 * len(y) * math.log(2 * math.pi)
    return loss, 0.5 * (inverse - torch.outer(weights, weights))


def _positive(covariance: Covariance, kernel: ViewKernel) -> Covariance:
    """The covariance with a diagonal that rounding has not made negative, nor singular where its rank is small."""
    floor = 1e-10 * kernel.variance
    diagonal = covariance.diagonal(dim1=-2, dim2=-1)
    lift = 1e-9 * (kernel.variance + diagonal) if kernel.degenerate else (floor - diagonal).clamp_min(0)
    return covariance + torch.diag_embed(lift)

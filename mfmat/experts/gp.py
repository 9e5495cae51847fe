"""Gaussian process over views: a few hyperparameters, learned fast, conditioned on every row."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.descent import descend, few_threads
from mfmat.errors import FitError, UnknownNameError, nearest
from mfmat.kernels import FAMILIES, Family, Placed, ViewKernel
from mfmat.learner import Expert, Facts, FittedModel
from mfmat.posteriors import root
from mfmat.types import Covariance, Flags, Rows

NOISE_FLOOR = 1e-6
"""Variance added to every row, in standardised units: keeps the covariance of noise-free rows invertible."""
SINGLE = 1e-3
"""Noise (variance, standardised) above which tables are predicted in single precision."""
BOUNDS = {"log_noise": (-14.0, 3.0), "log_weight": (-10.0, 6.0), "log_length": (-5.0, 8.0), "log_joint": (-5.0, 8.0)}
"""Where a line search may look; the priors keep the optimum far inside."""


@dataclass(frozen=True, kw_only=True)
class GP(Expert, kind="gp"):
    r"""Exact Gaussian process regression with a kernel over views.

    $f \sim GP(0, k)$ on values standardised for each source, $y = f(x) + \epsilon$ with
    $\epsilon \sim N(0, \sigma_s^2 + v_i)$: a noise learned for each source s, plus what is known of row i
    (replicates, a noise column; a known noise is all there is). Hyperparameters maximise marginal
    likelihood times prior (`ViewKernel`, and $\ln\sigma_s^2 \sim N(-3, 1.5^2)$, which keeps the noise away from
    0 until data say otherwise). All sources are taken as one function in their own units; to fuse
    sources that differ, put it in a stack.

    Args:
        kernel: `"matern12"`, `"matern32"`, `"matern52"` or `"rbf"`.
        ard: a relevance for every column as well (slower; for few columns).
        learn_rows: hyperparameters are learned on at most this many rows; all rows are conditioned on.
        limit: the largest number of rows; the covariance takes 8 limit^2 bytes.
        steps: of L-BFGS at most.
        seed: of the choice of rows to learn on.

    Raises:
        FitError: more rows than `limit`.

    Rasmussen & Williams 2006, ISBN 026218253X, chapters 2 and 5.

    >>> import pandas as pd
    >>> from mfmat.features import Columns
    >>> from mfmat.schema import Schema
    >>> table = pd.DataFrame({"x": [0.0, 1.0, 2.0], "y": [0.0, 1.0, 2.0]})
    >>> schema = Schema(Columns("x"), value="y")
    >>> model = GP().fit(schema.data(table))
    >>> model.posterior(schema.encode(table)[0]).mean.shape
    torch.Size([3, 1, 1])
    """

    kernel: Family = "matern52"
    ard: bool = False
    learn_rows: int = 1000
    limit: int = 10_000
    steps: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kernel not in FAMILIES:
            raise UnknownNameError(
                f"kernel={self.kernel!r}",
                expected=f"one of {', '.join(map(repr, FAMILIES))}",
                fix=nearest(self.kernel, FAMILIES) + 'GP(kernel="matern52")',
            )

    def build(self, facts: Facts) -> GPModel:
        """An untrained model."""
        return GPModel(facts, self.kernel, self.ard)

    def train(self, model: GPModel, data: Data) -> None:
        """Learn the hyperparameters, then condition on every row."""
        if len(data) > self.limit:
            raise FitError(
                f"{len(data)} rows",
                expected=f"at most {self.limit} for an exact Gaussian process",
                fix=f"GP(limit={len(data)}) ({8e-9 * len(data) ** 2:.1f} GB), fewer rows, or mf.Auto()",
            )
        with few_threads(len(data)):
            self._train(model, data)

    def _train(self, model: GPModel, data: Data) -> None:
        model.hold(data)
        chosen = torch.randperm(len(data), generator=torch.Generator().manual_seed(self.seed))[: self.learn_rows]
        if len(data):
            model.learn(chosen, self.steps, data.trend)


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


class GPModel(FittedModel):
    """A fitted Gaussian process: its kernel, its noise, and the rows that it is conditioned on."""

    train_X: Tensor
    residuals: Tensor
    extra: Tensor
    known: Tensor
    centre: Tensor
    scale: Tensor
    typical: Tensor

    def __init__(self, facts: Facts, family: Family, ard: bool) -> None:
        super().__init__()
        self.facts = facts
        n, width, m = facts["rows"], facts["width"], len(facts["sources"])
        views = {name: slice(*ends) for name, ends in facts["views"].items()}
        self.kernel = ViewKernel(views, width, family, ard)
        self.log_noise = torch.nn.Parameter(torch.full((m,), -3.0).double())
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

    def learn(self, rows: Tensor, steps: int, trend: Tensor | None = None) -> None:
        """Maximise marginal likelihood times prior on these rows, any trend integrated out."""
        X, y = self.train_X[rows], self.residuals[rows]
        parameters: dict[str, Tensor] = {name: p for name, p in self.named_parameters() if p.numel()}
        i, j = torch.tril_indices(len(X), len(X), -1)
        H = torch.zeros(len(X), 0).to(X) if trend is None else trend[rows] / self.scale[X[:, -1].long(), None]
        fixed = H @ H.mT

        def squares() -> list[Tensor]:
            placed = self.kernel.place(X[:, :-1])
            return [square[i, j] for square in self.kernel.squares(placed, placed)]

        cached = None if len(self.kernel.log_relevance) else [square.detach() for square in squares()]

        def closure() -> tuple[Tensor, list[Tensor]]:
            below = self.kernel.covariance(squares() if cached is None else cached)
            diagonal = self.kernel.variance + self._noise_of(rows)
            K = torch.diag(diagonal.detach())
            K[i, j] = below.detach()
            K = K + fixed
            loss, slope = _evidence(K, y)
            prior = self.kernel.log_prior() - 0.5 * ((self.log_noise + 3) / 1.5).square().sum()
            # The slope of the loss along K is known in closed form; autograd carries it to the parameters.
            along = 2 * (slope[i, j] @ below) + slope.diagonal() @ diagonal
            gradients = torch.autograd.grad(along - prior, list(parameters.values()))
            return loss - prior.detach(), list(gradients)

        descend(closure, parameters, BOUNDS, steps)
        self._rows = None

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """See `FittedModel.joint`."""
        rows = self._conditioned()
        x, batch, q = X[..., :-1], X.shape[:-2], X.shape[-2]
        placed = self.kernel.place(x.reshape(-1, x.shape[-1]))
        if q == 1:
            quick = rows if torch.is_grad_enabled() else rows.single or rows
            mean, known = quick.answer(self.kernel, placed)
            covariance = (self.kernel.variance - known).reshape(*batch, 1, 1)
        else:
            cross = self.kernel.covariance(self.kernel.squares(placed, rows.placed))
            mean = cross @ rows.weights
            reach = torch.linalg.solve_triangular(rows.factor, cross.mT, upper=False)
            blocks = reach.reshape(len(rows.factor), batch.numel(), q).transpose(0, 1)
            covariance = self.kernel.forward(x, x) - (blocks.mT @ blocks).reshape(*batch, q, q)
        s = self._source(X)
        scale = self.scale[s]
        covariance = _positive(covariance, self.kernel) * scale.unsqueeze(-1) * scale.unsqueeze(-2)
        return self.centre[s] + scale * mean.reshape(*batch, q), covariance + torch.diag_embed(self.noise(X) * observed)

    def noise(self, X: Rows) -> Tensor:
        """See `FittedModel.noise`; where all noise is known, its median."""
        s = self._source(X)
        noise = NOISE_FLOOR + torch.where(self.typical.isnan(), self.log_noise.exp(), self.typical)
        return noise[s] * self.scale[s] ** 2

    def solve(self, B: Tensor) -> Tensor:
        """See `FittedModel.solve`."""
        factor = self._conditioned().factor
        scale = self.scale[self.train_X[:, -1].long()][:, None]
        return torch.cholesky_solve(B / scale, factor) / scale

    def _source(self, X: Rows) -> Tensor:
        return X[..., -1].round().long()

    def _noise_of(self, rows: Tensor) -> Tensor:
        learned = self.log_noise.exp()[self.train_X[rows, -1].long()]
        return NOISE_FLOOR + self.extra[rows] + torch.where(self.known[rows], 0.0, learned)

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


def _evidence(K: Covariance, y: Tensor) -> tuple[Tensor, Tensor]:
    r"""The negative log marginal likelihood and its slope along K, $(K^{-1} - K^{-1}yy^TK^{-1})/2$.

    Of K only the lower triangle is read.
    """
    factor = root(K)
    inverse = torch.cholesky_inverse(factor)
    weights = inverse @ y
    loss = 0.5 * (y @ weights) + factor.diagonal().log().sum() + 0.5 * len(y) * math.log(2 * math.pi)
    return loss, 0.5 * (inverse - torch.outer(weights, weights))


def _positive(covariance: Covariance, kernel: ViewKernel) -> Covariance:
    """The covariance with a diagonal that rounding has not made negative."""
    floor = 1e-10 * kernel.variance
    diagonal = covariance.diagonal(dim1=-2, dim2=-1)
    return covariance + torch.diag_embed((floor - diagonal).clamp_min(0))

"""A fitted multi-task process: what the sources have in common, their noise, and the rows it is conditioned on."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.descent import ENOUGH, descend, few_threads
from mfmat.experts.inducing import choose
from mfmat.experts.limits import RowProcess
from mfmat.experts.process import BOUNDS, NOISE_FLOOR, Closure, evidence_slope, noise_prior
from mfmat.kernels import ViewKernel
from mfmat.learner import Facts
from mfmat.stacks import coregion
from mfmat.stacks.coregion import START, Coregion, Seated
from mfmat.stacks.curvature import spread
from mfmat.stacks.held_rows import Exact, Sparse
from mfmat.types import Codes, Covariance, Flags, Rows

TRIED = 150
"""Rows of a source by which the sign of its first loadings is chosen."""


class MultiTaskModel(RowProcess):
    """A Gaussian process over the rows of all sources at once.

    Args:
        facts: sizes, views, sources and their scales, the material column.
        kernels: one for each term.
        rank: of each term.
    """

    known: Tensor
    learned: Tensor
    typical: Tensor
    inducing: Codes

    def __init__(self, facts: Facts, kernels: Sequence[ViewKernel], rank: int) -> None:
        super().__init__()
        self.facts = facts
        n, width, m = facts["rows"], facts["width"], len(facts["sources"])
        self.coregion = Coregion(kernels, m, min(rank, m), facts["material"])
        self.log_noise = torch.nn.Parameter(torch.full((m,), -3.0).double())
        self.register_buffer("train_X", torch.zeros(n, width + 1).double())
        self.register_buffer("residuals", torch.zeros(n).double())
        self.register_buffer("extra", torch.zeros(n).double())
        self.register_buffer("known", torch.zeros(n, dtype=torch.bool))
        self.register_buffer("learned", torch.zeros(n, dtype=torch.bool))
        self.register_buffer("typical", torch.full((m,), math.nan).double())
        scales = torch.tensor(facts["scales"], dtype=torch.double).reshape(m, 2)
        self.register_buffer("centre", scales[:, 0], persistent=False)
        self.register_buffer("scale", scales[:, 1], persistent=False)
        self.register_buffer("inducing", torch.zeros(facts["inducing"], dtype=torch.long))
        self._rows: Exact | Sparse | None = None

    def correlations(self) -> Tensor:
        """Correlation of the noise-free values of one material in any two sources, in their order (m x m), signed."""
        covariance = self.coregion.values().detach()
        spread = covariance.diagonal().sqrt()
        return covariance / spread / spread[:, None]

    def correlation_errors(self) -> Tensor:
        r"""Standard errors of the correlations (m x m), from the curvature of their posterior at its peak.

        By the delta method on $\mathrm{artanh} \rho$, on the rows that hyperparameters were learned on; takes two steps
        of learning for each hyperparameter.
        """
        rows, model = self.learned.nonzero().flatten(), copy.deepcopy(self).requires_grad_(True)
        parameters = [p for p in model.parameters() if p.numel()]
        known = spread(model.loss(rows), parameters, 1 / coregion.WIDEST**2)
        m = len(self.centre)
        covariance = model.coregion.values()
        scale = covariance.diagonal().sqrt()
        rho = (covariance / scale / scale[:, None]).reshape(-1)
        errors = torch.zeros(m * m).to(rho)
        for pair in range(m * m):
            if pair % (m + 1):
                slopes = torch.autograd.grad(rho[pair], parameters, retain_graph=True, allow_unused=True)
                parts = zip(slopes, parameters, strict=True)
                along = torch.cat([(torch.zeros_like(p) if g is None else g).reshape(-1) for g, p in parts])
                errors[pair] = (along @ known @ along).sqrt().detach()
        return errors.reshape(m, m)

    def hold(self, data: Data) -> None:
        """Take in the rows, standardised for each source."""
        s = data.fidelity
        self.train_X.copy_(data.X)
        self.residuals.copy_((data.Y[:, 0] - self.centre[s]) / self.scale[s])
        self.extra.copy_(data.Yvar[:, 0] / self.scale[s] ** 2)
        self.known.copy_(data.known)
        self.coregion.measure(data.X[:, :-1])
        for source in s.unique():
            if bool(data.known[s == source].all()):
                self.typical[source] = self.extra[s == source].median()

    def learn(self, rows: Codes, steps: int, seed: int, trend: Tensor | None = None) -> None:
        """Maximise marginal likelihood times prior on these rows, any trend integrated out; again from where it is."""
        if not bool(self.learned.any()):
            seated = self.coregion.seat(self.train_X[rows])
            common = len(seated.keys.unique()) < len(seated.keys)
            self.coregion.begin(self._signs(rows), seed, common)
        self.learned[rows] = True
        self.requires_grad_(True)
        parameters = {name: p for name, p in self.named_parameters() if p.numel()}
        descend(self.loss(rows, trend), parameters, BOUNDS | coregion.BOUNDS, steps, ENOUGH)
        self.requires_grad_(False)
        self._rows = None

    def covariance_of_rows(self) -> Covariance:
        """See `RowProcess.covariance_of_rows`."""
        rows = self.coregion.seat(self.train_X)
        noise = self._noise_of(torch.arange(len(self.train_X)))
        covariance: Tensor = self.coregion(rows, rows) + torch.diag(noise)
        return covariance

    def loss(self, rows: Codes, trend: Tensor | None = None) -> Closure:
        """The negative logarithm of marginal likelihood times prior on these rows, as a function of no arguments."""
        X, y = self.train_X[rows], self.residuals[rows]
        parameters = [p for p in self.parameters() if p.numel()]
        kernels, m = self.coregion, len(self.centre)
        i, j = torch.tril_indices(len(X), len(X), -1)
        fixed, seated = self._trend(rows, trend), kernels.seat(X)
        pairs = seated.source[i] * m + seated.source[j]
        twice = (seated.keys[i] == seated.keys[j]).nonzero().flatten()
        one, other = seated.source[i[twice]], seated.source[j[twice]]

        def compare(rows: Seated) -> list[list[Tensor]]:
            return [[square[i, j] for square in squares] for squares in kernels.squares(rows, rows)]

        cached = None if kernels.relevant else compare(seated)

        def closure() -> tuple[Tensor, list[Tensor]]:
            placed = seated if cached else kernels.seat(X)
            below = kernels.covariance(cached or compare(placed), pairs)
            below = below.index_add(0, twice, kernels.shared[one] * kernels.shared[other])
            diagonal = kernels.diagonal(placed) + self._noise_of(rows)
            K = torch.diag(diagonal.detach())
            K[i, j] = below.detach()
            loss, slope = evidence_slope(K + fixed, y)
            prior = kernels.log_prior() + noise_prior(self.log_noise)
            # The slope of the loss along K is known in closed form; autograd carries it to the parameters.
            along = 2 * (slope[i, j] @ below) + slope.diagonal() @ diagonal
            return loss - prior.detach(), list(torch.autograd.grad(along - prior, parameters))

        return closure

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """See `FittedModel.joint`."""
        batch, q = X.shape[:-2], X.shape[-2]
        flat = self.coregion.seat(X.reshape(-1, X.shape[-1]))
        told = self._conditioned().tell(flat)
        if q == 1:
            prior = self.coregion.diagonal(flat)
            left = prior - told.less.square().sum(0) + told.more.square().sum(0) - told.own.square()
            covariance, prior = left.reshape(*batch, 1, 1), prior.reshape(*batch, 1)
        else:
            rows = self.coregion.seat(X)
            prior = self.coregion.diagonal(rows)
            own, same = told.own.reshape(*batch, q), rows.keys.unsqueeze(-1) == rows.keys.unsqueeze(-2)
            covariance = self.coregion(rows, rows) - same * own.unsqueeze(-1) * own.unsqueeze(-2)
            for sign, reach in ((-1, told.less), (1, told.more)):
                blocks = reach.reshape(len(reach), batch.numel(), q).transpose(0, 1)
                covariance = covariance + sign * (blocks.mT @ blocks).reshape(*batch, q, q)
        # Rounding must not make it negative, nor singular for rows that differ in their source alone.
        fallen = (-covariance.diagonal(dim1=-2, dim2=-1)).clamp_min(0)
        covariance = covariance + torch.diag_embed(1e-9 * prior + fallen)
        s = X[..., -1].round().long()
        scale = self.scale[s]
        covariance = covariance * scale.unsqueeze(-1) * scale.unsqueeze(-2)
        if bool(observed.any()):
            covariance = covariance + torch.diag_embed(self.noise(X) * observed)
        return self.centre[s] + scale * told.mean.reshape(*batch, q), covariance

    def noise(self, X: Rows) -> Tensor:
        """See `FittedModel.noise`; where all noise is known, its median."""
        s = X[..., -1].round().long()
        noise = torch.where(self.typical.isnan(), self.log_noise.exp(), self.typical)[s]
        return (NOISE_FLOOR + noise) * self.scale[s] ** 2

    def held_noise(self) -> Tensor | None:
        """See `FittedModel.held_noise`."""
        source = self.train_X[:, -1].long()
        at = torch.nonzero(source == len(self.centre) - 1).flatten()
        return None if len(self.inducing) else self._noise_of(at).detach() * self.scale[source[at]] ** 2

    def solve(self, B: Tensor) -> Tensor:
        """See `FittedModel.solve`."""
        scale = self.scale[self.train_X[:, -1].long()][:, None]
        return self._conditioned().solve(B / scale) / scale

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """As torch's, forgetting what was computed from the earlier state."""
        self._rows = None
        return super().load_state_dict(*args, **kwargs)

    def choose(self, seed: int) -> None:
        """Rows that stand for all: half of the target's, each half spread over the inputs by what it leaves open."""
        at_target = self.train_X[:, -1].long() == len(self.centre) - 1
        targets, others = at_target.nonzero().flatten(), (~at_target).nonzero().flatten()
        kernel, count = self.coregion.terms[0], len(self.inducing)
        few = max(count // 2, count - len(others))
        chosen = []
        for rows, wanted in ((targets, min(few, len(targets))), (others, count - min(few, len(targets)))):
            chosen.append(rows[choose(kernel, kernel.place(self.train_X[rows, :-1]), wanted, seed)])
        found = torch.cat(chosen)
        # Where the rest is explained up to rounding, fewer are enough.
        self.inducing = found
        self.facts["inducing"] = len(found)

    def _conditioned(self) -> Exact | Sparse:
        """The process given its rows."""
        if self._rows is None:
            with torch.no_grad(), few_threads(len(self.train_X)):
                noise = self._noise_of(torch.arange(len(self.train_X)))
                given = self.coregion, self.train_X, self.residuals, noise
                self._rows = Sparse.of(*given, self.inducing) if len(self.inducing) else Exact.of(*given)
        return self._rows

    def _noise_of(self, rows: Codes) -> Tensor:
        learned = self.log_noise.exp()[self.train_X[rows, -1].long()]
        return NOISE_FLOOR + self.extra[rows] + torch.where(self.known[rows], 0.0, learned)

    def _trend(self, rows: Codes, trend: Tensor | None) -> Tensor:
        H = torch.zeros(len(rows), 0).to(self.residuals) if trend is None else trend[rows]
        H = H / self.scale[self.train_X[rows, -1].long(), None]
        return H @ H.mT

    def _signs(self, rows: Codes) -> Tensor:
        """For each source (m) whether it likelier goes with the most trusted one that has rows, or against it."""
        source = self.train_X[rows, -1].long()
        signs = torch.ones(len(self.centre)).to(self.residuals)
        for s in range(int(source.max())):
            pair = torch.cat([rows[source == s][:TRIED], rows[source == source.max()][:TRIED]])
            of = (self.train_X[pair, -1] == s).to(signs)
            x, y = self.train_X[pair, :-1], self.residuals[pair]
            with torch.no_grad():
                K = self.coregion.terms[0].forward(x, x)
                noise = torch.diag(self._noise_of(pair))
                apart = 1 - (of - of[:, None]).abs()
                losses = [evidence_slope(K * (apart + rho * (1 - apart)) + noise, y)[0] for rho in (START, -START)]
            signs[s] = 1.0 if float(losses[0] - losses[1]) <= 0 else -1.0
        return signs

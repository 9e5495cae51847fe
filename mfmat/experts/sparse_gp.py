"""Sparse Gaussian process over views: a few chosen rows stand for a hundred thousand."""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.descent import descend, few_threads
from mfmat.errors import FitError
from mfmat.experts.gp import GP
from mfmat.experts.inducing import Basis, cast, choose
from mfmat.experts.noise_level import learn_level
from mfmat.experts.process import BOUNDS, NOISE_FLOOR, SINGLE, GPModel, noise_prior
from mfmat.experts.sparse_evidence import CHUNK, Measured, evidence, gather
from mfmat.experts.view_posterior import name_terms
from mfmat.kernel_families import Placed
from mfmat.kernels import Families, ViewKernel, prefer
from mfmat.learner import Expert, Facts, FittedModel, views_of
from mfmat.posteriors import root
from mfmat.types import Covariance, Flags, Rows
from mfmat.view_weights import ViewWeights

CANDIDATES = 20_000
"""Rows, drawn at random, that the inducing rows are chosen from."""
TUNED = (4000, 512)
"""Rows and inducing rows at most on which the hyperparameters are tuned to the sparse model."""
TUNE_STEPS = 15
"""Of L-BFGS at most: the start is close, and each step costs about what a step on 2,000 rows costs an exact process."""
CROWD = 4000
"""Rows above which the passes over all of them are in single precision, where the noise allows."""
LEFT_OUT = 0.01
"""Part of the predicted variance, on average over such many rows, that faster predictions may be too wide by."""


@dataclass(frozen=True, kw_only=True)
class SparseGP(Expert, kind="sparse_gp"):
    r"""Gaussian process regression through m inducing rows, for thousands to some hundred thousand rows.

    With $\phi(x) = L^{-1} k(Z, x)$, where $LL^T = K_{ZZ}$ for inducing rows Z, a row's value is
    $f(x) = \phi(x) \cdot u + g(x)$ with $u \sim N(0, I)$ and $g$ what Z leaves out, of variance
    $r(x) = k(x, x) - |\phi(x)|^2$. Each measurement counts with $D_i = \sigma_s^2 + v_i + r(x_i)$, and in closed form

    $B = I + \Phi^T D^{-1} \Phi$, $\mu_* = \phi_*^T B^{-1} \Phi^T D^{-1} y$, and
    $\Sigma_{**'} = k(x_*, x_*') - \phi_*^T (I - B^{-1})\,\phi_*'$,

    so that far from the data the variance is the prior's, and with m = n the process is the exact one (`GP`).
    Scales, noises, known noise and sources are those of `GP`. Hyperparameters are learned by exact marginal likelihood
    on `learn_rows`, then tuned to the marginal likelihood of the sparse model, $N(y; 0, \Phi\Phi^T + D)$, on 4,000
    rows. Z is chosen among 20,000 rows by randomly pivoted Cholesky. With `noise="input"` learned noise has a factor
    $e^{c + \phi(x)\cdot\gamma}$, from the errors of left-out rows (`learn_level`).

    A fit takes of the order of $n m^2$ operations and n rows of memory, a prediction $m^2$; where the noise
    is far above rounding both are in single precision.

    Args:
        kernel: as in `GP`.
        inducing: m, the number of inducing rows.
        noise: `"source"`, one variance for each source, or `"input"`, one that depends on the inputs as well.
        learn_rows: hyperparameters are first learned on at most this many rows.
        steps: of L-BFGS at most, in that learning.
        seed: of every choice of rows.
        device: where the passes over all rows run, as `"cuda"`; the fitted model is on the CPU.

    Raises:
        FitError: fewer inducing rows than 1.

    Snelson & Ghahramani 2006 (FITC) for the model, with the joint predictions of Titsias 2009; Bauer et al.
    2016, arXiv:1606.04820, compares the two.

    >>> import pandas as pd
    >>> from mfmat.features import Columns
    >>> from mfmat.schema import Schema
    >>> table = pd.DataFrame({"x": [0.0, 1.0, 2.0], "y": [0.0, 1.0, 2.0]})
    >>> schema = Schema(Columns("x"), value="y")
    >>> model = SparseGP(inducing=2).fit(schema.data(table))
    >>> model.posterior(schema.encode(table)[0]).mean.shape
    torch.Size([3, 1, 1])
    """

    kernel: Families = "matern52"
    inducing: int = 640
    noise: Literal["source", "input"] = "source"
    learn_rows: int = 1000
    steps: int = 100
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.inducing < 1:
            raise FitError(f"inducing={self.inducing}", expected="at least 1", fix="SparseGP(inducing=640)")
        # The exact process checks the names of the kernels.
        object.__setattr__(self, "kernel", GP(kernel=self.kernel).kernel)

    def __hash__(self) -> int:
        return hash(repr(self.config()))

    def build(self, facts: Facts) -> SparseGPModel:
        """An untrained model."""
        return SparseGPModel(facts, self.kernel, self.inducing)

    def train(self, model: SparseGPModel, data: Data) -> None:
        """Learn the hyperparameters, choose the inducing rows, then take in every row."""
        if not len(data):
            return
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(self.seed))
        with few_threads(len(data)):
            exact = GPModel(model.facts, self.kernel)
            exact.hold(data)
            exact.learn(order[: self.learn_rows], self.steps, data.trend)
            model.begin(exact)
            measured = Measured.of(exact, data.trend)
            model.tune(measured.take(order[: TUNED[0]]), self.seed)
            model.settle(measured, order[:CANDIDATES], self.seed, self.device, level=self.noise == "input")


@dataclass(frozen=True)
class Answers:
    """What answers for rows in one precision: mean $k w$, explained variance $|k R|^2$, level of noise $k l$."""

    placed: list[Placed]
    weights: Tensor
    root: Tensor
    level: Tensor

    def cross(self, kernel: ViewKernel, placed: list[Placed]) -> Tensor:
        """The kernel between placed rows and the inducing ones (n x m)."""
        return kernel.covariance(kernel.squares(cast(placed, self.root.dtype), self.placed))

    def one_by_one(self, kernel: ViewKernel, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, variance and level of noise of rows (n x d), each on its own."""
        placed = kernel.place(x)
        cross, prior = self.cross(kernel, placed), kernel.diagonal(placed)
        explained = (cross @ self.root).square().sum(-1).double()
        left = torch.maximum(prior - explained, 1e-10 * prior)
        return (cross @ self.weights).double(), left, (cross @ self.level).double()


class SparseGPModel(FittedModel):
    """A fitted sparse process: its kernel, its noise, the inducing rows, and what all rows say through them."""

    inducing: Tensor
    weights: Tensor
    root: Tensor
    level: Tensor
    even: Tensor
    typical: Tensor
    centre: Tensor
    scale: Tensor

    def __init__(self, facts: Facts, families: Families, inducing: int) -> None:
        super().__init__()
        self.facts = facts
        width, sources, m = facts["width"], len(facts["sources"]), min(inducing, facts["rows"])
        views = views_of(facts)
        self.kernel = ViewKernel(views, width, prefer(families, facts))
        self.log_noise = torch.nn.Parameter(torch.full((sources,), -3.0).double())
        self.register_buffer("inducing", torch.zeros(m, width).double())
        self.register_buffer("weights", torch.zeros(m).double())
        self.register_buffer("root", torch.zeros(m, m).double())
        self.register_buffer("level", torch.zeros(m).double())
        self.register_buffer("even", torch.zeros((), dtype=torch.bool))
        self.register_buffer("typical", torch.full((sources,), math.nan).double())
        scales = torch.tensor(facts["scales"], dtype=torch.double).reshape(sources, 2)
        self.register_buffer("centre", scales[:, 0], persistent=False)
        self.register_buffer("scale", scales[:, 1], persistent=False)
        self._cached: dict[torch.dtype, Answers] = {}
        self._heard: tuple[weakref.ref[Tensor], int, Tensor] | None = None

    def weighings(self) -> dict[str, ViewWeights]:
        """See `FittedModel.weighings`; without a posterior, as the rows are not kept."""
        return {"": ViewWeights.alone(name_terms(self.kernel), self.kernel.log_weight.detach().softmax(0))}

    def begin(self, exact: GPModel) -> None:
        """Start from the hyperparameters of an exact process."""
        self.kernel.load_state_dict(exact.kernel.state_dict())
        self.typical.copy_(exact.typical)
        with torch.no_grad():
            self.log_noise.copy_(exact.log_noise)

    def tune(self, rows: Measured, seed: int) -> None:
        """Maximise the marginal likelihood of the sparse model times prior, on these rows."""
        parameters: dict[str, Tensor] = {name: p for name, p in self.named_parameters() if p.numel()}
        jitter, _ = self._precision(rows)
        with torch.no_grad():
            placed = self.kernel.place(rows.x)
            at = choose(self.kernel, placed, min(TUNED[1], len(self.inducing)), seed)
            few = [(part[at], square[at]) for part, square in placed]
            # The inducing rows are rows: what pairs are compared by stays as it is while hyperparameters move.
            inner, cross = self.kernel.squares(few, few), self.kernel.squares(few, placed)

        def closure() -> tuple[Tensor, list[Tensor]]:
            K = self.kernel.covariance(inner) + torch.diag(jitter * self.kernel.diagonal(few))
            phi = torch.linalg.solve_triangular(root(K), self.kernel.covariance(cross), upper=False)
            left = (self.kernel.diagonal(placed) - phi.square().sum(0)).clamp_min(0)
            loss = evidence(torch.cat([phi, rows.trend.mT]), rows.noise(self.log_noise) + left, rows.y)
            loss = loss - self.kernel.log_prior() - noise_prior(self.log_noise)
            return loss.detach(), list(torch.autograd.grad(loss, list(parameters.values())))

        descend(closure, parameters, BOUNDS, TUNE_STEPS)

    @torch.no_grad()
    def settle(self, rows: Measured, some: Tensor, seed: int, device: str, level: bool) -> None:
        """Choose the inducing rows among some, learn the level of noise from them, and take in all rows."""
        jitter, even = self._precision(rows)
        crowd = even and len(rows.y) > CROWD
        dtype = torch.float if crowd else torch.double
        self.to(device)
        candidates = rows.take(some).to(torch.device(device))
        Z = candidates.x[choose(self.kernel, cast(self.kernel.place(candidates.x), dtype), len(self.inducing), seed)]
        basis, m = Basis.of(self.kernel, Z, jitter, dtype), len(Z)
        gamma = torch.zeros(m).to(Z)
        told = gather(basis, rows, self.log_noise, gamma)
        if level:
            gamma, shift = learn_level(*told.left_out(basis, candidates, self.log_noise))
            self.log_noise.add_(shift)
            told = gather(basis, rows, self.log_noise, gamma)
        whiten = basis.whiten.double()
        # Rows of zeros, where fewer inducing rows explain everything, say nothing.
        self.inducing[:m], self.weights[:m], self.level[:m] = Z, whiten @ told.mean, whiten @ gamma
        root = whiten @ told.root(LEFT_OUT if crowd else 0.0)
        self.root[:m, : root.shape[1]] = root
        self.even.fill_(even)
        self.to("cpu")
        self._forget()

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """See `FittedModel.joint`."""
        batch, q = X.shape[:-2], X.shape[-2]
        x = X[..., :-1].reshape(-1, X.shape[-1] - 1)
        if q == 1:
            answers = self._answers(quick=True)
            mean, left, level = _joined([answers.one_by_one(self.kernel, part) for part in x.split(CHUNK)])
            self._heard = weakref.ref(X), X._version, level
            covariance = left.reshape(*batch, 1, 1)
        else:
            answers = self._answers(quick=False)
            cross = answers.cross(self.kernel, self.kernel.place(x))
            mean, reach = cross @ answers.weights, (cross @ answers.root).reshape(*batch, q, -1)
            covariance = self._positive(self.kernel.forward(X[..., :-1], X[..., :-1]) - reach @ reach.mT)
        s = X[..., -1].round().long()
        scale = self.scale[s]
        covariance = covariance * scale.unsqueeze(-1) * scale.unsqueeze(-2)
        if bool(observed.any()):
            covariance = covariance + torch.diag_embed(self.noise(X) * observed)
        return self.centre[s] + scale * mean.reshape(*batch, q), covariance

    def noise(self, X: Rows) -> Tensor:
        """See `FittedModel.noise`; where all noise is known, its median."""
        s = X[..., -1].round().long()
        noise = torch.where(self.typical.isnan(), self.log_noise.exp(), self.typical)[s]
        if bool(self.level.any()):
            noise = noise * torch.where(self.typical.isnan()[s], self._level(X).reshape(noise.shape).exp(), 1.0)
        return (NOISE_FLOOR + noise) * self.scale[s] ** 2

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """As torch's, forgetting what was computed from the earlier state."""
        self._forget()
        return super().load_state_dict(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        # Another process computes its own.
        return self.__dict__ | {"_cached": {}, "_heard": None}

    def _forget(self) -> None:
        self._cached, self._heard = {}, None

    def _level(self, X: Tensor) -> Tensor:
        """The logarithm of the noise over that of the source, for each row."""
        if self._heard is not None:
            said, version, level = self._heard
            # Asked for right after the values: half the time of a prediction is saved.
            if said() is X and version == X._version and not torch.is_grad_enabled():
                return level
        answers, x = self._answers(quick=True), X[..., :-1].reshape(-1, X.shape[-1] - 1)
        return _joined([answers.one_by_one(self.kernel, part) for part in x.split(CHUNK)])[2]

    def _answers(self, *, quick: bool) -> Answers:
        """In single precision where that is quick and enough, and no gradient is wanted."""
        dtype = torch.float if quick and bool(self.even) and not torch.is_grad_enabled() else torch.double
        if dtype not in self._cached:
            told = self.root[:, : int(self.root.any(0).sum())].contiguous()
            placed = cast(self.kernel.place(self.inducing), dtype)
            self._cached[dtype] = Answers(placed, *(part.to(dtype) for part in (self.weights, told, self.level)))
        return self._cached[dtype]

    def _precision(self, rows: Measured) -> tuple[float, bool]:
        """What is added to the inducing rows' prior variance of 1, and whether single precision is enough.

        Both are far below the noise; rounding under a square root (a kernel with a kink) is the larger.
        """
        with torch.no_grad():
            least = float(rows.noise(self.log_noise).min())
            even = least > (SINGLE if self.kernel.smooth else 30 * SINGLE)
            return max(1e-5 * least / float(self.kernel.variance), 1e-7 if even else 1e-10), even

    def _positive(self, covariance: Covariance) -> Covariance:
        floor = 1e-10 * self.kernel.variance
        diagonal = covariance.diagonal(dim1=-2, dim2=-1)
        return covariance + torch.diag_embed((floor - diagonal).clamp_min(0))


def _joined(parts: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Each of the parts' tensors, one after another."""
    return tuple(torch.cat(each) for each in zip(*parts, strict=True))

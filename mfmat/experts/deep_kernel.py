"""A Gaussian process on the views and on what a network makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.descent import descend, few_threads
from mfmat.errors import FitError, SchemaError
from mfmat.experts.multi_head import MultiHead, fit_heads
from mfmat.experts.process import BOUNDS, Closure, GPModel
from mfmat.experts.sparse_evidence import Measured
from mfmat.experts.sparse_gp import CANDIDATES, SparseGPModel
from mfmat.kernels import Families
from mfmat.learner import Expert, Facts, FittedModel
from mfmat.mixture_model import MixtureModel
from mfmat.training import Schedule, hold_out
from mfmat.types import Covariance, Flags, Rows

DEEP = "deep"
"""The view of the network's features."""


@dataclass(frozen=True, kw_only=True)
class DeepKernelGP(Expert, kind="deep_kernel"):
    r"""Gaussian process regression on the views and on one more: the last hidden layer h(x) of a network.

    $f \sim GP(0, k)$ with the kernel over views (`ViewKernel`) of x and $h(x)$: a term for each view, one for the
    network's features, and a joint one. The network is trained to predict the values of most compounds, and
    stopped where those held out are predicted best. Then lengthscales, weights and noise maximise the likelihood
    of the held-out values given the others (Lotfi et al. 2022, arXiv:2202.11678): on the rows that the network
    was trained on its features look better than they are, and the likelihood of all rows would believe it
    (Ober et al. 2021, arXiv:2102.12108). Where the
    network finds nothing, the weight of its view shrinks and what is left is `GP`. At last all rows are
    conditioned on, exactly or, above `limit`, through inducing rows (`SparseGP`). Several members, each with other
    compounds held out and other first weights, make a mixture: one network's features are one guess of many.

    Args:
        members: of the mixture.
        hidden: units of each layer; the last is the number of features.
        dropout: share of units left out at each step of training.
        kernel: as in `GP`; `"deep"` is the name of the network's view.
        held: share of the compounds held out of training the network.
        learn_rows: hyperparameters are learned on at most this many held-out rows, given as many others.
        learn_steps: of L-BFGS at most, in that learning.
        limit: rows above which the process is sparse.
        inducing: rows that a sparse process works through.
        epochs: passes over the rows at most.
        steps: of training at least, whatever the number of rows.
        batch: rows a step.
        rate: the largest learning rate.
        decay: of the weights in training.
        seed: of the first weights, the rows held out and the batches.
        device: where to train, such as `"cuda"`; the fitted model is on the CPU.

    Raises:
        FitError: no hidden layer, or no member.

    Wilson et al. 2016, arXiv:1511.02222.

    >>> import pandas as pd
    >>> from mfmat.features import Columns
    >>> from mfmat.schema import Schema
    >>> table = pd.DataFrame({"x": range(20), "y": [i * i for i in range(20)]})
    >>> schema = Schema(Columns("x"), value="y")
    >>> model = DeepKernelGP(members=2, hidden=(16, 4), steps=100).fit(schema.data(table))
    >>> model.posterior(schema.encode(table)[0]).mean.shape
    torch.Size([20, 1, 1])
    """

    members: int = 4
    hidden: tuple[int, ...] = (128, 128, 16)
    dropout: float = 0.0
    kernel: Families = "matern52"
    held: float = 0.25
    learn_rows: int = 700
    learn_steps: int = 60
    limit: int = 5000
    inducing: int = 1024
    epochs: int = 60
    steps: int = 500
    batch: int = 256
    rate: float = 3e-3
    decay: float = 1e-2
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if not self.hidden or self.members < 1:
            raise FitError(
                f"hidden={self.hidden}, members={self.members}",
                expected="at least one layer and one member",
                fix="DeepKernelGP(hidden=(128, 16), members=4), or GP()",
            )

    def __hash__(self) -> int:
        return hash(repr(self.config()))

    def build(self, facts: Facts) -> DeepKernelCommittee:
        """An untrained model."""
        if DEEP in facts["views"]:
            raise SchemaError(f"a view named {DEEP!r}", expected="another name", fix="rename it in the Schema")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return DeepKernelCommittee(facts, [self._build_member(facts) for _ in range(self.members)])

    def _build_member(self, facts: Facts) -> DeepKernelModel:
        network = MultiHead(facts, self.hidden, self.dropout, own=False, uneven=False)
        wider = _widen(facts, self.hidden[-1])
        if facts["rows"] > self.limit:
            return DeepKernelModel(facts, network, SparseGPModel(wider, self.kernel, self.inducing))
        return DeepKernelModel(facts, network, GPModel(wider, self.kernel))

    def train(self, model: DeepKernelCommittee, data: Data) -> None:
        """Train each network, learn the hyperparameters on what it has not seen, then condition on every row."""
        with few_threads(len(data)):
            for k, member in enumerate(model.parts()):
                one = replace(self, seed=self.seed + k)
                parts = hold_out(data, self.held, one.seed)
                one._train_network(member.network, data, parts)
                one._learn(member.process, member.widen(data), parts)

    def _train_network(self, network: MultiHead, data: Data, parts: tuple[Tensor, Tensor]) -> None:
        network.inputs.measure(data.X[:, :-1])
        if not len(data):
            return
        scales = torch.tensor(data.standards()).double()[data.fidelity]
        y, extra = (data.Y[:, 0] - scales[:, 0]) / scales[:, 1], data.Yvar[:, 0] / scales[:, 1] ** 2
        schedule = Schedule(self.epochs, self.steps, self.batch, self.rate, self.decay)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            fit_heads(network, data, (y, extra), parts, schedule, device=self.device)
        network.eval()

    def _learn(self, process: FittedModel, data: Data, parts: tuple[Tensor, Tensor]) -> None:
        exact = process if isinstance(process, GPModel) else GPModel(process.facts, self.kernel)
        exact.hold(data)
        given, held = (part[_shuffle(len(part), self.seed)][: self.learn_rows] for part in parts)
        if len(held):
            descend(_conditional(exact, given, held, data.trend), exact.hyperparameters(), BOUNDS, self.learn_steps)
        elif len(given):
            exact.learn(given, self.learn_steps, data.trend)
        if isinstance(process, SparseGPModel):
            process.begin(exact)
            some = _shuffle(len(data), self.seed)[:CANDIDATES]
            process.settle(Measured.of(exact, data.trend), some, self.seed, self.device, level=False)


class DeepKernelCommittee(MixtureModel):
    """Deep kernels that differ by the rows held out and the first weights."""

    def __init__(self, facts: Facts, members: Sequence[DeepKernelModel]) -> None:
        super().__init__()
        self.facts = facts
        self.members = torch.nn.ModuleList(members)

    def parts(self) -> Sequence[DeepKernelModel]:
        """The members."""
        return [member for member in self.members if isinstance(member, DeepKernelModel)]


class DeepKernelModel(FittedModel):
    """A network, and a fitted process on the rows with what the network makes of them."""

    def __init__(self, facts: Facts, network: MultiHead, process: GPModel | SparseGPModel) -> None:
        super().__init__()
        self.facts = facts
        self.network = network
        self.process = process

    def look(self, X: Rows) -> Tensor:
        """The rows (b x q x (d+1)) with the network's k features before the fidelity (b x q x (d+k+1))."""
        return torch.cat([X[..., :-1], self.hidden(X), X[..., -1:]], dim=-1)

    def hidden(self, X: Rows) -> Tensor:
        """See `FittedModel.hidden`."""
        units: Tensor = self.network.trunk(self.network.inputs(X[..., :-1]))
        return units

    def widen(self, data: Data) -> Data:
        """The data with one more view."""
        start = data.X.shape[-1] - 1
        with torch.no_grad():
            X = self.look(data.X)
        return replace(data, X=X, views={**data.views, DEEP: slice(start, X.shape[-1] - 1)})

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """See `FittedModel.joint`."""
        return self.process.joint(self.look(X), observed)

    def noise(self, X: Rows) -> Tensor:
        """See `FittedModel.noise`."""
        return self.process.noise(self.look(X))

    def solve(self, B: Tensor) -> Tensor:
        """See `FittedModel.solve`."""
        return self.process.solve(B)


def _conditional(process: GPModel, given: Tensor, held: Tensor, trend: Tensor | None) -> Closure:
    """The negative logarithm of $p(y_{held} | y_{given})$ times prior."""
    none = torch.zeros(0, dtype=torch.long)
    # Each of the three has the prior in it, the last nothing else.
    both, known, prior = (process.loss(rows, trend) for rows in (torch.cat([given, held]), given, none))

    def closure() -> tuple[Tensor, list[Tensor]]:
        losses, slopes = zip(*(part() for part in (both, known, prior)), strict=True)
        return losses[0] - losses[1] + losses[2], [a - b + c for a, b, c in zip(*slopes, strict=True)]

    return closure


def _shuffle(n: int, seed: int) -> Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def _widen(facts: Facts, features: int) -> Facts:
    width = facts["width"]
    views = {**facts["views"], DEEP: [width, width + features]}
    return {**facts, "width": width + features, "views": views}

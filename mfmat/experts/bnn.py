"""Bayesian neural network: a torch network, and a posterior over its weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.descent import LONG, few_threads
from mfmat.errors import FitError, UnknownNameError, nearest
from mfmat.experts.laplace import LaplaceModel
from mfmat.experts.multi_head import MultiHead, fit_heads
from mfmat.experts.nuts import sample
from mfmat.experts.sampled import SampledModel
from mfmat.experts.svi import fit_guide
from mfmat.labels import LabelExpert
from mfmat.learner import Facts
from mfmat.training import Schedule, check_sizes, hold_out

OPTIONS = {
    "inference": ("laplace", "svi", "nuts"),
    "layers": ("last", "all"),
    "noise": ("source", "input"),
    "heads": ("shared", "own"),
    "guide": ("mean-field", "low-rank"),
}
LIMITS = {"laplace": 5000, "nuts": 400}
"""Weights that an inference can take: memory goes with their square, time with their cube or worse."""
THIN = 2
"""Steps of the chain for each draw that is kept."""


@dataclass(frozen=True, kw_only=True)
class BNN(LabelExpert, kind="bnn"):
    r"""A network whose weights have a posterior, and values a noise learned for each source or from the row.

    $y = f(x, s) + \epsilon$, $\epsilon \sim N(0, \sigma_s^2 r(x) + v_i)$, with $f = \phi^T w$ linear in the units
    of the last hidden layer (`MultiHead`), on columns and values standardised for each source. The network is
    trained on most compounds and stopped where those held out are predicted best; precisions of the
    weights and noise come from the evidence of the held-out rows given the others, because the units were fitted to
    the others; then all rows are conditioned on. A network without hidden layers is Bayesian linear regression,
    with plain evidence. Beyond the range of the training rows the prior takes over (`Familiarity`).

    Args:
        hidden: units of each layer.
        dropout: share of units left out at each step of training.
        noise: learned for each `"source"`, or from the `"input"` by a second head.
        heads: all sources are one function in their own units (`"shared"`), or each has its `"own"` head on one trunk
            beside the shared one: a network for several tasks, in which cheap values teach the target.
        inference: `"laplace"`, in closed form; `"svi"`, variational; `"nuts"`, by sampling (few weights only).
        layers: `"last"` or `"all"`: which weights have a posterior. The others are those that training found.
        guide: of `"svi"`: `"mean-field"`, independent weights, or `"low-rank"`, correlated along a few directions.
        draws: of the weights, kept by `"svi"` and `"nuts"`.
        warmup: steps of `"nuts"` before the first draw.
        held: share of the compounds held out of training.
        epochs: passes over the rows at most.
        steps: of training at least, whatever the number of rows.
        batch: rows a step.
        rate: the largest learning rate.
        decay: of the weights in training.
        seed: of the first weights, the rows held out, the batches and the draws.
        device: where to train, such as `"cuda"`; the fitted model is on the CPU.

    Raises:
        UnknownNameError: an option that nobody knows.
        FitError: an impossible size, or more weights than the inference can take.

    Laplace: MacKay 1992, doi:10.1162/neco.1992.4.3.448; Daxberger et al. 2021, arXiv:2106.14806; Antoran et al. 2022,
    arXiv:2206.08900. Conditional evidence: Lotfi et al. 2022, arXiv:2202.11678.

    >>> import pandas as pd
    >>> from mfmat.features import Columns
    >>> from mfmat.schema import Schema
    >>> table = pd.DataFrame({"x": range(20), "y": [i * i for i in range(20)]})
    >>> schema = Schema(Columns("x"), value="y")
    >>> model = BNN(hidden=(16,), steps=100).fit(schema.data(table))
    >>> model.posterior(schema.encode(table)[0]).mean.shape
    torch.Size([20, 1, 1])
    """

    hidden: tuple[int, ...] = (128, 128)
    dropout: float = 0.1
    noise: Literal["source", "input"] = "source"
    heads: Literal["shared", "own"] = "shared"
    inference: Literal["laplace", "svi", "nuts"] = "laplace"
    layers: Literal["last", "all"] = "last"
    guide: Literal["mean-field", "low-rank"] = "mean-field"
    draws: int = 64
    warmup: int = 200
    held: float = 0.15
    epochs: int = 100
    steps: int = 500
    batch: int = 256
    rate: float = 1e-2
    decay: float = 1e-2
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, known in OPTIONS.items():
            if (given := getattr(self, name)) not in known:
                raise UnknownNameError(
                    f"{name}={given!r}",
                    expected=f"one of {', '.join(map(repr, known))}",
                    fix=nearest(given, known) + f"BNN({name}={known[0]!r})",
                )
        # A list would make the recipe unhashable.
        object.__setattr__(self, "hidden", tuple(self.hidden))
        fix, units = "BNN(hidden=(64, 64), dropout=0.0, held=0.15)", min(self.hidden, default=1)
        check_sizes(self, ("draws", "epochs", "steps", "batch"), units=units, fix=fix)

    def build(self, facts: Facts) -> LaplaceModel:
        """An untrained model."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = MultiHead(facts, self.hidden, self.dropout, self.heads == "own", self.noise == "input")
        names = [f"trunk.{name}" for name, _ in network.trunk.named_parameters()] if self.layers == "all" else []
        self._check_count(len(network.head) + sum(network.get_parameter(name).numel() for name in names))
        if self.inference == "laplace":
            return LaplaceModel(facts, network, names)
        return SampledModel(facts, network, names, self.draws)

    def _check_count(self, count: int) -> None:
        if count > (limit := LIMITS.get(self.inference, math.inf)):
            raise FitError(
                f"{count} weights to find the posterior of",
                expected=f'at most {limit} with inference="{self.inference}"',
                fix='BNN(layers="last"), fewer units in `hidden`, or BNN(inference="svi")',
            )

    def train(self, model: LaplaceModel, data: Data) -> None:
        """Train the network, then find the posterior of its weights."""
        with few_threads(len(data), LONG), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model.learn(data, self._train(model, data))
            if isinstance(model, SampledModel):
                model.hold(*self._draw(model, data))

    def _train(self, model: LaplaceModel, data: Data) -> tuple[Tensor, Tensor]:
        """Train the network; the positions of the rows that it was trained on, and of those held out."""
        model.measure(data.X[:, :-1])
        if self._linear or not len(data):
            return torch.arange(len(data)), torch.arange(0)
        parts = hold_out(data, self.held, self.seed)
        schedule = Schedule(self.epochs, self.steps, self.batch, self.rate, self.decay)
        standard = model.standardise(data)
        fit_heads(model.network, data, standard, parts, schedule, device=self.device, seed=self.seed)
        model.network.eval()
        return parts

    def _draw(self, model: SampledModel, data: Data) -> tuple[Tensor, Tensor]:
        # Of units fitted to these rows they would say that there is less noise than there is.
        free = self._linear or self.layers == "all"
        target, start = model.target(data), model.start()
        if self.inference == "nuts":
            return sample(target, start, free=free, warmup=self.warmup, draws=self.draws, thin=THIN)
        steps = max(self.steps, self.epochs * math.ceil(len(data) / self.batch))
        moving = {"steps": steps, "batch": self.batch, "draws": self.draws}
        return fit_guide(target, start, self.guide, free=self.layers == "all", **moving)

    @property
    def _linear(self) -> bool:
        """Whether nothing is trained: the model is linear in its weights as it is."""
        return not self.hidden and self.noise == "source"

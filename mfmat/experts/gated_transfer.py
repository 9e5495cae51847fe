"""One weight for each source network, the same for every material, and a head that they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.descent import LONG, few_threads
from mfmat.errors import FitError, check_choice
from mfmat.experts.gate_trunk import GateHead, find_gated
from mfmat.experts.laplace import LaplaceModel
from mfmat.experts.multi_head import fit_heads
from mfmat.learner import Expert, Facts, views_of
from mfmat.training import Schedule, check_sizes, hold_out
from mfmat.view_weights import ViewWeights


@dataclass(frozen=True, kw_only=True)
class GatedTransfer(Expert, kind="gated-transfer"):
    r"""A gate over what source networks say of a material, and a head that they share, with a Bayesian last layer.

    $h = (s, \rho(s))$ and $s = \sum_v g_v z_v$ with the features $z_v$ of network v (a view; a layer, `*.hidden` or
    `*.pooled`, is on one scale as a whole, of other views each column) and $g = \mathrm{softmax}$ of the k largest of
    free logits, 0 for the others: one weight for each network, the same for every material; with k below their number,
    all are weighed first, then the k largest go on. Then $y = h^T w + \epsilon$ with a Gaussian over w and a noise for
    each source, as in `BNN`: precisions and noise maximise the evidence of compounds held out of training, on which
    each training also stops, at its best epoch; then w learns from every row. Where training starts decides which
    networks it ends at, so several starts are made, and that is kept which leaves the held-out compounds likeliest.
    With k = 1 the weight is 1 whatever its logit and has no gradient: each view is tried in turn instead.
    `gate_weights` of the model has the weight of each view, `tried` those of every start. All sources are taken as one
    function in their own units.

    Args:
        views: names or patterns ("*.hidden") of the views to weigh, of equal width; left out, the layers that
            `SourceNetworks` makes, or all views where there are none.
        k: networks with a weight above 0; None: all.
        hidden: units of each layer of rho; none: h = s, a linear head.
        noise: learned for each `"source"`, or from the `"input"` by a second head.
        starts: trainings from different first weights; with k = 1 there are as many as views.
        dropout: share of units left out at each step of training.
        held: share of the compounds held out of training.
        epochs: passes over the rows at most.
        steps: of training at least, whatever the number of rows.
        batch: rows a step.
        rate: the largest learning rate.
        decay: of the weights in training.
        seed: of the first weights, the rows held out and the batches.
        device: where to train, such as `"cuda"`; the fitted model is on the CPU.

    Raises:
        UnknownNameError: a view that is not there.
        FitError: an impossible size, a k above the number of views, or views of different widths.

    Chang, Wang & Ertekin 2022, doi:10.1038/s41524-022-00929-x.

    >>> import pandas as pd
    >>> from mfmat.features import Columns
    >>> from mfmat.schema import Schema
    >>> table = pd.DataFrame({"x": range(20), "y": [i * i for i in range(20)]})
    >>> model = GatedTransfer(starts=1, steps=50).fit(Schema(Columns("x"), value="y").data(table))
    >>> model.gate_weights
    {'numeric': 1.0}
    """

    views: tuple[str, ...] = ()
    k: int | None = None
    hidden: tuple[int, ...] = (32, 32)
    noise: Literal["source", "input"] = "source"
    starts: int = 5
    dropout: float = 0.1
    held: float = 0.2
    epochs: int = 100
    steps: int = 1000
    batch: int = 256
    rate: float = 1e-2
    decay: float = 1e-2
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_choice("noise", self.noise, ("source", "input"))
        views = (self.views,) if isinstance(self.views, str) else tuple(self.views)
        # A list would make the recipe unhashable.
        object.__setattr__(self, "views", views)
        object.__setattr__(self, "hidden", tuple(self.hidden))
        others = {"units": min(self.hidden, default=1), "k": 1 if self.k is None else self.k}
        fix = "GatedTransfer(k=4, hidden=(32, 32), starts=5, held=0.2)"
        check_sizes(self, ("starts", "epochs", "steps", "batch"), fix=fix, **others)

    def build(self, facts: Facts) -> GatedTransferModel:
        """An untrained model."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return self._start(facts)

    def train(self, model: GatedTransferModel, data: Data) -> None:
        """Train from every start, and keep the one whose held-out compounds are likeliest."""
        with few_threads(len(data), LONG), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model.measure(data.X[:, :-1])
            parts = hold_out(data, self.held, self.seed)
            starts = [self._try(model, i, data, parts) for i in range(len(model.surprises))]
            surprises = torch.stack([start.judge(data, parts) for start in starts])
            model.load_state_dict(starts[int(surprises.argmin())].state_dict())
            model.surprises.copy_(surprises)
            model.tried.copy_(torch.stack([start.network.trunk.gate().detach() for start in starts]))

    def _start(self, facts: Facts) -> GatedTransferModel:
        views = find_gated(views_of(facts), self.views)
        k = len(views) if self.k is None else self.k
        if k > len(views):
            raise FitError(
                f"k={k} of {len(views)} views ({', '.join(map(repr, views))})",
                expected=f"a k of at most {len(views)}",
                fix="k=None, which weighs all of them",
            )
        uneven = self.noise == "input"
        network = GateHead(facts, views, k=k, hidden=self.hidden, dropout=self.dropout, uneven=uneven)
        return GatedTransferModel(facts, network, views, len(views) if k == 1 else self.starts)

    def _try(self, model: GatedTransferModel, i: int, data: Data, parts: tuple[Tensor, Tensor]) -> GatedTransferModel:
        """A model trained from the i-th start."""
        start = self._start(model.facts)
        start.network.inputs, start.familiarity = model.network.inputs, model.familiarity
        gate = start.network.trunk.gate
        if gate.k == 1:
            gate.choose(i)
        if len(data):
            schedule = Schedule(self.epochs, self.steps, self.batch, self.rate, self.decay)
            # Of views that are left out from the beginning chance decides: all are weighed first.
            for k in dict.fromkeys((len(start.gated) if gate.k > 1 else 1, gate.k)):
                gate.k = k
                fit_heads(start.network, data, start.standardise(data), parts, schedule, device=self.device)
        start.network.eval()
        start.learn(data, parts)
        return start


class GatedTransferModel(LaplaceModel):
    """A gate with its head around trained weights.

    Attributes:
        tried: the weights that each start ended at (starts x views).
        surprises: the negative log evidence of the held-out compounds given the others, at each start (starts); without
            any held out, of all.

    Args:
        facts: what the model is built from.
        network: the gate and its head.
        views: those that are weighed.
        starts: how many there are.
    """

    network: GateHead
    tried: Tensor
    surprises: Tensor

    def __init__(self, facts: Facts, network: GateHead, views: Mapping[str, slice], starts: int) -> None:
        super().__init__(facts, network, [])
        self.gated = tuple(views)
        self.register_buffer("tried", torch.zeros(starts, len(views)).double())
        self.register_buffer("surprises", torch.zeros(starts).double())

    @property
    def gate_weights(self) -> dict[str, float]:
        """The weight of each view, by name, the largest first; they sum to 1."""
        weights = dict(zip(self.gated, self.network.trunk.gate().tolist(), strict=True))
        return dict(sorted(weights.items(), key=lambda each: -each[1]))

    def weighings(self) -> dict[str, ViewWeights]:
        """See `FittedModel.weighings`; those of the gate, without a posterior."""
        weights = self.gate_weights
        return {"": ViewWeights.alone(tuple(weights), torch.tensor(list(weights.values()), dtype=torch.double))}

    def judge(self, data: Data, parts: tuple[Tensor, Tensor]) -> Tensor:
        """The negative log evidence of the second part of the rows given the first; of the first where it is alone."""
        given, held = (self.evidence_of(data.take(part)) for part in parts)
        with torch.no_grad():
            if not len(parts[1]):
                return self.weights.surprise(given)
            return self.weights.surprise(given.join(held)) - self.weights.surprise(given)

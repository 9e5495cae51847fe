"""The contract of everything that can be fitted, and of everything that is fitted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, ClassVar, cast

import torch
from botorch.models.model import Model
from botorch.posteriors import GPyTorchPosterior
from torch import Tensor

from mfmat.data import Data
from mfmat.elsewhere import OneCore
from mfmat.errors import FitError, SchemaError
from mfmat.posteriors import CalibratedPosterior, normal, root
from mfmat.types import Covariance, Flags, Rows
from mfmat.values import Value
from mfmat.view_weights import ViewWeights

Facts = dict[str, Any]
"""What a model is built from, as JSON: views, sizes, sources, scales."""


class FittedModel(Model, ABC):
    """A fitted BoTorch model that can be saved: `facts` is JSON, `state_dict()` the rest.

    Its joint distribution over rows of any fidelity is Gaussian in `joint`, which is all that
    conditioning, fantasies and acquisitions need. `posterior` may reshape the marginals of a new
    measurement (a conformal interval, a mixture) on top.
    """

    facts: Facts

    @abstractmethod
    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """Mean (b x q) and covariance (b x q x q) of q rows.

        Args:
            X: b x q x (d+1).
            observed: q flags; a flagged row stands for its measurement with noise, else for the noise-free value.
        """

    @abstractmethod
    def noise(self, X: Rows) -> Tensor:
        """Variance of a new measurement around its noise-free value (b x q)."""

    def moments(self, X: Rows) -> tuple[Tensor, Covariance, Tensor]:
        """`joint` of noise-free values, and `noise` (b x q, b x q x q, b x q), where one pass gives both."""
        return *self.joint(X, torch.zeros(X.shape[-2], dtype=torch.bool)), self.noise(X)

    @property
    def num_outputs(self) -> int:
        """One."""
        return 1

    @property
    def batch_shape(self) -> torch.Size:
        """Of the model itself: none."""
        return torch.Size([])

    def posterior(
        self,
        X: Rows,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Callable[[GPyTorchPosterior], GPyTorchPosterior] | None = None,
    ) -> GPyTorchPosterior | CalibratedPosterior:
        """BoTorch's contract: the joint distribution of the q rows of each batch (b x q x (d+1)).

        With `observation_noise`, that of new measurements, independent of those already made.
        """
        self.eval()
        mean, covariance = self.joint(X, torch.zeros(X.shape[-2], dtype=torch.bool))
        if observation_noise is True:
            covariance = covariance + torch.diag_embed(self.noise(X))
        elif isinstance(observation_noise, Tensor):
            covariance = covariance + torch.diag_embed(observation_noise[..., 0].expand(mean.shape))
        posterior = normal(mean, covariance)
        return posterior if posterior_transform is None else posterior_transform(posterior)

    def evidence(self) -> Tensor | None:
        """What was predicted of held-out rows, where kept: n x 10, see `mfmat.calibrators.held_out.COLUMNS`."""
        return None

    def probabilities(self, X: Rows) -> Tensor:
        """P(class | x) of a target that is a label (b x q x (d+1) to b x q x c).

        Raises:
            FitError: a model of values.
        """
        raise FitError("a model of values", expected="a model of labels", fix='kinds={"source": "label"} in the Schema')

    def held_noise(self) -> Tensor | None:
        """Noise variance of each of the target's rows (n); None where `joint` is not exactly what follows from rows."""
        return None

    def told(self) -> Tensor | None:
        """The values of the rows that it is conditioned on (n), where limits became measurements; None of others."""
        return None

    def hidden(self, X: Rows) -> Tensor | None:
        """The units of the last hidden layer (b x q x (d+1) to b x q x h); None of a model that is no network."""
        return None

    def shares(self, X: Rows) -> dict[str, tuple[Tensor, Tensor]]:
        """The weight of each part that the answer is a mixture of, with its standard deviation (two of b x q), by name.

        Empty where the answer is no mixture of learners.
        """
        return {}

    def weighings(self) -> dict[str, ViewWeights]:
        """What each process in it makes of its views, by its place among the members: "" of one that stands alone.

        Empty where nothing weighs views.
        """
        return {}

    def condition_on_observations(self, X: Rows, Y: Tensor, **kwargs: Any) -> FittedModel:
        """This model after q more measurements (X: b x q x (d+1), Y: s x b x q x 1), without refitting.

        Only the joint Gaussian takes part: what reshapes the marginals (a calibration) does not carry over.
        """
        return ConditionedModel(self, X, Y)

    def fantasize(self, X: Rows, sampler: Callable[[Any], Tensor], **kwargs: Any) -> FittedModel:
        """This model after each of s imagined measurements at X."""
        # The Gaussian itself, whatever a concrete class makes of the marginals of a new measurement.
        return self.condition_on_observations(X, sampler(FittedModel.posterior(self, X, observation_noise=True)))

    def solve(self, B: Tensor) -> Tensor:
        """The inverse covariance of the measurements fitted to (n x n), applied to B (n x k).

        A model that keeps no rows takes them as independent with equal variance.
        """
        return B / self.noise(torch.zeros(1, 1, self.facts["width"] + 1, dtype=B.dtype)).reshape(1, 1)


class ConditionedModel(FittedModel):
    r"""A fitted model given further measurements, in closed form.

    $\mu' = \mu_* + C_{*f} C_{ff}^{-1} (y - \mu_f)$ and $\Sigma' = C_{**} - C_{*f} C_{ff}^{-1} C_{f*}$, where C is the
    joint covariance of the model: exact for every model whose joint distribution is Gaussian, over all
    its fidelities, and the rows that it was fitted to need not be touched.
    """

    def __init__(self, base: FittedModel, X: Rows, Y: Tensor) -> None:
        super().__init__()
        self.base, self.facts = base, base.facts
        self.X, self.Y = X, Y[..., 0]

    @property
    def batch_shape(self) -> torch.Size:
        """Of the imagined measurements."""
        return self.Y.shape[:-1]

    def noise(self, X: Rows) -> Tensor:
        """As before."""
        return self.base.noise(X)

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """See `FittedModel.joint`."""
        batch = torch.broadcast_shapes(self.X.shape[:-2], X.shape[:-2])
        q, rows = self.X.shape[-2], X.shape[-2]
        both = torch.cat([self.X.expand(*batch, -1, -1), X.expand(*batch, -1, -1)], dim=-2)
        flags = torch.cat([torch.ones(q, dtype=torch.bool), observed.expand(rows)])
        mean, covariance = self.base.joint(both, flags)
        factor = root(covariance[..., :q, :q])
        reach = torch.linalg.solve_triangular(factor, covariance[..., :q, q:], upper=False)
        surprise = torch.linalg.solve_triangular(factor, (self.Y - mean[..., :q]).unsqueeze(-1), upper=False)
        shift = (reach.mT @ surprise).squeeze(-1)
        updated = covariance[..., q:, q:] - reach.mT @ reach
        return mean[..., q:] + shift, updated.expand(*shift.shape[:-1], rows, rows)


class WrappedModel(FittedModel):
    """A model around another that answers as it does, except where a concrete class says otherwise."""

    def __init__(self, inner: FittedModel, **facts: Any) -> None:
        super().__init__()
        self.inner = inner
        self.facts = {**facts, "inner": inner.facts}

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """See `FittedModel.joint`."""
        return self.inner.joint(X, observed)

    def noise(self, X: Rows) -> Tensor:
        """See `FittedModel.noise`."""
        return self.inner.noise(X)

    def evidence(self) -> Tensor | None:
        """See `FittedModel.evidence`."""
        return self.inner.evidence()

    def hidden(self, X: Rows) -> Tensor | None:
        """See `FittedModel.hidden`."""
        return self.inner.hidden(X)

    def shares(self, X: Rows) -> dict[str, tuple[Tensor, Tensor]]:
        """See `FittedModel.shares`."""
        return self.inner.shares(X)

    def weighings(self) -> dict[str, ViewWeights]:
        """See `FittedModel.weighings`."""
        return self.inner.weighings()

    def probabilities(self, X: Rows) -> Tensor:
        """See `FittedModel.probabilities`."""
        return self.inner.probabilities(X)


class RowsOfInner(WrappedModel):
    """A model around another whose rows and their noise are those that the other was fitted to."""

    def held_noise(self) -> Tensor | None:
        """See `FittedModel.held_noise`."""
        return self.inner.held_noise()

    def told(self) -> Tensor | None:
        """See `FittedModel.told`."""
        return self.inner.told()

    def solve(self, B: Tensor) -> Tensor:
        """See `FittedModel.solve`."""
        return self.inner.solve(B)


class OpenModel(WrappedModel):
    """A model around another whose joint distribution it leaves as it is: what is measured is the other's to learn."""

    def moments(self, X: Rows) -> tuple[Tensor, Covariance, Tensor]:
        """See `FittedModel.moments`."""
        return self.inner.moments(X)

    def condition_on_observations(self, X: Rows, Y: Tensor, **kwargs: Any) -> FittedModel:
        """See `FittedModel.condition_on_observations`."""
        return self.inner.condition_on_observations(X, Y, **kwargs)

    def fantasize(self, X: Rows, sampler: Callable[[Any], Tensor], **kwargs: Any) -> FittedModel:
        """See `FittedModel.fantasize`."""
        return self.inner.fantasize(X, sampler, **kwargs)


class StackModel(FittedModel):
    """A model made of fitted models; a concrete class says how they are combined, in `joint`."""

    def __init__(self, members: Sequence[FittedModel], facts: Facts) -> None:
        super().__init__()
        self.members = torch.nn.ModuleList(members)
        self.facts = facts

    @property
    def member_names(self) -> Sequence[str]:
        """What the members are called: numbers, unless a concrete class knows better."""
        return [str(i + 1) for i in range(len(self.members))]

    def weighings(self) -> dict[str, ViewWeights]:
        """See `FittedModel.weighings`."""
        found: dict[str, ViewWeights] = {}
        for name, member in zip(self.member_names, self.members, strict=True):
            own = cast("FittedModel", member).weighings()
            found |= {f"{name} / {place}" if place else name: weights for place, weights in own.items()}
        return found


class Learner(Value, ABC):
    """A frozen recipe: `fit` turns data into a new model and leaves both recipe and data as they were.

    A concrete class is a frozen dataclass of plain fields and other learners, and names its kind. Two
    recipes with equal fields are equal, and `Learner.of(recipe.config()) == recipe`.

    >>> from mfmat.experts import GP
    >>> Learner.of({"kind": "gp", "kernel": "rbf"}).kernel
    'rbf'
    """

    @abstractmethod
    def fit(self, data: Data) -> FittedModel:
        """The model of these data; the same data and recipe give the same model."""

    @abstractmethod
    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> FittedModel:
        """The fitted model that had these `facts` and this `state_dict()`."""

    def cross_fit(self, data: Data, folds: Sequence[Tensor], executor: Executor | None = None) -> list[FittedModel]:
        """One model for each fold, fitted to all rows but the fold's (positions in `data`)."""
        parts = [data.without(fold) for fold in folds]
        return list(executor.map(OneCore(self.fit), parts)) if executor else [self.fit(part) for part in parts]

    def fit_with_folds(
        self, data: Data, folds: Sequence[Tensor], executor: Executor | None = None
    ) -> list[FittedModel]:
        """The model of all rows, then one for each fold as `cross_fit`; what no fold touches is fitted once."""
        return self.cross_fit(data, [torch.zeros(0, dtype=torch.long), *folds], executor)


class Expert(Learner):
    """A learner with no learner inside; a concrete class says how to build a model and how to train it.

    `build(facts)` gives an untrained model of the sizes in the facts (JSON), `train(model, data)` fills its
    parameters and buffers. From these `fit` and `restore` follow, so that what was saved comes back whole.

    >>> from mfmat.experts import GP
    >>> isinstance(GP(), Expert)
    True
    """

    takes_limits: ClassVar[bool] = False
    """Whether rows may be limits instead of values."""

    @abstractmethod
    def build(self, facts: Facts) -> FittedModel:
        """An untrained model of the right sizes."""

    @abstractmethod
    def train(self, model: Any, data: Data) -> None:
        """Fill the model's parameters and buffers from the data."""

    def fit(self, data: Data) -> FittedModel:
        """The model of these data.

        Raises:
            FitError: labels or limits, for an expert of values.
        """
        name = type(self).__name__
        if not self.takes_limits and (limits := int(data.bounded.sum())):
            raise FitError(
                f"{limits} limit{'s' * (limits != 1)} in place of values",
                expected=f"values for {name}",
                fix=f"Imputed({name}()), which draws values within the limits, or GP() or MultiTask()",
            )
        if data.labels() is not None:
            raise FitError(
                f"labels ({', '.join(data.labels() or ())})",
                expected=f"values for {name}",
                fix="an expert that takes labels, such as GP()",
            )
        model = self.build(facts_of(data))
        self.train(model, data)
        model.eval()
        return model

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> FittedModel:
        """The fitted model that had these facts and this state."""
        model = self.build(facts)
        model.load_state_dict(dict(state), strict=True)
        model.eval()
        return model


def seat(members: Sequence[Learner], i: int, sources: int) -> Learner:
    """The member for source i: the only one there is, or the i-th of as many as there are sources.

    Raises:
        SchemaError: any other number of members.
    """
    if len(members) not in (1, sources):
        raise SchemaError(
            f"{len(members)} members for {sources} sources",
            expected=f"1 member, for every source, or {sources}, in order of trust",
            fix="leave out or add members",
        )
    return members[0] if len(members) == 1 else members[i]


def facts_of(data: Data) -> Facts:
    """What an expert builds its model from: sizes, views, sources and their scales, as JSON."""
    sets = {name: [[part.start, part.stop] for part in found] for name, found in data.sets.items()}
    return {
        "rows": len(data),
        "width": data.X.shape[-1] - 1,
        "views": {name: [view.start, view.stop] for name, view in data.views.items()},
        "kernels": dict(data.kernels),
        "sources": list(data.sources),
        "scales": [list(standard) for standard in data.standards()],
    } | ({"sets": sets} if sets else {})


def views_of(facts: Facts) -> dict[str, slice]:
    """The columns of each view, as the facts of a model have them.

    >>> views_of({"views": {"composition": [0, 3], "numeric": [3, 4]}})
    {'composition': slice(0, 3, None), 'numeric': slice(3, 4, None)}
    """
    return {name: slice(*ends) for name, ends in facts["views"].items()}


def part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The part of a state that belongs to one member.

    >>> part({"inner.a": torch.zeros(1), "b": torch.ones(1)}, "inner.")
    {'a': tensor([0.])}
    """
    return {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}

"""Gaussian process over views: a few hyperparameters, learned fast, conditioned on every row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal

from torch import Tensor

from mfmat.data import Data
from mfmat.descent import few_threads
from mfmat.errors import FitError, SchemaError, UnknownNameError, nearest
from mfmat.experts.hyperposterior import GPMixtureModel
from mfmat.experts.limits import learn_within
from mfmat.experts.process import GPModel
from mfmat.kernel_families import FAMILIES
from mfmat.kernels import PLUS, Families
from mfmat.labels import LabelExpert
from mfmat.learner import Facts, FittedModel, facts_of


@dataclass(frozen=True, kw_only=True)
class GP(LabelExpert, kind="gp"):
    r"""Exact Gaussian process regression with a kernel over views.

    $f \sim GP(0, k)$ on values standardised for each source, $y = f(x) + \epsilon$ with
    $\epsilon \sim N(0, \sigma_s^2 + v_i)$: a noise learned for each source s, plus what is known of row i
    (replicates, a noise column; a known noise is all there is). Hyperparameters maximise marginal
    likelihood times prior (`ViewKernel`, and $\ln\sigma_s^2 \sim N(-3, 1.5^2)$, which keeps the noise away from
    0 until data say otherwise). All sources are taken as one function in their own units; to fuse
    sources that differ, put it in a stack. Of a row that is a limit it learns that the value lies on that side of
    it (`learn_within`).

    With `noise="input"` the learned noise is $\sigma_s^2 e^{g(x)}$ with a smooth g that is learned from the errors of
    left-out rows and is 0 far from them (`InputNoise`). With `inference="nuts"` hyperparameters are not
    chosen but sampled from their posterior, and the posterior of a row is a mixture over the draws: for some
    hundred rows, where one choice of them would be too sure of itself.

    Args:
        kernel: `"matern12"`, `"matern32"`, `"matern52"`, `"rbf"`, `"rq"` (rational quadratic), `"linear"` or
            `"tanimoto"`, or a sum such as `"matern52 + linear"`, by the name of the view, or one for every view but
            those that their featurizer names one for (fingerprints: `"tanimoto"`), see `ViewKernel`.
        additive: views of which every column becomes a view of its own, with its own lengthscales and weight: the value
            is a sum over those columns and a joint term. Columns that do not vary among the rows are left out.
        ard: a relevance for every column as well (slower).
        noise: `"source"`, one variance for each source, or `"input"`, one that depends on the inputs as well.
        inference: `"map"` or `"nuts"` (Pyro's no-U-turn sampler).
        learn_rows: hyperparameters are learned on at most this many rows; all rows are conditioned on.
        limit: the largest number of rows; the covariance takes 8 limit^2 bytes.
        steps: of L-BFGS at most.
        draws: of the hyperparameters that are kept with `inference="nuts"`, one in four of the chain.
        warmup: steps of the sampler before the first draw.
        seed: of the choice of rows to learn on, and of the sampler.

    Raises:
        FitError: more rows than `limit`.
        UnknownNameError: a kernel that there is not, or a view that the data do not have.
        SchemaError: another noise or inference, or no draws.

    Rasmussen & Williams 2006, ISBN 026218253X, chapters 2 and 5; Kersting et al. 2007, doi:10.1145/1273496.1273546;
    Hoffman & Gelman 2014, arXiv:1111.4246; Duvenaud et al. 2011, arXiv:1112.4394, for additive processes.

    >>> import pandas as pd
    >>> from mfmat.features import Columns
    >>> from mfmat.schema import Schema
    >>> table = pd.DataFrame({"x": [0.0, 1.0, 2.0], "y": [0.0, 1.0, 2.0]})
    >>> schema = Schema(Columns("x"), value="y")
    >>> model = GP().fit(schema.data(table))
    >>> model.posterior(schema.encode(table)[0]).mean.shape
    torch.Size([3, 1, 1])
    """

    takes_limits: ClassVar[bool] = True

    kernel: Families = "matern52"
    additive: tuple[str, ...] = ()
    ard: bool = False
    noise: Literal["source", "input"] = "source"
    inference: Literal["map", "nuts"] = "map"
    learn_rows: int = 1000
    limit: int = 10_000
    steps: int = 100
    draws: int = 16
    warmup: int = 150
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "additive", (self.additive,) if isinstance(self.additive, str) else tuple(self.additive)
        )
        if not isinstance(self.kernel, str):
            # In one order, so that equal recipes have equal hashes.
            object.__setattr__(self, "kernel", dict(sorted(self.kernel.items())))
        named = [self.kernel] if isinstance(self.kernel, str) else self.kernel.values()
        for family in (part for each in named for part in each.split(PLUS)):
            if family not in FAMILIES:
                raise UnknownNameError(
                    f"kernel={family!r}",
                    expected=f"one of {', '.join(map(repr, FAMILIES))}",
                    fix=nearest(family, FAMILIES) + 'GP(kernel="matern52")',
                )

        for name, known in (("noise", ("source", "input")), ("inference", ("map", "nuts"))):
            if (given := getattr(self, name)) not in known:
                raise SchemaError(
                    f"{name}={given!r}",
                    expected=f"one of {', '.join(map(repr, known))}",
                    fix=nearest(given, known) + f'GP({name}="{known[0]}")',
                )
        if self.draws < 1:
            raise SchemaError(f"draws={self.draws}", expected="at least 1", fix="GP(draws=16)")

    def __hash__(self) -> int:
        return hash(repr(self.config()))

    def build(self, facts: Facts) -> GPModel | GPMixtureModel:
        """An untrained model."""
        field = self.learn_rows if self.noise == "input" else 0
        subset = (self.learn_rows, self.seed)
        make = partial(GPModel, facts, self._families(facts["views"]), self.ard, field, subset)
        return make() if self.inference == "map" else GPMixtureModel(facts, make, self.draws)

    def fit(self, data: Data) -> FittedModel:
        """The model of these data."""
        return super().fit(replace(data, views=apart(data, self.additive)))

    def fit_with_folds(
        self, data: Data, folds: Sequence[Tensor], executor: Executor | None = None
    ) -> list[FittedModel]:
        """See `Learner.fit_with_folds`: a fold's hyperparameters are sought from where those of all rows were found."""
        if executor or self.inference != "map" or data.labels() is not None:
            return super().fit_with_folds(data, folds, executor)
        whole = self.fit(data)
        return [whole, *(self._fit_from(whole, data.without(fold)) for fold in folds)]

    def _fit_from(self, start: FittedModel, data: Data) -> FittedModel:
        data = replace(data, views=apart(data, self.additive))
        model = self.build(facts_of(data))
        if isinstance(model, GPModel) and isinstance(start, GPModel):
            model.start_from(start)
        self.train(model, data)
        return model.eval()

    def train(self, model: GPModel | GPMixtureModel, data: Data) -> None:
        """Learn the hyperparameters, then condition on every row."""
        if len(data) > self.limit:
            raise FitError(
                f"{len(data)} rows",
                expected=f"at most {self.limit} for an exact Gaussian process",
                fix=f"GP(limit={len(data)}) ({8e-9 * len(data) ** 2:.1f} GB), fewer rows, or mf.Auto()",
            )
        with few_threads(min(len(data), self.learn_rows)):
            self._train(model, data)

    def _families(self, views: Mapping[str, object]) -> Families:
        """What was said of a view holds for each of its columns."""
        if isinstance(self.kernel, str):
            return self.kernel
        named = {name: family for name, family in self.kernel.items() if name in views or name not in self.additive}
        columns = {name: view for name in views if (view := name.split("[")[0]) in self.additive and view != name}
        return named | {name: self.kernel[view] for name, view in columns.items() if view in self.kernel}

    def _train(self, model: GPModel | GPMixtureModel, data: Data) -> None:
        process = model if isinstance(model, GPModel) else model.process
        process.hold(data)
        chosen = process.chosen()
        if len(data):
            learn_within(process, data, partial(process.learn, chosen, self.steps, data.trend))
        if isinstance(model, GPMixtureModel):
            model.learn(chosen, data.trend, self.warmup, self.seed)


def apart(data: Data, additive: tuple[str, ...]) -> dict[str, slice]:
    """The views of the data (n x d), with one for every column that varies in the place of those that are additive."""
    if unknown := [name for name in additive if name not in data.views]:
        raise UnknownNameError(
            f"additive={unknown[0]!r}",
            expected=f"one of the views {', '.join(map(repr, data.views))}",
            fix=nearest(unknown[0], data.views) + "name views that the inputs have",
        )
    views = {}
    for name, view in data.views.items():
        if name not in additive:
            views[name] = view
            continue
        block = data.X[:, view]
        varying = (block != block[:1]).any(dim=0).nonzero().flatten().tolist()
        views |= {f"{name}[{column}]": slice(view.start + column, view.start + column + 1) for column in varying}
    # Rows that all agree have no column that varies; the views then stay as they are.
    return views or dict(data.views)

"""Transformed: a member that learns a function of the values, and answers for the values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import KW_ONLY, dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.errors import FitError, SchemaError, check_choice
from mfmat.learner import Facts, FittedModel, Learner, part
from mfmat.metrics import has_atoms, row_nll
from mfmat.stacks.transformed_model import PlainModel, TransformedModel
from mfmat.transforms import BENT, Arcsinh, Logarithm, Transform, find_bend

TRANSFORMS = ("auto", "identity", "log", "arcsinh")
FEWEST = 10
"""Target compounds below which nothing is held out, and values are taken as they are."""
WINDOW = 0.01
"""Half the width over which densities are averaged where there are atoms, in standard deviations of the target."""
EVERYTHING = torch.zeros(0, dtype=torch.long)
"""The fold of a model that sees all rows."""
Fit = Callable[[Learner, Data], list[FittedModel]]


@dataclass(frozen=True)
class Transformed(Learner, kind="transformed"):
    r"""A member that learns $z = g(y)$ for a rising function g; every answer is for the values themselves.

    For values over decades, such as dielectric constants and conductivities: where errors grow with the value, one
    spread for all is wrong, and the largest values decide everything. Quantiles and draws are those of z seen through
    $g^{-1}$, the density is $p(y) = p_z(g(y))\,g'(y)$, and more measurements are learned from as their transforms,
    exactly. The noise-free value is $g^{-1}$ of the noise-free z.

    All sources get the same function, so put it around a stack, as in `Transformed(Latent([GP()]))`; labels stay as
    they are. Known noise $\sigma$ becomes $\operatorname{arsinh}(g'(y)\,\sigma)$, which is the delta method
    where noise is small; a limit is a limit of the transform.

    `"log"` is the natural logarithm, for values above 0. `"arcsinh"` is $\operatorname{arsinh}((y - c) / s)$ for values
    of either sign, c and s the likeliest of the target's. `"auto"` tries the logarithm, or the latter where a value is
    not above 0: the member is fitted to the values and to their transforms, and these are kept where they raise the
    log density of held-out values by more than one standard error (Breiman et al. 1984), a density of values in both
    cases. No trial where values are nearly straight under the transform. `model.facts["why"]` has the evidence. With
    `fit_with_folds` and `cross_fit` the folds are those given, and the choice for a fold is that of the others.

    Args:
        member: the learner.
        transform: `"auto"`, `"identity"`, `"log"` or `"arcsinh"`.
        folds: parts that the target compounds are divided into for the choice, where no folds are given.
        seed: of that division.

    Raises:
        SchemaError: another transform, fewer than 2 folds.
        FitError: a value, or a limit, that has no logarithm; a target that is a label, except with `"auto"`.

    Box & Cox 1964, doi:10.1111/j.2517-6161.1964.tb00553.x; Snelson et al. 2003, NeurIPS 16.

    >>> import pandas as pd
    >>> from mfmat.experts import GP
    >>> from mfmat.features import Columns
    >>> from mfmat.schema import Schema
    >>> table = pd.DataFrame({"x": range(30), "y": [2.0 ** (x % 7) for x in range(30)]})
    >>> model = Transformed(GP(), transform="log").fit(Schema(Columns("x"), value="y").data(table))
    >>> model.facts["why"]
    ['y: the logarithm, as asked for.']
    """

    member: Learner
    _: KW_ONLY
    transform: Literal["auto", "identity", "log", "arcsinh"] = "auto"
    folds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("transform", self.transform, TRANSFORMS)
        if self.folds < 2:
            raise SchemaError(f"folds={self.folds}", expected="at least 2", fix="Transformed(member, folds=3)")

    def fit(self, data: Data) -> FittedModel:
        """The model of these data."""
        one = self.transform != "auto" or suggest(data)[0] is None
        folds = [] if one else data.split(self.folds, self.seed)
        return self.fit_with_folds(data, folds)[0]

    def cross_fit(self, data: Data, folds: Sequence[Tensor], executor: Executor | None = None) -> list[FittedModel]:
        """One model for each fold; the member is cross-fitted once for each transform."""
        return self._each(data, folds, lambda member, rows: member.cross_fit(rows, folds, executor))

    def fit_with_folds(
        self, data: Data, folds: Sequence[Tensor], executor: Executor | None = None
    ) -> list[FittedModel]:
        """See `Learner.fit_with_folds`."""
        fit: Fit = lambda member, rows: member.fit_with_folds(rows, folds, executor)  # noqa: E731
        return self._each(data, [EVERYTHING, *folds], fit)

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> FittedModel:
        """The fitted model that had these facts and this state."""
        own = {name: fact for name, fact in facts.items() if name != "inner"}
        inner = self.member.restore(facts["inner"], part(state, "inner."))
        if facts["transform"] is None:
            return PlainModel(inner, **own).eval()
        return TransformedModel(inner, own, state["slopes"]).eval()

    def _each(self, data: Data, unseen: Sequence[Tensor], fit: Fit) -> list[FittedModel]:
        """One model for each part of the rows that it must not see."""
        transform, why = self._settle(data)
        if self.transform != "auto" or transform is None:
            return _around(fit(self.member, apply(transform, data)), data, unseen, transform, [why])
        held = [rows[data.fidelity[rows] == data.target] for rows in data.scored(unseen)]
        if sum(len(rows) > 0 for rows in held) < 2:
            return [self.fit(data.without(fold)) for fold in unseen]
        plain = _around(fit(self.member, data), data, unseen, None, [])
        other = _around(fit(self.member, apply(transform, data)), data, unseen, transform, [])
        gains = _compare(data, held, plain, other)
        chosen = []
        for k, fold in enumerate(unseen):
            better, said = _choose(gains, held, fold, transform, data.sources[-1])
            model = other[k] if better else plain[k]
            model.facts["why"] = [said]
            chosen.append(model)
        return chosen

    def _settle(self, data: Data) -> tuple[Transform | None, str]:
        """The transform that is asked for or worth a try, None for the values themselves, and why."""
        target = data.sources[-1]
        if self.transform == "auto":
            return suggest(data)
        if data.target in data.classes:
            raise FitError(
                f"the target {target!r}, which is a label, with transform={self.transform!r}",
                expected="values to transform",
                fix="the member without Transformed",
            )
        if self.transform == "identity":
            return None, f"{target}: the values themselves, as asked for."
        found = Logarithm() if self.transform == "log" else _learn(data)
        if found is None:
            return None, f"{target}: the values themselves, which have no spread to learn a transform from."
        return found, f"{target}: {found.name}, as asked for."


def suggest(data: Data) -> tuple[Transform | None, str]:
    """The transform that is worth a trial, None where none is, with the reason."""
    target = data.sources[-1]
    if data.target in data.classes:
        return None, f"{target}: labels, which have no transform."
    plain = f"{target}: the values themselves"
    if (compounds := data.compounds()) < FEWEST:
        return None, f"{plain}; {compounds} compounds are too few to hold some out."
    allowed = Logarithm().allows(data.Y[~data.labelled, 0])
    found = Logarithm() if bool(allowed.all()) else _learn(data)
    some = "" if bool(allowed.all()) else f"; {int((~allowed).sum())} values are not above 0 and have no logarithm"
    if found is None:
        return None, f"{plain}, which have no spread to learn a transform from{some}."
    if (bend := find_bend(found, _loose(data))) < BENT:
        return None, f"{plain}, which are nearly straight under {found.name} (1 - r² = {bend:.2g}){some}."
    return found, f"{target}: {found.name} is worth a trial (1 - r² = {bend:.2g}){some}."


def apply(transform: Transform | None, data: Data) -> Data:
    """The same rows with transformed values; labels stay as they are.

    Raises:
        FitError: a value without a transform.
    """
    if transform is None:
        return data
    mine = ~data.labelled
    if not bool((allowed := transform.allows(data.Y[:, 0]) | ~mine).all()):
        row = int(torch.nonzero(~allowed)[0])
        limit = "a limit of " if bool(data.bounded[row]) else ""
        raise FitError(
            f"{limit}{float(data.Y[row, 0]):g} in row number {int(data.rows[row])}, source "
            f"{data.sources[int(data.fidelity[row])]!r}, and {int((~allowed).sum()) - 1} more without {transform.name}",
            expected="values above 0 in every source",
            fix='transform="arcsinh" or "auto", for every value; around a Difference, not in it',
        )
    slope = _slopes(transform, data)[:, None]
    return replace(
        data,
        Y=torch.where(mine[:, None], transform.forward(data.Y), data.Y),
        # The slope of g, except where the noise is wider than the piece of g that is straight: a logarithm saturates.
        Yvar=(data.Yvar.sqrt() * slope).arcsinh().square(),
        anchor=_anchor(transform, data),
        trend=None if data.trend is None else data.trend * slope,
        floor=_single(transform, data.floor),
    )


def _around(
    models: Sequence[FittedModel], data: Data, unseen: Sequence[Tensor], transform: Transform | None, why: list[str]
) -> list[FittedModel]:
    """Models of transforms, each without the rows that it must not see, as models of values."""
    facts: Facts = {"width": data.X.shape[-1] - 1, "sources": list(data.sources), "labels": sorted(data.classes)}
    facts |= {"transform": None if transform is None else transform.config(), "why": why}
    if transform is None:
        return [PlainModel(model, **facts).eval() for model in models]
    slopes = [_slopes(transform, data.without(fold)) for fold in unseen]
    pairs = zip(models, slopes, strict=True)
    return [TransformedModel(model, facts, slope).eval() for model, slope in pairs]


def _slopes(transform: Transform, data: Data) -> Tensor:
    """Of the transform at each value (n), 1 at labels."""
    return torch.where(data.labelled, 1.0, transform.log_slope(data.Y[:, 0]).exp())


def _compare(
    data: Data, held: Sequence[Tensor], plain: Sequence[FittedModel], other: Sequence[FittedModel]
) -> list[Tensor]:
    """By how much the transform raises the log density of each held-out value of each fold."""
    gains = []
    for rows, *models in zip(held, plain, other, strict=True):
        y = data.Y[rows].unsqueeze(1)
        if not len(rows):
            gains.append(y.new_zeros(0))
            continue
        with torch.no_grad():
            said = [model.posterior(data.X[rows].unsqueeze(1), None, True) for model in models]
            window = WINDOW * data.standards()[data.target][1] if any(map(has_atoms, said)) else None
            before, after = (row_nll(each, y, window).flatten() for each in said)
        gains.append(before - after)
    return gains


def _choose(
    gains: Sequence[Tensor], held: Sequence[Tensor], fold: Tensor, transform: Transform, target: str
) -> tuple[bool, str]:
    """Whether the transform is kept by what was held out other than a fold, and why."""
    gain = torch.cat([each[~torch.isin(rows, fold)] for each, rows in zip(gains, held, strict=True)])
    if len(gain) < 2:
        return False, f"{target}: the values themselves; nothing is held out to compare {transform.name} on."
    mean, error = float(gain.mean()), float(gain.std()) / math.sqrt(len(gain))
    better = mean > error
    what = transform.name if better else f"the values themselves and not {transform.name}"
    return (
        better,
        f"{target}: {what}, which changes the log density of {len(gain)} held-out values by {mean:.3g} ± {error:.2g}.",
    )


def _learn(data: Data) -> Arcsinh | None:
    """The likeliest transform of the target's values, None of those without a spread."""
    y = _loose(data)
    return Arcsinh.learn(y) if len(y.unique()) > 2 else None


def _loose(data: Data) -> Tensor:
    """The target's values that are no limits and on no atom; all of them where that leaves few."""
    y = data.Y[(data.fidelity == data.target) & ~data.bounded, 0]
    loose = y[~torch.isin(y, data.atoms())]
    return loose if len(loose) >= FEWEST else y


def _single(transform: Transform, value: float | None) -> float | None:
    """The transform of one value, None where there is none."""
    if value is None or not math.isfinite(z := float(transform.forward(torch.tensor(value).double()))):
        return None
    return z


def _anchor(transform: Transform, data: Data) -> tuple[float, float] | None:
    """Mean and spread believed before any row, by the slope at the mean; None where it has no transform."""
    if data.anchor is None or (centre := _single(transform, data.anchor[0])) is None:
        return None
    return centre, data.anchor[1] * float(transform.log_slope(torch.tensor(data.anchor[0]).double()).exp())

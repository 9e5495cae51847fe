"""MultiTask: one Gaussian process over all sources, with signed correlations between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from mfmat.data import Data, material_keys
from mfmat.descent import few_threads
from mfmat.errors import FitError, SchemaError
from mfmat.experts import GP
from mfmat.experts.gp import apart
from mfmat.experts.limits import learn_within
from mfmat.experts.process import GPModel
from mfmat.learner import Facts, Learner, facts_of
from mfmat.stacks.multi_task_model import MultiTaskModel
from mfmat.types import Codes

FEW = 5
"""Rows below which a source's spread is not taken from them alone."""


@dataclass(frozen=True)
class MultiTask(Learner, kind="multi_task"):
    r"""One Gaussian process over the rows of all sources, none above another, with learned signed correlations.

    On values standardised for each source, $y = f_s(x) + u_s \xi + \epsilon$ with

    $\mathrm{cov}(f_s(x), f_{s'}(x')) = \sum_q B_q[s, s'] k_q(x, x'), \qquad B_q = W_q W_q^T + \mathrm{diag}(\kappa_q)$

    (the linear model of coregionalisation), $\xi \sim N(0, 1)$ of each material, common to its values in all sources,
    and noise as the member has it, of each source and known of each row. An inverted source has a negative correlation
    and helps as much as any; priors pull correlations towards 0 (`Coregion`), so that a source that tells nothing of
    the target leaves it alone.

    Up to the member's limit of rows the process is exact. With more, it is conditioned on all of them through
    `inducing` rows that stand for the smooth functions f, half of them the target's; what is a material's own is kept
    exactly (`Sparse`).

    Args:
        member: says kernel, views, rows to learn on (the target's first), limit of an exact process, steps and seed.
        rank: columns of each W; independent functions that sources can share in each term.
        terms: kernels $k_q$, each with its own lengthscales and weights.
        limit: rows of each cheap source at most, those of materials that the target has too first, the others drawn
            at random; `facts["left_out"]` says how many were not used. None: all.
        inducing: rows that stand for the others where they are more than the member's limit.

    Raises:
        FitError: labels; limits among more rows than the member's limit.
        SchemaError: a member with `noise="input"` or `inference="nuts"`; a rank, terms or rows below 1.

    Bonilla et al. 2007, <https://papers.nips.cc/paper/3189>; Alvarez et al. 2012, doi:10.1561/2200000036.

    >>> import pandas as pd
    >>> from mfmat.features import Columns
    >>> from mfmat.schema import Schema
    >>> table = pd.DataFrame({"x": range(8), "y": [0, 1, 2, 3, 0, -1, -2, -3], "s": ["up"] * 4 + ["down"] * 4})
    >>> table["x"] = table["x"] % 4
    >>> schema = Schema(Columns("x"), value="y", source="s", costs={"up": 1, "down": 2})
    >>> bool(MultiTask().fit(schema.data(table)).correlations()[0, 1] < -0.8)
    True
    """

    member: GP = field(default_factory=GP)
    _: KW_ONLY
    rank: int = 2
    terms: int = 1
    limit: int | None = 1000
    inducing: int = 1000

    def __post_init__(self) -> None:
        for name in ("rank", "terms", "limit", "inducing"):
            if (size := getattr(self, name)) is not None and size < 1:
                raise SchemaError(f"{name}={getattr(self, name)}", expected="at least 1", fix=f"MultiTask({name}=1)")
        for name, value in (("noise", "source"), ("inference", "map")):
            if (given := getattr(self.member, name)) != value:
                raise SchemaError(
                    f"MultiTask(GP({name}={given!r}))",
                    expected=f"{name}={value!r}, all that several sources at once can have",
                    fix=f"GP({name}={value!r}), or Latent([GP({name}={given!r})])",
                )

    def fit(self, data: Data) -> MultiTaskModel:
        """The model of these data."""
        if data.classes:
            raise FitError(
                f"labels ({', '.join(data.sources[i] for i in sorted(data.classes))})",
                expected="values in every source, for MultiTask",
                fix="a stack that takes each source on its own, such as Latent([GP()])",
            )
        data = replace(data, views=apart(data, self.member.additive))
        facts = facts_of(data) | {"scales": _standards(data)}
        kept = self._kept(data)
        many = len(kept) > self.member.limit
        if many and bool(data.bounded.any()):
            raise FitError(
                f"{int(data.bounded.sum())} limits among {len(kept)} rows",
                expected=f"values, or at most {self.member.limit} rows, for MultiTask",
                fix=f"MultiTask(GP(limit={len(kept)})), a smaller limit=, or Latent([GP()])",
            )
        used = torch.bincount(data.fidelity[kept], minlength=len(data.sources))
        left_out = torch.bincount(data.fidelity, minlength=len(data.sources)) - used
        facts |= {"rows": len(kept), "material": data.material, "left_out": left_out.tolist()}
        facts["inducing"] = min(self.inducing, len(kept)) if many else 0
        model = self._build(facts)
        rows = data.take(kept)
        with few_threads(len(rows)):
            model.hold(rows)
            if len(rows):
                chosen = self._learned(rows)
                learn = partial(model.learn, chosen, self.member.steps, self.member.seed, rows.trend)
                learn_within(model, rows, learn)
            if many:
                model.choose(self.member.seed)
        return model

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> MultiTaskModel:
        """The fitted model that had these facts and this state."""
        model = self._build(facts)
        model.load_state_dict(dict(state), strict=True)
        return model

    def _build(self, facts: Facts) -> MultiTaskModel:
        empty = [self.member.build(facts | {"rows": 0}) for _ in range(self.terms)]
        kernels = [model.kernel for model in empty if isinstance(model, GPModel)]
        return MultiTaskModel(facts, kernels, self.rank).eval().requires_grad_(False)

    def _kept(self, data: Data) -> Codes:
        """Positions of the target's rows and of at most `limit` of each other source."""
        keys = material_keys(data.X, data.material)
        shared = torch.isin(keys, keys[data.fidelity == data.target])
        parts = []
        for fidelity in range(len(data.sources)):
            rows = (data.fidelity == fidelity).nonzero().flatten()
            parts.append(rows if fidelity == data.target else _first(rows, shared[rows], self.limit, self.member.seed))
        return torch.cat(parts).sort().values

    def _learned(self, data: Data) -> Codes:
        """Positions to learn hyperparameters on: half of them the target's, then those of its materials."""
        count = self.member.learn_rows
        at_target = data.fidelity == data.target
        if len(data) <= count:
            return torch.arange(len(data))
        targets = at_target.nonzero().flatten()
        others = (~at_target).nonzero().flatten()
        targets = _first(targets, torch.ones_like(targets) > 0, max(count // 2, count - len(others)), self.member.seed)
        keys = material_keys(data.X, data.material)
        shared = torch.isin(keys[others], keys[targets])
        return torch.cat([targets, _first(others, shared, count - len(targets), self.member.seed)])


def _standards(data: Data) -> list[list[float]]:
    """Mean and spread of each source, its own, as units may differ; of few rows as `Data` has it."""
    standards = data.standards()
    for fidelity in range(len(standards) if data.anchor is None else 0):
        rows = data.take(data.fidelity == fidelity)
        if len(rows) >= FEW:
            standards[fidelity] = rows.standards()[fidelity]
    return [list(standard) for standard in standards]


def _first(rows: Tensor, first: Tensor, count: int | None, seed: int) -> Tensor:
    """At most `count` of these positions (None: all), those flagged in `first` before others, each in random order."""
    if count is None or len(rows) <= count:
        return rows
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    return rows[order[torch.argsort(~first[order], stable=True)][:count]]

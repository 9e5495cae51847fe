"""Rules by which a campaign ends: LowScore, Regret and SameTop, as values."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from mfmat.errors import SchemaError
from mfmat.values import Value


@dataclass(frozen=True)
class Outlook:
    """What a rule may know: what the newest model says of the n candidates of a pool.

    Attributes:
        mean, variance: of the target's noise-free value at each candidate (n).
        unknown: whether a candidate has neither a value nor a failure at the target (n).
        maximize: whether large values are wanted.
        best: the best value measured in the target; None where there is none.
        earlier: the means of the models before, the newest first.
        score: the highest score of all open pairs; NaN where nothing is worth an ask.
    """

    mean: Tensor = field(repr=False)
    variance: Tensor = field(repr=False)
    unknown: Tensor = field(repr=False)
    maximize: bool
    best: float | None
    earlier: Sequence[Tensor] = field(default=(), repr=False)
    score: float = math.nan


class Rule(Value, ABC):
    """A frozen value that says when a campaign has done its work.

    Attributes:
        ranks: whether the rule is about the best candidates, so that a campaign to learn the pool cannot have it.
    """

    ranks: ClassVar[bool] = True

    @property
    def memory(self) -> int:
        """How many earlier models the rule looks at."""
        return 0

    @abstractmethod
    def explain(self, outlook: Outlook) -> str:
        """Why the campaign may end, in words; empty where it should go on."""


@dataclass(frozen=True)
class LowScore(Rule, kind="low_score"):
    r"""No open pair is worth its price: the highest utility per unit of cost is below a threshold.

    With the expected improvement as utility this is the rule of Nguyen et al. 2017 (ACML, PMLR 77:279), by price.

    Args:
        threshold: in the units of the score, for `Improvement` those of the values per unit of cost.

    Raises:
        SchemaError: a threshold of 0 or less, below which no score is.

    >>> LowScore(0.01).config()
    {'kind': 'low_score', 'threshold': 0.01}
    """

    threshold: float
    ranks: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check(self, "threshold", "more than 0", good=0 < self.threshold < math.inf)

    def explain(self, outlook: Outlook) -> str:
        """See `Rule.explain`."""
        if not outlook.score < self.threshold:
            return ""
        return f"the best score is {outlook.score:.3g}, below {self.threshold:g}"


@dataclass(frozen=True)
class Regret(Rule, kind="regret"):
    r"""With confidence, no candidate without a value of the target exceeds the best measured one by more than a bound.

    $\sum_i \Phi\left(-\frac{y^* + b - \mu_i}{\sigma_i}\right) \le 1 - \text{level}$ over all candidates i without a
    value: the union bound over their Gaussian tails, which holds however they depend on each other. It promises what
    the model's means and variances are worth; compare probabilistic regret bounds (Wilson 2024, NeurIPS 37).

    Args:
        bound: b, in the units of the values.
        level: the confidence.

    Raises:
        SchemaError: a negative bound, or a level outside 0 to 1.

    >>> outlook = Outlook(torch.tensor([0.0, 1.0]), torch.full((2,), 0.01), torch.tensor([True, False]), True, 1.0)
    >>> Regret(0.1).explain(outlook)
    'with confidence 0.95 no other candidate is better than the best value (1) by more than 0.1'
    """

    bound: float
    level: float = 0.95

    def __post_init__(self) -> None:
        _check(self, "bound", "0 or more", good=0 <= self.bound < math.inf)
        _check(self, "level", "between 0 and 1", good=0 < self.level < 1)

    def explain(self, outlook: Outlook) -> str:
        """See `Rule.explain`."""
        if outlook.best is None:
            return ""
        sign = 1.0 if outlook.maximize else -1.0
        gain = sign * (outlook.mean - outlook.best) - self.bound
        chance = torch.special.ndtr(gain / outlook.variance.sqrt())[outlook.unknown].sum()
        if chance > 1 - self.level:
            return ""
        said = f"no other candidate is better than the best value ({outlook.best:.4g}) by more than {self.bound:g}"
        return f"with confidence {self.level:g} {said}"


@dataclass(frozen=True)
class SameTop(Rule, kind="same_top"):
    """The k best candidates by predicted mean are those of so many models before, in whatever order.

    Args:
        k: candidates.
        rounds: models before the newest that agree with it; an ask with nothing new told has no model of its own.

    Raises:
        SchemaError: fewer than one candidate or round.

    >>> mean = torch.tensor([0.1, 0.9, 0.8])
    >>> outlook = Outlook(mean, mean, mean > 0, True, None, earlier=[mean])
    >>> SameTop(k=1, rounds=1).explain(outlook)
    'the 1 best by predicted mean are the same in 2 models in a row'
    """

    k: int = 10
    rounds: int = 3

    def __post_init__(self) -> None:
        for name in ("k", "rounds"):
            _check(self, name, "1 or more", good=getattr(self, name) >= 1)

    @property
    def memory(self) -> int:
        """See `Rule.memory`."""
        return self.rounds

    def explain(self, outlook: Outlook) -> str:
        """See `Rule.explain`."""
        before = outlook.earlier[: self.rounds]
        top = self._top(outlook.mean, outlook)
        if len(before) < self.rounds or any(self._top(mean, outlook) != top for mean in before):
            return ""
        return f"the {self.k} best by predicted mean are the same in {self.rounds + 1} models in a row"

    def _top(self, mean: Tensor, outlook: Outlook) -> set[int]:
        return set(mean.topk(min(self.k, len(mean)), largest=outlook.maximize).indices.tolist())


def _check(rule: Rule, name: str, expected: str, *, good: bool) -> None:
    if not good:
        came = getattr(rule, name)
        raise SchemaError(f"{type(rule).__name__} with {name}={came!r}", expected=expected, fix="another number")

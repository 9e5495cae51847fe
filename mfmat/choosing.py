"""The greedy choice of pairs: the most utility for its price, one after the other, within a budget."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mfmat.acquisitions import Acquisition
from mfmat.prospects import Prospects

FIRST = 1e9
"""What lifts the score of pairs that cost nothing above all that have a price."""
ROUNDING = 1 + 1e-12
"""A sum of prices that add up to the budget must not miss it by rounding."""


@dataclass(frozen=True)
class Choice:
    """One pair that was chosen, what it was preferred to, and how likely it was to be chosen.

    Attributes:
        tells: the share of each value's doubt that it takes away at its own candidate.
        scores: of its candidate in each source; NaN where it is not open.
        highest: the highest score of any pair then.
    """

    candidate: int
    fidelity: int
    cost: float
    utility: float
    score: float
    tells: tuple[float, ...]
    scores: tuple[float, ...]
    highest: float
    probability: float


@dataclass(frozen=True)
class Terms:
    """What may be chosen and at which price.

    Attributes:
        costs: price of each pair (n x m).
        open: pairs that may be chosen (n x m).
        chance: probability that a measurement of each candidate gives a value (n); 1 where None.
        budget: sum of the costs at most.
        first: the fidelity of the first pair, where one there is possible; None: any.
        temperature: of the softmax that pairs are drawn by; 0: always the best.
        seed: of those draws.
    """

    costs: Tensor
    open: Tensor
    chance: Tensor | None = None
    budget: float = math.inf
    first: int | None = None
    temperature: float = 0.0
    seed: int = 0


def choose(prospects: Prospects, acquisition: Acquisition, terms: Terms, n: int) -> list[Choice]:
    r"""At most n pairs, each the best after those before it are believed.

    With a temperature t the best of $\log score + t G$, G a Gumbel variate, is taken: a draw by
    $score^{1/t}$ (Gumbel-max; the design of Fannjiang et al. 2022, doi:10.1073/pnas.2204569119), whose probability is
    recorded, so that what is measured can be weighed by it.
    """
    left, open_ = terms.budget, terms.open.clone()
    generator = torch.Generator().manual_seed(terms.seed)
    chosen: list[Choice] = []
    while len(chosen) < n:
        utility = _utility(prospects, acquisition, terms)
        score = per_cost(utility, terms.costs)
        affordable = open_ & (terms.costs <= left * ROUNDING)
        possible = affordable & (utility > -math.inf)
        if not bool(possible.any()):
            break
        if terms.first is not None and not chosen and bool(possible[:, terms.first].any()):
            possible = possible & (torch.arange(prospects.sources) == terms.first)
        rank = torch.where(possible, free_first(score, terms.costs), -math.inf).flatten()
        best, probability = _draw(rank, terms.temperature, generator)
        candidate, fidelity = divmod(best, prospects.sources)
        where = (candidate, fidelity)
        scores = torch.where(open_[candidate], score[candidate].exp(), math.nan).tolist()
        choice = Choice(
            candidate,
            fidelity,
            cost=float(terms.costs[where]),
            utility=math.exp(utility[where]),
            score=math.exp(score[where]),
            tells=tuple(float(each.tells[where]) for each in prospects.objectives),
            scores=tuple(scores),
            highest=float(score[affordable].max().exp()),
            probability=probability,
        )
        chosen.append(choice)
        open_[where], left = False, left - choice.cost
        if len(chosen) < n:
            row = prospects.candidates[candidate].clone()
            row[-1] = fidelity
            prospects.believe(row)
    return chosen


def per_cost(utility: Tensor, costs: Tensor) -> Tensor:
    """The logarithm of the score of each pair, of what costs nothing that of its utility (n x m)."""
    return utility - torch.where(costs == 0, 0.0, costs.log())


def free_first(score: Tensor, costs: Tensor) -> Tensor:
    """What pairs are ordered by (n x m)."""
    return score + torch.where(costs == 0, FIRST, 0.0)


def _utility(prospects: Prospects, acquisition: Acquisition, terms: Terms) -> Tensor:
    utility = acquisition.log_utility(prospects)[: len(terms.costs)]
    return utility if terms.chance is None else utility + terms.chance.clamp_min(1e-300).log()[:, None]


def _draw(rank: Tensor, temperature: float, generator: torch.Generator) -> tuple[int, float]:
    if temperature == 0:
        return int(rank.argmax()), 1.0
    noise = -torch.rand(rank.shape, dtype=rank.dtype, generator=generator).log()
    best = int((rank / temperature - noise.log()).argmax())
    return best, float((rank / temperature).softmax(dim=0)[best])

"""The greedy choice of pairs: the most utility for its price, one after the other, within budgets."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mfmat.acquisitions import Acquisition
from mfmat.blocks import score_block
from mfmat.prospects import Prospects
from mfmat.purse import Purse

FIRST = 1e9
"""What lifts the score of pairs that cost nothing above all that have a price."""


@dataclass(frozen=True)
class Choice:
    """One pair that was chosen, what it was preferred to, and how likely it was to be chosen.

    Attributes:
        tells: the share of each value's doubt that it takes away at its own candidate.
        cost: its price in each unit (u).
        setup: what setting up its source costs on top, for the first pair of a batch there (u).
        scores: of its candidate in each source; NaN where it is not open.
        highest: the highest score of any pair then.
        chance: that its measurement gives a value; None where that was not asked.
    """

    candidate: int
    fidelity: int
    cost: tuple[float, ...]
    setup: tuple[float, ...]
    utility: float
    score: float
    tells: tuple[float, ...]
    scores: tuple[float, ...]
    highest: float
    probability: float
    chance: float | None = None


@dataclass(frozen=True)
class Terms:
    """What may be chosen and at which price.

    Attributes:
        costs: price of each pair in each unit (n x m x u).
        open: pairs that may be chosen (n x m).
        purse: what all may cost together, and the set-ups.
        chance: probability that a measurement of each candidate gives a value (n); 1 where None.
        first: the fidelity of the first pair, where one there is possible; None: any.
        temperature: of the softmax that pairs are drawn by; 0: always the best.
        seed: of those draws.
    """

    costs: Tensor
    open: Tensor
    purse: Purse
    chance: Tensor | None = None
    first: int | None = None
    temperature: float = 0.0
    seed: int = 0


def choose(prospects: Prospects, acquisition: Acquisition, terms: Terms, n: int) -> list[Choice]:
    r"""At most n pairs, each the best after those before it are believed, within every budget.

    A pair is worth its utility by its price (`per_cost`), the first one in a source that is not set up yet what the
    best block of pairs there is worth (`score_block`).

    With a temperature t the best of $\log score + t G$, G a Gumbel variate, is taken: a draw by
    $score^{1/t}$ (Gumbel-max; the design of Fannjiang et al. 2022, doi:10.1073/pnas.2204569119), whose probability is
    recorded, so that what is measured can be weighed by it.
    """
    purse, open_ = terms.purse, terms.open.clone()
    generator = torch.Generator().manual_seed(terms.seed)
    chosen: list[Choice] = []
    while len(chosen) < n:
        utility = _utility(prospects, acquisition, terms)
        affordable = open_ & purse.affords(terms.costs)
        possible = affordable & (utility > -math.inf)
        if not bool(possible.any()):
            break
        score, free = _score(torch.where(open_, utility, -math.inf), terms.costs, purse, n - len(chosen))
        if terms.first is not None and not chosen and bool(possible[:, terms.first].any()):
            possible = possible & (torch.arange(prospects.sources) == terms.first)
        rank = torch.where(possible, free_first(score, free), -math.inf).flatten()
        best, probability = _draw(rank, terms.temperature, generator)
        candidate, fidelity = divmod(best, prospects.sources)
        where = (candidate, fidelity)
        scores = torch.where(open_[candidate], score[candidate].exp(), math.nan).tolist()
        choice = Choice(
            candidate,
            fidelity,
            cost=tuple(terms.costs[where].tolist()),
            setup=tuple(purse.setup[fidelity].tolist()),
            utility=math.exp(utility[where]),
            score=math.exp(score[where]),
            tells=tuple(float(each.tells[where]) for each in prospects.objectives),
            scores=tuple(scores),
            highest=float(score[affordable].max().exp()),
            probability=probability,
            chance=None if terms.chance is None else float(terms.chance[candidate]),
        )
        chosen.append(choice)
        open_[where], purse = False, purse.pay(fidelity, terms.costs[where])
        if len(chosen) < n:
            row = prospects.candidates[candidate].clone()
            row[-1] = fidelity
            prospects.believe(row)
    return chosen


def per_cost(utility: Tensor, price: Tensor) -> Tensor:
    """The logarithm of the score of each pair, of what costs nothing that of its utility (n x m)."""
    return utility - torch.where(price == 0, 0.0, price.log())


def free_first(score: Tensor, free: Tensor) -> Tensor:
    """What pairs are ordered by, those that cost nothing before all others (n x m)."""
    return score + torch.where(free, FIRST, 0.0)


def _score(utility: Tensor, costs: Tensor, purse: Purse, most: int) -> tuple[Tensor, Tensor]:
    """The logarithm of the score of each pair, and whether it costs nothing (n x m)."""
    price, setup = purse.price(costs), purse.price(purse.setup)
    score = per_cost(utility, price)
    for fidelity in torch.nonzero(setup > 0)[:, 0].tolist():
        score[:, fidelity] = score_block(utility[:, fidelity], costs[:, fidelity], purse, fidelity, most)
    return score, price + setup == 0


def _utility(prospects: Prospects, acquisition: Acquisition, terms: Terms) -> Tensor:
    utility = acquisition.log_utility(prospects)[: len(terms.costs)]
    return utility if terms.chance is None else utility + terms.chance.clamp_min(1e-300).log()[:, None]


def _draw(rank: Tensor, temperature: float, generator: torch.Generator) -> tuple[int, float]:
    if temperature == 0:
        return int(rank.argmax()), 1.0
    noise = -torch.rand(rank.shape, dtype=rank.dtype, generator=generator).log()
    best = int((rank / temperature - noise.log()).argmax())
    return best, float((rank / temperature).softmax(dim=0)[best])

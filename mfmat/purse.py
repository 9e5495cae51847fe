"""What may still be paid while pairs are chosen, and what a payment counts for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mfmat.amounts import by_unit
from mfmat.costs import exchange
from mfmat.schema import Schema

ROUNDING = 1 + 1e-12
"""A sum of prices that add up to the budget must not miss it by rounding."""


@dataclass(frozen=True)
class Purse:
    """What is left of each of u budgets, and what the first pair of a batch in each of m sources costs on top.

    Attributes:
        left: of each unit (u); infinite without limit.
        rates: what one of each unit counts for in the one price that utilities are divided by (u); see `exchange`.
        setup: still to be paid for in each source (m x u): nothing from its first pair on.

    >>> from mfmat import Columns, Schema
    >>> schema = Schema(Columns("x"), "y", "source", {"pbe": 1, "exp": 10}, setup={"exp": 50})
    >>> costs = torch.tensor([[[1.0], [10.0]]]).double()
    >>> purse = Purse.of(schema, {"": 65.0})
    >>> paid = purse.pay(1, costs[0, 1])
    >>> purse.affords(costs).tolist(), paid.left.tolist(), paid.affords(costs).tolist()
    ([[True, True]], [5.0], [[True, False]])
    """

    left: Tensor
    rates: Tensor
    setup: Tensor

    @classmethod
    def of(cls, schema: Schema, budget: Mapping[str, float] | None) -> Purse:
        """The purse of a batch, with a budget by unit; a unit that it lacks, or None, is without limit.

        Raises:
            SchemaError: several units of which one has neither a rate nor a budget.
        """
        rates, known = exchange(schema.units, schema.rates, budget), budget or {}
        setup = [by_unit((schema.setup or {}).get(name, {})) for name in schema.sources]
        return cls(
            left=torch.tensor([known.get(unit, math.inf) for unit in schema.units], dtype=torch.double),
            rates=torch.tensor([rates[unit] for unit in schema.units], dtype=torch.double),
            setup=torch.tensor([[each.get(unit, 0.0) for unit in schema.units] for each in setup], dtype=torch.double),
        )

    def price(self, costs: Tensor) -> Tensor:
        """Costs in each unit (... x u) as one number each (...)."""
        return costs @ self.rates

    def affords(self, costs: Tensor) -> Tensor:
        """Whether each pair (n x m x u) can be paid, with the set-up of its source (n x m)."""
        return ((costs + self.setup) <= self.left * ROUNDING).all(dim=-1)

    def pay(self, fidelity: int, cost: Tensor) -> Purse:
        """What is left after one pair at this price (u), its source set up from now on."""
        setup = self.setup.clone()
        setup[fidelity] = 0.0
        # Rounding must not keep what is free from being chosen.
        return replace(self, left=(self.left - cost - self.setup[fidelity]).clamp_min(0.0), setup=setup)

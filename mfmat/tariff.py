"""What the pairs of a campaign cost now: declared prices, times what durations have said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mfmat.amounts import Amount, simplest
from mfmat.answers import Catalogue
from mfmat.durations import read_duration
from mfmat.journal import Entry, Event
from mfmat.learned_prices import learn_factor
from mfmat.purse import Purse


@dataclass(frozen=True)
class Tariff:
    """The prices of a campaign.

    Attributes:
        catalogue: its pool and schema.
        learned: whether durations move prices, and are what is paid.
        factors: by source, what prices are multiplied by; 1 where it is missing.

    >>> import pandas as pd
    >>> from mfmat import Columns, Schema
    >>> known = Catalogue(Schema(Columns("x"), "y", costs={"y": 10}), pd.DataFrame({"x": [0.1, 0.2]}, index=["a", "b"]))
    >>> Tariff(known, learned=True, factors={"y": 1.5}).price('"a"', "y")
    {'': 15.0}
    """

    catalogue: Catalogue
    learned: bool = False
    factors: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def costs(self) -> NDArray[np.float64]:
        """The price of each candidate of the pool in each source and unit (n x m x u)."""
        factors = np.array([self.factors.get(name, 1.0) for name in self.catalogue.schema.sources])
        costs: NDArray[np.float64] = self.catalogue.costs * factors[:, None]
        return costs

    def price(self, candidate: str, source: str, row: Mapping[str, Any] | None = None) -> dict[str, float]:
        """The price of a candidate in a source, by unit.

        Of one that the pool lacks it is what its own row says, else the mean over the pool.
        """
        schema, place = self.catalogue.schema, self.catalogue.places.get(candidate)
        fidelity = schema.fidelity(source)
        column = self.costs[:, fidelity]
        paid = column.mean(axis=0) if place is None else column[place]
        own = self.catalogue.price_row(row or {}) if place is None else None
        if own is not None:
            paid = own[fidelity] * self.factors.get(source, 1.0)
        return dict(zip(schema.units, paid.tolist(), strict=True))

    def usual(self, source: str) -> float:
        """What the only pair of a batch costs in a source, set-up included, as one number: the mean over the pool."""
        schema = self.catalogue.schema
        purse, fidelity = Purse.of(schema, None), schema.fidelity(source)
        each = torch.from_numpy(self.costs[:, fidelity]).mean(dim=0)
        return float(purse.price(each + purse.setup[fidelity]))

    def took(self, entry: Entry) -> Amount | None:
        """What was really paid for a measurement; None where that was not told, or makes no difference."""
        duration = read_duration(entry.facts.get("row", {})) if self.learned else None
        return None if duration is None else simplest({self.catalogue.schema.units[0]: duration})

    def bill(self, entry: Entry, ask: Event | None) -> Amount:
        """What a measurement costs: what it took, else what it was asked at, else its price."""
        took = self.took(entry)
        if took is not None:
            return took
        paid: Amount = ask.facts["cost"] if ask else simplest(self.price(*entry.pair, entry.facts.get("row")))
        return paid

    def learn(self, measured: Sequence[Entry]) -> Tariff:
        """The prices by what these measurements and failures took."""
        if not self.learned:
            return self
        schema = self.catalogue.schema
        declared, undeclared = Tariff(self.catalogue), self.catalogue.undeclared
        ratios: dict[str, list[float]] = {name: [] for name in schema.sources}
        for entry in measured:
            duration = read_duration(entry.facts.get("row", {}))
            price = declared.price(*entry.pair)[schema.units[0]]
            # What is free stays free: no factor makes a price of 0 another one.
            if duration is not None and price > 0:
                ratios[entry.source].append(duration / price)
        factors = {name: learn_factor(found, declared=name not in undeclared) for name, found in ratios.items()}
        return Tariff(self.catalogue, self.learned, factors)

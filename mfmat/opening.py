"""What a campaign asks for while nothing is measured: candidates far from each other, in the cheapest source."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch

from mfmat.amounts import Limits, add, by_unit
from mfmat.answers import Catalogue
from mfmat.costs import cost_columns, exchange
from mfmat.ledger import Pair
from mfmat.purse import Purse
from mfmat.scaling import find_outside
from mfmat.tariff import Tariff


def choose_first(tariff: Tariff, pairs: list[Pair], n: int, budget: Limits) -> pd.DataFrame:
    """Where nothing is known: candidates far from each other, in the cheapest source that is open."""
    catalogue, schema = tariff.catalogue, tariff.catalogue.schema
    source = min((name for _, name in pairs), key=tariff.usual, default=schema.sources[0])
    fidelity = schema.fidelity(source)
    open_ = {candidate for candidate, name in pairs if name == source}
    places = _spread(catalogue, [i for i, label in enumerate(catalogue.labels) if label in open_], n)
    purse, within = Purse.of(schema, budget), 0
    for place in places:
        cost = torch.from_numpy(tariff.costs[place])
        if not bool(purse.affords(cost[None])[0, fidelity]):
            break
        purse, within = purse.pay(fidelity, cost[fidelity]), within + 1
    return lay_out(tariff, places[:within], source)


def lay_out(tariff: Tariff, places: list[int], source: str) -> pd.DataFrame:
    """Rows of the pool as an asked table that no model had a part in."""
    catalogue, schema = tariff.catalogue, tariff.catalogue.schema
    table = catalogue.pool.iloc[places].copy()
    own = [tariff.price(catalogue.labels[place], source) for place in places]
    setup = by_unit((schema.setup or {}).get(source, {}))
    setups = [setup if i == 0 else {} for i in range(len(places))]
    rates = exchange(schema.units, schema.rates, None)
    columns: dict[str, Any] = {
        catalogue.source_column: source,
        "score": 0.0,
        **cost_columns([add(both) for both in zip(own, setups, strict=True)], rates),
        "reason": "nothing is measured yet: far from the others in the pool, in the cheapest source",
    }
    table = table.assign(**columns)
    table.attrs["paid"] = [{"cost": cost, "setup": paid} for cost, paid in zip(own, setups, strict=True)]
    return table


def _spread(catalogue: Catalogue, open_: list[int], n: int) -> list[int]:
    """Rows of the pool, each as far as can be from those before it and from those that are asked already."""
    schema = catalogue.settle()
    X = schema.encode(catalogue.pool)[0][:, 0, :-1]
    # Far in what describes a candidate: a material's id, metadata and sets are of no view.
    X = X[:, ~find_outside(schema.views.values(), X.shape[1])]
    Z = (X - X.mean(0)) / X.std(0, correction=0).clamp_min(1e-12)
    nearest = Z.square().sum(1).neg() if len(open_) == len(Z) else torch.full((len(Z),), torch.inf).double()
    taken = [i for i in range(len(Z)) if i not in set(open_)]
    for i in taken:
        nearest = torch.minimum(nearest, (Z - Z[i]).square().sum(1))
    chosen: list[int] = []
    while len(chosen) < min(n, len(open_)):
        left = torch.tensor([i for i in open_ if i not in chosen])
        best = int(left[int(nearest[left].argmax())])
        distance = (Z - Z[best]).square().sum(1)
        nearest = distance if not taken and not chosen else torch.minimum(nearest, distance)
        chosen.append(best)
    return chosen

"""What sources cost, as a schema declares it: prices and set-ups, in plain numbers or in units, and their exchange."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfmat.amounts import PLAIN, Amount, is_price
from mfmat.cells import make_problem, read_numbers
from mfmat.errors import Problem, SchemaError, nearest

Cost = float | str | Mapping[str, float | str]
"""The price of a value: a number, the column that holds it, or one of these for each unit."""


def check_costs(costs: Mapping[str, Cost] | None, source: str | None, value: str) -> dict[str, Cost]:
    """The prices as numbers, or the columns that hold them; one source of price 1 where none are given."""
    if not costs:
        if source is not None:
            raise SchemaError(
                f"source={source!r} without costs",
                expected="the price of each source, in order of trust",
                fix='costs={"cheap": 1, "trusted": 10}',
            )
        return {value: 1.0}
    if source is None and len(costs) > 1:
        raise SchemaError(
            f"{len(costs)} costs and no source column",
            expected="the column that names each row's source",
            fix='Schema(..., source="method")',
        )
    known = {str(name): _check_cost(f"costs[{name!r}]", cost) for name, cost in costs.items()}
    _check_alike("costs", list(known.values()))
    return known


def check_setup(setup: Mapping[str, Amount] | None, costs: Mapping[str, Cost]) -> dict[str, Amount]:
    """What a batch costs on top in some sources, in the units of the prices."""
    for name, cost in (setup or {}).items():
        if name not in costs:
            raise SchemaError(
                f"a set-up of {name!r}",
                expected=f"one of {', '.join(map(repr, costs))}",
                fix=nearest(name, costs) + "name a source that has a cost",
            )
        for unit, each in cost.items() if isinstance(cost, Mapping) else [(PLAIN, cost)]:
            if not is_price(each) or (isinstance(cost, Mapping) and not unit):
                raise SchemaError(
                    f"setup[{name!r}] = {cost!r}",
                    expected="a finite price of 0 or more, or one for each unit",
                    fix=f"setup={{{name!r}: 50}}",
                )
    found: dict[str, Amount] = {
        str(name): {str(unit): float(x) for unit, x in each.items()} if isinstance(each, Mapping) else float(each)
        for name, each in (setup or {}).items()
    }
    _check_alike("costs and setup", [*costs.values(), *found.values()])
    return found


def check_rates(rates: Mapping[str, float] | None, units: Sequence[str]) -> dict[str, float] | None:
    """What one of each unit counts for; None where nothing says so."""
    if rates is None:
        return None
    if set(rates) != set(units) or not all(is_price(each) for each in rates.values()):
        named = "plain numbers" if tuple(units) == (PLAIN,) else ", ".join(map(repr, units))
        raise SchemaError(
            f"rates={dict(rates)!r} for prices in {named}",
            expected="for each unit what one of it counts for, a finite number of 0 or more",
            fix="leave rates out, or give " + ", ".join(f"{unit!r}: 1.0" for unit in units if unit) + " in them",
        )
    return {str(unit): float(rates[unit]) for unit in units}


def find_units(costs: Mapping[str, Cost], setup: Mapping[str, Amount]) -> tuple[str, ...]:
    """The units of prices and set-ups, in order of appearance.

    >>> find_units({"pbe": {"cpu hours": 2.0}, "exp": {"money": 400.0}}, {"exp": {"days": 3.0}})
    ('cpu hours', 'money', 'days')
    """
    named = [unit for each in (*costs.values(), *setup.values()) if isinstance(each, Mapping) for unit in each]
    return tuple(dict.fromkeys(named)) or (PLAIN,)


def exchange(
    units: Sequence[str], rates: Mapping[str, float] | None, budget: Mapping[str, float] | None
) -> dict[str, float]:
    r"""What one of each unit counts for in the one price that utilities are divided by.

    That is what `rates` says; else 1 where there is one unit, and $1 / B_u$ where there are several, B being the
    budget: the price of a pair is then the sum of the shares of each budget that it takes, as where the budgets are
    constraints of a linear program whose shadow prices make all of them equally scarce.

    Raises:
        SchemaError: several units of which one has neither a rate nor a budget.

    >>> exchange(["cpu hours", "money"], None, {"cpu hours": 1000.0, "money": 5000.0})
    {'cpu hours': 0.001, 'money': 0.0002}
    """
    if rates is not None:
        return dict(rates)
    if len(units) == 1:
        return {units[0]: 1.0}
    for unit in units:
        if unit not in (budget or {}):
            raise SchemaError(
                f"prices in {', '.join(map(repr, units))} and no budget in {unit!r}",
                expected="a budget in each unit, so that prices in different units can be compared",
                fix=f"budget={{{unit!r}: ...}}, or Schema(rates={{{', '.join(f'{u!r}: 1.0' for u in units)}}})",
            )
    # Of what there is nothing left nothing can be bought, whatever it counts for.
    return {unit: 1 / each if (each := (budget or {})[unit]) else 0.0 for unit in units}


def scalar(cost: Cost, rates: Mapping[str, float]) -> float:
    """A price as one number; NaN where each candidate has its own, or a unit has no rate."""
    parts = dict(_parts(cost))
    return math.fsum(rates.get(u, math.nan) * x if isinstance(x, float) else math.nan for u, x in parts.items())


def read_costs(
    table: pd.DataFrame, costs: Mapping[str, Cost], sources: Sequence[str], units: Sequence[str]
) -> tuple[NDArray[np.float64], list[Problem]]:
    """The price of every row in every source and unit (n x m x u), and cells that are no price."""
    found = np.zeros((len(table), len(sources), len(units)))
    problems: list[Problem] = []
    for i, name in enumerate(sources):
        for unit, cost in _parts(costs[name]):
            if isinstance(cost, str):
                numbers, bad = read_numbers(table[cost])
                below = np.flatnonzero(numbers < 0)
                problems += bad + [make_problem(table[cost], int(row), "a price below 0") for row in below]
                found[:, i, units.index(unit)] = numbers
            else:
                found[:, i, units.index(unit)] = cost
    return found, problems


def name_columns(costs: Mapping[str, Cost]) -> list[str]:
    """The columns that hold prices."""
    return [part for cost in costs.values() for _, part in _parts(cost) if isinstance(part, str)]


def convert(amounts: Mapping[str, float], rates: Mapping[str, float]) -> float:
    """Amounts in units as one number.

    >>> convert({"money": 400.0, "days": 3.0}, {"money": 0.01, "days": 0.5})
    5.5
    """
    return math.fsum(rates[unit] * x for unit, x in amounts.items())


def cost_column(unit: str) -> str:
    """The column of an asked table that holds what is paid in a unit, where there are several."""
    return f"cost ({unit})"


def cost_columns(paid: Sequence[Mapping[str, float]], rates: Mapping[str, float]) -> dict[str, list[float]]:
    """The columns of an asked table that say what each row costs: `cost`, and one for each of several units.

    >>> cost_columns([{"money": 400.0, "days": 3.0}], {"money": 0.01, "days": 0.5})
    {'cost': [5.5], 'cost (money)': [400.0], 'cost (days)': [3.0]}
    """
    total = [convert(each, rates) for each in paid]
    named = {cost_column(unit): [each.get(unit, 0.0) for each in paid] for unit in rates} if len(rates) > 1 else {}
    return {"cost": total, **named}


def _parts(cost: Cost) -> Iterator[tuple[str, float | str]]:
    yield from cost.items() if isinstance(cost, Mapping) else [(PLAIN, cost)]


def _check_cost(what: str, cost: Cost) -> Cost:
    if isinstance(cost, Mapping) and cost and all(cost):
        return {str(unit): _check_part(f"{what}[{unit!r}]", each) for unit, each in cost.items()}
    return _check_part(what, cost)


def _check_part(what: str, cost: object) -> float | str:
    # A number as text is a slip, not a column.
    if isinstance(cost, str) and math.isnan(_number(cost)):
        return cost
    if is_price(cost):
        return float(cost)  # type: ignore[arg-type]
    raise SchemaError(
        f"{what} = {cost!r}",
        expected="a finite price of 0 or more, or the column of the pool that holds it",
        fix="give every source its price",
    )


def _check_alike(what: str, costs: Sequence[Cost]) -> None:
    if len({isinstance(cost, Mapping) for cost in costs}) > 1:
        plain = next(cost for cost in costs if not isinstance(cost, Mapping))
        raise SchemaError(
            f"{what} with units and without ({plain!r})",
            expected="all with units, or none",
            fix=f'{{"money": {plain!r}}}',
        )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan

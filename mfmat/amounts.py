"""Amounts: what is paid, in one unit without a name or in several that have one."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence

from mfmat.errors import SchemaError, nearest

PLAIN = ""
"""The unit of prices that are plain numbers."""
Amount = float | Mapping[str, float]
"""A number, or one for each unit."""

Limits = Mapping[str, float] | None
"""What may be spent, by unit; None: whatever it takes."""


def by_unit(amount: Amount) -> dict[str, float]:
    """An amount as one number for each unit.

    >>> by_unit(400.0), by_unit({"money": 400.0})
    ({'': 400.0}, {'money': 400.0})
    """
    return dict(amount) if isinstance(amount, Mapping) else {PLAIN: float(amount)}


def simplest(amounts: Mapping[str, float]) -> Amount:
    """The number alone, where the unit has no name.

    >>> simplest({"": 400.0}), simplest({"days": 3.0})
    (400.0, {'days': 3.0})
    """
    return amounts[PLAIN] if set(amounts) == {PLAIN} else dict(amounts)


def add(amounts: Iterable[Mapping[str, float]], units: Sequence[str] = ()) -> dict[str, float]:
    """The sum in each unit, exact up to one rounding: many small prices must not drift over a budget.

    >>> add([{"days": 1.0}, {"days": 2.0, "money": 5.0}])
    {'days': 3.0, 'money': 5.0}
    """
    known = list(amounts)
    named = dict.fromkeys([*units, *(unit for each in known for unit in each)])
    return {unit: math.fsum(each.get(unit, 0.0) for each in known) for unit in named}


def say(amount: Amount) -> str:
    """An amount in words.

    >>> say(97.5), say({"money": 400.0, "days": 3.0})
    ('97.5', '400 money, 3 days')
    """
    return ", ".join(f"{x:g} {unit}".strip() for unit, x in by_unit(amount).items())


def check_amount(option: str, value: Amount | None) -> None:
    """Nothing, for None, a finite number of 0 or more, or such a number for each of some units.

    Raises:
        SchemaError: anything else.
    """
    if isinstance(value, Mapping):
        for unit, each in value.items():
            check_amount(f"{option}[{unit!r}]", float("nan") if each is None else each)
    elif value is not None and not is_price(value):
        raise SchemaError(
            f"{option}={value!r}", expected="a finite number of 0 or more", fix=f"{option}=100.0, or None"
        )


def is_price(value: object) -> bool:
    """Whether this is a finite number of 0 or more."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return False
    return math.isfinite(value) and float(value) >= 0


def read_budget(option: str, budget: Amount | None, units: Sequence[str]) -> dict[str, float] | None:
    """A budget by the units of the prices; a number is one of the only unit there is, and None is without limit.

    Raises:
        SchemaError: a number where there are several units, a unit that no price is in, no finite number of 0 or more.

    >>> read_budget("budget", 100, ["cpu hours"])
    {'cpu hours': 100.0}
    """
    check_amount(option, budget)
    if budget is None:
        return None
    if not isinstance(budget, Mapping):
        if len(units) > 1:
            raise SchemaError(
                f"{option}={budget!r} for prices in {', '.join(map(repr, units))}",
                expected="what may be spent in each unit",
                fix=f"{option}={{{', '.join(f'{unit!r}: ...' for unit in units)}}}",
            )
        return {units[0]: float(budget)}
    for unit in budget:
        if unit not in units:
            known = "plain numbers" if units == (PLAIN,) else ", ".join(map(repr, units))
            raise SchemaError(
                f"{option} in {unit!r}",
                expected=f"the units of the prices ({known})",
                fix=nearest(unit, units) + 'Schema(costs={"exp": {' + repr(unit) + ": 400}})",
            )
    return {unit: float(each) for unit, each in budget.items()}

"""Numbers and names as a reader sees them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from mfmat.amounts import Amount, by_unit
from mfmat.features.crystals import show_cell

NAMED = 4
"""Input columns that name a row at most: a table of 300 descriptors would not name anything."""


def decimals(values: Iterable[float], digits: int = 3) -> int | None:
    """Decimals that give a typical value so many significant digits; None where only an exponent would do.

    >>> decimals([0.269, 0.725]), decimals([1300.0]), decimals([3e-9])
    (3, 0, None)
    """
    sizes = sorted(abs(value) for value in values if math.isfinite(value) and value != 0)
    if not sizes:
        return 0
    exponent = math.floor(math.log10(sizes[len(sizes) // 2]))
    return max(0, digits - 1 - exponent) if -4 <= exponent < 6 else None


def number(value: float, places: int | None, digits: int = 3) -> str:
    """A number with so many decimals (None: with an exponent) and a true minus sign.

    >>> number(-0.2691, 2), number(3.14e-9, None), number(-0.001, 2)
    ('−0.27', '3.14e−09', '0.00')
    """
    if not math.isfinite(value):
        return "∞" if value == math.inf else "−∞" if value == -math.inf else "–"
    text = f"{value:.{digits - 1}e}" if places is None else f"{value:.{places}f}"
    if text.startswith("-") and not text.strip("-0."):
        text = text[1:]
    return text.replace("-", "−")


def short(value: float, digits: int = 3) -> str:
    """A number on its own, to three significant digits.

    >>> short(0.26914), short(13.02), short(1300)
    ('0.269', '13.0', '1300')
    """
    return number(value, decimals([value], digits), digits)


def percent(share: float) -> str:
    """A share or level as a percentage, without digits that say nothing.

    >>> percent(0.9), percent(0.975), percent(0.9038)
    ('90%', '97.5%', '90.4%')
    """
    return f"{round(100 * share, 1):g}%"


def money(amount: Amount) -> str:
    """An amount, in whatever prices are in.

    >>> money(1250.0), money({"days": 16.4, "money": 400.0})
    ('1,250', '16.4 days, 400 money')
    """
    parts = by_unit(amount).items()
    return ", ".join(f"{'∞' if each == math.inf else f'{each:,.6g}'} {unit}".strip() for unit, each in parts)


def listed(names: Sequence[str]) -> str:
    """Names as a sentence lists them.

    >>> listed(["pbe", "mbj", "exp"])
    'pbe, mbj and exp'
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def labels(inputs: pd.DataFrame) -> list[str]:
    """A name for each row, from its inputs.

    >>> labels(pd.DataFrame({"formula": ["GaN", "ZnO"]}))
    ['GaN', 'ZnO']
    >>> labels(pd.DataFrame({"x": [0.123456], "y": [2]}))
    ['x 0.1235, y 2']
    """
    columns = [str(name) for name in inputs.columns[:NAMED]]
    more = ", …" if len(inputs.columns) > NAMED else ""
    rows = inputs.iloc[:, :NAMED].itertuples(index=False, name=None)
    if len(columns) == 1 and not more:
        return [cell(row[0]) for row in rows]
    return [", ".join(f"{name} {cell(c)}" for name, c in zip(columns, row, strict=True)) + more for row in rows]


def cell(content: object) -> str:
    """One cell of a table as text."""
    return f"{content:.4g}" if isinstance(content, float) else show_cell(content)


def losses(compared: Sequence[Mapping[str, Any]]) -> tuple[str, list[float]]:
    """What candidates were compared by, and each one's: the CRPS of values, the log loss of labels.

    >>> losses([{"candidate": "the target alone", "log_loss": 0.3}])
    ('log loss', [0.3])
    """
    if compared and "log_loss" in compared[0]:
        return "log loss", [float(row["log_loss"]) for row in compared]
    return "CRPS", [float(row["crps"]) for row in compared]

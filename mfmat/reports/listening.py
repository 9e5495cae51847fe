"""What each source and each expert does to the prediction of each candidate."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mfmat.errors import SchemaError
from mfmat.explanation import weigh_members
from mfmat.reports.tables import LISTED, Cell, Table, inputs_of
from mfmat.reports.wording import decimals, number, percent, short
from mfmat.surrogate import Surrogate

SHIFT, REDUCTION = "shift_", "reduction_"


def shares(x: Surrogate, inputs: pd.DataFrame) -> pd.DataFrame:
    """The weight of each expert at each candidate, and its standard deviation; no columns where nothing is mixed."""
    found = weigh_members(x.model, x.schema.encode(inputs)[0])
    return pd.DataFrame({name: weight.numpy() for name, weight in found.items()}, index=inputs.index)


def names_of(weights: pd.DataFrame) -> list[str]:
    """The experts that a table of `shares` or `Surrogate.explain` has weights of."""
    return _names(weights, "weight_")


def check_explained(explained: pd.DataFrame, pool: pd.DataFrame | None) -> None:
    """Nothing, where the table is one of `Surrogate.explain` for the pool.

    Raises:
        SchemaError: no pool, other rows, or no source in it.
    """
    if pool is None or not explained.index.equals(pool.index):
        raise SchemaError(
            f"explained, a table of {len(explained)} rows" + ("" if pool is not None else " without a pool"),
            expected="the rows of the pool",
            fix="report(..., pool=pool, explained=surrogate.explain(pool))",
        )
    if not any(str(name).startswith(SHIFT) for name in explained.columns):
        raise SchemaError(
            "explained without a source, as of a surrogate that was fitted to the target alone",
            expected="a table of Surrogate.explain with a source",
            fix="leave it out, or fit to several sources",
        )


def experts(weights: pd.DataFrame) -> Table | None:
    """How much each expert is listened to over the candidates; None where nothing is mixed."""
    names = names_of(weights)
    if not names or weights.empty:
        return None
    each = [weights[f"weight_{name}"] for name in names]
    doubt = [weights[f"weight_std_{name}"] for name in names]
    columns = {
        "expert": [Cell(name.replace("_", " ")) for name in names],
        "mean weight": [_share(weight.mean()) for weight in each],
        "least": [_share(weight.min()) for weight in each],
        "most": [_share(weight.max()) for weight in each],
        "standard deviation": [_share(std.mean()) for std in doubt],
    }
    return Table("experts-table", "Who is listened to, over all candidates", columns, len(names))


def influence(explained: pd.DataFrame, unit: str) -> dict[str, str]:
    """What each source does over all candidates, in words; `all` are the cheap sources together."""
    said = {}
    for name in _names(explained, SHIFT):
        moved = short(float(explained[SHIFT + name].abs().mean()))
        taken = float(explained[REDUCTION + name].median())
        size = percent(round(abs(taken), 2))
        doubt = f"takes {size} of its variance away" if taken >= 0 else f"adds {size} to its variance"
        said[name] = f"it moves a prediction by {moved} {unit}".rstrip() + f" on average, and {doubt} (median)."
    if len(said) == 2:
        # One source is all sources.
        said.pop("all", None)
    return said


def each_material(
    x: Surrogate, inputs: pd.DataFrame, weights: pd.DataFrame, explained: pd.DataFrame | None
) -> Table | None:
    """What each source and expert does to each candidate; None where neither is known."""
    members, sources = names_of(weights), [] if explained is None else _names(explained, SHIFT)
    if not members and not sources:
        return None
    shown = slice(0, LISTED)
    columns = inputs_of(x, inputs.iloc[shown])
    if explained is not None:
        places = decimals(explained[[SHIFT + name for name in sources]].to_numpy().flatten().tolist(), 2)
        for name in sources:
            moved, taken = (explained[part + name].iloc[shown].tolist() for part in (SHIFT, REDUCTION))
            columns[f"{name}: shift"] = _signed(moved, places)
            columns[f"{name}: less doubt"] = [Cell(f"{number(100 * each, 0)}%", each) for each in taken]
    for name in members:
        both = zip(weights[f"weight_{name}"].iloc[shown], weights[f"weight_std_{name}"].iloc[shown], strict=True)
        said = [Cell(f"{100 * weight:.0f}% ± {100 * std:.0f}%", float(weight)) for weight, std in both]
        columns[f"weight of {name.replace('_', ' ')}"] = said
    return Table("materials-table", "What moved each prediction", columns, len(inputs))


def _names(table: pd.DataFrame, prefix: str) -> list[str]:
    other = f"{prefix}std_"
    found = [str(name) for name in table.columns if str(name).startswith(prefix)]
    return [name.removeprefix(prefix) for name in found if not name.startswith(other)]


def _share(value: float) -> Cell:
    return Cell(percent(round(float(value), 3)), float(value))


def _signed(values: Sequence[float], places: int | None) -> list[Cell]:
    return [Cell(("+" if value > 0 else "") + number(value, places), value) for value in values]

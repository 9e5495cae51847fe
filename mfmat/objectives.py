"""Several values of the same measurements: what their schemas must share, and which materials have them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import torch

from mfmat.data import Data, material_keys
from mfmat.errors import SchemaError
from mfmat.prospects import Known
from mfmat.schema import Schema

OWN = ("value", "noise", "unit", "floor")
"""What each value has of its own."""


def check_alike(schemas: Sequence[Schema]) -> None:
    """Nothing, for settled schemas of different values that the same measurements give.

    Raises:
        SchemaError: two of one value, or two that differ in more than their values.

    >>> from mfmat.features import Columns
    >>> strength = Schema(Columns("x"), value="strength", source="method", costs={"sim": 1, "exp": 100})
    >>> check_alike([strength, replace(strength, value="ductility")])
    """
    first = schemas[0]
    names = [schema.value for schema in schemas]
    if twice := {name for name in names if names.count(name) > 1}:
        raise SchemaError(
            f"{names.count(min(twice))} surrogates of the value {min(twice)!r}",
            expected="a value of its own for each",
            fix="replace(schema, value=...) for each value column",
        )
    for schema in schemas[1:]:
        own = {name: getattr(first, name) for name in OWN}
        # Without a source column the only source has the name of the value.
        costs = schema.costs if schema.source else dict(zip(first.prices, (schema.costs or {}).values(), strict=True))
        same = replace(schema, costs=costs, **own)
        if differ := [each.name for each in fields(Schema) if getattr(same, each.name) != getattr(first, each.name)]:
            raise SchemaError(
                f"surrogates of {first.value!r} and {schema.value!r} whose schemas differ in {', '.join(differ)}",
                expected=f"schemas that share all but {', '.join(OWN)}",
                fix="settled = schema.settle(table), then fit with replace(settled, value=...) for each value column",
            )


def join(data: Sequence[Data], names: Sequence[str]) -> Known:
    """The target's rows of the materials of which every value was measured.

    Args:
        data: of each value, of schemas that are alike.
        names: of the values.

    >>> import pandas as pd
    >>> from mfmat.features import Columns
    >>> schema, table = Schema(Columns("x"), value="y"), pd.DataFrame({"x": [0.5, 0.7], "y": [1.0, 2.0]})
    >>> join([schema.data(table), schema.data(table.tail(1))], ["y", "again"]).X
    tensor([[0.7000, 0.0000]], dtype=torch.float64)
    """
    rows = [each.X[each.fidelity == each.target] for each in data]
    keys = [material_keys(X, data[0].material) for X in rows]
    common = torch.ones(len(rows[0]), dtype=torch.bool)
    for other in keys[1:]:
        common &= torch.isin(keys[0], other)
    return Known(rows[0][common], tuple(names))

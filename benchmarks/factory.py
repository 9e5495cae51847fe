"""How many networks a minute a library trains, side by side and one at a time.

    python benchmarks/factory.py --networks 32 --rows 800

The networks of `draw_recipes` on the 290 descriptors of `Composition`, for tables of MFMAT_DATA of at most so many
rows. One at a time is `mf.fit` and `Library.add` of some of the same networks on the rows that the others learn from;
the mean absolute errors are those of these networks on the compounds that none has seen.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from record import record

import mfmat as mf
from mfmat.architectures import draw_recipes
from mfmat.descent import few_threads
from mfmat.factory import PARTS

TABLES = (
    "jarvis/n_em300k",
    "jarvis/spillage",
    "dft/matbench_dielectric_n",
    "dft/aflow_ael_bulk_modulus_vrh",
    "dft/matbench_log10_K_VRH",
)
ALONE = 6
"""Networks that are also trained one at a time."""
SAYS = (
    "One process on one thread; the time of a network includes its table's encoding, its card with held-out "
    "predictions, and its entry in the library. The errors are those of the same networks, trained in both ways."
)


def main() -> None:
    """Train, and say how many a minute."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=64)
    parser.add_argument("--rows", type=int, nargs="+", default=[300, 1000, 3000])
    parser.add_argument("--tables", nargs="+", default=TABLES)
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    asked = parser.parse_args()
    # What is imported at the first fit is no time of a network.
    mf.BNN(hidden=(4,), steps=1, epochs=1).fit(
        mf.Schema(mf.Columns("x"), value="x").data(pd.DataFrame({"x": [1.0, 2.0]}))
    )
    with few_threads(0):
        found = [measure(name, rows, asked.networks) for rows in asked.rows for name in asked.tables]
    if asked.dry:
        print(pd.DataFrame(found).to_string())
    else:
        record("factory", found, SAYS)


def measure(name: str, rows: int, networks: int) -> dict[str, Any]:
    """Networks a minute, and their errors."""
    table, schema = mf.datasets.load(name)
    table = table.sample(min(rows, len(table)), random_state=0)
    schema = replace(schema, inputs=mf.Composition("formula", blocks="descriptors"))
    recipes = draw_recipes(networks, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        library = mf.Library(folder)
        started = time.perf_counter()
        together = library.train({name: (table, schema)}, recipes, on_error="skip")
        side_by_side = (time.perf_counter() - started) / networks
        size = sum(entry.size for entry in library.entries.values()) / networks
    some = recipes[:: max(networks // ALONE, 1)]
    one, errors = _one_by_one(table, schema, some)
    mine = [together.loc[together["seed"] == recipe.seed, "mae"].iloc[0] for recipe in some]
    return {
        "table": name,
        "rows": int(together["rows"].iloc[0]),
        "a minute, side by side": 60 / side_by_side,
        "a minute, one at a time": 60 / one,
        "ratio": one / side_by_side,
        "mae side by side": float(np.mean(mine)),
        "mae one at a time": float(np.mean(errors)),
        "kB an entry": size / 1000,
    }


def _one_by_one(table: pd.DataFrame, schema: mf.Schema, recipes: list[mf.BNN]) -> tuple[float, list[float]]:
    """Seconds a network, and its error on the rows that the others were not trained on either."""
    data = schema.data(table, on_error="skip")
    kept = np.isin(np.arange(len(table)), data.rows[data.split(PARTS, 0)[0]].numpy())
    seconds, errors = 0.0, []
    with tempfile.TemporaryDirectory() as folder:
        library = mf.Library(folder)
        for recipe in recipes:
            started = time.perf_counter()
            fitted = mf.fit(table[~kept], schema, recipe, on_error="skip")
            said = fitted.predict(table[kept])
            library.add(fitted)
            seconds += time.perf_counter() - started
            errors.append(float((said["median"] - table.loc[kept, schema.value]).abs().mean()))
    return seconds / len(recipes), errors


if __name__ == "__main__":
    main()

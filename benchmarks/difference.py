"""A chain on 300 target and 2,000 cheap rows: seconds to fit, and to predict 10,000 rows.

Experimental band gaps (300) with PBE gaps (2,000) of the multi-fidelity gap table; new rows are other PBE compounds.
"""

from __future__ import annotations

import time

import pandas as pd
from record import record

import mfmat as mf


def rows(seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame, mf.Schema]:
    table, schema = mf.datasets.load("mf-bandgap")
    table = table.drop_duplicates(["formula", "fidelity"])
    exp = table[table["fidelity"] == "exp"].sample(300, random_state=seed)
    pbe = table[table["fidelity"] == "pbe"].sample(12_000, random_state=seed)
    small = mf.Schema(
        schema.inputs, value=schema.value, source=schema.source, costs={"pbe": 1, "exp": 400}, unit=schema.unit
    )
    return pd.concat([pbe[:2000], exp], ignore_index=True), pbe[2000:], small


def main() -> None:
    table, new, schema = rows()
    start = time.perf_counter()
    surrogate = mf.fit(table, schema, mf.Difference([mf.GP()]))
    fitted = time.perf_counter() - start
    surrogate.predict(new[:100])
    start = time.perf_counter()
    surrogate.predict(new)
    predicted = time.perf_counter() - start
    X = schema.encode(new)[0]
    start = time.perf_counter()
    schema.encode(new)
    encoded = time.perf_counter() - start
    results = {
        "rows_fitted": len(table),
        "features": X.shape[-1] - 1,
        "fit_s": round(fitted, 2),
        "rows_predicted": len(new),
        "predict_s": round(predicted, 3),
        "of_which_formulas_s": round(encoded, 3),
    }
    record(
        "difference",
        results,
        says=f"{len(table)} rows fitted in {fitted:.1f} s, {len(new)} predicted from formulas in {predicted:.2f} s.",
    )


if __name__ == "__main__":
    main()

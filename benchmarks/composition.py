"""How fast formulas become numbers: mfmat on 100,000 distinct formulas, and against matminer's Magpie preset.

    python benchmarks/composition.py [--rows 100000] [--shared 1000]

Run it where matminer is installed for the comparison; without it only mfmat is measured. Both sides start from
text and end with a table of numbers, parsing included, in this one process; the comparison uses the same formulas.
"""

from __future__ import annotations

import argparse
import random
import time
import warnings
from collections.abc import Callable

import pandas as pd
from record import record

from mfmat.features import Composition
from mfmat.features.elements import load_elements


def draw(rows: int, *, seed: int = 0) -> list[str]:
    """Distinct formulas of two to six elements; a third of them with fractional amounts."""
    rng = random.Random(seed)
    symbols = load_elements().symbols
    formulas: dict[str, None] = {}
    while len(formulas) < rows:
        chosen = rng.sample(symbols, rng.randint(2, 6))
        fractional = rng.random() < 1 / 3
        amounts = [f"{rng.uniform(0.01, 3):.2f}" if fractional else str(rng.randint(1, 12)) for _ in chosen]
        formulas["".join(f"{s}{a}" for s, a in zip(chosen, amounts, strict=True))] = None
    return list(formulas)


def seconds(run: Callable[[], object], *, repeats: int) -> float:
    """The shortest of a few runs."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def measure_mfmat(formulas: list[str]) -> float:
    """Seconds to encode the formulas, both views."""
    table = pd.DataFrame({"formula": formulas})
    featurizer = Composition("formula")
    featurizer.encode(table.iloc[:1])
    return seconds(lambda: featurizer.encode(table), repeats=3)


def measure_matminer(formulas: list[str]) -> float | None:
    """Seconds of matminer's Magpie preset, in this process; None where matminer is not installed."""
    try:
        from matminer.featurizers.composition import ElementProperty
    except ImportError:
        return None
    from pymatgen.core import Composition as Parsed

    preset = ElementProperty.from_preset("magpie")
    preset.set_n_jobs(1)

    def run() -> object:
        table = pd.DataFrame({"composition": [Parsed(formula) for formula in formulas]})
        return preset.featurize_dataframe(table, "composition", pbar=False)

    return seconds(run, repeats=3)


def main() -> None:
    """Measure, print, and write benchmarks/results/composition.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--shared", type=int, default=1000)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    formulas = draw(options.rows)
    results: dict[str, float] = {"rows": len(formulas), "mfmat_seconds": measure_mfmat(formulas)}
    results["mfmat_features"] = sum(map(len, Composition("formula").views.values()))
    theirs = measure_matminer(formulas[: options.shared])
    if theirs is not None:
        ours = measure_mfmat(formulas[: options.shared])
        results |= {"shared_rows": options.shared, "mfmat_rows_per_second": options.shared / ours}
        results |= {"matminer_rows_per_second": options.shared / theirs, "times_faster": theirs / ours}
    record(
        "composition", {name: round(value, 3) for name, value in results.items()}, says(results), packages=("matminer",)
    )


def says(results: dict[str, float]) -> str:
    """What was found, in one sentence."""
    alone = f"{results['rows']:,} distinct formulas become numbers in {results['mfmat_seconds']:.1f} s"
    if "times_faster" not in results:
        return f"{alone}; matminer is not installed here, so there is no comparison."
    shared = f"on the same {results['shared_rows']:,} formulas, in one process"
    return f"{alone}; {results['times_faster']:.0f} times as fast as matminer's Magpie preset {shared}."


if __name__ == "__main__":
    main()

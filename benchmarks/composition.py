"""How fast formulas become numbers: mfmat on 100,000 distinct formulas, and against matminer's Magpie preset.

    python benchmarks/composition.py [--rows 100000] [--shared 1000]

Run it where matminer is installed for the comparison; without it only mfmat is measured. Both sides start from
text and end with a table of numbers, parsing included, in this one process; the comparison uses the same formulas.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import random
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from mfmat.features import Composition
from mfmat.features.elements import load_elements

RESULTS = Path(__file__).parent / "results" / "composition.json"
PACKAGES = ("mfmat", "matminer", "numpy", "pandas", "pymatgen-core")


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
    write({name: round(value, 3) for name, value in results.items()})


def write(results: dict[str, float]) -> None:
    """The results with what is needed to judge and repeat them."""
    installed = {distribution.name for distribution in importlib.metadata.distributions()}
    versions = {name: importlib.metadata.version(name) for name in PACKAGES if name in installed}
    record = {
        "name": "composition",
        "command": " ".join(["python", "benchmarks/composition.py", *sys.argv[1:]]),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "system": platform.platform()},
        "versions": {"python": platform.python_version(), **versions},
        "results": results,
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record, indent=2))


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()

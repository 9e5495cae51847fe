"""How long a library of many entries takes to answer.

    python benchmarks/library.py --entries 100000

The index is that of one fitted surrogate, its lines repeated with other names and numbers; the files are not there, as
a query does not read them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from record import record

import mfmat as mf
from mfmat.library import INDEX

CONDITION = "property == 'property 7' and mae < 0.3"
SAYS = (
    "The first query reads the index; later ones read it again only where it has changed. An entry is added at the end "
    "of the index, whatever its length. The condition: " + CONDITION + "."
)


def main() -> None:
    """Write an index, ask it, and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, nargs="+", default=[1000, 10_000, 100_000])
    table, schema = mf.datasets.load("semiconductor-gaps")
    fitted = mf.fit(table, schema, mf.Auto(member=mf.GP()))
    record("library", [measure(n, fitted) for n in parser.parse_args().entries], SAYS)


def measure(n: int, fitted: mf.Surrogate) -> dict[str, float]:
    """Seconds for a library of n entries."""
    with tempfile.TemporaryDirectory() as folder:
        library = mf.Library(folder)
        name = library.add(fitted)
        one = library.entries[name]
        errors = np.random.default_rng(0).uniform(0, 3, n)
        with Path(folder, INDEX).open("ab") as file:
            for i in range(n - 1):
                facts = one.facts | {"property": f"property {i % 100}", "mae": errors[i]}
                file.write(replace(one, name=f"entry-{i}", facts=facts).line() + b"\n")
        fresh = mf.Library(folder)
        row = {"entries": n, "index_MB": Path(folder, INDEX).stat().st_size / 1e6}
        for name in ("first_query_s", "next_query_s"):
            started = time.perf_counter()
            found = fresh.query(CONDITION)
            row[name] = time.perf_counter() - started
        row["found"] = len(found)
        started = time.perf_counter()
        mf.Library(folder).add(fitted)
        return row | {"add_s": time.perf_counter() - started}


if __name__ == "__main__":
    main()

"""Seconds to fit a GP with one thread and with all, by the number of rows: where a second thread begins to pay."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from record import record

import mfmat as mf
from mfmat import descent


def main() -> None:
    table, schema = mf.datasets.load("expt-formation-energy")
    data = replace(schema, source=None, costs=None).data(table)
    small, every, descent.SMALL = descent.SMALL, torch.get_num_threads(), 0
    rows = []
    for n in (100, 200, 400, 800, 1200):
        part = data.take(torch.arange(n))
        seconds = {}
        for threads in (1, every):
            torch.set_num_threads(threads)
            mf.GP(steps=3).fit(part)
            start = time.perf_counter()
            mf.GP(steps=30, learn_rows=n).fit(part)
            seconds[f"{threads}_thread_s"] = round(time.perf_counter() - start, 3)
        rows.append({"rows": n, **seconds})
    record("threads", rows, says=f"Below {small} rows one thread fits a GP faster than {every}.")


if __name__ == "__main__":
    main()

"""How much sooner the same work is done on more processes: the factory, cross-validation and a backtest on Dask.

    python benchmarks/scaling.py --processes 1 2

Beside each stands what the machine itself gives: the same products of matrices in so many processes at once. Two
threads of one core are not two cores. Draws docs/scaling.png.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import torch
from distributed import Client, LocalCluster, wait
from matplotlib.figure import Figure
from record import record

import mfmat as mf

PICTURE = Path(__file__).parents[1] / "docs" / "scaling.png"
PIECES = 24
"""Products of matrices, or tasks, to share out."""
COLOURS = ("#444444", "#0b7a75", "#8a5a9e", "#d1495b")
Work = Callable[[Executor], object]


def products(piece: int) -> int:
    """What one core does anyway: products of matrices, for a second or two; `piece` tells one call from the next."""
    torch.set_num_threads(1)
    matrix = torch.eye(300)
    for _ in range(2000):
        matrix = matrix @ matrix
    return piece


def machine(executor: Executor) -> object:
    """The products, in pieces."""
    return list(executor.map(products, range(PIECES)))


def factory(executor: Executor) -> object:
    """Ninety-six networks of one property."""
    table, schema = mf.datasets.load("jarvis/n_em300k")
    table = table.sample(1000, random_state=0)
    schema = replace(schema, inputs=mf.Composition("formula", blocks="descriptors"))
    with tempfile.TemporaryDirectory() as folder:
        return mf.Library(folder).train({"power": (table, schema)}, 96, executor=executor, on_error="skip")


def folds(executor: Executor) -> object:
    """Eight folds of a fusion of the embedded gaps."""
    table, schema = mf.datasets.load("semiconductor-gaps")
    return mf.cross_validate(table, schema, mf.Conformal(mf.Latent([mf.GP()])), folds=8, executor=executor)


def campaigns(executor: Executor) -> object:
    """Eight replays of a small campaign."""
    table, schema = mf.datasets.load("semiconductor-gaps")
    policy = mf.Ask(mf.Difference([mf.GP()]))
    return mf.backtest(table, schema, policy, budget=1500, batch=10, seeds=8, executor=executor)


WORK: dict[str, Work] = {
    "products of matrices": machine,
    "library.train, 96 networks": factory,
    "cross_validate, 8 folds": folds,
    "backtest, 8 seeds": campaigns,
}


def measure(processes: int) -> dict[str, float]:
    """Seconds that each piece of work takes on so many workers, imports and start left out."""
    with (
        LocalCluster(n_workers=processes, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
        client.get_executor() as executor,
    ):
        workers = client.scheduler_info(n_workers=-1)["workers"]
        wait([client.submit(products, -1, workers=[worker], pure=False) for worker in workers])
        found = {}
        for name, work in WORK.items():
            started = time.perf_counter()
            work(executor)
            found[name] = time.perf_counter() - started
            print(f"{processes} processes, {name}: {found[name]:.0f} s", flush=True)
    return found


def draw(found: pd.DataFrame) -> None:
    """Speed-ups against the number of processes."""
    with mpl.rc_context({"font.size": 11, "axes.titleweight": "bold", "axes.titlelocation": "left"}):
        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.add_subplot()
        for (name, seconds), colour in zip(found.items(), COLOURS, strict=True):
            style = "--" if name == next(iter(WORK)) else "-"
            axes.plot(found.index, seconds.iloc[0] / seconds, style, marker="o", color=colour, label=name)
        axes.set(xlabel="Processes", ylabel="Times faster than one process", xticks=list(found.index))
        axes.set_ylim(0.9, None)
        axes.set_title("The same work on more processes")
        axes.legend(frameon=False)
        figure.savefig(PICTURE, dpi=120)


def main() -> None:
    """Measure, draw and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    asked = parser.parse_args()
    found = pd.DataFrame({n: measure(n) for n in sorted(asked.processes)}).T
    draw(found)
    rows: list[dict[str, Any]] = [
        {"work": name}
        | {f"{n} s": float(seconds[n]) for n in found.index}
        | {f"{n} times faster": float(seconds.iloc[0] / seconds[n]) for n in found.index[1:]}
        for name, seconds in found.items()
    ]
    last = found.index[-1]
    column = f"{last} times faster"
    gains = [row[column] for row in rows[1:]]
    record(
        "scaling",
        rows,
        says=f"Dask, one thread a worker. {last} processes are {min(gains):.2f} to {max(gains):.2f} times as fast "
        f"as one; products of matrices, which tell what the machine gives, {rows[0][column]:.2f} times.",
        packages=["distributed"],
        picture="scaling.png",
    )


if __name__ == "__main__":
    main()

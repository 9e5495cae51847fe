"""The executor of a Dask client: separate processes say what one process says, also where one of them dies."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import mfmat as mf

distributed = pytest.importorskip("distributed")

SCHEMA = mf.Schema(mf.Columns("x"), "y", "source", {"cheap": 1, "dear": 10})


def table(n: int = 24) -> pd.DataFrame:
    x = np.linspace(0, 1, n)
    rows = [{"x": a, "source": s, "y": np.sin(6 * a) + (s == "dear") * a} for a in x for s in SCHEMA.sources]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two workers, each a process of its own with one thread."""
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def executor(client: Any) -> Iterator[Executor]:
    with client.get_executor() as executor:
        yield executor


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_folds_elsewhere_are_those_here_to_the_bit(executor: Executor) -> None:
    recipe = mf.Difference([mf.GP()])
    here = mf.cross_validate(table(), SCHEMA, recipe)
    pd.testing.assert_frame_equal(mf.cross_validate(table(), SCHEMA, recipe, executor=executor), here, check_exact=True)


def test_models_fitted_elsewhere_are_those_here_to_the_bit(executor: Executor) -> None:
    data = SCHEMA.data(table())
    folds = data.split(3, 0)
    here, there = (mf.Forest(trees=10).cross_fit(data, folds, where) for where in (None, executor))
    X = SCHEMA.encode(table())[0]
    for a, b in zip(here, there, strict=True):
        with torch.no_grad():
            assert torch.equal(a.posterior(X).mean, b.posterior(X).mean)


def test_campaigns_replayed_elsewhere_are_those_here(executor: Executor, tmp_path: Path) -> None:
    policies = mf.Ask(mf.Difference([mf.GP()]))
    asked: dict[str, Any] = {"seeds": 2, "budget": 30, "start": 2}
    here = mf.backtest(table(8), SCHEMA, policies, **asked)
    there = mf.backtest(table(8), SCHEMA, policies, executor=executor, path=tmp_path / "runs.jsonl", **asked)
    first, second = (
        each.steps.drop(columns="seconds").sort_values(["policy", "seed", "step"], kind="stable", ignore_index=True)
        for each in (here, there)
    )
    pd.testing.assert_frame_equal(first, second)


def test_a_pool_scored_elsewhere_is_scored_as_here(executor: Executor) -> None:
    surrogate = mf.fit(table(), SCHEMA, mf.Difference([mf.GP()]))
    pool = pd.DataFrame({"x": np.linspace(-0.2, 1.2, 200)})
    chunks = [pool.iloc[start : start + 50] for start in range(0, 200, 50)]
    here = mf.suggest(surrogate, iter(chunks), 4)
    pd.testing.assert_frame_equal(mf.suggest(surrogate, iter(chunks), 4, executor=executor), here)


def test_networks_trained_elsewhere_are_those_trained_here(executor: Executor, tmp_path: Path) -> None:
    dear = table(40).query("source == 'dear'")
    tasks = {
        "rise": (dear, mf.Schema(mf.Columns("x"), "y")),
        "fall": (dear.assign(y=-dear["y"]), mf.Schema(mf.Columns("x"), "y")),
    }
    recipes = [mf.BNN(hidden=(8, 4), steps=40, epochs=4, seed=seed) for seed in range(3)]
    found = {}
    for name, where in (("here", None), ("there", executor)):
        library = mf.Library(tmp_path / name)
        library.train(tasks, recipes, executor=where)
        found[name] = {entry: library.get(entry).predict(dear) for entry in sorted(library.entries)}
    assert list(found["here"]) == list(found["there"])
    assert len(found["here"]) == 6
    for entry, said in found["here"].items():
        pd.testing.assert_frame_equal(found["there"][entry], said, check_exact=True)


def test_a_worker_that_is_killed_costs_its_own_task_only(client: Any, executor: Executor) -> None:
    data = SCHEMA.data(table(60))
    folds = data.split(12, 0)
    recipe = mf.Forest(trees=60)
    here = recipe.cross_fit(data, folds)
    before = set(client.run(os.getpid).values())
    killer = threading.Timer(0.3, os.kill, (min(before), signal.SIGKILL))
    killer.start()
    there = recipe.cross_fit(data, folds, executor)
    killer.join()
    X = SCHEMA.encode(table())[0]
    for a, b in zip(here, there, strict=True):
        with torch.no_grad():
            assert torch.equal(a.posterior(X).mean, b.posterior(X).mean)
    client.wait_for_workers(2, timeout=60)
    assert min(before) not in client.run(os.getpid).values()


@pytest.mark.promise
def test_workers_started_from_the_shell_serve(tmp_path: Path) -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    base = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1"]
    options = ["--port", address.rsplit(":", 1)[1], "--no-dashboard"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard"]
    log = (tmp_path / "log").open("wb")
    started = [subprocess.Popen([*base, *options], stdout=log, stderr=log, cwd=tmp_path)]
    started += [subprocess.Popen(worker, stdout=log, stderr=log, cwd=tmp_path) for _ in range(2)]
    try:
        with distributed.Client(address, timeout=60) as client:
            client.wait_for_workers(2, timeout=120)
            recipe = mf.Difference([mf.GP()])
            with client.get_executor() as executor:
                there = mf.cross_validate(table(), SCHEMA, recipe, executor=executor)
        pd.testing.assert_frame_equal(there, mf.cross_validate(table(), SCHEMA, recipe), check_exact=True)
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(60)
        log.close()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])

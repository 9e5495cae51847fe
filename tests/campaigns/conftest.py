"""A small search with two sources, SQLite and PostgreSQL to keep it in, and processes of their own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

import mfmat as mf

ROOT = Path(__file__).parents[2]
SCHEMA = mf.Schema(mf.Columns("x"), value="y", source="source", costs={"cheap": 1, "trusted": 10})
RECIPE = mf.Difference([mf.GP(steps=5)])
POOL = pd.DataFrame({"x": [0.05, 0.2, 0.4, 0.55, 0.7, 0.85], "note": list("abcdef")}, index=[f"m{i}" for i in range(6)])
SEEN = pd.DataFrame(
    {
        "x": [0.0, 0.3, 0.6, 1.0, 0.1, 0.5, 0.9],
        "source": ["cheap"] * 4 + ["trusted"] * 3,
        "y": [0.1, 0.5, 0.7, 0.3, 0.2, 0.6, 0.5],
    }
)


def _server() -> Path:
    found = shutil.which("pg_ctl")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda file: int(file.parts[-3]))
    return (Path(found) if found else installed[-1]).parent


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A server of our own, on this machine alone; the address of it without a database."""
    folder, port, commands = Path(tempfile.mkdtemp(prefix="pg")), _free_port(), _server()
    # PostgreSQL refuses to run as root.
    other = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if other:
        shutil.chown(folder, "postgres", "postgres")

    def run(*arguments: str) -> None:
        subprocess.run([*other, *arguments], check=True, cwd=folder, stdout=subprocess.DEVNULL)

    data = str(folder / "data")
    run(str(commands / "initdb"), "-D", data, "-U", "tester", "-A", "trust", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder}"
    run(str(commands / "pg_ctl"), "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
    yield f"postgresql://tester@127.0.0.1:{port}"
    run(str(commands / "pg_ctl"), "-D", data, "-w", "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return str(tmp_path / "gap.db")
    psycopg = pytest.importorskip("psycopg")
    server, name = request.getfixturevalue("postgres"), f"c{uuid.uuid4().hex}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{server}/{name}"


def make(url: str | Path, **options: object) -> mf.Campaign:
    """A campaign over six candidates, three values of the target known."""
    return mf.Campaign.create(url, SCHEMA, **{"recipe": RECIPE, "pool": POOL, "seen": SEEN, **options})


@pytest.fixture
def begin() -> Callable[..., mf.Campaign]:
    """Makes a campaign; see `make`."""
    return make


@pytest.fixture
def campaign(tmp_path: Path) -> mf.Campaign:
    """A campaign with a budget of 25."""
    return make(tmp_path / "gap.db", budget=25)


@pytest.fixture
def elsewhere() -> Callable[..., subprocess.Popen]:
    """Starts a Python process of its own with this code."""

    def start(code: str, **environment: str) -> subprocess.Popen:
        known = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
        command = [sys.executable, "-W", "ignore", "-c", code]
        return subprocess.Popen(command, env=known, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start

"""The wheel in an empty environment with each extra alone, with none, and with all: `make check-wheel`.

In each of them: every public name, a fit, a prediction, saving and loading, the command, and what the extra is for.
Where an extra is not there, what needs it says so by its name.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOT_FOR_USERS = "dev"
QUIET = subprocess.DEVNULL


def main() -> None:
    """Build the wheel, then one environment after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", default="uv", help="the command uv, which makes an environment in seconds")
    parser.add_argument("--python", default=sys.executable, help="of the environments")
    parser.add_argument("--probe", nargs="*", metavar="EXTRA", help="inside an environment: try these extras")
    options = parser.parse_args()
    if options.probe is not None:
        probe(set(options.probe))
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT], check=True, stdout=QUIET)
        (wheel,) = Path(folder).glob("*.whl")
        settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        extras = [name for name in settings["project"]["optional-dependencies"] if name != NOT_FOR_USERS]
        for chosen in [[], *([name] for name in extras), extras]:
            began = time.monotonic()
            try_out(wheel, chosen, options.uv, options.python)
            print(f"{wheel.name}[{','.join(chosen)}]: {time.monotonic() - began:.0f} s", flush=True)


def try_out(wheel: Path, extras: list[str], uv: str, python: str) -> None:
    """An environment of its own, and `probe` in it."""
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder, "bin", "python")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", python, folder], check=True)
        wanted = [f"{wheel}[{','.join(extras)}]", "--constraint", str(ROOT / "constraints.txt")]
        subprocess.run([uv, "pip", "install", "--quiet", "--python", str(there), *wanted], check=True)
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        probing = [there, "-I", __file__, "--probe", *extras]
        subprocess.run(probing, check=True, cwd=folder, env={**clean, "MFMAT_CACHE": folder})
        subprocess.run([there.with_name("mfmat"), "--help"], check=True, cwd=folder, env=clean, stdout=QUIET)


def probe(extras: set[str]) -> None:
    """What an installation with these extras should do, done.

    Raises:
        AssertionError: an extra that is there does not work, or one that is not there is not named.
    """
    import mfmat as mf

    assert ROOT not in Path(mf.__file__).parents, "the checkout, not what was installed"
    for name in mf.__all__:
        getattr(mf, name)
    table, schema = mf.datasets.load("semiconductor-gaps")
    surrogate = mf.fit(table, schema, mf.TargetOnly(mf.GP(steps=5)))
    surrogate.save("gap.mfmat")
    said = mf.load("gap.mfmat").predict(table.head())
    assert said.equals(surrogate.predict(table.head()))
    for extra, use in USES.items():
        missing = try_use(use)
        if extra in extras:
            assert missing is None, f"{extra} is installed: {missing}"
        elif isinstance(missing, mf.MfmatError):
            assert f"mfmat[{extra}]" in str(missing), missing
        else:
            assert missing or extra in ACCIDENTAL, f"{extra} works without being asked for"


def try_use(use: Callable[[], None]) -> ImportError | None:
    """What is missing for it; None where it works."""
    try:
        use()
    except ImportError as error:
        return error
    return None


def use_report() -> None:
    import mfmat as mf

    mf.report(mf.load("gap.mfmat"), "gap.html")


def use_structures() -> None:
    import pandas as pd

    import mfmat as mf

    salt = {"lattice": [[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]], "species": ["Na", "Cl"]}
    table = pd.DataFrame({"structure": [{**salt, "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]]}]})
    X, problems = mf.Structure("structure").encode(table)
    assert not problems, problems
    assert X.shape[1] > 64


def use_molecules() -> None:
    import pandas as pd

    import mfmat as mf

    _, problems = mf.Molecule("smiles").encode(pd.DataFrame({"smiles": ["CCO", "c1ccccc1"]}))
    assert not problems, problems


def use_parquet() -> None:
    import mfmat as mf

    table_files = importlib.import_module("mfmat.table_files")
    table, _ = mf.datasets.load("semiconductor-gaps")
    table_files.write_file(table, "gaps.parquet")
    assert len(table_files.read_file("gaps.parquet")) == len(table)


def use_remote() -> None:
    import fsspec

    fsspec.filesystem("https")


def use_postgres() -> None:
    import psycopg

    assert psycopg.pq.__impl__ in ("binary", "c")


def use_distributed() -> None:
    importlib.import_module("distributed")


def use_ax() -> None:
    from botorch.acquisition import LogExpectedImprovement

    import mfmat as mf

    table, schema = mf.datasets.load("semiconductor-gaps")
    as_generator = importlib.import_module("mfmat.ax").as_generator
    as_generator(mf.fit(table, schema, mf.TargetOnly(mf.GP(steps=2))), LogExpectedImprovement, best_f=1.0)


USES: dict[str, Callable[[], None]] = {
    "report": use_report,
    "structures": use_structures,
    "molecules": use_molecules,
    "parquet": use_parquet,
    "remote": use_remote,
    "postgres": use_postgres,
    "distributed": use_distributed,
    "ax": use_ax,
}
ACCIDENTAL = {"report", "remote"}
"""Whose packages others may bring along."""

if __name__ == "__main__":
    main()

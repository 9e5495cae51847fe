"""One way to keep the result of a benchmark: numbers, with what is needed to judge and repeat them.

    from record import record
    record("gp_fit", [{"model": "GP", "seconds": 1.2}], says="One sentence on what was found.")

Writes benchmarks/results/<name>.json and prints it. `make_page.py` makes docs/benchmarks.md of all of them.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("mfmat", "torch", "gpytorch", "botorch", "numpy", "scipy", "pandas", "pymatgen-core")


def record(
    name: str,
    rows: Sequence[Mapping[str, Any]] | Mapping[str, Any],
    says: str = "",
    *,
    packages: Iterable[str] = (),
    picture: str | None = None,
    command: str | None = None,
) -> Path:
    """Write and print the result of the benchmark that is running.

    Args:
        name: of the result, as the file is called.
        rows: a table, one mapping a row with the same keys; several tables by their headings; or one mapping of
            named numbers. A number may be a mapping of its mean and spread.
        says: one sentence on what was found.
        packages: whose versions matter here, besides those that always do.
        picture: a file in docs/ to show above the table.
        command: that gives the result from nothing, where it is not what was typed.
    """
    result = {
        "name": name,
        "command": command or typed(),
        "machine": machine(),
        "versions": {"python": platform.python_version()} | versions([*PACKAGES, *packages]),
        "date": datetime.now(UTC).date().isoformat(),
        "results": dict(rows) if isinstance(rows, Mapping) else [dict(row) for row in rows],
        "says": says,
    } | ({"picture": picture} if picture else {})
    text = json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(text, encoding="utf-8")
    print(text, end="")
    return path


def typed() -> str:
    """What was typed, from the project's root."""
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def machine() -> dict[str, Any]:
    """Processor, cores, memory and system, as far as the system tells them."""
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    known = {
        "processor": _from_proc("cpuinfo", r"model name\s*:\s*(.+)") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_GB": round(pages / 1e9, 1) or None,
        "system": platform.platform(),
    }
    return {name: value for name, value in known.items() if value is not None}


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The version of each package that is installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _from_proc(file: str, pattern: str) -> str | None:
    path = Path("/proc") / file
    found = re.search(pattern, path.read_text()) if path.exists() else None
    return found[1].strip() if found else None

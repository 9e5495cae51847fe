"""Writes docs/benchmarks.md from benchmarks/results/*.json: python benchmarks/make_page.py"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"

HEAD = """# Benchmarks

Every number on this page was written by a command that stands beside it, on the machine and with the versions below the
table. `make benchmark` runs all of them, one after the other, and makes this page anew; those on experts, which take
hours, are run by `make benchmark-experts`. To compare two numbers, take them from one table: other machines and other
days give other seconds.
"""


def page(results: Sequence[Mapping[str, Any]]) -> str:
    """The whole page."""
    parts = [HEAD, *map(section, results)]
    return "\n".join(parts if results else [HEAD, "There is no result yet.\n"])


def section(result: Mapping[str, Any]) -> str:
    """One benchmark: what was found, the table, the command, the machine."""
    lines = [f"## {title(result['name'])}", ""]
    if result.get("says"):
        lines += [result["says"], ""]
    if "picture" in result:
        lines += [f"![{title(result['name'])}]({result['picture']})", ""]
    lines += [body(result["results"]), "", "```sh", result["command"], "```", "", facts(result), ""]
    return "\n".join(lines)


def body(results: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> str:
    """One table, or several under their headings."""
    if isinstance(results, Mapping) and results and all(isinstance(each, list) for each in results.values()):
        return "\n\n".join(f"### {name}\n\n{table(rows)}" for name, rows in results.items())
    return table(results)


def title(name: str) -> str:
    """A file's name as a heading."""
    return name.replace("_", " ").replace("-", " ").capitalize()


def table(results: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> str:
    """Rows under the names of their columns; one mapping as a column of names and one of numbers."""
    if isinstance(results, Mapping):
        results = [{"what": name.replace("_", " "), "value": value} for name, value in results.items()]
    columns = list(dict.fromkeys(name for row in results for name in row))
    numeric = [all(is_number(row.get(name)) for row in results if row.get(name) is not None) for name in columns]
    lines = [
        cells(name.replace("_", " ") for name in columns),
        cells("---:" if right else "---" for right in numeric),
        *(cells(shown(row.get(name)) for name in columns) for row in results),
    ]
    return "\n".join(lines)


def cells(texts: Any) -> str:
    """One line of a table."""
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


def is_number(value: Any) -> bool:
    """Whether a value is printed flush right."""
    return is_spread(value) or (isinstance(value, int | float) and not isinstance(value, bool))


def is_spread(value: Any) -> bool:
    """Whether a value is a mean with its spread."""
    return isinstance(value, Mapping) and set(value) == {"mean", "spread"}


def shown(value: Any) -> str:
    """A value as text: whole numbers in full, others with three figures, nothing for None."""
    if value is None or isinstance(value, bool):
        return {None: "", True: "yes", False: "no"}[value]
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) < 1e15):
        return f"{int(value):,}".replace(",", " ") if abs(value) >= 10_000 else str(int(value))
    if isinstance(value, float):
        return shown(round(value)) if abs(value) >= 1000 else f"{value:.3g}"
    if isinstance(value, Mapping):
        if is_spread(value):
            return f"{shown(value['mean'])} ± {shown(value['spread'])}"
        return ", ".join(f"{name.replace('_', ' ')} {shown(each)}" for name, each in value.items())
    return ", ".join(map(shown, value)) if isinstance(value, list) else str(value).replace("\n", " ")


def facts(result: Mapping[str, Any]) -> str:
    """The machine and the versions, in one line."""
    machine = result["machine"]
    parts = [machine.get("processor", ""), f"{machine['cores']} cores" if "cores" in machine else ""]
    parts += [f"{machine['memory_GB']} GB" if "memory_GB" in machine else "", machine.get("system", "")]
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    date = f" {result['date']}." if "date" in result else ""
    return f"{', '.join(part for part in parts if part)}; {versions}.{date}"


def main() -> None:
    """Read every result and write the page."""
    results = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(RESULTS.glob("*.json"))]
    PAGE.write_text(page(results), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)}: {len(results)} benchmarks")


if __name__ == "__main__":
    main()

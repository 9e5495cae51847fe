"""docs/benchmarks.md: every result, with its command, its machine and its versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pages.tables import table

HEAD = """# Benchmarks

Every number on this page was written by a command that stands beside it, on the machine and with the versions below the
table. `make benchmark` runs all of them, one after the other, and makes this page anew; those on experts, which take
hours, are run by `make benchmark-experts`. To compare two numbers, take them from one table: other machines and other
days give other seconds.

Since 22 November 2026 `Composition` gives a third view, `ions`. With it were measured: fusions, labels, semiconductors,
thermoelectrics, transfer. The table of experts compares learners, not inputs, and states its two views,
`blocks=("statistics", "fractions")`; with these were measured all other tables over formulas, too.
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


def facts(result: Mapping[str, Any]) -> str:
    """The machine and the versions, in one line."""
    machine = result["machine"]
    parts = [machine.get("processor", ""), f"{machine['cores']} cores" if "cores" in machine else ""]
    parts += [f"{machine['memory_GB']} GB" if "memory_GB" in machine else "", machine.get("system", "")]
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    date = f" {result['date']}." if "date" in result else ""
    return f"{', '.join(part for part in parts if part)}; {versions}.{date}"

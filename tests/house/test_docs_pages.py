"""Whoever reads a public name finds its page: each learner, gate, featurizer, calibrator and acquisition has one."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import mfmat as mf
from mfmat import acquisitions, auto, calibrators, experts, features, gates, pretrained, shotgun, stacks
from mfmat.values import Value

ROOT = Path(__file__).parents[2]
FAMILIES = {
    "experts": experts,
    "stacks": stacks,
    "gates": gates,
    "features": features,
    "calibrators": calibrators,
    "acquisitions": acquisitions,
}
ALONE = {"Auto": (auto, "auto.md"), "Shotgun": (shotgun, "shotgun.md"), "Pretrained": (pretrained, "pretrained.md")}
FEW = ("shotgun.md", "pretrained.md")
"""Pages of learners that stand alone, and are laid out like those of a family."""
PAPER = re.compile(r"doi:|doi\.org|arXiv|ISBN|NeurIPS|Proc\.")


def leaves(nav: Any) -> Iterator[str]:
    """The pages of a navigation, in order."""
    if isinstance(nav, str):
        yield nav
    for each in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from leaves(each)


def concrete(family: ModuleType) -> list[str]:
    """What a family exports and somebody can make."""
    found = {name: getattr(family, name) for name in family.__all__}
    return [name for name, each in found.items() if inspect.isclass(each) and issubclass(each, Value) and each.kind]


NAV = list(leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]))
EXPORTS = [(folder, name) for folder, family in FAMILIES.items() for name in concrete(family)]


@pytest.mark.parametrize(("folder", "name"), EXPORTS)
def test_every_export_has_a_page(folder: str, name: str) -> None:
    pages = [page for page in NAV if page.startswith(f"{folder}/")]
    heads = {page: (ROOT / "docs" / page).read_text(encoding="utf-8").split("\n", 1)[0] for page in pages}
    own = [page for page, head in heads.items() if re.search(rf"\b{name}\b", head)]
    assert len(own) == 1, f"{name}: add docs/{folder}/<name>.md with the heading '# {name}' to the nav of mkdocs.yml"


@pytest.mark.parametrize("name", ALONE)
def test_learners_of_no_family_have_one(name: str) -> None:
    module, page = ALONE[name]
    assert hasattr(module, name)
    assert page in NAV
    assert (ROOT / "docs" / page).read_text(encoding="utf-8").startswith(f"# {name}\n")


@pytest.mark.parametrize("page", [*(page for page in NAV if page.split("/")[0] in FAMILIES), *FEW])
def test_a_page_says_when_what_it_costs_and_where_it_ends(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    heads = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert {"When", "Cost", "Limits"} <= set(heads), f"{page}: {heads}"
    assert "```python" in text
    assert "$" in text, f"{page} has no formula"
    assert PAPER.search(text), f"{page} names no paper"


def test_the_index_of_the_reference_has_every_public_name() -> None:
    index = (ROOT / "docs" / "reference" / "index.md").read_text(encoding="utf-8")
    assert set(mf.__all__) - set(re.findall(r"`([\w.]+)`", index)) == set()


def test_the_command_of_the_fusions_names_every_table() -> None:
    found = json.loads((ROOT / "benchmarks" / "results" / "fusion.json").read_text(encoding="utf-8"))
    said = [set(line.split()) for line in found["command"].split("; ")]
    for title in found["results"]:
        data, *size = re.sub(r", the learning curve$", "", title).split(", ")
        words = {data, *re.findall(r"\d+", " ".join(size))}
        assert any(words <= line for line in said), title


def test_every_page_is_in_the_navigation_once() -> None:
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert sorted(NAV) == sorted(pages)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The pages of numbers, as benchmarks/make_page.py writes them now."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    made: dict[str, str] = importlib.import_module("make_page").pages()
    return made


def test_pages_of_numbers_are_what_the_results_say(written: dict[str, str]) -> None:
    for name, text in written.items():
        committed = (ROOT / "docs" / name).read_text(encoding="utf-8")
        assert committed == text, f"docs/{name}: run python benchmarks/make_page.py"
    assert {"benchmarks.md", "comparison.md", "which-stack.md"} == set(written)


def test_both_sides_are_counted(written: dict[str, str]) -> None:
    comparison = importlib.import_module("pages.comparison")
    ahead = {score.ahead for line in comparison.every() for score in line.scores}
    assert ahead == {"mfmat", "peer", "even"}
    losses = comparison.losses()
    assert losses in written["comparison.md"]
    assert losses.count("\n- ") + 1 == sum(
        score.ahead == "peer" and score.measure not in comparison.SECONDS
        for line in comparison.every()
        for score in line.scores
    )


def test_who_is_ahead_is_a_paired_question(written: dict[str, str]) -> None:
    measured = importlib.import_module("pages.measured")
    assert written

    def pair(ours: list[float], theirs: list[float]) -> str:
        rows = [tuple({"mae": each} for each in side) for side in (ours, theirs)]
        ahead: str = measured.Pair(*rows).ahead("mae")
        return ahead

    assert pair([1.0, 2.0, 3.0], [1.1, 2.1, 3.2]) == "mfmat"  # far apart in mean, close in each fold
    assert pair([1.0, 2.0, 3.0], [1.5, 1.6, 3.1]) == "even"
    assert pair([1.1, 2.1, 3.2], [1.0, 2.0, 3.0]) == "peer"
    assert pair([1.0], [1.01]) == "mfmat"

"""Whoever reads a public name finds its page: every learner, calibrator and acquisition has one, in the nav."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from mfmat import acquisitions, auto, calibrators, experts, pretrained, shotgun, stacks
from mfmat.values import Value

ROOT = Path(__file__).parents[2]
FAMILIES = {"experts": experts, "stacks": stacks, "calibrators": calibrators, "acquisitions": acquisitions}
ALONE = {"Auto": (auto, "auto.md"), "Shotgun": (shotgun, "library.md"), "Pretrained": (pretrained, "library.md")}


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
    assert name in (ROOT / "docs" / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [page for page in NAV if page.split("/")[0] in FAMILIES])
def test_a_page_says_when_what_it_costs_and_where_it_ends(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    heads = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert {"When", "Cost", "Limits"} <= set(heads), f"{page}: {heads}"
    assert "```python" in text
    assert "$" in text, f"{page} has no formula"


def test_every_page_is_in_the_navigation_once() -> None:
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert sorted(NAV) == sorted(pages)

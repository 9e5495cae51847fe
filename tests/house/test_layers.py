"""The tree of docs/design.md is what exists, and every import points to a smaller layer."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "mfmat"
FILES = sorted(PACKAGE.rglob("*.py"))
FORBIDDEN = {"utils", "helpers", "common", "base", "core"}
EXTRAS = {"ax", "chgnet", "jinja2", "matplotlib", "pyarrow"}
SLOW = {
    "botorch.acquisition",
    "pymatgen.core",
    "pymatgen.core.composition",
    "pymatgen.core.periodic_table",
    "pymatgen.optimization.neighbors",
    "rich.console",
    "rich.live",
    "rich.progress_bar",
    "rich.table",
    "rich.text",
    "scipy.optimize",
    "scipy.special",
    "sklearn",
    "sklearn.cluster",
    "sklearn.linear_model",
    "sklearn.tree",
    "spglib",
}
# The root loads its public names when they are asked for, a report its optional packages, a configuration kinds that
# stand above it.
BY_NAME = {"mfmat/__init__.py", "mfmat/extras.py", "mfmat/values.py"}
PICKLES = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
PICKLE_CALLS = {"read_pickle", "to_pickle", "torch.load", "torch.save"}


def read_tree() -> dict[str, int]:
    """Layer of every neighbour (a module, or a package by its name with a slash) in the tree of docs/design.md."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    found = re.search(r"^```\w*\nmfmat/\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found, "docs/design.md has no fenced block that begins with mfmat/"
    layer, tree = -1, {}
    for line in found[1].splitlines():
        entry = re.fullmatch(r"(\d+| ) +(\S+)  +\S.*", line)
        assert entry, f"docs/design.md, a line of the tree that is no 'N   name.py   what': {line!r}"
        layer = int(entry[1]) if entry[1].strip() else layer
        if entry[2] != "__init__.py":
            tree[entry[2]] = layer
    return tree


def neighbour(module: str) -> str:
    """What the tree calls a dotted module name: `mfmat.stacks.chain` is `stacks/`, `mfmat.auto` is `auto.py`."""
    name = module.split(".")[1]
    return f"{name}/" if (PACKAGE / name).is_dir() else f"{name}.py"


def dotted(file: Path) -> str:
    """The dotted name of a file's module."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def exists(module: str) -> bool:
    """Whether a dotted name is a module or a package."""
    path = ROOT.joinpath(*module.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def imported(node: ast.AST) -> list[str]:
    """The dotted modules that one import statement asks for; `from mfmat import saving` asks for mfmat.saving."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    assert node.level == 0, "a relative import; write the full name"
    module = node.module or ""
    if module.split(".")[0] != "mfmat":
        return [module]
    deeper = [f"{module}.{alias.name}" for alias in node.names]
    return [name if exists(name) else module for name in deeper]


def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def test_the_tree_is_what_exists() -> None:
    modules = {file.name for file in PACKAGE.glob("*.py")} - {"__init__.py"}
    packages = {f"{folder.parent.name}/" for folder in PACKAGE.glob("*/__init__.py")}
    assert set(read_tree()) == modules | packages


def test_every_folder_of_code_is_a_package() -> None:
    folders = {file.parent for file in FILES}
    assert [name_of(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_imports_point_to_smaller_layers(file: Path) -> None:
    module, tree = dotted(file), read_tree()
    asked = {name for node in ast.walk(parse(file)) for name in imported(node) if name.split(".")[0] == "mfmat"}
    if module == "mfmat":
        assert asked == set(), "the root names modules as text and loads them when they are asked for"
        return
    assert "mfmat" not in asked, "import from the module that defines a name, not from the package root"
    here = neighbour(module)
    wrong = {name: tree[neighbour(name)] for name in asked if neighbour(name) != here}
    wrong = {name: layer for name, layer in wrong.items() if layer >= tree[here]}
    assert wrong == {}, f"{module} is of layer {tree[here]} and imports from these"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_no_import_inside_a_function(file: Path) -> None:
    # The shell imports a verb's module inside the verb, so that --help is instant.
    if file.name.endswith("cli.py") or file.name == "shell.py":
        return
    functions = [n for n in ast.walk(parse(file)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)]
    inside = {name for function in functions for node in ast.walk(function) for name in imported(node)}
    free = {name for name in inside if name.split(".")[0] not in EXTRAS} - SLOW
    assert free == set(), "only an optional extra or one of the slow modules may be"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_imports_by_name_have_their_places(file: Path) -> None:
    names = {node.id for node in ast.walk(parse(file)) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(parse(file)) if isinstance(node, ast.Attribute)}
    if name_of(file) not in BY_NAME:
        assert names & {"import_module", "__import__"} == set()


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_no_pickle(file: Path) -> None:
    tree = parse(file)
    asked = {name.split(".")[0] for node in ast.walk(tree) for name in imported(node)}
    assert asked & PICKLES == set(), "a file must never be able to run code"
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    used = calls | {call.split(".")[-1] for call in calls}
    assert used & PICKLE_CALLS == set(), "a file must never be able to run code"


def test_names_say_what_is_inside() -> None:
    places = [*FILES, *(file.parent for file in FILES)]
    assert sorted({name_of(place) for place in places if place.stem in FORBIDDEN}) == []

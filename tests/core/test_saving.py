"""A saved surrogate: the same predictions in another process, and nothing believed of a file that was altered."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open

import mfmat as mf
from mfmat import saving
from mfmat.errors import SavedFileError, UnknownNameError

FILES = ["SHA256SUMS", "card.json", "model.safetensors"]
NEW = pd.DataFrame({"x": [0.05, 0.35, 0.95]})


@pytest.fixture(scope="module")
def surrogate(problem) -> mf.Surrogate:
    return mf.fit(*problem())


@pytest.fixture(scope="module")
def original(surrogate: mf.Surrogate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "gap.mfmat"
    surrogate.save(path)
    return path


@pytest.fixture
def saved(original: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(original, tmp_path / "gap.mfmat"))


def reseal(path: Path) -> None:
    """Make the checksums right again, as someone would who edits a file on purpose."""
    sums = {name: hashlib.sha256((path / name).read_bytes()).hexdigest() for name in FILES[1:]}
    (path / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()))


def edit(path: Path, change: Any) -> None:
    """Change the card, and make the checksums right again."""
    card = json.loads((path / "card.json").read_text())
    change(card)
    (path / "card.json").write_text(json.dumps(card))
    reseal(path)


def test_predictions_are_identical_in_another_process(surrogate: mf.Surrogate, saved: Path) -> None:
    script = (
        "import sys, pandas as pd, torch, mfmat as mf\n"
        "torch.set_num_threads(1)\n"
        f"rows = pd.DataFrame({NEW.to_dict('list')!r})\n"
        "gap = mf.load(sys.argv[1])\n"
        "said = [gap.predict(rows), gap.predict(rows, source='cheap', level=0.5), gap.sample(rows, 2)]\n"
        "print([[repr(cell) for cell in table.to_numpy().flatten().tolist()] for table in said])\n"
    )
    run = subprocess.run([sys.executable, "-c", script, str(saved)], capture_output=True, text=True, check=True)
    here = [surrogate.predict(NEW), surrogate.predict(NEW, source="cheap", level=0.5), surrogate.sample(NEW, 2)]
    expected = [[repr(cell) for cell in table.to_numpy().flatten().tolist()] for table in here]
    assert run.stdout.strip() == str(expected)


def test_recipe_schema_and_held_out_predictions_come_back(surrogate: mf.Surrogate, saved: Path) -> None:
    loaded = mf.load(saved)
    assert loaded.recipe == surrogate.recipe
    assert loaded.schema == surrogate.schema
    assert loaded.card == surrogate.card
    pd.testing.assert_frame_equal(loaded.heldout(), surrogate.heldout(), check_exact=True)


def test_a_loaded_surrogate_can_be_saved_again(saved: Path, tmp_path: Path) -> None:
    loaded = mf.load(saved)
    loaded.save(tmp_path / "again.mfmat")
    for name in FILES:
        assert (tmp_path / "again.mfmat" / name).read_bytes() == (saved / name).read_bytes()


@pytest.mark.parametrize("form", [str, Path])
def test_a_path_is_text_or_a_path(form: type, surrogate: mf.Surrogate, tmp_path: Path) -> None:
    path = form(tmp_path / "new" / "folder" / "gap.mfmat")
    surrogate.save(path)
    pd.testing.assert_frame_equal(mf.load(path).predict(NEW), surrogate.predict(NEW), check_exact=True)


def test_inputs_of_every_kind_come_back(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "formula": ["GaAs", "InP", "NaN", "ZnO", "CdTe", "MgO"],
            "T": np.arange(6),
            "phase": ["zb", "zb", "rs", "wz", "zb", "rs"],
            "ordered": [True, False, True, True, False, True],
            "y": [1.4, 1.3, 2.0, 3.4, 1.5, 7.8],
        }
    )
    inputs = [mf.Composition("formula", blocks="fractions"), mf.Columns("T", categories=["phase", "ordered"])]
    surrogate = mf.fit(table, mf.Schema(inputs, value="y"), mf.GP())
    surrogate.save(tmp_path / "all.mfmat")
    said = mf.load(tmp_path / "all.mfmat").predict(table)
    pd.testing.assert_frame_equal(said, surrogate.predict(table), check_exact=True)


def test_any_label_of_a_row_can_be_saved(problem, tmp_path: Path) -> None:
    table, schema = problem(trusted=10)
    surrogate = mf.fit(table.set_axis([*map(float, range(39)), float("nan")]), schema)
    surrogate.save(tmp_path / "gap.mfmat")
    assert len(mf.load(tmp_path / "gap.mfmat").heldout()) == 10


# Files that are not what was saved.


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(name: str, saved: Path) -> None:
    (saved / name).unlink()
    with pytest.raises(SavedFileError, match=rf"without a readable {name}; expected a folder with card.json, model"):
        mf.load(saved)


@pytest.mark.parametrize("length", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short_is_an_error(name: str, length: float, saved: Path) -> None:
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: int(length * len(content))])
    with pytest.raises(SavedFileError, match=r"whose SHA-256 is not the one in SHA256SUMS.*copy the whole folder"):
        mf.load(saved)


@pytest.mark.parametrize("place", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("name", FILES[1:])
def test_one_altered_byte_is_an_error_that_names_the_file(name: str, place: float, saved: Path) -> None:
    content = bytearray((saved / name).read_bytes())
    content[int(place * len(content))] ^= 1
    (saved / name).write_bytes(bytes(content))
    with pytest.raises(SavedFileError, match=rf"{name} \({len(content)} bytes\), whose SHA-256 is not"):
        mf.load(saved)


def test_a_card_of_a_newer_format_asks_for_an_upgrade(saved: Path) -> None:
    edit(saved, lambda card: card.update(format=99, versions={"mfmat": "9.1"}))
    with pytest.raises(SavedFileError, match=r"format 99 \(written by mfmat 9\.1\); expected format 1; try: upgrade"):
        mf.load(saved)


def test_an_unknown_kind_suggests_the_near_one(saved: Path) -> None:
    edit(saved, lambda card: card["recipe"].update(member={"kind": "gpp"}))
    with pytest.raises(UnknownNameError, match=r"kind 'gpp'.*did you mean 'gp'\?"):
        mf.load(saved)


def test_an_unknown_field_is_named(saved: Path) -> None:
    edit(saved, lambda card: card["recipe"].update(temperature=0.5))
    with pytest.raises(UnknownNameError, match=r"field 'temperature' of 'auto'.*upgrade mfmat"):
        mf.load(saved)


def test_a_recipe_where_the_schema_belongs_is_an_error(saved: Path) -> None:
    edit(saved, lambda card: card.update(schema=card["recipe"]))
    with pytest.raises(mf.MfmatError, match="got a Auto; expected a Schema"):
        mf.load(saved)


def test_loading_imports_no_module_that_a_file_names(saved: Path) -> None:
    edit(saved, lambda card: card["recipe"].update(kind="antigravity"))
    with pytest.raises(UnknownNameError, match="kind 'antigravity'"):
        mf.load(saved)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("made", ["nothing", "a folder", "a file"])
def test_what_is_no_surrogate_is_an_error(made: str, tmp_path: Path) -> None:
    path = tmp_path / "gap.mfmat"
    if made == "a folder":
        path.mkdir()
    if made == "a file":
        path.write_text("gaps")
    what = {"nothing": ", which is not there", "a folder": " without a readable", "a file": ", which is a file"}
    with pytest.raises(SavedFileError, match=rf"gap\.mfmat{what[made]}"):
        mf.load(path)


@pytest.mark.parametrize("column", [0, 1])
def test_predictions_that_differ_from_the_golden_ones_are_an_error(column: int, saved: Path) -> None:
    def change(card: dict) -> None:
        card["golden"]["predictions"][2][column] *= 1 + 1e-4

    edit(saved, change)
    with pytest.raises(SavedFileError, match=r"whose predictions differ from those saved with it.*the versions it was"):
        mf.load(saved)


def test_golden_predictions_may_differ_by_rounding(saved: Path) -> None:
    def change(card: dict) -> None:
        card["golden"]["predictions"][2][0] *= 1 + 1e-9

    edit(saved, change)
    assert len(mf.load(saved).predict(NEW)) == 3


# What is written, and over what.


def test_the_folder_holds_json_and_safetensors_only(saved: Path) -> None:
    assert sorted(file.name for file in saved.iterdir()) == FILES

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    assert json.loads((saved / "card.json").read_text(), parse_constant=refuse)["format"] == 1
    with safe_open(saved / "model.safetensors", "pt") as file:
        assert len(list(file.keys())) > 0


def test_the_checksums_are_written_as_sha256sum_does(saved: Path) -> None:
    lines = (saved / "SHA256SUMS").read_text().splitlines()
    assert all(re.fullmatch(r"[0-9a-f]{64}  \S+", line) for line in lines)
    assert {line[66:]: line[:64] for line in lines} == {
        name: hashlib.sha256((saved / name).read_bytes()).hexdigest() for name in FILES[1:]
    }


def test_saving_over_a_surrogate_replaces_it_whole(problem, saved: Path) -> None:
    other = mf.fit(*problem(trusted=5), mf.TargetOnly(mf.GP()))
    (saved / "notes.txt").write_text("of the old one")
    other.save(saved)
    pd.testing.assert_frame_equal(mf.load(saved).predict(NEW), other.predict(NEW), check_exact=True)
    assert sorted(file.name for file in saved.iterdir()) == FILES
    assert [file.name for file in saved.parent.iterdir()] == ["gap.mfmat"]


@pytest.mark.parametrize("holds", ["thesis.tex", "card.json"])
def test_saving_over_another_folder_is_refused(holds: str, surrogate: mf.Surrogate, tmp_path: Path) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / holds).write_text("{}")
    with pytest.raises(SavedFileError, match="thesis, which exists and is no saved surrogate"):
        surrogate.save(folder)
    assert [(file.name, file.read_text()) for file in folder.iterdir()] == [(holds, "{}")]


def test_saving_over_a_file_is_refused(surrogate: mf.Surrogate, tmp_path: Path) -> None:
    (tmp_path / "gap.csv").write_text("x")
    with pytest.raises(SavedFileError, match=r"gap\.csv, which exists"):
        surrogate.save(tmp_path / "gap.csv")
    assert (tmp_path / "gap.csv").read_text() == "x"


def test_a_card_that_is_no_json_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        saving.write(tmp_path / "gap.mfmat", {"mae": float("nan")}, {})
    assert list(tmp_path.iterdir()) == []


def test_equal_tensors_are_stored_once_and_views_on_their_own(tmp_path: Path) -> None:
    matrix = torch.arange(6.0).reshape(2, 3)
    state = {"one": matrix, "same": matrix, "copy": matrix.clone(), "turned": matrix.T, "part": matrix[0]}
    state |= {"none": torch.zeros(0), "whole": matrix.long()}
    saving.write(tmp_path / "s", {}, state)
    with safe_open(tmp_path / "s" / "model.safetensors", "pt") as file:
        assert sorted(file.keys()) == ["none", "one", "part", "turned", "whole"]
    read = saving.read(tmp_path / "s")[1]
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], tensor) and read[name].dtype == tensor.dtype for name, tensor in state.items())


def test_the_levels_that_folds_have_in_common_are_stored_once(problem, tmp_path: Path) -> None:
    surrogate, saved = mf.fit(*problem(), mf.Conformal(mf.Difference([mf.GP()]))), tmp_path / "gap.mfmat"
    surrogate.save(saved)
    state = surrogate.model.state_dict()
    _, read = saving.read(saved)
    aliases = json.loads((saved / "card.json").read_text())["aliases"]
    assert {name for name in read if not name.startswith("novelty.")} == state.keys()
    for name, tensor in state.items():
        np.testing.assert_array_equal(read[name], tensor)
    # Five folds and the final model stand on one model of the cheap source.
    cheap = [name for name in state if name.endswith("members.0.train_X")]
    assert len(cheap) == 6
    assert len(set(cheap) - aliases.keys()) == 1

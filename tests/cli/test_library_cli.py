"""`mfmat library`: the verbs do what the calls do."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

import mfmat as mf
from mfmat import cli


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["library", *arguments])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a saved surrogate, added twice to a library."""
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "y": [0.1, 0.9, 2.1, 2.9]})
    mf.fit(table, mf.Schema(mf.Columns("x"), value="y"), mf.GP()).save("line.mfmat")
    for year in (2024, 2025):
        facts = ("--fact", f"year={year}", "--fact", "checked=true", "--fact", "note=[a]", "--fact", "by=A. B.")
        assert run("add", "models", "line.mfmat", *facts).exit_code == 0
    return tmp_path


def test_query(folder: Path) -> None:
    said = run("query", "models", "year > 2024")
    (row,) = pd.read_csv(io.StringIO(said.stdout)).to_dict("records")
    assert (row["name"], row["year"], row["checked"], row["note"], row["by"]) == ("y-2", 2025, True, "[a]", "A. B.")


def test_get(folder: Path) -> None:
    assert run("get", "models", "y", "-o", "copy.mfmat").stdout == "saved copy.mfmat\n"
    assert mf.load(folder / "copy.mfmat").schema == mf.load(folder / "line.mfmat").schema


def test_verify(folder: Path) -> None:
    assert run("verify", "models").exit_code == 0
    file = folder / "models" / "entries" / "y.zip"
    file.write_bytes(file.read_bytes()[:99])
    said = run("verify", "models")
    assert said.exit_code == 1
    assert pd.read_csv(io.StringIO(said.stdout)).set_index("name")["ok"].to_dict() == {"y": False, "y-2": True}


def test_pull(folder: Path) -> None:
    assert run("pull", "models", "other", "year == 2024").stdout == "other has 1 entries\n"
    assert list(mf.Library(folder / "other").query().index) == ["y"]


def test_a_fact_without_a_value_is_wrong_usage(folder: Path) -> None:
    said = run("add", "models", "line.mfmat", "--fact", "year")
    assert said.exit_code == 2
    assert "NAME=VALUE" in said.stderr


def test_an_error_is_one_line(folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["mfmat", "library", "get", "models", "z", "-o", "z.mfmat"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    assert capsys.readouterr().err.count("\n") == 1

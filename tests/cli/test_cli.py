"""The command: a verb a job, one line on stderr when something is wrong, and nothing heavy for --help."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

import mfmat as mf
from mfmat import cli
from mfmat.errors import SchemaError
from mfmat.shell import read_table
from mfmat.skipping import SkippedRowsWarning
from mfmat.validation import cross_validate, train_median

COMMAND = Path(sys.executable).with_name("mfmat")
VERBS = ["demo", "fit", "predict", "suggest", "diagnose", "report", "backtest"]
TABLE = """formula,method,gap,T
GaAs,pbe,0.5,300
NaN,pbe,1.0,300
ZnO,pbe,0.8,300
CdTe,pbe,0.6,300
MgO,pbe,4.5,300
GaAs,exp,1.42,300
ZnO,exp,3.4,300
CdTe,exp,1.6,300
"""
SOURCES = ["--source", "method", "--cost", "pbe=1", "--cost", "exp=400"]
FIT = ["fit", "gaps.csv", "--formula", "formula", "--value", "gap", *SOURCES, "-o", "gap.mfmat"]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `gaps.csv` and the surrogate fitted to it."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "gaps.csv").write_text(TABLE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = CliRunner().invoke(cli.app, FIT, catch_exceptions=False)
    assert result.exit_code == 0
    assert "difference over pbe: 3 target compounds are too few" in result.stdout
    assert result.stdout.endswith("saved gap.mfmat\n")
    return folder


@pytest.fixture
def folder(fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own, with the table and a link to the surrogate."""
    (tmp_path / "gaps.csv").write_text(TABLE)
    (tmp_path / "gap.mfmat").symlink_to(fitted / "gap.mfmat")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, arguments, catch_exceptions=False)


def fail(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """What the whole command says on stderr, having ended with exit code 1."""
    monkeypatch.setattr(sys, "argv", ["mfmat", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


# The verbs.


def test_predict_gives_the_table_with_what_is_predicted(folder: Path) -> None:
    result = run("predict", "gap.mfmat", "gaps.csv", "--level", "0.8", "-o", "said.csv")
    assert result.stdout == "wrote said.csv\n"
    said = pd.read_csv("said.csv", keep_default_na=False)
    assert said.columns.tolist() == ["formula", "method", "gap", "T", "median", "mean", "std", "lower", "upper"]
    assert said["formula"].tolist()[:2] == ["GaAs", "NaN"]
    table = pd.read_csv("gaps.csv", keep_default_na=False)
    expected = mf.load("gap.mfmat").predict(table, level=0.8)
    pd.testing.assert_frame_equal(said[expected.columns], expected)


def test_predict_writes_csv_to_the_terminal(folder: Path) -> None:
    lines = run("predict", "gap.mfmat", "gaps.csv").stdout.splitlines()
    assert lines[0] == "formula,method,gap,T,median,mean,std,lower,upper"
    assert len(lines) == 9


def test_predict_another_source(folder: Path) -> None:
    run("predict", "gap.mfmat", "gaps.csv", "--source", "pbe", "-o", "said.csv")
    table = pd.read_csv("gaps.csv", keep_default_na=False)
    expected = mf.load("gap.mfmat").predict(table, source="pbe")
    pd.testing.assert_series_equal(pd.read_csv("said.csv")["median"], expected["median"])


def test_a_column_of_the_table_named_median_is_kept(folder: Path) -> None:
    (folder / "new.csv").write_text("formula,median\nInP,of mine\n")
    assert run("predict", "gap.mfmat", "new.csv").stdout.startswith("formula,median,median_predicted,mean,std,")


@pytest.mark.parametrize("goal", ["max", "min", "learn"])
def test_suggest_gives_pairs_with_a_reason(goal: str, folder: Path) -> None:
    (folder / "pool.csv").write_text("formula,note\nInP,a\nNaN,b\nGaAs,c\n")
    assert run("suggest", "gap.mfmat", "pool.csv", "-n", "3", "--goal", goal, "-o", "todo.csv").exit_code == 0
    said = pd.read_csv("todo.csv", keep_default_na=False)
    assert said.columns.tolist() == ["formula", "note", "method", "score", "cost", "reason"]
    assert len(said) == 3
    assert "GaAs" not in said["formula"].tolist()
    assert said["reason"].str.startswith("exp predicted").all()


def test_diagnose_judges_each_cheap_source(folder: Path) -> None:
    x = [i / 24 for i in range(24)]
    rows = [f"{v},cheap,{math.sin(6 * v)}" for v in x] + [f"{v},exact,{2 * math.sin(6 * v)}" for v in x[::2]]
    Path("pairs.csv").write_text("\n".join(["x,from,y", *rows]))
    asked = ["--column", "x", "--value", "y", "--source", "from", "--cost", "cheap=1", "--cost", "exact=9"]
    result = run("diagnose", "pairs.csv", *asked)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[0].startswith("source,verdict,rows,shared,correlation")
    assert result.stdout.splitlines()[1].startswith("cheap,use,24,12,")


def test_report_writes_a_page(folder: Path) -> None:
    assert run("report", "gap.mfmat", "-o", "gap.html", "--pool", "gaps.csv").exit_code == 0
    assert "<html" in (folder / "gap.html").read_text()


def test_report_explains_what_each_source_did(folder: Path) -> None:
    (folder / "new.csv").write_text("formula,note\nInP,a\nNaN,b\n")
    words = ["report", "gap.mfmat", "--pool", "new.csv", "--explain", "gaps.csv"]
    done = run(*words, "-o", "gap.html", "--json")
    assert json.loads(done.stdout) == {"wrote": "gap.html"}
    gap = mf.load("gap.mfmat")
    pool, seen = (read_table(Path(name), gap.schema) for name in ("new.csv", "gaps.csv"))
    mf.report(gap, "same.html", pool=pool, explained=gap.explain(pool, seen=seen))
    mf.report(gap, "less.html", pool=pool)
    pages = [Path(name).read_text() for name in ("gap.html", "same.html", "less.html")]
    assert ["pbe: shift" in page for page in pages] == [True, True, False]
    assert pages[0] == pages[1]


def test_report_validates_the_recipe_beside_simpler_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    x = [i / 24 for i in range(24)]
    rows = [(v, "cheap", math.sin(6 * v)) for v in x] + [(v, "exact", 2 * math.sin(6 * v)) for v in x[::2]]
    table = pd.DataFrame(rows, columns=["x", "from", "y"])
    table.to_csv("pairs.csv", index=False)
    schema = mf.Schema(mf.Columns("x"), value="y", source="from", costs={"cheap": 1, "exact": 9})
    recipe = mf.Difference([mf.GP(steps=5)])
    mf.fit(table, schema, recipe).save("y.mfmat")
    done = run("report", "y.mfmat", "--validate", "pairs.csv", "-o", "y.html")
    assert (done.exit_code, done.stdout) == (0, "wrote y.html\n")
    y = mf.load("y.mfmat")
    baselines = {
        "the target alone": cross_validate(table, schema, mf.TargetOnly(mf.GP())),
        "the train median": train_median(table, schema),
    }
    mf.report(y, "same.html", validated=cross_validate(table, schema, recipe), baselines=baselines)
    assert Path("y.html").read_text() == Path("same.html").read_text()
    assert "less than the target alone" in Path("y.html").read_text()


def test_what_cannot_be_explained_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "other.csv").write_text(TABLE.replace("3.4", "3.3"))
    (folder / "line.csv").write_text("x,y\n0,1\n1,2\n2,1\n")
    line = pd.read_csv("line.csv")
    mf.fit(line, mf.Schema(mf.Columns("x"), value="y"), mf.GP()).save("line.mfmat")
    wrong = {
        "another table": (
            ["gap.mfmat", "--pool", "gaps.csv", "--explain", "other.csv"],
            "differs from the one fitted to",
        ),
        "one source": (["line.mfmat", "--pool", "line.csv", "--explain", "line.csv"], "explained without a source"),
        "no such table": (["gap.mfmat", "--pool", "gaps.csv", "--explain", "none.csv"], "none.csv"),
    }
    for arguments, message in wrong.values():
        said = fail(capsys, monkeypatch, "report", *arguments, "-o", "page.html")
        assert message in said
        assert said.count("\n") == 1
        assert not Path("page.html").exists()


def test_fit_takes_numbers_categories_noise_and_a_recipe(folder: Path) -> None:
    rows = "".join(f"{i},{'ab'[i % 2]},{i * i},0.1,m{i}\n" for i in range(6))
    (folder / "plain.csv").write_text("x,phase,y,sigma,id\n" + rows)
    (folder / "recipe.json").write_text(json.dumps(mf.GP(kernel="rbf").config()))
    options = "--column x --category phase --noise sigma --material id --group id --unit eV --recipe recipe.json"
    result = run("fit", "plain.csv", "--value", "y", *options.split(), "-o", "plain.mfmat")
    assert result.exit_code == 0
    surrogate = mf.load("plain.mfmat")
    assert surrogate.recipe == mf.GP(kernel="rbf")
    columns = mf.Columns("x", categories={"phase": ("a", "b")})
    assert surrogate.schema == mf.Schema((columns,), "y", noise="sigma", material="id", group="id", unit="eV")


def test_a_label_is_fitted_and_predicted_and_asked_for_nothing_else(folder: Path) -> None:
    rows = [f"{i / 20},{'metal' if i > 9 else 'insulator'}" for i in range(20)]
    Path("labels.csv").write_text("\n".join(["x,kind", *rows]))
    assert (
        run("fit", "labels.csv", "--column", "x", "--value", "kind", "--label", "kind", "-o", "k.mfmat").exit_code == 0
    )
    said = run("predict", "k.mfmat", "labels.csv").stdout.splitlines()
    assert said[0] == "x,kind,label,p_insulator,p_metal"
    assert said[1].split(",")[2] == "insulator"
    assert run("report", "k.mfmat", "-o", "k.html").exit_code == 0
    assert "log loss" in Path("k.html").read_text()
    for asked in (["suggest", "k.mfmat", "labels.csv"], ["report", "k.mfmat", "--pool", "labels.csv"]):
        with pytest.raises(SchemaError, match="the label 'kind'"):
            run(*asked)


def test_nan_is_sodium_nitride_and_an_empty_cell_is_missing(
    folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "gaps.csv").write_text(TABLE + ",exp,1.0,300\n")
    said = fail(capsys, monkeypatch, *FIT[:-1], "other.mfmat")
    assert "got 1 bad row: row 8 (number 8), column 'formula'" in said


def test_bad_rows_are_left_out_when_asked(folder: Path) -> None:
    (folder / "gaps.csv").write_text(TABLE + "Xx,exp,1.0,300\n")
    with pytest.warns(SkippedRowsWarning, match="row 8"):
        assert run(*FIT[:-1], "other.mfmat", "--on-error", "skip").exit_code == 0
    assert len(mf.load("other.mfmat").card["provenance"]["skipped"]) == 1


def test_one_text_among_the_numbers_is_one_bad_row(
    folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "gaps.csv").write_text(TABLE + "InP,exp,n/a,300\n")
    said = fail(capsys, monkeypatch, *FIT[:-1], "other.mfmat")
    assert "got 1 bad row: row 8 (number 8), column 'gap': text where a number belongs, got 'n/a'" in said


# Errors: one line, exit code 1.

WRONG = {
    "an unreadable formula": ("formula\nInP\nIn P3.x\n", "row 1 (number 1), column 'formula': cannot be read"),
    "a missing column": ("formulas\nInP\n", "without the column 'formula' (it has 'formulas')"),
    "a header and no row": ("formula\n", "got an empty table"),
    "an empty file": ("", "new.csv: No columns to parse from file; expected a CSV with a header"),
    "rows of different lengths": ("formula,x\nInP,1\nInP,1,2\n", "new.csv: Error tokenizing data"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_table_is_one_line_that_names_it(
    wrong: str, folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, message = WRONG[wrong]
    (folder / "new.csv").write_text(content)
    said = fail(capsys, monkeypatch, "predict", "gap.mfmat", "new.csv")
    assert message in said
    assert re.fullmatch(r"mfmat: got [^\n]*; expected [^\n]*; try: [^\n]*\n", said)


def test_a_file_that_is_no_text_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "new.csv").write_bytes(b"formula\n\xff\xfe\x00\n")
    said = fail(capsys, monkeypatch, "predict", "gap.mfmat", "new.csv")
    assert re.fullmatch(r"mfmat: got new\.csv: [^\n]*; try: save it as UTF-8 CSV\n", said)


ABSENT = {
    "a missing table": (["predict", "gap.mfmat", "none.csv"], "none.csv"),
    "a folder for a table": (["predict", "gap.mfmat", "."], "directory"),
    "a missing surrogate": (["predict", "none.mfmat", "gaps.csv"], "none.mfmat, which is not there"),
    "a missing recipe": ([*FIT, "--recipe", "none.json"], "none.json"),
    "an unknown source": (["predict", "gap.mfmat", "gaps.csv", "--source", "exq"], "did you mean 'exp'?"),
    "a level that is none": (["predict", "gap.mfmat", "gaps.csv", "--level", "90"], "level=90.0"),
    "a negative price": ([*FIT, "--cost", "exp=-1"], "costs['exp'] = -1.0"),
    "a price of NaN": ([*FIT, "--cost", "exp=nan"], "costs['exp'] = nan"),
}


@pytest.mark.parametrize("absent", ABSENT)
def test_a_wrong_argument_is_one_line(
    absent: str, folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, message = ABSENT[absent]
    said = fail(capsys, monkeypatch, *arguments)
    assert message in said
    assert said.startswith("mfmat: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("content", ["{", '{"kind": "gpp"}', '{"kind": "gp", "temperature": 1}', "[]"])
def test_a_recipe_that_is_none_is_one_line(
    content: str, folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "recipe.json").write_text(content)
    said = fail(capsys, monkeypatch, *FIT, "--recipe", "recipe.json")
    assert said.startswith("mfmat: ")
    assert said.count("\n") == 1


# Wrong usage: exit code 2.

MISUSED = {
    "no price": ([*FIT, "--cost", "hse"], "--cost hse: expected SOURCE=PRICE"),
    "no source": ([*FIT, "--cost", "5"], "--cost 5: expected SOURCE=PRICE"),
    "a price as text": ([*FIT, "--cost", "hse=4OO"], "--cost hse=4OO: expected SOURCE=PRICE"),
    "no inputs": (["fit", "gaps.csv", "--value", "gap", "-o", "gap.mfmat"], "no inputs: give --formula"),
    "no value": (["fit", "gaps.csv", "--formula", "formula", "-o", "gap.mfmat"], "--value"),
    "an unknown goal": (["suggest", "gap.mfmat", "gaps.csv", "--goal", "best"], "best"),
    "an unknown verb": (["forget"], "forget"),
}


@pytest.mark.parametrize("misused", MISUSED)
def test_wrong_usage_ends_with_exit_code_2(misused: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    arguments, message = MISUSED[misused]
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in re.sub(r"\s+", " ", result.stderr.replace("│", " "))


# Help.


def test_help_lists_every_verb() -> None:
    said = run("--help").stdout
    assert all(verb in said for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_has_an_example(verb: str) -> None:
    result = run(verb, "--help")
    assert result.exit_code == 0
    assert f"Example: mfmat {verb}" in result.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from mfmat import cli\n"
        f"sys.argv = ['mfmat', *{arguments!r}]\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'botorch', 'pandas', 'numpy', 'pymatgen'} & sys.modules.keys()))\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "Usage" in result.stdout
    assert result.stdout.endswith("\n[]\n")


# The installed command.


def test_the_installed_command_predicts(folder: Path) -> None:
    result = subprocess.run([COMMAND, "predict", "gap.mfmat", "gaps.csv"], capture_output=True, text=True, check=True)
    assert result.stdout == run("predict", "gap.mfmat", "gaps.csv").stdout
    assert result.stderr == ""


def test_the_installed_command_fails_with_one_line(folder: Path) -> None:
    (folder / "new.csv").write_text("formula\nInP\nhello\n")
    result = subprocess.run([COMMAND, "predict", "gap.mfmat", "new.csv"], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "row 1 (number 1), column 'formula'" in result.stderr

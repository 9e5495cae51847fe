"""What holds for every verb: an example that parses, JSON, one line on stderr, exit codes, completion."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer

import mfmat as mf
from mfmat import cli
from mfmat.shell import read_table

COMMAND = Path(sys.executable).with_name("mfmat")
PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")


def walk(command: Any, name: str = "mfmat") -> Iterator[tuple[str, Any]]:
    """Every verb below a command, by what is typed."""
    for each, below in getattr(command, "commands", {}).items():
        if hasattr(below, "commands"):
            yield from walk(below, f"{name} {each}")
        else:
            yield f"{name} {each}", below


APP = typer.main.get_command(cli.app)
VERBS = dict(walk(APP))


def example(verb: str) -> list[str]:
    """The words of the example in a verb's help, without those that name the verb."""
    found = re.search(r"Example: `([^`]+)`", VERBS[verb].help)
    assert found, f"{verb} has no example"
    return shlex.split(found[1])[len(verb.split()) :]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    done = {**os.environ, "COLUMNS": "120", "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, env=done, check=False)


@pytest.fixture
def call(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command in this process: exit code, stdout, stderr."""

    def run_here(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mfmat", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr()
        return int(stopped.value.code or 0), said.out, said.err

    return run_here


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """A table in the folder that the test works in, as `line.csv`, with the surrogate `line.mfmat` of it."""
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame({"x": [i / 4 for i in range(12)], "y": [i / 2 % 3 for i in range(12)]})
    table.to_csv("line.csv", index=False)
    Path("recipe.json").write_text(json.dumps(mf.GP().config()))
    mf.fit(table, mf.Schema(mf.Columns("x"), value="y"), mf.GP()).save("line.mfmat")
    return table


# Help.


def test_all_verbs_are_walked() -> None:
    assert {"mfmat fit", "mfmat backtest", "mfmat campaign ask", "mfmat library pull"} <= VERBS.keys()
    assert len(VERBS) >= 22


@pytest.mark.parametrize("verb", VERBS)
def test_the_example_in_the_help_is_a_call_of_that_verb(verb: str) -> None:
    words = example(verb)
    VERBS[verb].make_context(verb, words)  # raises where an argument is missing or an option unknown


@pytest.mark.parametrize("verb", VERBS)
def test_the_page_has_the_verb_with_its_example(verb: str) -> None:
    assert f"### `{verb}`" in PAGE
    lines = [shlex.split(each) for each in PAGE.replace("\\\n", " ").splitlines() if f"{each} ".startswith(f"{verb} ")]
    assert [*verb.split(), *example(verb)] in lines


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_speaks_json(verb: str) -> None:
    assert any("--json" in option.opts for option in VERBS[verb].params)


def test_the_page_has_no_verb_that_is_not_there() -> None:
    assert set(re.findall(r"^### `(.*)`$", PAGE, re.MULTILINE)) == set(VERBS)


def test_help_is_a_table_of_contents() -> None:
    said = run("--help").stdout
    panels = [cli.PREDICT, cli.DECIDE, cli.KEEP]
    places = [said.index(f" {panel} ") for panel in panels]
    assert places == sorted(places)
    assert "Exit codes: 0 done; 1 an error" in " ".join(said.split())
    assert " Commands " not in said, "a verb without a panel"


def test_the_version() -> None:
    assert run("--version").stdout == f"{mf.__version__}\n"


def test_without_a_verb_there_is_the_help() -> None:
    done = run()
    assert done.returncode == 2
    assert "Usage: mfmat" in done.stdout + done.stderr


# Completion.


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_shown(shell: str) -> None:
    done = run("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode == 0
    assert "_MFMAT_COMPLETE=complete_" + shell in done.stdout


def test_completion_can_be_installed_and_completes(tmp_path: Path) -> None:
    (tmp_path / ".bashrc").touch()
    home = {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    assert run("--install-completion", "bash", **home).returncode == 0
    (script,) = (tmp_path / ".bash_completions").iterdir()
    assert str(script) in (tmp_path / ".bashrc").read_text()
    asked = {"_MFMAT_COMPLETE": "complete_bash", "COMP_WORDS": "mfmat campaign with", "COMP_CWORD": "2"}
    assert run(**asked).stdout.split() == ["withdraw"]


# JSON on stdout, and nothing else there.


def test_fit(line: pd.DataFrame, call: Any) -> None:
    words = "fit line.csv --column x --value y --recipe recipe.json -o new.mfmat --json"
    code, out, err = call(*words.split())
    assert (code, err) == (0, "")
    assert json.loads(out) == {"saved": "new.mfmat", "why": [], "rows": {"y": 12}, "metrics": {}}


def test_predict(line: pd.DataFrame, call: Any) -> None:
    (code, out, _), expected = call("predict", "line.mfmat", "line.csv", "--json"), mf.load("line.mfmat").predict(line)
    assert code == 0
    pd.testing.assert_frame_equal(pd.DataFrame(json.loads(out)), line.join(expected), check_exact=True)


def test_a_file_that_is_written_is_told_as_json(line: pd.DataFrame, call: Any) -> None:
    _, out, _ = call("predict", "line.mfmat", "line.csv", "-o", "said.csv", "--json")
    assert json.loads(out) == {"wrote": "said.csv", "rows": 12}


def test_a_missing_cell_is_null_and_nan_is_a_formula(tmp_path: Path, call: Any, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame({"formula": ["NaN", "InP", "GaAs"], "gap": [0.1, 1.3, 1.4]})
    mf.fit(table, mf.Schema(mf.Composition("formula"), value="gap"), mf.GP()).save("gap.mfmat")
    Path("new.csv").write_text("formula,note\nNaN,\nInP,b\n")
    rows = json.loads(call("predict", "gap.mfmat", "new.csv", "--json")[1])
    assert [(row["formula"], row["note"]) for row in rows] == [("NaN", None), ("InP", "b")]


def test_a_campaign_told_by_a_machine(line: pd.DataFrame, call: Any) -> None:
    line[["x"]].to_csv("pool.csv", index=False)
    line[:4].to_json("seen.json", orient="records")
    asked = "create c.db pool.csv --seen seen.json --column x --value y --budget 5 --recipe recipe.json --json"
    _, out, _ = call("campaign", *asked.split())
    assert json.loads(out) == {"created": "c.db", "candidates": 12, "values": 4}
    (row,) = json.loads(call("campaign", "ask", "c.db", "--json")[1])
    Path("filled.json").write_text(json.dumps([{**row, "y": 1.25}]))
    _, out, _ = call("campaign", "tell", "c.db", "filled.json", "--json")
    told = {"recorded": 1, "repeated": 0, "empty": 0, "unasked": 0, "rounded": 0, "pending": 0}
    assert json.loads(out) == told
    status = json.loads(call("campaign", "status", "c.db", "--json")[1])
    assert status["sources"] == {"y": {"asked": 1, "told": 1, "failed": 0, "pending": 0}}
    assert (status["spent"], status["left"], status["rounds"]) == (1.0, 4.0, 1)
    assert json.loads(call("campaign", "correct", "c.db", "filled.json", "--json")[1]) == {"corrected": 0}
    assert json.loads(call("campaign", "export", "c.db", "out", "--json")[1]) == {"wrote": "out"}


def test_a_library(line: pd.DataFrame, call: Any) -> None:
    assert json.loads(call("library", "add", "models", "line.mfmat", "--json")[1]) == {"added": "y"}
    (row,) = json.loads(call("library", "query", "models", "--json")[1])
    assert row["name"] == "y"
    assert json.loads(call("library", "verify", "models", "--json")[1])[0]["ok"] is True
    assert json.loads(call("library", "pull", "models", "other", "--json")[1]) == {"library": "other", "entries": 1}
    assert json.loads(call("library", "get", "other", "y", "-o", "copy.mfmat", "--json")[1]) == {"saved": "copy.mfmat"}


def test_a_backtest(line: pd.DataFrame, call: Any) -> None:
    words = "backtest line.csv --column x --value y --seeds 2 --start 2 --recipe recipe.json --budget 4 -o s.csv --json"
    facts = json.loads(call(*words.split())[1])
    assert facts["wrote"] == ["s.csv"]
    assert facts["verdict"]
    assert [row["policy"] for row in facts["summary"]] == pd.read_csv("s.csv")["policy"].tolist()


def test_a_backtest_in_two_processes_with_a_unit(line: pd.DataFrame, call: Any) -> None:
    line.assign(kind="exp").to_csv("kinds.csv", index=False)
    words = (
        "backtest kinds.csv --column x --value y --source kind --seeds 2 --start 2 --recipe recipe.json --stop budget"
    )
    options = ["--cost", "exp=2 days", "--budget", "8 days", "--json"]
    said = [json.loads(call(*words.split(), *options, *more)[1]) for more in ([], ["--workers", "2"])]
    for facts in said:
        for row in facts["summary"]:
            row.pop("seconds")
    assert said[0] == said[1]
    assert "expected 1 or more" in call(*words.split(), *options, "--workers", "0")[2]


def test_a_backtest_of_learning(line: pd.DataFrame, call: Any) -> None:
    cheap = line.assign(kind="pbe", y=line["y"] + 0.1)
    pd.concat([line.assign(kind="exp"), cheap]).to_csv("kinds.csv", index=False)
    words = "backtest kinds.csv --column x --value y --source kind --cost pbe=1 --cost exp=9 --seeds 1 --start 2"
    more = "--goal learn --budget 36 --given pbe --test 0.3 --recipe recipe.json --json"
    facts = json.loads(call(*words.split(), *more.split())[1])
    assert facts["verdict"].count("mean CRPS") == 1


def test_what_to_measure_and_where_it_is_written(line: pd.DataFrame, call: Any) -> None:
    Path("pool.csv").write_text("x\n0.1\n0.6\n3.5\n")
    asked = json.loads(call("suggest", "line.mfmat", "pool.csv", "-n", "2", "--goal", "learn", "--json")[1])
    assert [sorted(row.keys() & {"score", "cost", "reason"}) for row in asked] == [["cost", "reason", "score"]] * 2
    assert json.loads(call("report", "line.mfmat", "-o", "line.html", "--json")[1]) == {"wrote": "line.html"}


def test_a_diagnosis(line: pd.DataFrame, call: Any) -> None:
    cheap = pd.DataFrame({"x": [i / 24 for i in range(24)], "source": "cheap"}).assign(y=lambda t: t["x"] ** 2)
    two = pd.concat([cheap, cheap[::2].assign(source="dear", y=lambda t: t["y"] + 1)])
    two.to_csv("two.csv", index=False)
    words = "diagnose two.csv --column x --value y --source source --cost cheap=1 --cost dear=9 --json"
    (row,) = json.loads(call(*words.split())[1])
    assert row["source"] == "cheap"
    assert row["verdict"] in ("use", "use here", "drop")


def test_what_the_demo_tells_people_goes_to_stderr(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfmat.demo.run", lambda path, console: console.print("a table") or path)
    assert call("demo", "-o", "page.html", "--json") == (0, '{"wrote": "page.html"}\n', "a table\n")


# Files by their names.


def test_names_keep_their_zeros(tmp_path: Path) -> None:
    (tmp_path / "pool.csv").write_text("sample,x,n\n007,05,1\n,0,2\n010,12,0\n")
    rows = read_table(tmp_path / "pool.csv", mf.Schema(mf.Columns(["x", "n"]), value="y"))
    assert rows["sample"].dropna().tolist() == ["007", "010"]
    assert rows["x"].tolist() == [5, 0, 12]
    assert rows["n"].tolist() == [1, 2, 0]


def test_a_compressed_csv(line: pd.DataFrame, call: Any) -> None:
    line.to_csv("line.csv.gz", index=False)
    assert call("predict", "line.mfmat", "line.csv.gz", "-o", "said.csv.gz")[0] == 0
    assert Path("said.csv.gz").read_bytes()[:2] == b"\x1f\x8b"
    assert len(pd.read_csv("said.csv.gz")) == 12


def test_json_in_and_out(line: pd.DataFrame, call: Any) -> None:
    line.to_json("line.json", orient="records")
    assert call("predict", "line.mfmat", "line.json", "-o", "said.json")[0] == 0
    said = pd.DataFrame(json.loads(Path("said.json").read_text()))
    pd.testing.assert_frame_equal(said, line.join(mf.load("line.mfmat").predict(line)), check_exact=True)


def test_parquet_in_and_out(line: pd.DataFrame, call: Any) -> None:
    line.to_parquet("line.parquet")
    assert call("predict", "line.mfmat", "line.parquet", "-o", "said.parquet")[0] == 0
    said = pd.read_parquet("said.parquet")
    pd.testing.assert_frame_equal(said, line.join(mf.load("line.mfmat").predict(line)), check_exact=True)


def test_without_pyarrow_the_missing_package_is_named(
    line: pd.DataFrame, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, _, err = call("predict", "line.mfmat", "line.csv", "-o", "said.parquet")
    assert code == 1
    assert 'pip install "mfmat[parquet]"' in err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("new.json", "{", "a list of objects, one a row"),
        ("new.json", '{"x": 1}', "a list of objects, one a row"),
        (
            "new.csv",
            "x,y\n1,2\n3,4,5\n",
            "line 3, saw 3; expected as many cells in every line as in the header; try: mend",
        ),
        ("new.xlsx", "", "a file of the kind .xlsx; expected a .csv, .json or .parquet"),
    ],
)
def test_a_file_that_is_no_table_is_one_line(name: str, content: str, message: str, line, call: Any) -> None:
    Path(name).write_text(content)
    code, out, err = call("predict", "line.mfmat", name)
    assert (code, out) == (1, "")
    assert message in err
    assert err.count("\n") == 1


# Errors and warnings: one line on stderr.

WRONG = {
    "a missing argument": (["fit"], 2, "mfmat: Missing argument 'table'; try: mfmat fit --help"),
    "an unknown option": (["fit", "--oops"], 2, "--oops"),
    "an unknown verb": (["prdict"], 2, "Did you mean 'predict'?"),
    "a value of no kind": (["predict", "a", "b", "--level", "high"], 2, "--level"),
    "a verb of a group": (["campaign", "asq"], 2, "try: mfmat campaign --help"),
    "nobody to explain": (
        ["report", "line.mfmat", "--explain", "line.csv"],
        2,
        "give --pool; try: mfmat report --help",
    ),
    "a missing file": (["predict", "line.mfmat", "none.csv"], 1, "got none.csv: No such file or directory; expected"),
    "a recipe that is no JSON": (
        ["fit", "line.csv", "--column", "x", "--value", "y", "-o", "z", "--recipe", "line.csv"],
        1,
        "got line.csv: Expecting value",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_one_line_with_what_to_try(wrong: str, line: pd.DataFrame, call: Any) -> None:
    words, expected, message = WRONG[wrong]
    code, out, err = call(*words)
    assert (code, out) == (expected, "")
    assert message.lower() in err.lower()
    assert re.fullmatch(r"mfmat: [^\n]*; try: [^\n]*\n", err)


def test_ctrl_c_is_exit_code_130(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mfmat.surrogate.load", interrupt)
    assert call("predict", "gap.mfmat", "new.csv") == (130, "", "")


def test_damage_in_a_library_is_exit_code_1(line: pd.DataFrame, call: Any) -> None:
    call("library", "add", "models", "line.mfmat")
    file = Path("models/entries/y.zip")
    file.write_bytes(file.read_bytes()[:99])
    assert call("library", "verify", "models", "--json")[0] == 1


def test_a_warning_is_one_line_and_json_stays_alone(line: pd.DataFrame) -> None:
    Path("two.csv").write_text("x,y\n0,1\n1,2\n")
    done = run(
        *["fit", "two.csv", "--column", "x", "--value", "y", "--recipe", "recipe.json", "-o", "two.mfmat", "--json"]
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["saved"] == "two.mfmat"
    assert re.fullmatch(r"mfmat: warning: got 2 rows of the target [^\n]*\n", done.stderr)


def test_verbose_says_on_stderr_what_was_done(line: pd.DataFrame) -> None:
    words = "fit line.csv --column x --value y --recipe recipe.json -o new.mfmat"
    assert run(*words.split()).stderr == ""
    said = run("--verbose", *words.split())
    assert re.search(r"^\d\d:\d\d:\d\d fitting GP to 12 rows \(12 y\)$", said.stderr, re.MULTILINE)
    assert said.stdout == "saved new.mfmat\n"

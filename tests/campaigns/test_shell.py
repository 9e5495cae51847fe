"""A campaign from the shell, told by files that people filled in."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

import mfmat as mf
from mfmat import cli
from mfmat.acquisitions import Thompson
from mfmat.errors import SchemaError, TableError
from mfmat.filled_in import read_filled
from mfmat.frames import read_frame, write_frame

VERBS = ["create", "extend", "ask", "tell", "correct", "fail", "withdraw", "status", "export"]
OPTIONS = ["--column", "x", "--value", "y", "--source", "source", "--cost", "cheap=1", "--cost", "trusted=10"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["campaign", *arguments], catch_exceptions=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, campaign: mf.Campaign) -> Path:
    """A folder with a pool, a start table, a recipe, and the campaign `gap.db` of them."""
    monkeypatch.chdir(tmp_path)
    campaign.pool.to_csv("pool.csv", index_label="id")
    campaign.seen().to_csv("seen.csv", index=False)
    Path("recipe.json").write_text('{"kind": "gp", "steps": 5}')
    Path("gap.db").unlink()
    made = run(
        "create", "gap.db", "pool.csv", "--seen", "seen.csv", *OPTIONS, "--budget", "9", "--recipe", "recipe.json"
    )
    assert made.stdout == "created gap.db: 6 candidates, 7 values\n"
    return tmp_path


def test_a_campaign_from_the_shell(folder: Path) -> None:
    run("ask", "gap.db", "-n", "3", "-o", "todo.csv")
    todo = pd.read_csv("todo.csv")
    assert todo.columns.tolist() == ["id", "x", "note", "source", "score", "cost", "reason", "y"]
    todo.assign(y=["0.4", "", " 0.5 "]).to_csv("filled.csv", index=False)
    assert run("tell", "gap.db", "filled.csv").stdout == (
        "2 values recorded; 1 without a value yet\n1 asked and not yet told\n"
    )
    assert run("tell", "gap.db", "filled.csv").stdout.startswith("0 values recorded; 2 told before")
    todo.iloc[:1].assign(y=0.45).to_csv("mended.csv", index=False)
    assert run("correct", "gap.db", "mended.csv", "--why", "typo").stdout == "1 corrected\n"
    todo.iloc[1:2].to_csv("broken.csv", index=False)
    assert run("fail", "gap.db", "broken.csv", "--why", "broke").stdout == "1 failed\n"
    run("ask", "gap.db", "-o", "next.csv")
    assert run("withdraw", "gap.db", "next.csv").stdout == "1 withdrawn\n"
    said = run("status", "gap.db", "--pending", "pending.csv").stdout
    assert "spent 3, 6 left; 2 rounds" in said
    assert pd.read_csv("pending.csv").empty
    assert run("export", "gap.db", "out").stdout == "wrote out\n"
    assert run("restore", "out", "restored.db").stdout == "created restored.db: 9 events\n"
    campaign = mf.Campaign.open("restored.db")
    assert campaign.seen()["y"].tolist()[-2:] == [0.5, 0.45]
    assert campaign.recipe == mf.GP(steps=5)


def test_a_campaign_goes_on_with_more(folder: Path) -> None:
    pd.DataFrame({"id": ["m5", "m6"], "x": [0.85, 0.93], "note": ["f", "g"]}).to_csv("more.csv", index=False)
    grown = ["--pool", "more.csv", "--cost", "scan=2", "--budget", "30", "--why", "the grant"]
    said = run("extend", "gap.db", *grown).stdout
    assert said == "1 more candidate; the source scan for 2; a budget of 30\n"
    assert run("extend", "gap.db", *grown).stdout == "nothing new\n"
    campaign = mf.Campaign.open("gap.db")
    assert campaign.schema.sources == ("cheap", "scan", "trusted")
    assert (campaign.budget, campaign.pool["x"].tolist()[-1]) == (30, 0.93)
    run("ask", "gap.db", "-n", "2", "-o", "todo.csv")
    assert len(pd.read_csv("todo.csv")) == 2


def test_why_fewer_came_is_said(folder: Path) -> None:
    result = run("ask", "gap.db", "--budget", "0.5")
    assert "0 of 1: the cheapest open pair costs 1, and 0.5 may be spent" in result.stderr


@pytest.mark.parametrize("arguments", [["status", "none.db"], ["create", "gap.db", "pool.csv", *OPTIONS]])
def test_what_goes_wrong_is_one_line(
    arguments: list[str], folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["mfmat", "campaign", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_has_an_example(verb: str) -> None:
    assert f"mfmat campaign {verb} gap.db" in " ".join(run(verb, "--help").stdout.replace("│", " ").split())


# Files filled in by hand.


def filled(tmp_path: Path, text: str) -> pd.DataFrame:
    (tmp_path / "filled.csv").write_text(text, encoding="utf-8-sig")
    return read_filled(tmp_path / "filled.csv", ["x", "y"])


READ = {
    "spaces": ("x, name ,y\n 0.5 , a b ,1.5 \n", 1.5),
    "semicolons": ("x;name;y\n0,5;a b;1,500\n", 1.5),
    "semicolons and points": ("x;name;y\n0.5;a b;1.5\n", 1.5),
    "tabs": ("x\tname\ty\n0,5\ta b\t1,500\n", 1.5),
    "a blank line before": (";;\nx;name;y\n0,5;a b;1,5\n", 1.5),
    "quoted comma": ('x,name,y\n0.5,a b,"1,5"\n', 1.5),
    "quoted comma below 1": ('x,name,y\n0.5,a b,"0,125"\n', 0.125),
    "an exponent": ("x,name,y\n0.5,a b,1.5e-3\n", 0.0015),
    "an empty cell": ("x,name,y\n0.5,a b,\n\n", None),
    "a slip": ("x,name,y\n0.5,a b,nan\n", "nan"),
    "another slip": ("x,name,y\n0.5,a b,1_0\n", "1_0"),
}


@pytest.mark.parametrize("case", READ)
def test_what_people_write_is_read(case: str, tmp_path: Path) -> None:
    text, y = READ[case]
    table = filled(tmp_path, text)
    assert table.to_dict("records") == [{"x": 0.5, "name": "a b", "y": y}]


REFUSED = {
    "thousands or decimal": ('x,name,y\n0.5,a,"1,500"\n', "line 2, column 'y': a comma that may be decimal"),
    "comma without quotes": ("x,name,y\n0.5,a,1,5\n", "line 2, .*4 cells where 3 belong"),
    "a cell is missing": ("x,name,y\n0.5,a,1\n0.5,a\n", "line 3, .*2 cells where 3 belong"),
    "after a blank line": ("x,name,y\n\n0.5,a,1\n,,\n0.5,a\n", "line 5, .*2 cells where 3 belong"),
    "after a cell of two lines": ('x,name,y\n0.5,"a\nb",1\n0.5,"a\nb"\n', "line 4, .*2 cells where 3 belong"),
    "a column twice": ("x,y,name, y \n0.5,1,a,2\n", "more than one column 'y'; expected each column once"),
    "empty": ("", "which is empty"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_be_read_in_two_ways_is_refused(case: str, tmp_path: Path) -> None:
    text, says = REFUSED[case]
    with pytest.raises(TableError, match=says):
        filled(tmp_path, text)


def test_a_wrong_cell_of_a_file_is_named(folder: Path) -> None:
    run("ask", "gap.db", "-n", "2", "-o", "todo.csv")
    pd.read_csv("todo.csv").assign(y=["0.4", "ca. 3"]).to_csv("filled.csv", index=False)
    with pytest.raises(TableError, match=r"line 3, column 'y': text where a number belongs, got 'ca. 3'"):
        run("tell", "gap.db", "filled.csv")


def test_durations_and_metadata_of_a_file_are_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    schema = mf.Schema(mf.Columns("x"), value="y", metadata=mf.Columns("age"))
    pool = pd.DataFrame({"x": [0.1, 0.5, 0.9], "age": [1.0, 2.0, 3.0]})
    seen = pool.assign(x=[0.2, 0.4, 0.6], y=[1.0, 2.0, 1.5])
    mf.Campaign.create("aged.db", schema, recipe=mf.GP(steps=5), pool=pool, seen=seen)
    Path("filled.csv").write_text("x;age;y;duration\n0,5;2,0;1,8;1,5\n0,7;2,5;1,9;\n")
    run("tell", "aged.db", "filled.csv")
    told = mf.Campaign.open("aged.db").seen().iloc[3:]
    assert told["age"].tolist() == [2.0, 2.5]
    assert told["duration"].iloc[0] == 1.5
    assert pd.isna(told["duration"].iloc[1])
    Path("filled.csv").write_text("x;age;y;duration\n\n0,5;2,0;1,8;\n0,1;1,0;1,8;long\n")
    with pytest.raises(TableError, match="1 bad row: line 4, column 'duration': text where a number belongs"):
        run("tell", "aged.db", "filled.csv")


# Tables in the database.


def test_a_table_comes_back_cell_for_cell() -> None:
    table = pd.DataFrame(
        {
            "number": [0.1 + 0.2, float("nan"), float("inf")],
            "count": [1, 2, 3],
            "name": ["NaN", "", None],
            "flag": [True, False, True],
            "mixed": [1, "a", None],
        },
        index=pd.Index(["a", "b", "c"], name="id"),
    )
    pd.testing.assert_frame_equal(read_frame(write_frame(table)), table)


def test_rules_to_end_by_from_the_shell(folder: Path) -> None:
    options = ["--seen", "seen.csv", *OPTIONS, "--recipe", "recipe.json", "--temperature", "0.5"]
    run("create", "done.db", "pool.csv", *options, "--stop", '{"kind": "regret", "bound": 100}')
    assert "done: with confidence 0.95" in run("ask", "done.db", "-o", "none.csv").stderr
    assert pd.read_csv("none.csv").empty
    run("ask", "done.db", "--anyway", "-o", "todo.csv")
    assert len(pd.read_csv("todo.csv")) == 1
    for wrong in ("5", "{", '{"kind": "regret"}'):
        with pytest.raises(SchemaError):
            run("create", "new.db", "pool.csv", *options, "--stop", wrong)


def test_units_set_ups_and_learned_prices_from_the_shell(folder: Path) -> None:
    units = ["--cost", "cheap=2 cpu hours", "--cost", "trusted=40 money, 3 days", "--setup", "trusted=10 money"]
    options = ["--seen", "seen.csv", *OPTIONS[:6], *units, "--recipe", "recipe.json"]
    run("create", "units.db", "pool.csv", *options, "--budget", "20 cpu hours, 100 money, 30 days")
    run("ask", "units.db", "-n", "12", "--budget", "4 cpu hours, 50 money", "-o", "todo.csv")
    paid = pd.read_csv("todo.csv").filter(like="cost (").sum().to_dict()
    assert paid == {"cost (cpu hours)": 4.0, "cost (money)": 50.0, "cost (days)": 3.0}
    assert (
        "spent 4 cpu hours, 50 money, 3 days; left 16 cpu hours, 50 money, 27 days;" in run("status", "units.db").stdout
    )
    learned = ["--cost", "cheap=1", "--cost", "trusted=duration", "--prices", "learned"]
    pd.read_csv("seen.csv").assign(duration=7).to_csv("seen.csv", index=False)
    run("create", "learned.db", "pool.csv", *options[:2], *OPTIONS[:6], *learned, "--recipe", "recipe.json")
    assert mf.Campaign.open("learned.db").costs()["price"].gt(2).all()
    for wrong in ("money", "3 days, 4 days", "3 days,"):
        assert "expected 400, or '400 money, 3 days'" in " ".join(
            run("ask", "units.db", "--budget", wrong).stderr.split()
        )


def test_rates_columns_of_prices_and_an_acquisition_from_the_shell(folder: Path) -> None:
    pool = pd.read_csv("pool.csv")
    pool.assign(hours=2.0 + pool.index).to_csv("pool.csv", index=False)
    options = ["--seen", "seen.csv", *OPTIONS[:6], "--recipe", "recipe.json"]
    costs = ["--cost", "cheap=2 cpu hours", "--cost", "trusted=40 money"]
    rates = ["--rate", "cpu hours=0.5", "--rate", "money=1"]
    run("create", "rates.db", "pool.csv", *options, *costs, *rates, "--acquisition", '{"kind": "thompson"}')
    campaign = mf.Campaign.open("rates.db")
    assert campaign.schema.rates == {"cpu hours": 0.5, "money": 1.0}
    assert campaign.acquisition == Thompson()
    run("create", "hours.db", "pool.csv", *options, "--cost", "cheap=1", "--cost", "trusted=hours")
    asked = mf.Campaign.open("hours.db").ask(12)
    trusted = asked[asked["source"] == "trusted"]
    assert trusted["cost"].tolist() == trusted["hours"].tolist()
    again = ["create", "new.db", "pool.csv", *options]
    assert "expected UNIT=RATE" in run(*again, *costs, "--rate", "money").stderr
    with pytest.raises(SchemaError, match="an acquisition as JSON"):
        run(*again, *costs, *rates, "--acquisition", "thompson")


@pytest.mark.parametrize("out", ["todo.xlsx", "nowhere/todo.csv"])
def test_where_pairs_cannot_be_written_none_is_asked(folder: Path, out: str) -> None:
    with pytest.raises(TableError):
        run("ask", "gap.db", "-o", out)
    assert mf.Campaign.open("gap.db").pending().empty

"""The page of a backtest says what the backtest says."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import mfmat as mf
from mfmat import cli
from mfmat.errors import SchemaError


@pytest.fixture(scope="module")
def replay_page(replayed: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mf.report(replayed, tmp_path_factory.mktemp("report") / "backtest.html")


def test_every_section_is_there(replay_page: Path, read: Callable) -> None:
    said = read(replay_page)
    headings = [attributes["id"] for tag, attributes in said.tags if tag == "section"]
    assert headings == ["verdict", "cost", "difference", "calibration", "trust", "runs", "provenance"]
    assert {attributes["href"] for tag, attributes in said.tags if tag == "a"} == {
        "#main",
        *(f"#{name}" for name in headings[1:]),
    }


def test_the_verdict_is_the_backtests(replay_page: Path, read: Callable, replayed: Any) -> None:
    text = " ".join(read(replay_page).text.split())
    assert replayed.verdict().replace(" -", " −").replace("(-", "(−") in text
    assert "4 policies" in text
    assert "the same 3 starts until the best material had been measured, for at most 200." in text


def test_the_tables_equal_the_api(replay_page: Path, read: Callable, replayed: Any) -> None:
    said, summary = read(replay_page), replayed.summary()
    assert [text for text, _ in said.column("policies-table", "policy")] == summary.index.tolist()
    titles = {
        "runs that found it": "reached",
        "median cost": "median",
        "lower quartile": "lower_quartile",
        "upper quartile": "upper_quartile",
        "mean cost": "mean",
        "seconds an ask": "seconds",
    }
    for title, name in titles.items():
        cells = said.column("policies-table", title)
        assert [math.inf if text == "never" else value for text, value in cells] == summary[name].tolist()
    head, *rows = said.tables["differences-table"]
    assert [text for text, _ in head][:5] == ["policy", "against", "difference", "lower", "upper"]
    assert len(rows) == 6
    for (policy, _), (baseline, _), *ends, _, (word, _) in rows:
        expected = summary.loc[policy, [f"to_{baseline}{end}" for end in ("", "_lower", "_upper")]].tolist()
        assert [value for _, value in ends] == expected
        assert word == ("better" if expected[2] < 0 else "worse" if expected[1] > 0 else "within noise")


def test_the_runs_equal_the_api(replay_page: Path, read: Callable, replayed: Any) -> None:
    said, costs = read(replay_page), replayed.cost_to()
    keys = zip(said.column("runs-table", "seed"), said.column("runs-table", "policy"), strict=True)
    expected = [costs.loc[int(seed), policy] for (_, seed), (policy, _) in keys]
    cells = said.column("runs-table", "paid until found")
    assert [math.inf if text == "never" else value for text, value in cells] == expected
    assert sum(value for _, value in said.column("runs-table", "measurements")) == len(replayed.steps)


def test_curves_tell_their_numbers(replay_page: Path, read: Callable, replayed: Any) -> None:
    titles, costs, curve = read(replay_page).titles, replayed.cost_to(), replayed.curve()
    found = [title for title in titles if " had it for " in title]
    assert len(found) == int(np.isfinite(costs).sum().sum())
    for policy in costs:
        mine = sorted(costs[policy][np.isfinite(costs[policy])])
        shown = [title.split("for ")[1] for title in found if title.startswith(f"{policy}: ")]
        assert shown == [f"{cost:g}" for cost in mine]
    for words, column, rows in (
        ("regret", "mean", curve),
        ("regret less random's", "difference", curve[curve["policy"] != "random"]),
    ):
        shown = [title.split(f": {words} ")[1] for title in titles if re.search(f": {words} [\\d−]", title)]
        values = [float(text.split(" (")[0].replace("−", "-")) for text in shown]
        np.testing.assert_allclose(values, rows[column], rtol=6e-3, atol=1e-12)


def test_calibration_equals_the_api(replay_page: Path, read: Callable, replayed: Any) -> None:
    said, held = read(replay_page), replayed.calibration()
    names = [text for text, _ in said.column("calibration-table", "policy")]
    assert names == [policy for policy in replayed.policies if policy in held.index]
    for title, part in zip(("first quarter", "second", "third", "last"), held.columns, strict=True):
        assert [value for _, value in said.column("calibration-table", title)] == held.loc[names, part].tolist()


def test_names_like_scripts_are_text(replay_page: Path, read: Callable) -> None:
    text, said = replay_page.read_text(encoding="utf-8"), read(replay_page)
    assert [tag for tag, _ in said.tags].count("script") == 1
    assert "<script>x" not in text
    assert "<script>x</script>" in [name for name, _ in said.column("policies-table", "policy")]


@pytest.mark.parametrize(
    "options", [{"goal": "learn", "budget": 90}, {"stop": "budget", "budget": 90}, {"stop": 0.5, "goal": "min"}]
)
def test_other_ends(options: dict[str, Any], tmp_path: Path, read: Callable) -> None:
    x = pd.Series(range(24)) / 23
    table = pd.DataFrame({"x": x, "y": np.sin(6 * x)})
    schema = mf.Schema(mf.Columns("x"), value="y", costs={"y": 5})
    result = mf.backtest(table, schema, mf.Ask(mf.BayesianLinear(), name="line"), seeds=2, start=2, **options)
    said, summary = read(mf.report(result, tmp_path / "page.html")), result.summary()
    what = "CRPS" if "goal" in options and options["goal"] == "learn" else "regret" if "budget" in options else "cost"
    assert [value for _, value in said.column("policies-table", f"mean {what}")] == summary["mean"].tolist()
    assert ("runs that found it" in [text for text, _ in said.tables["policies-table"][0]]) is (what == "cost")
    assert said.numbers["tile-mean"] == summary["mean"].min()


def test_a_level_is_refused(replayed: Any, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"level=0\.5"):
        mf.report(replayed, tmp_path / "page.html", level=0.5)


def test_from_the_shell(tmp_path: Path) -> None:
    x = np.linspace(0, 1, 12)
    pd.DataFrame({"x": x, "y": np.sin(6 * x)}).to_csv(tmp_path / "known.csv", index=False)
    recipe = tmp_path / "recipe.json"
    recipe.write_text('{"kind": "bayesian-linear"}', encoding="utf-8")
    words = [str(tmp_path / "known.csv"), "--column", "x", "--value", "y", "--seeds", "2", "--recipe", str(recipe)]
    done = CliRunner().invoke(cli.app, ["backtest", *words, "--report", str(tmp_path / "page.html")])
    assert done.exit_code == 0, done.output
    assert "Would it have paid?" in (tmp_path / "page.html").read_text(encoding="utf-8")

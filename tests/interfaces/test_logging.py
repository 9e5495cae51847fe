"""What long work says of itself: a logger that is quiet unless asked, and bars where somebody looks."""

from __future__ import annotations

import ast
import logging
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import mfmat as mf

FILES = sorted(Path(mf.__file__).parent.rglob("*.py"))
TABLE = pd.DataFrame({"x": [i / 4 for i in range(12)], "y": [i / 2 % 3 for i in range(12)]})
SCHEMA = mf.Schema(mf.Columns("x"), value="y")
FIT = """
import pandas as pd, mfmat as mf
table = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "y": [0.1, 0.9, 2.1, 2.9]})
mf.fit(table, mf.Schema(mf.Columns("x"), value="y"), mf.GP())
"""


def test_there_is_one_logger() -> None:
    calls = [node for file in FILES for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    named = {ast.unparse(call.args[0]) for call in calls if ast.unparse(call.func) == "logging.getLogger"}
    assert named == {"'mfmat'", "__name__"}
    assert [type(handler) for handler in logging.getLogger("mfmat").handlers] == [logging.NullHandler]


def test_it_is_quiet_unless_asked() -> None:
    done = subprocess.run([sys.executable, "-c", FIT], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    asked = "import logging; logging.basicConfig(level='INFO')" + FIT
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert "INFO:mfmat:fitting GP to 4 rows (4 y)\n" in done.stderr


def test_the_default_says_what_it_chose_and_why(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "mfmat"):
        surrogate = mf.fit(TABLE, SCHEMA)
    assert surrogate.card["why"]
    assert set(surrogate.card["why"]) <= set(caplog.messages)


def test_a_campaign_says_what_happened(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    campaign = mf.Campaign.create(tmp_path / "c.db", SCHEMA, recipe=mf.GP(), pool=TABLE[["x"]], seen=TABLE[:4])
    with caplog.at_level("INFO", "mfmat"):
        todo = campaign.ask(2)
        campaign.tell(todo[:1].assign(y=0.5))
        campaign.fail(todo[1:], why="broke")
    said = "\n".join(caplog.messages)
    assert "campaign: round 1 after " in said
    assert "campaign: asked of y, 2 pairs" in said
    assert "campaign: told of y, 1 pair\n" in said
    assert "campaign: failed of y, 1 pair" in said


def test_backtests_and_libraries_say_how_far_they_are(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "mfmat"):
        mf.backtest(TABLE, SCHEMA, mf.Random(), seeds=1, start=3, budget=2)
        recipes = [mf.BNN(hidden=(4, 4), steps=5, epochs=1)]
        mf.Library(tmp_path / "models").train({"line": (TABLE, SCHEMA)}, recipes)
    assert any(message.startswith("backtest: random with seed 0, ") for message in caplog.messages)
    assert any(message.startswith("library: line") and message.endswith(" trained") for message in caplog.messages)

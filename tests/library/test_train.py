"""Library.train: many models, each judged by rows that none has seen, and none trained twice."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import mfmat as mf
from mfmat import cli, factory
from mfmat.architectures import draw_recipes
from mfmat.errors import SavedFileError, SchemaError, UnknownNameError
from mfmat.factory import PARTS, TrainWarning
from mfmat.library import Library
from mfmat.shelf import Shelf

SCHEMA = mf.Schema(mf.Columns(["a", "b"]), value="y", unit="eV")
RECIPES = [mf.BNN(hidden=(6, 4), steps=20, epochs=2, seed=seed) for seed in range(3)]
METRICS = ["mae", "rmse", "nll", "crps", "coverage", "width"]


def table(n: int = 60, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (n, 2))
    return pd.DataFrame(x, columns=["a", "b"]).assign(y=x[:, 0] + x[:, 1] ** 2 + 0.1 * rng.normal(size=n))


TASKS = {"sum / one": (table(), SCHEMA), "two": (table(40, 1), SCHEMA)}


def same(one: Library, other: Library) -> None:
    """Equal but for the time at which they were made."""
    assert set(one.entries) == set(other.entries)
    for name in one.entries:
        mine, yours = (library.get(name) for library in (one, other))
        assert all(a.equal(b) for a, b in zip(mine.model.parameters(), yours.model.parameters(), strict=True))
        facts = [library.entries[name].facts | {"created": ""} for library in (one, other)]
        assert facts[0] == facts[1]


def train_until_killed(path: str, place: object, name: str) -> None:
    """A process that dies at the second call of a function."""
    call, calls = getattr(place, name), 0

    def die(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args)

    setattr(place, name, die)
    Library(path).train(TASKS, RECIPES)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Library:
    library = Library(tmp_path_factory.mktemp("models"))
    library.train(TASKS, RECIPES, licence="CC0-1.0")
    return library


def test_an_entry_says_where_it_comes_from(whole: Library) -> None:
    found = whole.query("task == 'sum / one'")
    assert len(found) == len(RECIPES)
    assert all(name.startswith("sum-one-") for name in found.index)
    assert set(found["property"]) == {"sum / one"}
    assert set(found["licence"]) == {"CC0-1.0"}
    assert found["seed"].tolist() == [0, 1, 2]
    assert set(found["hidden"]) == {"6, 4"}
    assert set(found["rows"]) == {48}
    assert set(found["test_rows"]) == {12}
    assert found[METRICS].notna().all(axis=None)
    assert whole.verify()["ok"].all()


def test_the_metrics_are_those_of_rows_that_no_model_has_seen(whole: Library) -> None:
    rows, _ = TASKS["sum / one"]
    kept = SCHEMA.data(rows).split(PARTS, 0)[0].numpy()
    for name, facts in whole.query("task == 'sum / one'").iterrows():
        loaded = whole.get(str(name))
        assert sorted(each["index"] for each in loaded.card["heldout"]) == sorted(rows.index[kept])
        said = loaded.predict(rows.iloc[kept])
        assert facts["mae"] == pytest.approx((said["median"] - rows["y"].iloc[kept]).abs().mean())
        inside = rows["y"].iloc[kept].between(said["lower"], said["upper"])
        assert facts["coverage"] == pytest.approx(inside.mean())
        # What it was fitted to is found again in the table, and nothing else.
        assert set(loaded.recall(rows).rows.tolist()) == set(range(len(rows))) - set(kept.tolist())


def test_values_of_kept_compounds_change_no_model(whole: Library, tmp_path: Path) -> None:
    rows = TASKS["sum / one"][0].copy()
    kept = SCHEMA.data(rows).split(PARTS, 0)[0].numpy()
    rows.loc[rows.index[kept], "y"] += 100
    library = Library(tmp_path)
    library.train({"sum / one": (rows, SCHEMA)}, RECIPES)
    for mine, yours in zip(library.query().index, whole.query("task == 'sum / one'").index, strict=True):
        new = table(5, 9)
        assert library.get(mine).predict(new).equals(whole.get(yours).predict(new))
        assert library.entries[mine].facts["mae"] > 10


@pytest.mark.parametrize(("place", "name"), [(factory, "_make"), (factory, "pack"), (Shelf, "append")])
def test_a_killed_run_goes_on_where_it_was(whole: Library, tmp_path: Path, place: object, name: str) -> None:
    # While the second task is in training, between two models of the first, and between its files and the index.
    process = get_context("fork").Process(target=train_until_killed, args=(str(tmp_path), place, name))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    library = Library(tmp_path)
    first = dict(library.entries)
    assert len(first) == (0 if name == "pack" else len(RECIPES))
    library.train(TASKS, RECIPES, licence="CC0-1.0")
    assert {entry: library.entries[entry] for entry in first} == first
    assert len(library) == 2 * len(RECIPES)
    assert library.verify()["ok"].all()
    for entry in library.entries:
        assert library.get(entry).predict(table(5, 9)).equals(whole.get(entry).predict(table(5, 9)))


def test_nothing_is_trained_twice(whole: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(whole.entries)
    monkeypatch.setattr(factory, "_make", lambda *_: pytest.fail("trained again"))
    found = whole.train(TASKS, RECIPES)
    assert list(found.index) == list(before)
    assert whole.entries == before


def test_another_process_gives_the_same(whole: Library, tmp_path: Path) -> None:
    library = Library(tmp_path)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        library.train(TASKS, RECIPES, executor=executor, licence="CC0-1.0")
    same(library, whole)


def test_a_failing_task_costs_only_itself(tmp_path: Path) -> None:
    library = Library(tmp_path)
    alike = table(10).assign(a=0.0, b=0.0)
    tasks = {"alike": (alike, SCHEMA), "no column": (table().drop(columns="a"), SCHEMA), **TASKS}
    with pytest.warns(TrainWarning, match=r"2 of 4 tasks.*no column, alike.*without the column 'a'"):
        library.train(tasks, RECIPES, on_error="skip")
    assert set(library.query()["task"]) == set(TASKS)
    with pytest.raises(mf.MfmatError, match="1 compounds in 'alike'"):
        library.train({"alike": (alike, SCHEMA)}, RECIPES)


def test_any_learner_can_be_trained(tmp_path: Path) -> None:
    library = Library(tmp_path)
    found = library.train({"two": TASKS["two"]}, [mf.GP(), mf.Conformal(mf.GP()), RECIPES[0]])
    assert sorted(found["learner"]) == ["bnn", "conformal", "gp"]
    assert found["mae"].notna().all()
    conformal = found.index[found["learner"] == "conformal"][0]
    assert library.get(conformal).measured is not None


def test_what_cannot_be_trained_is_said_before_anything_is(tmp_path: Path) -> None:
    library = Library(tmp_path)
    with pytest.raises(SchemaError, match="the fact 'task'"):
        library.train(TASKS, RECIPES, task="x")
    with pytest.raises(SchemaError, match="on_error"):
        library.train(TASKS, RECIPES, on_error="never")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="semiconductor-gaps"):
        library.train(["semiconductor-gap"])
    with pytest.raises(SavedFileError, match="only be read"):
        Library("https://host/models").train(TASKS)
    assert len(library) == 0


def test_recipes_are_drawn_for_each_task(tmp_path: Path) -> None:
    found = Library(tmp_path).train(TASKS, 2, seed=3)
    assert found.groupby("task").size().to_dict() == {"sum / one": 2, "two": 2}
    assert found["seed"].nunique() == 4


def test_drawn_networks_descend_and_share_shapes() -> None:
    recipes = draw_recipes(64, seed=5)
    assert recipes == draw_recipes(64, seed=5)
    assert recipes != draw_recipes(64, seed=6)
    shapes = [recipe.hidden for recipe in recipes]
    assert len(set(shapes)) == 4
    assert len({recipe.seed for recipe in recipes}) == 64
    assert all(list(shape) == sorted(shape, reverse=True) and 8 <= shape[-1] <= 32 for shape in shapes)
    assert len({len(shape) for shape in shapes}) > 1


def test_the_shell_trains(tmp_path: Path) -> None:
    rows, schema, models = tmp_path / "two.csv", tmp_path / "schema.json", str(tmp_path / "models")
    TASKS["two"][0].to_csv(rows, index=False)
    schema.write_text(json.dumps(SCHEMA.config()))
    command = ["library", "train", models, "--table", str(rows), "--schema", str(schema), "--networks", "2"]
    done = CliRunner().invoke(cli.app, [*command, "--fact", "licence=CC0-1.0"])
    assert done.exit_code == 0, done.output
    assert "2 entries of 1 task" in done.output
    assert set(Library(models).query()["licence"]) == {"CC0-1.0"}
    assert set(Library(models).query()["task"]) == {"two"}
    assert CliRunner().invoke(cli.app, ["library", "train", models]).exit_code == 2

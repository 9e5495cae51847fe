"""Pools in chunks: the same pairs as of the table in memory, and never much of it at a time."""

from __future__ import annotations

import gc
import multiprocessing
import pickle
import sys
import weakref
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import mfmat as mf
from mfmat import chunks, shards
from mfmat.acquisitions import LevelSet, TopK
from mfmat.data import find_distinct, material_keys, material_keys_of
from mfmat.errors import Problem, SchemaError, TableError
from mfmat.pool import Pool
from mfmat.prospects import Prospects
from mfmat.skipping import SkippedRowsWarning
from mfmat.surrogate import FewRowsWarning
from mfmat.table_files import read_file

GOALS = pytest.mark.parametrize("goal", ["max", "min", "learn"])


def draw(n: int, seed: int = 0) -> pd.DataFrame:
    x = np.random.default_rng(seed).uniform(0, 1.3, n)
    return pd.DataFrame({"x": x, "note": [f"n{i}" for i in range(n)]})


def cut(pool: pd.DataFrame, size: int) -> list[pd.DataFrame]:
    """Chunks, each with an index that counts from 0."""
    return [pool.iloc[at : at + size].reset_index(drop=True) for at in range(0, len(pool), size)]


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found.drop(columns="reason"), expected.drop(columns="reason"), rtol=1e-4)


@pytest.fixture(scope="module")
def surrogate(problem) -> mf.Surrogate:
    return mf.fit(*problem(cheap=12, trusted=6), mf.Difference([mf.GP()]))


@GOALS
@pytest.mark.parametrize("size", [1, 7, 64, 200, 1000])
def test_chunks_of_any_size_give_what_the_table_gives(goal: str, size: int, surrogate: mf.Surrogate) -> None:
    pool = draw(200)
    assert_same(mf.suggest(surrogate, cut(pool, size), 4, goal=goal), mf.suggest(surrogate, pool, 4, goal=goal))


@pytest.mark.parametrize("size", [300, 999])
def test_the_sample_of_a_pool_does_not_depend_on_its_chunks(size: int, surrogate: mf.Surrogate) -> None:
    pool = draw(2000)
    found, expected = (mf.suggest(surrogate, each, 2, goal="learn", seed=3) for each in (cut(pool, size), pool))
    assert_same(found, expected)
    other = mf.suggest(surrogate, pool, 2, goal="learn", seed=4)
    assert abs(other["score"].iloc[0] / expected["score"].iloc[0] - 1) > 1e-4


@pytest.mark.parametrize("goal", ["max", "min", LevelSet(0.8)], ids=str)
def test_the_best_of_a_short_list_are_those_of_the_pool_by_brute_force(
    goal: str, surrogate: mf.Surrogate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfmat.suggestion.LEAST", 5)
    monkeypatch.setattr("mfmat.suggestion.EACH", 1)
    kept = []
    monkeypatch.setattr("mfmat.suggestion.shorten", lambda *args, **kw: kept.append(shards.shorten(*args, **kw)))
    pool = draw(3000)
    found = mf.suggest(surrogate, cut(pool, 250), goal=goal)
    assert_same(found, mf.suggest(surrogate, pool, goal=goal))
    # Every candidate that is among the five best in one source is kept, and no other.
    read = Pool.read(surrogate.schema, pool)
    acquisition = mf.suggestion._acquisition(goal, [surrogate])
    prospects = Prospects(surrogate.model, read.X, surrogate.card["means"], prices=read.costs[..., 0])
    scores = acquisition.log_utility(prospects) - read.costs[..., 0].log()
    best = set(scores.topk(5, dim=0).indices.flatten().tolist())
    assert set(kept[0].positions.tolist()) == best == set(kept[0].table.index)
    assert not torch.isinf(scores.max())


def test_a_file_is_read_in_chunks(surrogate: mf.Surrogate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "ROWS", 32)
    pool = draw(100)
    pool.to_csv(tmp_path / "pool.csv", index=False)
    expected = mf.suggest(surrogate, pool, 3, goal="learn")
    for path in (tmp_path / "pool.csv", str(tmp_path / "pool.csv")):
        assert_same(mf.suggest(surrogate, path, 3, goal="learn"), expected)
    assert chunks.count_chunks(tmp_path / "pool.csv") == 4


def test_a_parquet_file_is_read(surrogate: mf.Surrogate, tmp_path: Path) -> None:
    pool, path = draw(100), tmp_path / "pool.parquet"
    pool.to_parquet(path)
    assert_same(mf.suggest(surrogate, path, 3), mf.suggest(surrogate, pool, 3))


def test_without_pyarrow_the_missing_package_is_named(
    surrogate: mf.Surrogate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "pool.parquet").touch()
    with pytest.raises(TableError, match=r"mfmat\[parquet\]"):
        mf.suggest(surrogate, tmp_path / "pool.parquet")


def test_what_is_no_pool_is_an_error(surrogate: mf.Surrogate, tmp_path: Path, unchecked: None) -> None:
    with pytest.raises(TableError, match=r"pool\.xls; expected a \.csv or a \.parquet"):
        mf.suggest(surrogate, tmp_path / "pool.xls")
    with pytest.raises(TableError, match=r"pool\.csv, which does not exist"):
        mf.suggest(surrogate, tmp_path / "pool.csv")
    with pytest.raises(TableError, match="a chunk that is a dict"):
        mf.suggest(surrogate, [{"x": 1.0}])
    for empty in ([], iter([]), [draw(3).iloc[:0]]):
        with pytest.raises(TableError, match="an empty pool"):
            mf.suggest(surrogate, empty)


def test_a_generator_is_read_once_and_never_much_of_it_is_alive(surrogate: mf.Surrogate) -> None:
    alive: list[weakref.ref[pd.DataFrame]] = []
    most = 0

    def make() -> Iterator[pd.DataFrame]:
        nonlocal most
        for seed in range(12):
            gc.collect()
            most = max(most, sum(ref() is not None for ref in alive))
            chunk = draw(500, seed)
            alive.append(weakref.ref(chunk))
            alive.append(weakref.ref(chunk["x"].to_numpy().base))
            yield chunk

    found = mf.suggest(surrogate, make(), 3)
    whole = pd.concat([draw(500, seed) for seed in range(12)], ignore_index=True)
    assert_same(found, mf.suggest(surrogate, whole, 3))
    assert len(alive) == 24
    assert most <= 4  # two references to each of two chunks


def test_learning_from_chunks_that_can_be_read_once_is_refused(surrogate: mf.Surrogate) -> None:
    with pytest.raises(SchemaError, match="only once for VarianceReduction"):
        mf.suggest(surrogate, iter(cut(draw(20), 5)), goal="learn")
    with pytest.raises(SchemaError, match="TopK, which compares all candidates"):
        mf.suggest(surrogate, cut(draw(20), 5), goal=TopK())
    with pytest.raises(SchemaError, match=r"temperature=1\.0"):
        mf.suggest(surrogate, cut(draw(20), 5), temperature=1.0)


@GOALS
def test_a_material_in_two_chunks_is_suggested_once(goal: str, surrogate: mf.Surrogate) -> None:
    pool = draw(6)
    twice = mf.suggest(surrogate, [pool, pool.assign(note="again")], 100, goal=goal)
    assert len(twice) == 12
    assert set(twice.index) == set(range(6))
    assert not twice["note"].eq("again").any()


def test_the_first_row_of_a_material_counts_though_a_later_one_is_cheaper(surrogate: mf.Surrogate) -> None:
    by_row = replace(surrogate, schema=replace(surrogate.schema, costs={"cheap": "hours", "trusted": 10.0}))
    pool = pd.concat([draw(6).assign(hours=1.0), draw(6).assign(hours=1e-6)], ignore_index=True)
    assert_same(mf.suggest(by_row, cut(pool, 4), 5), mf.suggest(by_row, pool, 5))


@GOALS
def test_whatever_else_is_asked_is_as_in_memory(goal: str, surrogate: mf.Surrogate) -> None:
    pool = draw(60)
    chance = pd.Series(np.random.default_rng(1).random(60))
    first = mf.suggest(surrogate, pool, 2, goal=goal)
    options = {"goal": goal, "pending": first, "chance": chance, "budget": 13.0, "sources": ["trusted", "cheap"]}
    assert_same(mf.suggest(surrogate, cut(pool, 9), 6, **options), mf.suggest(surrogate, pool, 6, **options))
    alone = mf.suggest(surrogate, cut(pool, 9), 6, goal=goal, sources=["cheap"])
    assert_same(alone, mf.suggest(surrogate, pool, 6, goal=goal, sources=["cheap"]))


def test_an_exhausted_pool_gives_an_empty_table(surrogate: mf.Surrogate) -> None:
    done = {name: Pool.read(surrogate.schema, draw(6)).keys.tolist() for name in surrogate.schema.sources}
    exhausted = replace(surrogate, card={**surrogate.card, "seen": done})
    found = mf.suggest(exhausted, cut(draw(6), 4), 3)
    assert found.empty
    assert found.columns.tolist() == ["x", "note", "source", "score", "cost", "reason"]


def test_an_index_of_its_own_is_kept(surrogate: mf.Surrogate) -> None:
    pool = draw(20).set_index("note")
    parts = [pool.iloc[:7], pool.iloc[7:]]
    assert_same(mf.suggest(surrogate, parts, 3), mf.suggest(surrogate, pool, 3))


def test_a_bad_row_is_named_by_its_place_in_the_pool_and_left_out_when_asked(surrogate: mf.Surrogate) -> None:
    pool = draw(40)
    pool.loc[[23, 24, 29], "x"] = np.nan
    with pytest.raises(TableError, match=r"row 23 \(number 23\), column 'x': a missing value") as caught:
        mf.suggest(surrogate, cut(pool, 10))
    assert [problem.position for problem in caught.value.problems] == [23, 24, 29]
    with pytest.warns(SkippedRowsWarning, match=r"3 of 40 rows .*number 24"):
        found = mf.suggest(surrogate, cut(pool, 10), 100, on_error="skip")
    assert set(found.index) == set(range(40)) - {23, 24, 29}
    # A chunk of which nothing can be read is no error; a whole pool is.
    with pytest.warns(SkippedRowsWarning):
        assert len(mf.suggest(surrogate, cut(pool, 1), 100, on_error="skip")) == 74
    with pytest.raises(TableError, match="bad row"):
        mf.suggest(surrogate, cut(pool.iloc[[23, 24]], 1), on_error="skip")


def test_where_the_target_has_no_value_the_best_expected_in_the_pool_stands_in(problem) -> None:
    with pytest.warns(FewRowsWarning):
        surrogate = mf.fit(*problem(cheap=12, trusted=0), mf.Difference([mf.GP()]))
    pool = draw(200)
    found, expected = (mf.suggest(surrogate, each, 3) for each in (cut(pool, 40), pool))
    assert_same(found, expected)
    assert found["reason"].tolist() == expected["reason"].tolist()


@pytest.mark.parametrize("goal", ["max", "learn"])
def test_other_processes_give_the_same(goal: str, surrogate: mf.Surrogate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfmat.shards.ROWS", 64)
    pool = draw(200)
    expected = mf.suggest(surrogate, pool, 3, goal=goal)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        assert_same(mf.suggest(surrogate, cut(pool, 64), 3, goal=goal, executor=executor), expected)
        assert_same(mf.suggest(surrogate, pool, 3, goal=goal, executor=executor), expected)
        read = Pool.read(surrogate.schema, pool)
        assert_same(mf.suggest(surrogate, read, 3, goal=goal, executor=executor), expected)
        own = replace(read, costs=read.costs * torch.linspace(0.1, 9, 200)[:, None, None])
        works = pd.Series(np.linspace(0.9, 0.2, 200), index=pool.index)
        dear = mf.suggest(surrogate, own, 3, goal=goal, chance=works)
        assert_same(mf.suggest(surrogate, own, 3, goal=goal, chance=works, executor=executor), dear)
        assert dear["cost"].tolist() != expected["cost"].tolist()
        bad = pool.assign(x=pool["x"].where(pool.index != 150))
        with pytest.raises(TableError, match=r"row 150 \(number 150\)"):
            mf.suggest(surrogate, bad, 3, goal=goal, executor=executor)


def test_an_error_of_another_process_comes_back_whole() -> None:
    error = TableError.of([Problem(3, "c", "x", "?", "no number")])
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is TableError
    assert (str(back), back.problems, back.fix) == (str(error), error.problems, error.fix)


@pytest.mark.parametrize("column", [None, 1])
def test_a_material_in_several_sources_has_the_key_that_it_has_alone(column: int | None) -> None:
    X = torch.randn(5, 1, 3, generator=torch.Generator().manual_seed(0)).double().expand(-1, 4, -1).clone()
    X[..., -1] = torch.arange(4)
    X[2, 3, :2] = 7.0  # in one batch one row is another material
    each = material_keys(X.reshape(-1, 3), column).reshape(5, 4)
    assert torch.equal(material_keys_of(X, column), each)
    assert find_distinct(X)[0].tolist() == [0, 3]


def test_a_file_is_read_in_parts_as_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "ROWS", 3)
    names, numbers = ["1001", "1002", "1003", "1004", "007", "1006"], ["0.30000000000000004", "01", "2", "", "-1", "5"]
    path = tmp_path / "pool.csv"
    rows = [f"{name},{number},{i}" for i, (name, number) in enumerate(zip(names, numbers, strict=True))]
    path.write_text("\n".join(["id,x,y", *rows]))
    parts = pd.concat([part for _, part in chunks.read_chunks(path)])
    pd.testing.assert_frame_equal(parts, read_file(path))
    # A name of the last part begins with 0: those before are names, too; not so where others are no whole numbers.
    assert parts["id"].tolist() == names
    assert parts["x"].tolist()[:3] == [0.1 + 0.2, 1.0, 2.0]
    assert parts["y"].tolist() == list(range(6))

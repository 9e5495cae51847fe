"""suggest for several values of one measurement: the best compromises, each source for what it tells of all values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from botorch.utils.multi_objective.hypervolume import Hypervolume as Volume
from botorch.utils.multi_objective.pareto import is_non_dominated

import mfmat as mf
from mfmat.acquisitions import Hypervolume, Improvement, NoisyImprovement
from mfmat.errors import SchemaError

VALUES = ("strength", "ductility")
RECIPE = mf.GP(steps=40)
CHAIN = mf.Difference([mf.GP(steps=40)])
SCHEMA = mf.Schema(mf.Columns(["u", "v"]), value="strength", source="method", costs={"sim": 1, "exp": 20})


def measure(rows: pd.DataFrame, source: str = "exp") -> pd.DataFrame:
    """Two values that cannot both be large: their best lie near u = v = 0.7 and u = v = 0.2."""
    u, v, cheap = rows["u"], rows["v"], source == "sim"
    strength = 400 * np.exp(-4 * ((u - 0.7) ** 2 + (v - 0.7) ** 2)) + 60 * cheap * u
    ductility = 0.3 * np.exp(-4 * ((u - 0.2) ** 2 + (v - 0.2) ** 2)) - 0.03 * cheap * v
    return rows[["u", "v"]].assign(method=source, strength=strength, ductility=ductility)


def draw(n: int, seed: int) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(seed).uniform(size=(n, 2)), columns=["u", "v"])


def fit(table: pd.DataFrame, recipe: mf.Learner = CHAIN, schema: mf.Schema = SCHEMA) -> list[mf.Surrogate]:
    """One surrogate for each value column."""
    schemas = [replace(schema, value=name) for name in VALUES]
    return [mf.fit(table.dropna(subset=[each.value]), each, recipe) for each in schemas]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.concat([measure(draw(25, 1), "sim"), measure(draw(8, 2))], ignore_index=True)


@pytest.fixture(scope="module")
def surrogates(table: pd.DataFrame) -> list[mf.Surrogate]:
    return fit(table)


POOL = draw(40, 3)


def priced(surrogates: list[mf.Surrogate], sim: float, exp: float) -> list[mf.Surrogate]:
    return [replace(each, schema=replace(each.schema, costs={"sim": sim, "exp": exp})) for each in surrogates]


def volume(table: pd.DataFrame) -> float:
    """What the target's rows dominate."""
    Y = torch.from_numpy(table.loc[table["method"] == "exp", list(VALUES)].to_numpy())
    return Volume(torch.zeros(2).double()).compute(Y[is_non_dominated(Y)])


def test_a_front_is_found_in_fewer_measurements_than_by_chance() -> None:
    pool, goal = draw(80, 5), Hypervolume(reference={"strength": 0.0, "ductility": 0.0})
    single = replace(SCHEMA, costs={"exp": 1.0})
    whole, chosen, chance = volume(measure(pool)), [], []
    for seed in range(3):
        start = measure(pool.sample(5, random_state=seed))
        seen = start
        for _ in range(4):
            todo = mf.suggest(fit(seen, RECIPE, single), pool, 2, goal=goal)
            seen = pd.concat([seen, measure(todo)], ignore_index=True)
        chosen.append(volume(seen) / whole)
        for draw_ in range(10):
            rest = pool.sample(8, random_state=100 * seed + draw_)
            chance.append(volume(pd.concat([start, measure(rest)])) / whole)
    assert min(chosen) > 0.93
    assert np.mean(chosen) > np.quantile(chance, 0.9)


def test_the_price_decides_between_sources_that_tell_of_both(surrogates: list[mf.Surrogate]) -> None:
    assert mf.suggest(priced(surrogates, 0.01, 1), POOL)["method"].tolist() == ["sim"]
    assert mf.suggest(priced(surrogates, 1, 1), POOL)["method"].tolist() == ["exp"]


def test_the_reason_speaks_of_every_value(surrogates: list[mf.Surrogate]) -> None:
    units = [
        replace(each, schema=replace(each.schema, unit=u)) for each, u in zip(surrogates, ("MPa", "%"), strict=True)
    ]
    row = mf.suggest(priced(units, 0.01, 1), POOL).iloc[0]
    assert row["reason"].startswith("strength predicted ")
    for words in (
        " MPa, ductility predicted ",
        "MPa·% to the volume of what is better than strength ",
        "sim explains ",
    ):
        assert words in row["reason"]
    assert "% of what is uncertain about strength and " in row["reason"]
    chosen = mf.suggest(units, POOL, 3)
    assert chosen.columns.tolist() == ["u", "v", "method", "score", "cost", "reason"]
    assert chosen.index.isin(POOL.index).all()
    assert set(chosen.attrs["tells"]) == {"sim", "exp"}
    assert "measures strength and ductility themselves" in mf.suggest(priced(units, 1, 1), POOL)["reason"].iloc[0]


def test_the_usual_goals_are_hypervolumes(surrogates: list[mf.Surrogate]) -> None:
    for goal, same in (("max", Hypervolume()), ("min", Hypervolume(minimize=VALUES))):
        pd.testing.assert_frame_equal(
            mf.suggest(surrogates, POOL, 2, goal=goal), mf.suggest(surrogates, POOL, 2, goal=same)
        )


def test_a_batch_goes_on_where_what_is_pending_ends(surrogates: list[mf.Surrogate]) -> None:
    batch = mf.suggest(surrogates, POOL, 4)
    rest = mf.suggest(surrogates, POOL, 2, pending=batch.iloc[:2])
    assert rest.index.tolist() == batch.index[2:].tolist()
    assert rest["method"].tolist() == batch["method"].tolist()[2:]
    assert not batch[["u", "v", "method"]].duplicated().any()


def test_a_pair_of_which_one_value_is_missing_may_be_measured_again(table: pd.DataFrame) -> None:
    here = measure(POOL.iloc[[4]])
    half = pd.concat([table, here.assign(ductility=np.nan)], ignore_index=True)
    both = pd.concat([table, here], ignore_index=True)
    open_, closed = (mf.suggest(fit(each), POOL.iloc[[4]], 2) for each in (half, both))
    assert "exp" in open_["method"].tolist()
    assert "exp" not in closed["method"].tolist()


def test_only_materials_with_all_values_are_on_the_front(table: pd.DataFrame) -> None:
    wonder = measure(POOL.iloc[[4]]).assign(strength=1e4, ductility=np.nan)
    reference = Hypervolume(reference={"strength": 0.0, "ductility": 0.0})
    strength, ductility = fit(table)
    with_wonder = mf.fit(pd.concat([table, wonder], ignore_index=True), strength.schema, CHAIN)
    # The model knows of it; the front does not.
    same = replace(with_wonder, model=strength.model)
    found, expected = (mf.suggest([each, ductility], POOL, 2, goal=reference) for each in (same, strength))
    np.testing.assert_allclose(found["score"], expected["score"])


def test_a_loaded_surrogate_is_told_what_was_seen(
    table: pd.DataFrame, surrogates: list[mf.Surrogate], tmp_path: Path
) -> None:
    loaded = []
    for each in surrogates:
        each.save(tmp_path / each.schema.value)
        loaded.append(mf.load(tmp_path / each.schema.value))
    with pytest.raises(SchemaError, match=r"keeps no rows.*seen="):
        mf.suggest(loaded, POOL)
    expected = mf.suggest(surrogates, POOL, 2)
    for seen in (table, [table, table]):
        np.testing.assert_allclose(mf.suggest(loaded, POOL, 2, seen=seen)["score"], expected["score"], rtol=1e-4)
    with pytest.raises(SchemaError, match="1 tables seen by 2 surrogates"):
        mf.suggest(loaded, POOL, seen=[table])
    with pytest.raises(SchemaError, match="differs from the one fitted to"):
        mf.suggest(loaded, POOL, seen=table.head(20))
    alone = mf.suggest(loaded[0], POOL, goal=NoisyImprovement(), seen=table)
    pd.testing.assert_index_equal(alone.index, mf.suggest(surrogates[0], POOL, goal=NoisyImprovement()).index)
    assert "best noise-free value" in alone["reason"].iloc[0]


def test_surrogates_that_do_not_belong_together_are_refused(
    table: pd.DataFrame, surrogates: list[mf.Surrogate]
) -> None:
    strength, ductility = surrogates
    with pytest.raises(SchemaError, match="2 surrogates of the value 'strength'"):
        mf.suggest([strength, strength], POOL)
    with pytest.raises(SchemaError, match=r"'strength' and 'ductility' whose schemas differ in costs.*schema\.settle"):
        mf.suggest([strength, *priced([ductility], 2, 20)], POOL)
    with pytest.raises(SchemaError, match="Hypervolume of 1 value;"):
        mf.suggest(strength, POOL, goal=Hypervolume())
    with pytest.raises(SchemaError, match="Improvement of 2 values;"):
        mf.suggest(surrogates, POOL, goal=Improvement())
    with pytest.raises(SchemaError, match="no surrogate"):
        mf.suggest([], POOL)
    with pytest.raises(SchemaError, match="Hypervolume for a pool in chunks"):
        mf.suggest(surrogates, iter([POOL]))


def test_without_a_source_column_it_is_one_source_all_the_same() -> None:
    table = measure(draw(8, 4)).drop(columns="method")
    chosen = mf.suggest(fit(table, RECIPE, mf.Schema(mf.Columns(["u", "v"]), value="strength")), POOL, 2)
    assert len(chosen) == 2
    assert "measures strength and ductility themselves" in chosen["reason"].iloc[0]


def test_a_campaign_has_one_value(tmp_path: Path, table: pd.DataFrame) -> None:
    with pytest.raises(SchemaError, match=r"a campaign with Hypervolume.*one value column"):
        mf.Campaign.create(tmp_path / "c.db", SCHEMA, pool=POOL, seen=table, acquisition=Hypervolume())

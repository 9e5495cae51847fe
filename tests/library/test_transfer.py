"""Entries of a library as featurizers, as learners, and shot all at once."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import mfmat as mf
from mfmat.errors import FitError, SavedFileError, SchemaError, TableError, UnknownNameError
from mfmat.learner import Learner
from mfmat.schema import Schema
from mfmat.shotgun import Screened

COLUMNS = [f"x{i}" for i in range(6)]
SCHEMA = mf.Schema(mf.Columns(COLUMNS), value="y")
NETWORK = mf.BNN(hidden=(24, 8), steps=150, epochs=30)


def draw(n: int, seed: int, noise: float = 0.05) -> pd.DataFrame:
    """A bent function of three of six columns, which few rows do not tell and many of a related one do."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (n, 6))
    bent = np.sin(3 * x[:, 0] * x[:, 1]) + np.abs(x[:, 2])
    return pd.DataFrame(x, columns=COLUMNS).assign(y=bent + noise * rng.normal(size=n), group=range(n))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> mf.Library:
    """Two networks that know the function, in other units, six that know noise, and a process."""
    filled = mf.Library(tmp_path_factory.mktemp("models"))
    rng = np.random.default_rng(7)
    for seed in range(2):
        related = draw(400, 100 + seed).assign(y=lambda t: 5 - 3 * t["y"])
        filled.add(mf.fit(related, SCHEMA, replace(NETWORK, seed=seed)), f"kin-{seed}", property="kin")
    for seed in range(6):
        other = draw(150, 200 + seed).assign(y=rng.normal(size=150))
        filled.add(mf.fit(other, SCHEMA, replace(NETWORK, seed=seed)), f"noise-{seed}", property="noise")
    filled.add(mf.fit(draw(100, 300), SCHEMA, mf.GP()), "process", property="kin")
    return filled


# Encoder.


def test_an_encoder_says_what_the_entry_says(library: mf.Library) -> None:
    encoder = mf.Encoder(library.address("kin-0"), layer="both")
    table, surrogate = draw(70, 1), library.get("kin-0")
    found, problems = encoder.encode(table)
    assert problems == []
    assert {name: len(features) for name, features in encoder.views.items()} == {
        "kin-0.hidden": 8,
        "kin-0.posterior": 2,
    }
    X = SCHEMA.encode(table)[0]
    with torch.no_grad():
        np.testing.assert_allclose(found[:, :8], surrogate.model.hidden(X)[:, 0], rtol=1e-9, atol=1e-12)
    said = surrogate.predict(table, noise=False)
    np.testing.assert_allclose(found[:, 8:], said[["mean", "std"]], rtol=1e-6)


def test_a_rows_numbers_are_its_own_to_the_bit(library: mf.Library) -> None:
    encoder = mf.Encoder(library.address("kin-0"), layer="both")
    table = draw(130, 2)
    whole = encoder.encode(table)[0]
    for at in ([0], [64, 3], [129, 17, 5], list(range(129, -1, -1))):
        assert np.array_equal(encoder.encode(table.iloc[at])[0], whole[at])


def test_an_encoder_helps_a_process_that_has_few_rows(library: mf.Library) -> None:
    few, many = draw(40, 3), draw(300, 4)
    helped = Schema([mf.Columns(COLUMNS), mf.Encoder(library.address("kin-0"))], value="y")
    errors = [
        (mf.fit(few, schema, mf.GP()).predict(many)["median"] - many["y"]).abs().mean() for schema in (helped, SCHEMA)
    ]
    assert errors[0] < 0.7 * errors[1]


def test_bad_cells_are_named_as_in_this_table(library: mf.Library) -> None:
    encoder = mf.Encoder(library.address("kin-0"), rename={"x0": "first"})
    table = draw(5, 5).rename(columns={"x0": "first"}).astype({"first": object})
    table.loc[2, "first"] = "wide"
    found, (problem,) = encoder.encode(table)
    assert (problem.position, problem.column, problem.value) == (2, "first", "wide")
    assert np.isnan(found[2]).all()
    assert np.isfinite(np.delete(found, 2, axis=0)).all()
    with pytest.raises(TableError, match="'first'"):
        mf.Schema(encoder, value="y").data(table)


def test_an_encoder_needs_its_entry_as_it_was(library: mf.Library, tmp_path: Path) -> None:
    copy = library.pull("property == 'kin'", into=tmp_path / "copy")
    schema = mf.Schema(mf.Encoder(copy.address("kin-1")), value="y")
    mf.fit(draw(20, 6), schema, mf.GP()).save(tmp_path / "model")
    loaded = mf.load(tmp_path / "model")
    assert len(loaded.schema.featurizers[0].sha256) == 64
    (copy.shelf.folder / "index.jsonl").unlink()
    copy.add(library.get("process"), "kin-1")
    with pytest.raises(SavedFileError, match="SHA-256"):
        mf.load(tmp_path / "model")


def test_what_an_encoder_cannot_be_is_refused(library: mf.Library, unchecked: None) -> None:
    with pytest.raises(SchemaError, match=r"layer='hidden' of .*process.*network"):
        mf.Encoder(library.address("process"))
    with pytest.raises(SchemaError, match="layer='deep'"):
        mf.Encoder(library.address("kin-0"), layer="deep")
    with pytest.raises(SchemaError, match="rename of 'x9'"):
        mf.Encoder(library.address("kin-0"), rename={"x9": "first"})
    with pytest.raises(SchemaError, match="the entry 'kin-0'; expected a library, #, and a name"):
        mf.Encoder("kin-0")
    with pytest.raises(UnknownNameError, match=r"entry 'kin-7'.*did you mean"):
        mf.Encoder(f"{library.shelf.root}#kin-7")


# Pretrained.


def test_used_directly_an_entry_answers_for_itself(library: mf.Library) -> None:
    table = draw(30, 8)
    direct = mf.fit(table, SCHEMA, mf.Pretrained(library.address("kin-0"), use="direct"))
    pd.testing.assert_frame_equal(direct.predict(table), library.get("kin-0").predict(table))


@pytest.mark.parametrize("use", ["recalibrated", "fine-tuned"])
def test_an_entry_in_other_units_is_mended_by_few_rows(library: mf.Library, use: str) -> None:
    few, many = draw(25, 9), draw(400, 10)
    mended = mf.fit(few, SCHEMA, mf.Pretrained(library.address("kin-0"), use=use))
    alone = mf.fit(few, SCHEMA, mf.GP())
    errors = [(each.predict(many)["median"] - many["y"]).abs().mean() for each in (mended, alone)]
    assert errors[0] < 0.6 * errors[1]
    said = mended.predict(many)
    assert 0.75 < many["y"].between(said["lower"], said["upper"]).mean() < 0.99


def test_without_a_reason_to_move_an_entry_stays_as_it_is(library: mf.Library) -> None:
    table = draw(40, 11)
    table["y"] = library.get("process").predict(table, noise=False)["mean"]
    mended = mf.fit(table, SCHEMA, mf.Pretrained(library.address("process")))
    new = draw(50, 12)
    told = library.get("process").predict(new)["mean"]
    np.testing.assert_allclose(mended.predict(new)["mean"], told, atol=1e-3)


def test_what_is_no_network_is_not_fine_tuned(library: mf.Library, unchecked: None) -> None:
    with pytest.raises(FitError, match=r"fine-tuned.*network"):
        mf.fit(draw(9, 0), SCHEMA, mf.Pretrained(library.address("process"), use="fine-tuned"))
    with pytest.raises(FitError, match=r"views numeric; expected those of .*#kin-0: numeric"):
        mf.fit(draw(9, 0), mf.Schema(mf.Columns("x0"), value="y"), mf.Pretrained(library.address("kin-0")))
    with pytest.raises(SchemaError, match="use='tuned'"):
        mf.Pretrained(library.address("kin-0"), use="tuned")


# Shotgun.


def test_the_entries_that_know_are_found_among_those_that_do_not(library: mf.Library) -> None:
    few, many = draw(40, 13), draw(400, 14)
    shot = mf.fit(few, SCHEMA, mf.Shotgun(library))
    alone = mf.fit(few, SCHEMA, mf.GP())
    kept = [looker["name"] for looker in shot.model.facts["members"][1]["inner"]["lookers"]]
    assert kept[0].startswith("kin")
    errors = [(each.predict(many)["median"] - many["y"]).abs().mean() for each in (shot, alone)]
    assert errors[0] < 0.6 * errors[1]
    weights = shot.explain(many).filter(like="weight_target_only 2")
    assert weights.to_numpy().mean() > 0.7


def test_a_saved_one_predicts_without_the_library_in_a_new_process(library: mf.Library, tmp_path: Path) -> None:
    copy = library.pull(into=tmp_path / "copy")
    learners = {"shot": mf.Shotgun(copy, keep=2), "mended": mf.Pretrained(copy.address("kin-1"), use="fine-tuned")}
    table = draw(20, 15)
    for name, learner in learners.items():
        fitted = mf.fit(table, SCHEMA, learner)
        assert Learner.of(fitted.recipe.config()) == fitted.recipe
        fitted.save(tmp_path / name)
    shutil.rmtree(tmp_path / "copy")
    program = """
        import sys, mfmat
        # Loading compares predictions with those that were saved.
        print(*(mfmat.load(path).recipe.kind for path in sys.argv[1:]))
    """
    command = [sys.executable, "-c", textwrap.dedent(program), *(str(tmp_path / name) for name in learners)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.stdout.split() == ["shotgun", "pretrained"], ended.stderr


def test_with_hardly_any_rows_no_entry_is_kept(library: mf.Library) -> None:
    data = SCHEMA.data(draw(4, 16))
    model = Screened(library.shelf.root).fit(data)
    assert model.facts["lookers"] == []
    assert "none is kept" in model.facts["why"][0]
    alone = mf.GP().fit(data)
    with torch.no_grad():
        X = SCHEMA.encode(draw(10, 17))[0]
        torch.testing.assert_close(model.posterior(X).mean, alone.posterior(X).mean)


def test_views_are_the_same_under_another_column(library: mf.Library, tmp_path: Path) -> None:
    formulas = ["NaCl", "KBr", "LiF", "MgO", "CaO", "ZnS", "GaAs", "SiC", "AlN", "InP", "CdTe", "BN"]
    table = pd.DataFrame({"formula": formulas, "y": np.arange(12.0)})
    source = mf.Library(tmp_path)
    inputs = mf.Composition("formula", blocks="descriptors")
    source.add(mf.fit(table, mf.Schema(inputs, value="y"), replace(NETWORK, hidden=(8,))), "first")
    other = table.rename(columns={"formula": "compound"})
    schema = mf.Schema(mf.Composition("compound", blocks="descriptors"), value="y")
    model = Screened(str(tmp_path)).fit(schema.data(other))
    assert [looker["name"] for looker in model.facts["lookers"]] == ["first"]
    with pytest.raises(FitError, match=r"views numeric and 1 entries of .* \(the first has formula.descriptors\)"):
        mf.fit(draw(9, 0), SCHEMA, mf.Shotgun(tmp_path))


def test_labels_and_impossible_options_are_refused(library: mf.Library, unchecked: None) -> None:
    table = draw(12, 18).assign(y=["metal", "gap"] * 6)
    with pytest.raises(FitError, match="labels"):
        mf.fit(table, replace(SCHEMA, kinds={"y": "label"}), mf.Shotgun(library))
    with pytest.raises(SchemaError, match="keep=0"):
        mf.Shotgun(library, keep=0)
    with pytest.raises(SchemaError, match="condition"):
        mf.fit(draw(12, 18), SCHEMA, mf.Shotgun(library, "colour == 'red'"))


@pytest.mark.promise
def test_entries_that_know_nothing_show_no_false_gain_and_intervals_hold(library: mf.Library) -> None:
    test = draw(300, 999)
    ratios, held = [], []
    for seed in range(12):
        few = draw(25, 1000 + seed)
        shot = mf.fit(few, SCHEMA, mf.Shotgun(library, "property == 'noise'")).predict(test)
        alone = mf.fit(few, SCHEMA, mf.GP()).predict(test)
        errors = [(each["median"] - test["y"]).abs().mean() for each in (shot, alone)]
        ratios.append(errors[0] / errors[1])
        held.append(test["y"].between(shot["lower"], shot["upper"]).mean())
    mean, error = np.mean(ratios), np.std(ratios, ddof=1) / len(ratios) ** 0.5
    assert mean + 2 * error > 0.97
    assert mean - 2 * error < 1.03
    assert 0.84 < np.mean(held) < 0.97

"""Training of a crystal graph network: it learns, stops at its best, and comes back from its folder."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import mfmat as mf
from mfmat.backbone_training import train_cgcnn
from mfmat.errors import FitError, SchemaError, TableError
from mfmat.features.crystals import read_crystal
from mfmat.training import Schedule

BRIEF = Schedule(epochs=3, steps=3, batch=16)
CATIONS, ANIONS = ("Li", "Na", "K", "Rb", "Cs", "Ag"), ("F", "Cl", "Br", "I")


def salts(n: int = 96, seed: int = 0) -> pd.DataFrame:
    """Rock salts of 24 compounds; the value follows the distance, more steeply for lithium."""
    random = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        pair, half = (CATIONS[i % 6], ANIONS[i // 6 % 4]), random.uniform(2, 3.2)
        cell = {
            "lattice": (half * (1 - np.eye(3))).tolist(),
            "species": list(pair),
            "frac_coords": [[0] * 3, [0.5] * 3],
        }
        rows.append({"structure": cell, "y": (2 if pair[0] == "Li" else 1) * half})
    return pd.DataFrame(rows)


def predict(backbone: mf.CGCNN, table: pd.DataFrame) -> np.ndarray:
    return np.array([said["predictions"][0] for said in backbone.run([read_crystal(c) for c in table["structure"]])])


def test_it_learns_and_says_how_well(tmp_path):
    table, state = salts(), torch.random.get_rng_state()
    backbone = train_cgcnn(
        table["structure"], table["y"], name="mine", folder=tmp_path, schedule=Schedule(epochs=60, steps=300, batch=32)
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    facts = json.loads((tmp_path / "extractors.json").read_text())["mine"]
    assert facts["best_val_mae"] < 0.4 * np.abs(table["y"] - table["y"].mean()).mean()
    new = salts(48, seed=1)
    error = np.abs(predict(backbone, new) - new["y"]).mean()
    assert error < 0.4 * np.abs(new["y"] - new["y"].mean()).mean()
    # The best epoch is what was written: its error on the compounds held out is the one that is said.
    from mfmat.training import hold_out_groups

    groups = pd.factorize(mf.Composition("structure").groups(table))[0]
    held = hold_out_groups(torch.from_numpy(groups.astype(np.int64)), 0.15, 0)[1].numpy()
    assert len(held) == facts["held_out"]
    again = np.abs(predict(backbone, table.iloc[held]) - table["y"].iloc[held]).mean()
    assert again == pytest.approx(facts["best_val_mae"], rel=1e-3)
    assert len(set(groups[held]) & set(np.delete(groups, held))) == 0


def test_it_is_a_backbone_like_any_other(tmp_path, cache):
    table = salts(24)
    backbone = train_cgcnn(table["structure"], table["y"], name="mine", folder=tmp_path, schedule=BRIEF)
    featurizer = mf.Structure("structure", backbone=backbone)
    assert list(featurizer.views) == [
        "structure.cgcnn.mine.hidden",
        "structure.cgcnn.predictions",
        "structure.geometry",
    ]
    assert mf.Structure.of(json.loads(json.dumps(featurizer.config()))) == featurizer
    assert featurizer.encode(table)[1] == []
    train_cgcnn(table["structure"], table["y"], name="other", folder=tmp_path, schedule=BRIEF, seed=1)
    assert mf.SourceNetworks("structure", folder=str(tmp_path)).networks == ("mine", "other")


def test_a_published_validation_part_is_held_out(tmp_path):
    table, held = salts(48), [3, 40, 41, 7]
    backbone = train_cgcnn(
        table["structure"], table["y"], name="n", folder=tmp_path, held=held, schedule=replace(BRIEF, epochs=8)
    )
    facts = json.loads((tmp_path / "extractors.json").read_text())["n"]
    assert facts["held_out"] == 4
    error = np.abs(predict(backbone, table.iloc[held]) - table["y"].iloc[held]).mean()
    assert error == pytest.approx(facts["best_val_mae"], rel=1e-3)
    for wrong in ([], [48], [-1], range(48)):
        with pytest.raises(SchemaError, match="positions 0 to 47"):
            train_cgcnn(table["structure"], table["y"], name="n", folder=tmp_path, held=wrong, schedule=BRIEF)


def test_a_seed_gives_the_same_network(tmp_path):
    table = salts(24)
    for folder in ("a", "b"):
        train_cgcnn(table["structure"], table["y"], name="n", folder=tmp_path / folder, schedule=BRIEF, seed=3)
    assert (tmp_path / "a/n.safetensors").read_bytes() == (tmp_path / "b/n.safetensors").read_bytes()


def test_trained_anew_it_is_another_version(tmp_path):
    table, found = salts(24), []
    for seed in (0, 1):
        backbone = train_cgcnn(table["structure"], table["y"], name="n", folder=tmp_path, schedule=BRIEF, seed=seed)
        found.append((backbone.version, predict(backbone, table)[0]))
    assert found[0] != found[1]
    assert found[0][0] != found[1][0]


def test_a_start_is_kept_where_nothing_is_learned(tmp_path, mfmat_data):
    table = salts(24)
    still = Schedule(epochs=1, steps=1, batch=24, rate=0.0, decay=0.0)
    start = mf.CGCNN("mp_gvrh")
    backbone = train_cgcnn(table["structure"], table["y"], name="n", folder=tmp_path, start=start, schedule=still)
    old = start.run([read_crystal(table["structure"][0])], ["mp_gvrh.V1"])[0]["mp_gvrh.V1"]
    new = backbone.run([read_crystal(table["structure"][0])], ["n.V1"])[0]["n.V1"]
    assert np.corrcoef(old.ravel(), new.ravel())[0, 1] > 0.99, "the normalisations alone have moved"
    with pytest.raises(SchemaError, match="other elements' vectors"):
        train_cgcnn(table["structure"], table["y"], name="m", folder=tmp_path, schedule=BRIEF)


def test_what_cannot_be_learned_from(tmp_path):
    table = salts(24)
    with pytest.raises(TableError, match=r"2 bad rows.*row 1.*no structure.*row 5.*missing"):
        train_cgcnn(
            [*table["structure"][:1], 3, *table["structure"][2:]],
            table["y"].where(table.index != 5),
            name="n",
            folder=tmp_path,
        )
    with pytest.raises(FitError, match="6 compounds"):
        train_cgcnn(table["structure"][:6], table["y"][:6], name="n", folder=tmp_path)
    with pytest.raises(FitError, match="spread by 0"):
        train_cgcnn(table["structure"], [1.0] * 24, name="n", folder=tmp_path)
    with pytest.raises(SchemaError, match="24 structures and 3 values"):
        train_cgcnn(table["structure"], [1.0] * 3, name="n", folder=tmp_path)
    with pytest.raises(SchemaError, match="a start of 2 networks"):
        train_cgcnn(table["structure"], table["y"], name="n", folder=tmp_path, start=mf.CGCNN(("mp_kvrh", "mp_gvrh")))

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

import mfmat as mf
from mfmat.errors import SchemaError, TableError, UnknownNameError
from mfmat.features.crystals import write_crystal

HELIUM = Structure(Lattice.cubic(20), ["He"], [[0, 0, 0]])


def salts(n: int = 24, seed: int = 0) -> pd.DataFrame:
    """Rock salts of several elements and sizes, with a value that follows the size of the cell."""
    random = np.random.default_rng(seed)
    pairs = [(a, b) for a in ("Li", "Na", "K", "Rb") for b in ("F", "Cl", "Br", "I")]
    rows = []
    for i in range(n):
        elements, length = pairs[i % len(pairs)], random.uniform(4, 7)
        cell = Structure(length / 2 * (1 - np.eye(3)), elements, [[0, 0, 0], [0.5, 0.5, 0.5]])
        rows.append({"structure": cell, "y": length + 0.01 * random.normal()})
    return pd.DataFrame(rows)


@pytest.fixture
def counted(cache, counting):
    """A featurizer that asks that backbone."""
    return lambda **options: mf.Structure("structure", backbone=counting(), **options)


def test_one_view_a_level(counted):
    featurizer = counted(level=("atoms", "sizes", "geometry"), moments=("mean", "max"))
    views = featurizer.views
    assert list(views) == ["structure.counting.atoms", "structure.counting.sizes", "structure.geometry"]
    assert views["structure.counting.atoms"] == ("mean Z", "mean row", "max Z", "max row")
    table = salts(2)
    X, problems = featurizer.encode(table)
    assert problems == []
    assert X.shape == (2, sum(map(len, views.values())))
    assert X[0, :4].tolist() == pytest.approx([(3 + 9) / 6, 0.5 / 3, 9 / 3, 1 / 3], abs=1e-6)
    assert X[:, 4].tolist() == [2, 2]


def test_a_value_may_be_a_prediction_shifted_and_scaled():
    assert mf.Structure("s").kernels == {"s.chgnet.predictions": " + linear"}
    assert mf.Structure("s", level="V3").kernels == {}
    own = mf.Structure("s", backbone="cgcnn", fallback="composition")
    assert own.kernels == {"s.cgcnn.predictions": " + linear"}


def test_moments_are_those_of_the_atoms(counted):
    X, _ = counted(level="atoms", moments=("std", "min")).encode(salts(1))
    assert X[0].tolist() == pytest.approx([1, 0.5 / 3, 1, 0], abs=1e-6)


def test_a_level_left_out_is_the_usual_ones():
    assert mf.Structure("s").level == ("V3", "crystal", "predictions", "geometry")
    assert mf.Structure("s", backbone="geometry").level == ("geometry",)
    assert list(mf.Structure("s", backbone="cgcnn").views) == [
        *("s.cgcnn.mp_eform.hidden", "s.cgcnn.predictions", "s.geometry"),
    ]


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"backbone": "chgnett"}, UnknownNameError, "did you mean 'chgnet'"),
        ({"level": "V9"}, UnknownNameError, "level 'V9' of chgnet"),
        ({"moments": ("mode",)}, SchemaError, "some of mean, std, min, max"),
        ({"moments": ()}, SchemaError, "some of mean"),
        ({"fallback": "zeros"}, SchemaError, "composition"),
    ],
)
def test_impossible_options(options, error, match):
    with pytest.raises(error, match=match):
        mf.Structure("s", **options)
    with pytest.raises(SchemaError, match="'hidden', 'pooled'"):
        mf.SourceNetworks("s", level="V1")


def test_a_refused_crystal_is_named(counted):
    table = salts(3).set_index(pd.Index(["a", "b", "c"]))
    table.loc["b", "structure"] = HELIUM
    X, (problem,) = counted().encode(table)
    assert str(problem).startswith("row 'b' (number 1), column 'structure': refused: ")
    assert np.isnan(X[1]).all()
    assert np.isfinite(X[[0, 2]]).all()
    with pytest.raises(TableError, match="1 bad row: row 'b'"):
        mf.Schema(counted(), value="y").data(table)


def test_a_refused_crystal_falls_back_on_its_composition(counted):
    table = salts(6)
    table.loc[2, "structure"] = HELIUM
    featurizer = counted(fallback="composition").settle(table)
    X, problems = featurizer.encode(table)
    assert problems == []
    assert np.isfinite(X).all()
    own = sum(len(features) for view, features in counted().views.items())
    assert X[2, :own] == pytest.approx(X[[0, 1, 3, 4, 5], :own].mean(axis=0))
    assert list(featurizer.views)[-4:] == [
        f"structure.counting.{end}" for end in ("statistics", "fractions", "ions", "refused")
    ]
    assert X[:, own:-1] == pytest.approx(mf.Composition("structure").encode(table)[0])
    assert X[:, -1].tolist() == [0, 0, 1, 0, 0, 0]
    assert sum(map(len, featurizer.views.values())) == X.shape[1]
    # What it settled on stays: in another table, in JSON, and one row at a time.
    assert featurizer.settle(salts(3, seed=1)) == featurizer
    assert mf.Structure.of(json.loads(json.dumps(featurizer.config()))) == featurizer
    assert np.array_equal(featurizer.encode(table.iloc[2:3])[0][0], X[2])
    assert np.array_equal(counted(fallback="composition").encode(table)[0], X)


def test_what_another_backbone_knows_is_kept(counted):
    table = salts(4)
    table.loc[1, "structure"] = Structure(Lattice.cubic(3), ["He"], [[0, 0, 0]])
    featurizer = counted(level=("sizes", "geometry"), fallback="composition")
    X, problems = featurizer.encode(table)
    assert problems == []
    said = dict(zip([name for names in featurizer.views.values() for name in names], X[1], strict=False))
    assert (said["space group"], said["volume per atom"], said["refused"]) == (221, 27, 1)
    assert said["volume"] == pytest.approx(X[[0, 2, 3], 1].mean())
    assert np.isnan(counted(level=("sizes", "geometry")).encode(table)[0][1]).all()


def test_a_fallback_is_no_way_around_cells_that_cannot_be_read(counted):
    table = salts(3)
    table["structure"] = table["structure"].astype(object)
    table.loc[1, "structure"] = "nothing"
    X, (problem,) = counted(fallback="composition").encode(table)
    assert problem.position == 1
    assert np.isnan(X[1]).all()


def test_no_cell_can_be_read(counted):
    table = pd.DataFrame({"structure": ["nothing", None]})
    for featurizer in (counted(), counted(fallback="composition")):
        X, problems = featurizer.encode(table)
        assert len(problems) == 2
        assert np.isnan(X).all()


def test_all_are_refused(counted):
    table = pd.DataFrame({"structure": [HELIUM, HELIUM]})
    X, problems = counted(fallback="composition").encode(table)
    assert problems == []
    assert np.isfinite(X).all()


def test_groups_are_reduced_formulas(counted):
    cells = [*salts(2)["structure"], salts(1)["structure"][0] * (2, 1, 1), None]
    table = pd.DataFrame({"structure": pd.Series(cells, dtype=object)})
    assert counted().groups(table).tolist() == ["LiF", "LiCl", "LiF", None]
    assert counted().families(table).tolist() == ["halides", "halides", "halides", None]
    data = mf.Schema([mf.Columns("T"), counted()], value="T").data(table[:3].assign(T=[1.0, 2.0, 3.0]))
    assert data.groups.tolist() == [0, 1, 0]


def test_crystals_travel_with_a_surrogate(cache, tmp_path, monkeypatch):
    """Fitted to Structures, saved, and loaded with another cache: the same numbers for structures and their JSON."""
    table = salts()
    inputs = (mf.Composition("structure", blocks="averages"), mf.Structure("structure", backbone="geometry"))
    schema = mf.Schema(inputs, value="y")
    surrogate = mf.fit(table, schema, mf.Conformal(mf.GP()))
    said = surrogate.predict(table)
    assert (said["median"] - table["y"]).abs().max() < 0.1
    surrogate.save(tmp_path / "salts.mfmat")
    monkeypatch.setenv("MFMAT_CACHE", str(tmp_path / "elsewhere"))
    loaded = mf.load(tmp_path / "salts.mfmat")
    assert loaded.schema == surrogate.schema
    written = pd.DataFrame({"structure": [write_crystal(cell) for cell in table["structure"]]})
    pd.testing.assert_frame_equal(loaded.predict(written), said)
    golden = json.loads((tmp_path / "salts.mfmat" / "card.json").read_text())
    cells = [row["structure"] for row in golden["golden"]["rows"]] + [
        row["inputs"]["structure"] for row in golden["heldout"]
    ]
    assert all(json.loads(cell)["lattice"] for cell in cells)


def test_a_table_of_structures_has_one_digest():
    from mfmat.card import digest

    assert digest(salts(3)) == digest(salts(3))
    assert digest(salts(3)) != digest(salts(4).iloc[[0, 1, 3]])
    as_text = salts(3).assign(
        structure=lambda t: [json.dumps(cell.as_dict(), default=float) for cell in t["structure"]]
    )
    assert digest(as_text) == digest(salts(3))
    assert len(digest(salts(3).rename(columns={"structure": 0}))) == 64


def test_a_campaign_over_structures(cache, tmp_path):
    table = salts(12)
    schema = mf.Schema(mf.Structure("structure", backbone="geometry"), value="y")
    pool = table[["structure"]].set_axis([f"c{i}" for i in range(12)])
    seen = table.iloc[:5].set_axis(pool.index[:5])
    campaign = mf.Campaign.create(tmp_path / "c.db", schema, recipe=mf.GP(), pool=pool, seen=seen)
    todo = campaign.ask(2)
    assert set(todo.index) <= set(pool.index[5:])
    campaign.tell(todo.assign(y=[5.0, 6.0]))
    campaign = mf.Campaign.open(tmp_path / "c.db")
    assert len(campaign.seen()) == 7
    # Told with the structure itself, a row is recognised, too.
    again = campaign.ask(1)
    campaign.tell(pool.loc[again.index].assign(y=4.5))
    assert len(campaign.seen()) == 8
    assert len(campaign.ask(12)) == 4


def test_source_networks_have_a_view_each(mfmat_data, cache):
    featurizer = mf.SourceNetworks("structure")
    assert len(featurizer.views) == 19
    assert len(featurizer.views["structure.cgcnn.mp_kvrh.hidden"]) == 32
    assert len(featurizer.views["structure.cgcnn.predictions"]) == 18
    table = salts(3)
    X, problems = featurizer.encode(table)
    assert problems == []
    # Rock salts: nothing beats a formation energy of several eV for fluorides.
    energies = X[:, -18:][:, featurizer.networks.index("mp_eform")]
    assert (energies < -1).all()
    pooled = replace(featurizer, level="pooled", networks=("mp_eform",))
    assert {view: len(names) for view, names in pooled.views.items()} == {
        "structure.cgcnn.mp_eform.pooled": 64,
        "structure.cgcnn.predictions": 1,
    }
    assert pooled.encode(table)[0][:, -1] == pytest.approx(energies)


def test_a_supercell_is_the_same_material(mfmat_data, cache):
    cell = salts(1)["structure"][0]
    table = pd.DataFrame({"structure": [cell, cell * (2, 1, 1), cell.get_reduced_structure()]})
    X, _ = mf.SourceNetworks("structure").encode(table)
    assert np.allclose(X, X[0], rtol=1e-5, atol=1e-4)


def test_a_report_shows_formulas(cache, tmp_path):
    table = salts(30)
    surrogate = mf.fit(table, mf.Schema(mf.Structure("structure", backbone="geometry"), value="y"), mf.GP())
    mf.report(surrogate, tmp_path / "page.html", pool=table[["structure"]].head(4))
    page = (tmp_path / "page.html").read_text()
    assert "LiBr" in page
    assert "frac_coords" not in page
    assert "lattice" not in page

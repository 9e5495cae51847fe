from __future__ import annotations

import sqlite3

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

import mfmat as mf
from mfmat.errors import DownloadError, SavedFileError, SchemaError, UnknownNameError
from mfmat.extras import MissingExtraError
from mfmat.features.backbones import CGCNN, CacheWarning, CHGNet, Geometry, RefusedError, recall
from mfmat.features.backbones.cgcnn import SOURCES, load_network
from mfmat.features.backbones.crystal_graph import CrystalGraphs
from mfmat.features.backbones.geometry import FEATURES
from mfmat.features.backbones.neighbours import find_neighbours
from mfmat.features.crystals import Crystal, read_crystal
from mfmat.values import Value

SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
WURTZITE = Structure.from_spacegroup(
    "P6_3mc", Lattice.hexagonal(3.25, 5.2), ["Zn", "O"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.382]]
)
SLANTED = Structure(
    Lattice.from_parameters(4.1, 5.2, 6.3, 81, 95, 107),
    ["Ga", "As", "O"],
    [[0.1, 0.2, 0.3], [0.9, 0.4, 0.55], [0, 0, 0]],
)
CRYSTALS = [read_crystal(s) for s in (SALT, WURTZITE, SLANTED)]
ALONE = Crystal.of(np.eye(3) * 20, [2], [[0, 0, 0]])


def test_each_crystal_is_worked_out_once(cache, counting):
    counting.asked.clear()
    first = recall(counting(), [*CRYSTALS, CRYSTALS[0], ALONE], ["atoms", "sizes"])
    again = recall(counting(), [*CRYSTALS[::-1], ALONE], ["atoms", "sizes"])
    assert sorted(counting.asked) == sorted(
        [c.identity for c in CRYSTALS] + [CRYSTALS[0].identity] + 2 * [ALONE.identity]
    )
    for one, other in zip(first[:3], again[2::-1], strict=True):
        assert all(np.array_equal(one[level], other[level]) for level in ("atoms", "sizes"))
    assert first[0]["atoms"].shape == (8, 2)
    assert isinstance(first[-1], RefusedError)
    recall(counting("2"), CRYSTALS[:1], ["sizes"])
    assert len(counting.asked) == 7, "other weights are another version"


def test_another_level_is_worked_out_when_it_is_asked_for(cache, counting):
    recall(counting(), CRYSTALS, ["sizes"])
    counting.asked.clear()
    found = recall(counting(), CRYSTALS, ["atoms"])
    assert len(counting.asked) == 3
    assert found[2]["atoms"][:, 0].tolist() == pytest.approx([31 / 3, 11, 8 / 3], abs=1e-6)


def test_stopped_work_goes_on_where_it_was(cache, monkeypatch, counting):
    many = [Crystal.of(np.eye(3) * (3 + i / 10), [11], [[0, 0, 0]]) for i in range(70)]
    compute = counting.compute

    def stop(self, crystal, levels):
        if crystal is many[40]:
            raise KeyboardInterrupt
        return compute(self, crystal, levels)

    with monkeypatch.context() as patch:
        patch.setattr(counting, "compute", stop)
        with pytest.raises(KeyboardInterrupt):
            recall(counting(), many, ["sizes"])
    counting.asked.clear()
    assert len(recall(counting(), many, ["sizes"])) == 70
    assert len(counting.asked) == 38, "32 were written before the stop"


def test_a_cache_that_cannot_be_used_is_said_and_costs_nothing_else(cache, counting):
    (cache / "crystals").mkdir(parents=True)
    (cache / "crystals" / "counting-1.db").write_bytes(b"no database at all, but long enough to be read as one" * 9)
    with pytest.warns(CacheWarning, match="cannot be used"):
        found = recall(counting(), CRYSTALS, ["sizes"])
    assert found[0]["sizes"][0] == 8


def test_a_file_where_the_folder_should_be(cache, counting):
    cache.write_text("")
    with pytest.warns(CacheWarning, match="MFMAT_CACHE"):
        recall(counting(), CRYSTALS, ["sizes"])


def test_the_cache_is_one_small_database(cache, counting):
    recall(counting(), CRYSTALS, ["sizes"])
    (file,) = (cache / "crystals").iterdir()
    with sqlite3.connect(file) as kept:
        assert kept.execute("SELECT count(*) FROM features").fetchone() == (3,)


def test_overlapping_atoms_are_refused_where_numbers_are_not_finite(monkeypatch, counting):
    monkeypatch.setattr(counting, "compute", lambda self, crystal, levels: {"sizes": np.array([np.nan, 1.0])})
    (said,) = counting().run(CRYSTALS[:1], ["sizes"])
    assert "not finite" in str(said)


@pytest.mark.parametrize("structure", [SALT, WURTZITE, SLANTED], ids=["salt", "wurtzite", "triclinic"])
def test_neighbours_are_those_of_pymatgen(structure):
    near = find_neighbours(read_crystal(structure), 12, 8.0)
    for i, all_near in enumerate(structure.get_all_neighbors(8.0)):
        theirs = sorted(site.nn_distance for site in all_near)[:12]
        assert near.distances[i].tolist() == pytest.approx(theirs, abs=1e-4)
    assert near.known.all()


def test_missing_neighbours_are_marked():
    near = find_neighbours(ALONE, 3, 8.0)
    assert not near.known.any()
    assert near.distances.tolist() == [[9.0, 9.0, 9.0]]


def test_ties_are_broken_by_the_element_and_not_by_rounding():
    shell = find_neighbours(read_crystal(SALT), 12, 8.0)
    shaken = SALT.copy()
    shaken.perturb(1e-6)
    assert np.array_equal(find_neighbours(read_crystal(shaken), 12, 8.0).known, shell.known)
    # Six of the other kind, then six of twelve of one's own.
    other = SALT.atomic_numbers != np.array(SALT.atomic_numbers)[shell.atoms].T
    assert other[:6].all()
    assert not other[6:].any()


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
@pytest.mark.parametrize("structure", [SALT, WURTZITE, SLANTED], ids=["salt", "wurtzite", "triclinic"])
def test_geometry_is_that_of_pymatgen(structure):
    (found,) = Geometry().run([read_crystal(structure)])
    said = dict(zip(FEATURES, found["geometry"], strict=True))
    symmetry = SpacegroupAnalyzer(structure)
    assert said["space group"] == symmetry.get_space_group_number()
    systems = ("triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic")
    assert systems[int(said["crystal system"]) - 1] == symmetry.get_crystal_system()
    assert said["symmetry operations"] == len(symmetry.get_point_group_operations())
    assert said["atoms in the primitive cell"] == len(symmetry.find_primitive())
    assert said["density"] == pytest.approx(structure.density, rel=1e-3)
    assert said["volume per atom"] == pytest.approx(structure.volume / len(structure), rel=1e-5)
    near = structure.distance_matrix[~np.eye(len(structure), dtype=bool)].min()
    assert said["shortest distance"] == pytest.approx(near, abs=1e-5)
    again = dict(zip(FEATURES, Geometry().run([read_crystal(structure * (2, 1, 1))])[0]["geometry"], strict=True))
    assert again == pytest.approx(said, abs=1e-4), "of the crystal, not of the cell"


def test_an_atom_alone_has_no_geometry():
    (said,) = Geometry().run([ALONE])
    assert "no neighbour within 12 Å" in str(said)


@pytest.mark.parametrize(
    "backbone", [CGCNN(), CGCNN(("a", "b"), folder="x"), CHGNet(), CHGNet("r2scan"), Geometry(0.1)]
)
def test_a_backbone_writes_itself_and_comes_back(backbone):
    assert Value.of(backbone.config()) == backbone


def test_levels_are_known_by_their_ends():
    assert CGCNN(("a", "b")).find_levels(["hidden", "predictions"]) == ("a.hidden", "b.hidden", "predictions")
    with pytest.raises(UnknownNameError, match=r"level 'hiden' of cgcnn.*did you mean 'hidden'"):
        CGCNN().find_levels(["hiden"])


@pytest.mark.parametrize("networks", [(), ("a", "a")])
def test_networks_are_named_once(networks):
    with pytest.raises(SchemaError, match="one or more names"):
        CGCNN(networks)


def test_networks_that_are_not_there(mfmat_data, tmp_path, monkeypatch):
    with pytest.raises(SavedFileError, match=r"no network 'mp_gap'.*one of castelli_eform"):
        _ = CGCNN("mp_gap").version
    with pytest.raises(SavedFileError, match=r"extractors\.json: No such file"):
        recall(CGCNN("mine", folder=str(tmp_path)), CRYSTALS, ["predictions"])
    monkeypatch.delenv("MFMAT_DATA")
    with pytest.raises(DownloadError, match="MFMAT_DATA"):
        _ = CGCNN(("mp_eform", "mp_kvrh")).version


def test_the_names_are_those_of_the_folder(mfmat_data):
    files = (mfmat_data / "cgcnn_extractors").glob("*.safetensors")
    assert sorted(file.stem for file in files) == list(SOURCES)


def test_side_by_side_networks_say_what_each_says(mfmat_data):
    names = ("mp_gvrh", "mp_eform")
    graphs = CrystalGraphs(CRYSTALS)
    found = CGCNN(names).run(CRYSTALS)
    for i, name in enumerate(names):
        network = load_network(name)
        with torch.inference_mode():
            atoms = network.atoms(graphs)
            pooled = network.pool(atoms[-1], graphs)
            out = network(graphs).numpy()
        ours = np.array([each["predictions"][i] for each in found])
        assert np.polyfit(out, ours, 1, full=True)[1][0] < 1e-8, "a mean and a scale apart"
        assert np.stack([f[f"{name}.pooled"] for f in found]) == pytest.approx(pooled.numpy(), abs=1e-5)
        assert np.concatenate([f[f"{name}.V2"] for f in found]) == pytest.approx(atoms[2].numpy(), abs=1e-5)
        assert np.stack([f[f"{name}.hidden"] for f in found]) == pytest.approx(
            network.hide(pooled).detach().numpy(), abs=1e-5
        )


def test_the_networks_predict_as_well_as_they_did(mfmat_data):
    """Formation energies of crystals whose formula has one value only in Matbench's table of the Materials Project."""
    table, _ = mf.datasets.load("moe/mp_poisson_ratio")
    energies, _ = mf.datasets.load("dft/matbench_mp_e_form")
    known = energies.groupby("formula")["target"].agg(["mean", "size"])
    known = known.loc[known["size"] == 1, "mean"]
    rows = table[table["formula"].isin(known.index) & (table["nsites"] <= 8)][:150]
    found = CGCNN("mp_eform").run([read_crystal(cell) for cell in rows["structure"]], ["predictions"])
    error = np.array([said["predictions"][0] for said in found]) - rows["formula"].map(known)
    # The validation error in extractors.json.
    assert error.abs().mean() < 1.3 * 0.0356
    assert len(rows) == 150


def test_elements_beyond_the_table_of_a_network(mfmat_data):
    assert not isinstance(CGCNN().run([Crystal.of(np.eye(3) * 5, [98], [[0, 0, 0]])])[0], RefusedError)


@pytest.fixture(scope="module")
def chgnet():
    """chgnet's own network, in single precision."""
    model = pytest.importorskip("chgnet.model.model", reason="the extra structures is not installed")
    return model.CHGNet.load(use_device="cpu", verbose=False)


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad:UserWarning")
def test_chgnet_says_what_chgnet_says(chgnet):
    crystals = CRYSTALS[1:]
    found = CHGNet().run(crystals)
    for crystal, said in zip(crystals, found, strict=True):
        structure = crystal.structure()
        theirs = chgnet.predict_structure(structure, task="efsm", return_atom_feas=True, return_crystal_feas=True)
        assert said["V3"] == pytest.approx(theirs["atom_fea"], abs=1e-3)
        assert said["crystal"] == pytest.approx(theirs["crystal_fea"] / len(structure), abs=1e-3)
        energy, mean, largest = said["predictions"]
        assert energy == pytest.approx(float(theirs["e"]), abs=1e-4)
        assert (mean, largest) == pytest.approx((theirs["m"].mean(), theirs["m"].max()), abs=1e-3)
        assert said["stress"][0] == pytest.approx(-np.trace(theirs["s"]) / 3, rel=1e-2, abs=1e-2)


def test_chgnet_refuses_an_atom_alone_and_heavy_elements(chgnet):
    alone, heavy = CHGNet().run([ALONE, Crystal.of(np.eye(3) * 3, [96], [[0, 0, 0]])])
    assert "no neighbour within chgnet's 6 Å" in str(alone)
    assert "first 94 elements" in str(heavy)


def test_chgnet_prints_nothing(chgnet, capfd):
    CHGNet("0.2.0").run(CRYSTALS[:1], ["V0"])
    assert capfd.readouterr().out == ""


def test_without_chgnet_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "chgnet", None)
    with pytest.raises(MissingExtraError, match=r'pip install "mfmat\[structures\]"'):
        recall(CHGNet(), CRYSTALS[:1], ["crystal"])


def test_a_model_that_chgnet_has_not():
    with pytest.raises(SchemaError, match=r"model='9'.*'0.3.0'"):
        CHGNet("9")
    assert pd.Series(CHGNet().levels).map(lambda level: level.of).value_counts().to_dict() == {"atom": 5, "crystal": 3}

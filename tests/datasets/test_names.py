"""What has a name can be loaded, and says what it is; what has none is refused."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mfmat.datasets import cite, load, names, splits
from mfmat.datasets.fidelities import FIDELITIES
from mfmat.datasets.loading import EMBEDDED, OF_FOLDER
from mfmat.datasets.tasks import EXPERIMENTS, TASKS
from mfmat.errors import DownloadError, SchemaError, UnknownNameError
from mfmat.features import Structure

SMALL = [
    *(
        "cof-xe-kr",
        "hoip-perovskites",
        "vickers-hardness",
        "molecule-dipole",
        "mpea-youngs-modulus",
        "obelix",
        "steels",
    ),
    *("moe/jarvis_2d_gap_tbmbj", "al-pools/agnp", "al-pools/oer_plate_3496", "borlido-functionals"),
]


def columns_of(schema) -> list[str]:
    named = [schema.value, schema.source, schema.noise, schema.material, schema.group]
    return [name for name in named if name] + [c for f in schema.featurizers for c in f.columns]


@pytest.fixture
def copied(mfmat_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one pool and the list of all sums, to spoil."""
    (tmp_path / "al_pools").mkdir()
    for path in ("SHA256SUMS", "al_pools/autoam.csv.gz"):
        shutil.copyfile(mfmat_data / path, tmp_path / path)
    monkeypatch.setenv("MFMAT_DATA", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", [*EMBEDDED, *OF_FOLDER])
def test_every_named_table_loads(name, request):
    if name in OF_FOLDER:
        request.getfixturevalue("mfmat_data")
    table, schema = load(name)
    assert len(table) > 90
    assert set(columns_of(schema)) <= set(table.columns)
    assert table.index.equals(pd.RangeIndex(len(table)))
    values = table[schema.value]
    assert pd.api.types.is_numeric_dtype(values)
    assert np.isfinite(values).all()
    if schema.source:
        assert set(table[schema.source]) == set(schema.sources)


@pytest.mark.parametrize("name", [*EMBEDDED, *OF_FOLDER])
def test_every_named_table_can_be_cited(name):
    assert re.search(r"doi:10\.\d{4,9}/\S+|arXiv:\d{4}\.\d{4,5}|Phys\. Rev\. Materials", cite(name))


@pytest.mark.parametrize("name", SMALL)
def test_small_tables_become_data(name, mfmat_data):
    table, schema = load(name)
    data = schema.data(table)
    assert 0 < len(data) <= len(table)
    assert data.sources == schema.sources


def test_every_table_of_the_folder_has_a_name(mfmat_data):
    # No inputs, results of others, or columns that are joined to another table.
    others = {
        *("mf_bandgap/bandgaps_no_formula.csv.gz", "mf_bandgap/published_learning_curves.csv.gz"),
        *("mf_bandgap/published_mae_by_model.csv.gz", "cof_xe_kr/features.csv.gz"),
        *("hoip_perovskites/component_descriptors.csv.gz", "hoip_perovskites/other_properties.csv.gz"),
    }
    files = {str(file.relative_to(mfmat_data)) for file in mfmat_data.rglob("*.csv.gz")}
    assert {entry.path for entry in OF_FOLDER.values()} == files - others


@pytest.mark.parametrize("name", ["cof-xe-kr", "cof-xe-kr-paper-runs"])
def test_minutes_are_the_measured_ones(name, mfmat_data):
    table, schema = load(name)
    minutes = table.groupby("fidelity")["cost_minutes"].mean()
    assert {level: round(mean, 1) for level, mean in minutes.items()} == dict(schema.costs)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("mf-bandgap", {"pbe": 46011, "gllb-sc": 2278, "scan": 472, "hse": 5593, "exp": 3937}),
        ("pbe-hse-exp-formation-energy", {"pbe": 1132, "hse": 1121, "exp": 544}),
        ("pbe-hse-gaps", {"pbe": 1134, "hse": 1134}),
        ("hoip-perovskites", {"gga": 1346, "hse06": 1346}),
        ("cof-xe-kr", {"henry": 605, "gcmc": 605}),
        ("molecule-polarizability", {"hf_6-311G**": 2421, "exp": 1283}),
        ("molecule-dipole", {"hf_6-311G**": 2421, "exp": 1330}),
        ("jarvis-gap-pairs", {"optb88vdw": 6353, "mbj": 6353}),
        ("mpea-youngs-modulus", {"calc": 729, "exp": 145}),
    ],
)
def test_the_counts_of_each_level(name, counts, mfmat_data):
    table, schema = load(name)
    assert table[schema.source].value_counts().to_dict() == counts
    assert list(schema.sources) == list(counts)


def test_the_benchmark_of_functionals_keeps_one_rung_each(mfmat_data):
    table, schema = load("borlido-functionals")
    assert schema.sources[-1] == "exp"
    counts = table["fidelity"].value_counts()
    assert (counts["PBE"], counts["HSE06"], counts["QSGW^"], counts["exp"]) == (464, 464, 97, 368)
    assert not table["fidelity"].str.contains("SOC|_").any()


def test_atoms_of_a_molecule_are_counted(mfmat_data):
    table, _ = load("molecule-dipole")
    atoms = table.drop_duplicates("molecular_formula").set_index("molecular_formula")["atoms"]
    assert (atoms["CH4O"], atoms["C2H6O"], atoms["C6H5Cl"], atoms["O4P-3"], atoms["HO4S-"]) == (6, 9, 12, 5, 6)


def test_alloys_without_the_value_are_left_out(mfmat_data):
    assert len(load("mpea-hardness")[0]) == 530


def test_sodium_nitride_is_no_missing_value(mfmat_data):
    for name in ("dft/matbench_mp_gap", "dft/OQMD_Bandgap"):
        table, _ = load(name)
        assert table["formula"].notna().all()
        assert all(isinstance(formula, str) for formula in table["formula"])


def test_names_without_the_folder(monkeypatch):
    monkeypatch.delenv("MFMAT_DATA", raising=False)
    assert names() == ["semiconductor-gaps"]
    assert len(load("semiconductor-gaps")[0]) == 494


def test_names_with_the_folder(mfmat_data):
    assert set(names()) == {*EMBEDDED, *FIDELITIES, *EXPERIMENTS, *TASKS, *OF_FOLDER}
    assert len(names()) == len(set(names())) > 60


def test_no_folder_is_named(monkeypatch):
    monkeypatch.delenv("MFMAT_DATA", raising=False)
    with pytest.raises(DownloadError, match=r"no environment variable MFMAT_DATA.*export MFMAT_DATA="):
        load("mf-bandgap")


def test_an_unknown_name(monkeypatch):
    monkeypatch.delenv("MFMAT_DATA", raising=False)
    with pytest.raises(UnknownNameError, match="did you mean 'hoip-perovskites'"):
        load("hoip-perovskite")
    with pytest.raises(UnknownNameError, match="'nothing like it'"):
        cite("nothing like it")


def test_a_name_takes_no_checksum():
    with pytest.raises(SchemaError, match="a checksum or a schema"):
        load("semiconductor-gaps", sha256="0" * 64)


def test_a_folder_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("MFMAT_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DownloadError, match="SHA256SUMS: No such file"):
        load("al-pools/autoam")


def test_a_file_that_is_missing(copied):
    (copied / "al_pools" / "autoam.csv.gz").unlink()
    with pytest.raises(DownloadError, match=r"autoam\.csv\.gz: No such file"):
        load("al-pools/autoam")


def test_a_file_that_was_altered(copied):
    file = copied / "al_pools" / "autoam.csv.gz"
    sound = hashlib.sha256(file.read_bytes()).hexdigest()
    assert len(load("al-pools/autoam")[0]) == 100
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DownloadError, match=f"expected {sound}, as SHA256SUMS says"):
        load("al-pools/autoam")


def test_a_file_that_is_not_on_the_list(copied):
    (copied / "SHA256SUMS").write_text("")
    with pytest.raises(DownloadError, match=r"without al_pools/autoam\.csv\.gz"):
        load("al-pools/autoam")


def test_a_table_is_a_fresh_copy():
    table, _ = load("semiconductor-gaps")
    table["gap"] = 0.0
    assert load("semiconductor-gaps")[0]["gap"].max() > 5


def test_crystals_stand_beside_the_formulas(mfmat_data):
    table, schema = load("moe/jarvis_2d_gap_tbmbj")
    crystals = replace(schema, inputs=Structure("structure", backbone="geometry"))
    assert crystals.inputs.groups(table).tolist() == schema.inputs.groups(table).tolist()
    assert [len(json.loads(cell)["species"]) for cell in table["structure"]] == table["nsites"].tolist()


@pytest.mark.parametrize("name", [name for name in TASKS if name.startswith("moe/")])
def test_published_splits_share_no_row(name, mfmat_data):
    rows = len(load(name)[0])
    found = splits(name)
    assert len(found) == 5
    for split in found:
        parts = [split.train, split.validation, split.test]
        together = np.concatenate(parts)
        assert len(set(together)) == len(together)
        assert rows - 2 <= len(together) <= rows
        assert [len(part) / rows for part in parts] == pytest.approx([0.7, 0.15, 0.15], abs=0.02)
    assert not np.array_equal(found[0].test, found[1].test)


def test_a_table_without_splits(mfmat_data):
    with pytest.raises(UnknownNameError, match=r"splits of the dataset 'steels'.*'moe/mp_poisson_ratio'"):
        splits("steels")

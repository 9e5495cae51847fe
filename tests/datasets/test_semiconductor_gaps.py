"""Every number of the embedded table is the benchmark's."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd
import pytest
from pymatgen.core import Composition

from mfmat.datasets import load

BENCHMARK = "borlido_functionals/bandgaps_by_functional.csv.gz"
BENCHMARK_DOI = "10.1021/acs.jctc.9b00322"
LEVELS = {"pbe": "PBE", "mbj": "MBJ", "hse06": "HSE06", "exp": "exp"}


@pytest.fixture
def gaps() -> pd.DataFrame:
    return load("semiconductor-gaps")[0]


@pytest.fixture
def benchmark(mfmat_data: Path) -> pd.DataFrame:
    table = pd.read_csv(mfmat_data / BENCHMARK, keep_default_na=False, na_values=[""], low_memory=False)
    return table[table["fidelity"].isin(list(LEVELS.values()))]


def test_the_counts_that_the_documentation_states(gaps):
    assert gaps["formula"].nunique() == 130
    assert gaps["method"].value_counts().to_dict() == {"pbe": 130, "mbj": 130, "hse06": 130, "exp": 104}


def test_one_row_for_each_compound_and_method(gaps):
    assert list(gaps.columns) == ["formula", "method", "gap", "reference"]
    reduced = gaps["formula"].map(lambda formula: Composition(formula).reduced_formula)
    assert not pd.DataFrame({"formula": reduced, "method": gaps["method"]}).duplicated().any()
    assert not gaps.isna().any().any()


def test_gaps_are_plausible(gaps):
    assert gaps["gap"].between(0, 15).all()
    assert (gaps.loc[gaps["method"] == "exp", "gap"] > 0).all()


def test_dearer_methods_are_closer_to_experiment(gaps):
    wide = gaps.pivot(index="formula", columns="method", values="gap").dropna()
    errors = wide.sub(wide["exp"], axis=0).abs().median()
    assert errors["pbe"] > errors["mbj"] > errors["hse06"]
    assert errors[["pbe", "mbj", "hse06"]].round(2).tolist() == pytest.approx([0.90, 0.345, 0.27], abs=0.01)


def test_some_compounds_are_left_to_predict(gaps):
    measured = set(gaps.loc[gaps["method"] == "exp", "formula"])
    waiting = set(gaps["formula"]) - measured
    assert len(waiting) == 26
    assert {"Si", "C", "CdTe", "LiF", "MoS2", "AlN"} <= waiting
    assert {"GaAs", "GaN", "ZnO", "MgO", "NaCl", "TiO2", "SrTiO3", "PbS", "Cu2O", "CuInSe2", "Bi2Te3"} <= measured


def test_references_are_dois(gaps):
    assert gaps["reference"].str.fullmatch(r"10\.\d{4,9}/\S+").all()
    computed = gaps.loc[gaps["method"] != "exp", "reference"]
    assert set(computed) == {BENCHMARK_DOI}
    assert BENCHMARK_DOI not in set(gaps.loc[gaps["method"] == "exp", "reference"])


def test_every_value_and_doi_stands_in_the_benchmark(gaps, benchmark):
    entries = {
        (row.formula, row.fidelity, row.target, row.doi if row.fidelity == "exp" else "")
        for row in benchmark.assign(doi=benchmark["doi"].str.removeprefix("https://doi.org/")).itertuples()
    }
    for row in gaps.itertuples():
        doi = row.reference if row.method == "exp" else ""
        formula = Composition(row.formula).reduced_formula
        assert (formula, LEVELS[row.method], row.gap, doi) in entries, row.formula


def test_the_values_of_a_compound_are_those_of_one_crystal(gaps, benchmark):
    for formula, rows in gaps.groupby("formula"):
        crystals = benchmark[benchmark["formula"] == Composition(formula).reduced_formula]
        wanted = {LEVELS[method]: gap for method, gap in zip(rows["method"], rows["gap"], strict=True)}
        found = [dict(zip(c["fidelity"], c["target"], strict=True)) for _, c in crystals.groupby("id")]
        assert found.count(wanted) == 1, formula


def test_no_compound_that_was_measured_there_is_left_out_of_the_measured(gaps, benchmark):
    measured_there = set(benchmark.loc[benchmark["fidelity"] == "exp", "formula"])
    measured_here = set(gaps.loc[gaps["method"] == "exp", "formula"])
    for formula in set(gaps["formula"]):
        assert (Composition(formula).reduced_formula in measured_there) == (formula in measured_here), formula


def test_the_maker_writes_this_table(gaps, mfmat_data):
    file = Path(__file__).parents[2] / "tools" / "make_semiconductor_gaps.py"
    spec = importlib.util.spec_from_file_location("make_semiconductor_gaps", file)
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    pd.testing.assert_frame_equal(maker.rows(mfmat_data), gaps, check_dtype=False)


def test_it_becomes_data(gaps):
    table, schema = load("semiconductor-gaps")
    data = schema.data(table)
    assert len(data) == len(gaps)
    assert data.sources == ("pbe", "mbj", "hse06", "exp")
    assert len(data.groups.unique()) == 130
    assert schema.unit == "eV"

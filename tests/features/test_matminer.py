"""Against matminer's Magpie preset, in the second environment (matminer and pandas 2)."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition as Crystal
from pymatgen.core import Element

import mfmat as mf
from mfmat.features import Composition
from mfmat.features.elements import load_elements
from mfmat.skipping import SkippedRowsWarning

pytestmark = pytest.mark.matminer
TABLE = load_elements()
OURS = {"mean": "mean", "avg_dev": "deviation", "minimum": "min", "maximum": "max", "range": "range"}


@pytest.fixture(scope="module")
def preset():
    pytest.importorskip("matminer", reason="matminer is in the second environment only")
    from matminer.featurizers.composition import ElementProperty

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ElementProperty.from_preset("magpie")


def agreeing(preset) -> list[str]:
    """Properties whose two element tables are equal wherever neither had to fill a gap."""
    found = []
    for name in preset.features:
        theirs = [preset.data_source.get_elemental_property(Element(s), name) for s in TABLE.symbols]
        given = ~TABLE.imputed[:, TABLE.properties.index(name)]
        if np.allclose(TABLE.column(name)[given], np.array(theirs)[given], rtol=1e-9, atol=0):
            found.append(name)
    return found


def test_element_tables_agree(preset) -> None:
    print(f"{len(agreeing(preset))} of {len(preset.features)} properties agree")
    assert len(agreeing(preset)) >= 18


def test_statistics_agree(preset) -> None:
    names = agreeing(preset)
    complete = ~TABLE.imputed[:, [TABLE.properties.index(name) for name in names]].any(axis=1)
    symbols = np.array(TABLE.symbols)[complete]
    rng = np.random.default_rng(0)
    formulas = [
        "".join(f"{s}{n}" for s, n in zip(rng.choice(symbols, k, replace=False), rng.integers(1, 9, k), strict=True))
        for k in rng.integers(1, 7, 300)
    ]
    X, problems = Composition("f", blocks="statistics").encode(pd.DataFrame({"f": formulas}))
    assert problems == []
    ours = pd.DataFrame(X, columns=Composition("f").views["f.statistics"])
    theirs = pd.DataFrame([preset.featurize(Crystal(formula)) for formula in formulas], columns=preset.feature_labels())
    for name in names:
        for their_statistic, our_statistic in OURS.items():
            np.testing.assert_allclose(
                ours[f"{our_statistic} {name}"],
                theirs[f"MagpieData {their_statistic} {name}"],
                rtol=1e-7,
                atol=1e-8,
                err_msg=f"{our_statistic} {name}",
            )


def test_a_table_that_matminer_made_goes_in_as_it_is(preset) -> None:
    table, schema = mf.datasets.load("semiconductor-gaps")
    table = table.assign(composition=table["formula"].map(Crystal))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        preset.set_n_jobs(1)
        wide = preset.featurize_dataframe(table, "composition", pbar=False)
    wide.loc[wide.index[3], preset.feature_labels()[0]] = np.nan
    schema = replace(schema, inputs=mf.Columns(preset.feature_labels()))
    with pytest.warns(SkippedRowsWarning, match=rf"{wide.index[3]}.*{preset.feature_labels()[0]}"):
        gap = mf.fit(wide, schema, mf.Difference([mf.GP(steps=20)]), on_error="skip")
    said = gap.predict(wide.drop(index=wide.index[3]))
    assert said.index.equals(wide.index.drop(wide.index[3]))
    measured = wide.drop(index=wide.index[3]).query("method == 'exp'")
    errors = (said.loc[measured.index, "median"] - measured["gap"]).abs()
    assert errors.mean() < (measured["gap"] - measured["gap"].median()).abs().mean() / 2

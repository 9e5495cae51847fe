"""Clusters: groups of near rows, learned once, the same ever after."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans

import mfmat as mf
from mfmat.errors import SchemaError, TableError
from mfmat.values import Value

RNG = np.random.default_rng(0)
BLOBS = pd.DataFrame(
    {"a": np.concatenate([RNG.normal(c, 0.1, 40) for c in (0, 3, 6)]), "b": RNG.normal(0, 1e-3, 120), "c": 7.0}
)
INPUTS = mf.Columns(["a", "b", "c"])


def test_the_clusters_are_those_of_scikit_learn_on_standardised_columns() -> None:
    X = BLOBS.to_numpy()
    z = (X - X.mean(0)) / np.where(X.std(0) > 0, X.std(0), 1.0)
    theirs = KMeans(4, n_init=4, random_state=3).fit(z).labels_
    ours = mf.Clusters.learn(BLOBS, INPUTS, 4, seed=3).encode(BLOBS)[0][:, 0]
    assert len({*zip(theirs, ours, strict=True)}) == 4


def test_three_blobs_are_three_clusters() -> None:
    codes = mf.Clusters.learn(BLOBS[["a"]], mf.Columns("a"), 3).encode(BLOBS)[0][:, 0].reshape(3, 40)
    assert (codes == codes[:, :1]).all()
    assert len(set(codes[:, 0])) == 3


def test_a_rows_cluster_depends_on_that_row_alone_and_comes_back_from_json() -> None:
    clusters = mf.Clusters.learn(BLOBS, INPUTS, 5)
    codes = clusters.encode(BLOBS)[0]
    again = Value.of(json.loads(json.dumps(clusters.config())))
    assert again == clusters
    for rows in (slice(0, 1), slice(7, 50), slice(119, 120)):
        np.testing.assert_array_equal(again.encode(BLOBS.iloc[rows])[0], codes[rows])


def test_formulas_have_clusters_as_metadata_and_a_promise_for_each() -> None:
    table, _ = mf.datasets.load("semiconductor-gaps")
    clusters = mf.Clusters.learn(table, mf.Composition("formula"), 3)
    rows = table[table["method"] == "exp"].reset_index(drop=True)
    alone = mf.Schema(mf.Composition("formula"), value="gap", metadata=clusters)
    said = mf.fit(rows, alone, mf.Conformal(mf.GP(), by="cluster", folds=3)).predict(rows.head(9))
    plain = mf.fit(rows, alone, mf.Conformal(mf.GP(), folds=3)).predict(rows.head(9))
    assert np.isfinite(said.to_numpy()).all()
    assert not said["upper"].equals(plain["upper"])


def test_unreadable_rows_are_named_and_have_no_cluster() -> None:
    clusters = mf.Clusters.learn(BLOBS, INPUTS, 3)
    broken = BLOBS.head(4).astype(object)
    broken.loc[2, "b"] = "much"
    codes, problems = clusters.encode(broken)
    assert [(p.position, p.column) for p in problems] == [(2, "b")]
    assert np.isnan(codes[:, 0]).tolist() == [False, False, True, False]
    with pytest.raises(TableError, match="much"):
        mf.Clusters.learn(broken, INPUTS, 2)


def test_more_clusters_than_different_rows_and_numbers_that_do_not_fit_are_errors() -> None:
    with pytest.raises(TableError, match="9 clusters of 2 different rows"):
        mf.Clusters.learn(pd.DataFrame({"a": [1.0, 1.0, 2.0]}), mf.Columns("a"), 9)
    with pytest.raises(SchemaError, match=r"numbers of \[1, 2\]|of \[1, 2\] numbers"):
        mf.Clusters(mf.Columns("a"), places=[[0.0, 1.0]], centres=[0.0], scales=[1.0])


def test_importing_it_does_not_wait_for_scikit_learn() -> None:
    code = "import sys, mfmat; mfmat.Clusters; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

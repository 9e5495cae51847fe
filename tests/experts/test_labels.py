"""Class labels: read from tables, fitted by experts, against scikit-learn's classifiers and their own promise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

import mfmat as mf
from mfmat.candidates import describe_limit
from mfmat.errors import FitError, SchemaError, TableError
from mfmat.validation import accuracy


def draw(n: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows with a label whose probability is known."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3, 3, (n, 2))
    p = 1 / (1 + np.exp(-2 * np.sin(2 * x[:, 0]) - x[:, 1]))
    metal = np.where(rng.uniform(size=n) < p, "metal", "insulator")
    return pd.DataFrame(x, columns=["a", "b"]).assign(kind=metal), p


def schema(**kinds: object) -> mf.Schema:
    return mf.Schema(mf.Columns(["a", "b"]), value="kind", kinds=kinds or {"kind": "label"})


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    """Mean information lost by saying q where p is true."""
    return float((p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean())


@pytest.fixture(scope="module")
def fitted() -> mf.Surrogate:
    return mf.fit(draw(300)[0], schema(), mf.GP(kernel="rbf", ard=True))


def test_a_table_with_the_label_and_every_probability(fitted: mf.Surrogate) -> None:
    table = draw(5, seed=1)[0].set_index(pd.Index(list("vwxyz")))
    said = fitted.predict(table)
    assert said.columns.tolist() == ["label", "p_insulator", "p_metal"]
    assert said.index.tolist() == list("vwxyz")
    np.testing.assert_allclose(said["p_insulator"] + said["p_metal"], 1)
    assert (said["label"] == np.where(said["p_metal"] > 0.5, "metal", "insulator")).all()


def test_as_good_as_a_gaussian_process_classifier(fitted: mf.Surrogate) -> None:
    table, _ = draw(300)
    new, p = draw(2000, seed=1)
    theirs = GaussianProcessClassifier(ConstantKernel(2.0) * RBF([1.0, 1.0])).fit(table[["a", "b"]], table["kind"])
    lost = divergence(p, theirs.predict_proba(new[["a", "b"]])[:, 1])
    assert divergence(p, fitted.predict(new)["p_metal"].to_numpy()) < 1.1 * lost
    assert lost < 0.5 * divergence(p, np.full_like(p, p.mean()))


def test_a_linear_expert_is_logistic_regression() -> None:
    table, _ = draw(400)
    new, _ = draw(200, seed=1)
    said = mf.fit(table, schema(), mf.BayesianLinear()).predict(new)["p_metal"]
    theirs = LogisticRegression(C=1e3).fit(table[["a", "b"]], table["kind"]).predict_proba(new[["a", "b"]])[:, 1]
    np.testing.assert_allclose(said, theirs, atol=0.05)


def test_a_network_learns_labels() -> None:
    new, p = draw(1000, seed=1)
    said = mf.fit(draw(300)[0], schema(), mf.BNN()).predict(new)["p_metal"].to_numpy()
    assert divergence(p, said) < 0.4 * divergence(p, np.full_like(p, p.mean()))


def test_votes_of_trees_are_better_than_their_raw_shares() -> None:
    """Averages of trees shy away from 0 and 1; compounds left out mend that."""
    table, _ = draw(400)
    table["kind"] = np.where(table["a"] > 0, "metal", "insulator")
    new, _ = draw(1000, seed=1)
    truth = (new["a"] > 0).to_numpy()
    calibrated = mf.fit(table, schema(), mf.Forest()).predict(new)["p_metal"].to_numpy()
    theirs = ExtraTreesClassifier(100, max_features=1 / 3, random_state=0).fit(table[["a", "b"]], table["kind"])
    raw = theirs.predict_proba(new[["a", "b"]])[:, 1].clip(0.5 / 101, 1 - 0.5 / 101)
    assert log_loss(truth, calibrated) < log_loss(truth, raw)
    assert roc_auc_score(truth, calibrated) > roc_auc_score(truth, raw) - 0.01


def test_votes_about_noise_are_no_surer_than_the_truth() -> None:
    table, p = draw(400)
    new, p = draw(2000, seed=1)
    said = mf.fit(table, schema(), mf.Forest()).predict(new)["p_metal"].to_numpy()
    assert divergence(p, said) < 0.4 * divergence(p, np.full_like(p, p.mean()))


def test_boosted_votes_are_better_than_votes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum over a few of many columns is hard on votes; what they leave wrong, further trees learn."""
    x = np.random.default_rng(0).normal(size=(1400, 30))
    names = [f"c{i}" for i in range(30)]
    table = pd.DataFrame(x, columns=names).assign(kind=np.where(x[:, :5].sum(1) > 0, "metal", "insulator"))
    many = mf.Schema(mf.Columns(names), value="kind", kinds={"kind": ("insulator", "metal")})
    new, truth = table[400:], table["kind"][400:] == "metal"
    boosted = mf.fit(table[:400], many, mf.Forest()).predict(new)["p_metal"]
    monkeypatch.setattr("mfmat.experts.boosting.FEW", 10_000)
    alone = mf.fit(table[:400], many, mf.Forest()).predict(new)["p_metal"]
    assert log_loss(truth, boosted) < 0.9 * log_loss(truth, alone)
    assert roc_auc_score(truth, boosted) > roc_auc_score(truth, alone)


def test_far_from_the_rows_nothing_is_left_of_the_correction() -> None:
    table, _ = draw(400)
    far = pd.DataFrame({"a": [1e3, -1e3], "b": [-1e3, 1e3]})
    said = mf.fit(table, schema(), mf.Forest()).predict(far)["p_metal"]
    np.testing.assert_allclose(said, (table["kind"] == "metal").mean(), atol=0.05)


@pytest.mark.parametrize("rows", [3, 6])
def test_few_votes_are_open(rows: int) -> None:
    table, _ = draw(rows)
    table["kind"] = ["metal", "insulator", *["metal"] * (rows - 2)]
    said = mf.fit(table, schema(), mf.Forest()).predict(table)["p_metal"]
    assert said.between(0.1, 0.98).all()


@pytest.mark.parametrize("expert", [mf.GP(kernel="rbf", ard=True), mf.Forest(trees=20)])
def test_saved_and_loaded_it_says_the_same(expert: mf.Learner, tmp_path: Path) -> None:
    new, _ = draw(20, seed=1)
    fitted = mf.fit(draw(200)[0], schema(), expert)
    fitted.save(tmp_path / "kind.mfmat")
    pd.testing.assert_frame_equal(mf.load(tmp_path / "kind.mfmat").predict(new), fitted.predict(new), check_exact=True)


@pytest.mark.parametrize("expert", [mf.GP(), mf.Forest()])
def test_three_classes_and_cross_validation(expert: mf.Learner) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 2))
    colour = np.array(["red", "green", "blue"])[np.argmax(np.column_stack([x, 0.3 * np.ones(150)]), axis=1)]
    table = pd.DataFrame(x, columns=["a", "b"]).assign(kind=colour)
    said = mf.cross_validate(table, schema(), expert)
    assert {"y", "label", "p_blue", "p_green", "p_red", "fold"} == set(said.columns)
    np.testing.assert_allclose(said[["p_blue", "p_green", "p_red"]].sum(axis=1), 1)
    found = accuracy(said)
    assert found["accuracy"] > 0.85
    assert found["log_loss"] < 0.5
    assert found["brier"] < 0.3


def test_auto_takes_labels() -> None:
    surrogate = mf.fit(draw(60)[0], schema())
    assert surrogate.card["why"][0].startswith("the target alone: lowest log loss on held-out values of kind (60 ")
    assert surrogate.card["compared"][0].keys() == {"candidate", "log_loss"}
    assert surrogate.predict(draw(5)[0])["p_metal"].between(0, 1).all()


def test_auto_fuses_values_with_a_label(tmp_path: Path) -> None:
    """Many values of what the label depends on say more of it than its own few rows."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, (260, 2))
    gap = np.sin(3 * x[:, 0]) * np.cos(2 * x[:, 1])
    table = pd.DataFrame(x, columns=["a", "b"]).assign(source="gap", y=gap)
    labels = table[:40].assign(source="metal", y=np.where(gap[:40] < 0, "metal", "insulator"))
    mixed = mf.Schema(
        mf.Columns(["a", "b"]), value="y", source="source", costs={"gap": 1, "metal": 2}, kinds={"metal": "label"}
    )
    fused = mf.fit(pd.concat([table, labels], ignore_index=True), mixed)
    losses = {row["candidate"]: row["log_loss"] for row in fused.card["compared"]}
    assert describe_limit(fused.data, None, 100) == []
    assert losses["latents of gap"] < 0.7 * losses["the target alone"]
    new = pd.DataFrame(rng.uniform(-3, 3, (500, 2)), columns=["a", "b"])
    truth = np.sin(3 * new["a"]) * np.cos(2 * new["b"]) < 0
    assert roc_auc_score(truth, fused.predict(new)["p_metal"]) > 0.9
    fused.save(tmp_path / "metal.mfmat")
    pd.testing.assert_frame_equal(mf.load(tmp_path / "metal.mfmat").predict(new), fused.predict(new), check_exact=True)


def test_a_label_beside_a_value() -> None:
    table, p = draw(60)
    labels = table.assign(source="metal")
    values = table.assign(source="gap", kind=p)
    both = pd.concat([values, labels], ignore_index=True)
    mixed = mf.Schema(
        mf.Columns(["a", "b"]), value="kind", source="source", costs={"gap": 1, "metal": 2}, kinds={"metal": "label"}
    )
    data = mixed.data(both)
    assert data.classes == {1: ("insulator", "metal")}
    assert set(data.Y[data.fidelity == 1, 0].tolist()) == {0.0, 1.0}
    said = mf.fit(both, mixed, mf.TargetOnly(mf.GP())).predict(table)
    assert said["p_metal"].between(0, 1).all()
    with pytest.raises(FitError, match="labels and values as one function \\(gap, metal\\)"):
        mf.fit(both, mixed, mf.GP())


def test_one_material_with_two_labels_keeps_both() -> None:
    table = pd.DataFrame({"a": [0.0, 0.0, 0.0, 1.0], "b": 0.0, "kind": ["yes", "no", "yes", "no"]})
    data = schema().data(table)
    assert data.Y[:, 0].tolist() == [1.0, 0.0, 0.0]
    assert data.counts.tolist() == [2, 1, 1]
    said = mf.fit(table, schema(), mf.GP()).predict(table)
    assert said["p_yes"].iloc[0] > said["p_yes"].iloc[3]


def test_a_label_given_often_counts_as_often() -> None:
    one = pd.DataFrame({"a": np.arange(40) / 40, "b": 0.0, "kind": ["no", "yes"] * 20})
    often = pd.concat([one, *[one[one["kind"] == "yes"]] * 4], ignore_index=True)
    once, said = (mf.fit(table, schema(), mf.Forest()).predict(one)["p_yes"].mean() for table in (one, often))
    assert abs(once - 0.5) < 0.1
    assert abs(said - 5 / 6) < 0.1


@pytest.mark.parametrize("values", [[True, False, True, False], [1, 0, 1, 0], [1.0, 0.0, 1.0, 0.0]])
def test_truth_values_and_numbers_are_labels(values: list) -> None:
    table = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": 0.0, "kind": values})
    classes = schema().settle(table).classes()
    assert classes in {("False", "True"), ("0", "1")}


@pytest.mark.parametrize("expert", [mf.GP(kernel="rbf", ard=True), mf.Forest()])
def test_far_away_it_says_what_it_would_without_the_row(expert: mf.Learner) -> None:
    far = mf.fit(draw(300)[0], schema(), expert).predict(pd.DataFrame({"a": [1e6], "b": [1e6]}))
    assert 0.3 < far["p_metal"].iloc[0] < 0.7


def test_missing_labels_are_named() -> None:
    table = pd.DataFrame({"a": [0.0, 1.0, 2.0], "b": 0.0, "kind": ["yes", None, "no"]}, index=["x", "y", "z"])
    with pytest.raises(TableError, match=r"row 'y' \(number 1\), column 'kind': none of the classes no, yes"):
        schema().data(table)


def test_wrong_kinds_are_named(unchecked: None) -> None:
    with pytest.raises(SchemaError, match=r"a kind for 'kinf'.*did you mean 'kind'\?"):
        schema(kinf="label")
    with pytest.raises(SchemaError, match=r"kinds\['kind'\] = 'class'; expected \"label\" or its classes"):
        schema(kind="class")
    with pytest.raises(TableError, match="1 classes of the label 'kind'"):
        schema().settle(pd.DataFrame({"a": [0.0], "b": [0.0], "kind": ["yes"]}))
    table, _ = draw(20)
    with pytest.raises(FitError, match=r"labels \(insulator, metal\); expected values for Ensemble"):
        mf.fit(table, schema(), mf.Ensemble())
    surrogate = mf.fit(table, schema(), mf.GP())
    with pytest.raises(SchemaError, match="draws of the label 'kind'"):
        surrogate.sample(table)
    values = mf.fit(table.assign(kind=1.0), mf.Schema(mf.Columns(["a", "b"]), value="kind"), mf.GP())
    with pytest.raises(FitError, match="a model of values"):
        values.model.probabilities(torch.zeros(1, 1, 3).double())

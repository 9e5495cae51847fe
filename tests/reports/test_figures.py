"""Figures draw the numbers that they are given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from scipy.stats import binomtest

import mfmat as mf
from mfmat.errors import SchemaError
from mfmat.features.composition import Composition
from mfmat.features.formulas import read_formula
from mfmat.reports import figures
from mfmat.validation import accuracy, learning_curve


@pytest.fixture(autouse=True)
def _no_window() -> Iterator[None]:
    mpl.use("agg")
    yield
    plt.close("all")


def offsets(ax: Any) -> np.ndarray:
    """The points of all scatters of an axes."""
    return np.concatenate([np.asarray(c.get_offsets()) for c in ax.collections if type(c).__name__ == "PathCollection"])


def test_parity(job: Any) -> None:
    ax = figures.parity(job.validated, unit="eV")
    points = offsets(ax)
    expected = job.validated[["y", "median"]].to_numpy()
    assert sorted(map(tuple, points)) == sorted(map(tuple, expected))
    assert f"MAE {accuracy(job.validated)['mae']:.3g} eV" in ax.texts[0].get_text()
    rings = [c for c in ax.collections if type(c).__name__ == "PathCollection"][1]
    outside = ~job.validated["y"].between(job.validated["lower"], job.validated["upper"])
    assert len(rings.get_offsets()) == outside.sum()


def test_calibration(job: Any) -> None:
    ax = figures.calibration(job.validated, label="mine")
    x, y = ax.lines[1].get_data()
    pit = job.validated["pit"].to_numpy()
    assert x[0] == 0
    assert y[90] == pytest.approx(np.mean(np.abs(2 * pit - 1) <= x[90] + 1e-12))
    assert len(ax.collections) == 1


def test_pit_histogram(job: Any) -> None:
    ax = figures.pit_histogram(job.validated, bins=4)
    heights = [patch.get_height() for patch in ax.patches if patch.get_width() < 0.5]
    expected = np.histogram(job.validated["pit"], bins=4, range=(0, 1))[0] / len(job.validated)
    np.testing.assert_allclose(heights[-4:], expected)
    with pytest.raises(SchemaError, match="without pit"):
        figures.pit_histogram(job.validated.drop(columns="pit"))


@pytest.fixture
def labelled() -> pd.DataFrame:
    """Labels that occur as often as was said: of 400 rows, p_gap of them are gaps."""
    rng = np.random.default_rng(0)
    gap = rng.uniform(size=400)
    y = np.where(rng.uniform(size=400) < gap, "gap", "metal")
    label = np.where(gap > 0.5, "gap", "metal")
    return pd.DataFrame({"y": y, "label": label, "p_gap": gap, "p_metal": 1 - gap}, index=range(1000, 1400))


def test_reliability(labelled: pd.DataFrame) -> None:
    ax = figures.reliability(labelled, of="gap", bins=5, label="mine")
    x, y = ax.lines[1].get_data()
    part = labelled[labelled["p_gap"] < 0.2]
    assert (x[0], y[0]) == (pytest.approx(part["p_gap"].mean()), pytest.approx((part["y"] == "gap").mean()))
    low, high = ax.collections[0].get_segments()[0][:, 1]
    ends = binomtest(int((part["y"] == "gap").sum()), len(part)).proportion_ci(0.95)
    np.testing.assert_allclose([low, high], ends)
    assert len(x) == 5
    assert ax.get_ylabel() == "share that is gap"
    assert min(figures.reliability(labelled).lines[1].get_xdata()) >= 0.5


def test_selective_accuracy(labelled: pd.DataFrame) -> None:
    decided, right = figures.selective_accuracy(labelled).lines[0].get_data()
    assert decided[-1] == 1
    assert right[-1] == pytest.approx(accuracy(labelled)["accuracy"])
    half = labelled[["p_gap", "p_metal"]].max(axis=1).nlargest(200).index
    expected = (labelled.loc[half, "y"] == labelled.loc[half, "label"]).mean()
    assert right[list(decided).index(0.5)] == pytest.approx(expected)


def test_figures_of_labels_refuse_other_tables(labelled: pd.DataFrame, job: Any) -> None:
    for draw in (figures.reliability, figures.selective_accuracy):
        with pytest.raises(SchemaError, match="without label"):
            draw(job.validated)
        with pytest.raises(SchemaError, match="without rows"):
            draw(labelled.iloc[:0])
        with pytest.raises(SchemaError, match=r"without p_\.\.\."):
            draw(labelled[["y", "label"]])
        with pytest.raises(SchemaError, match="row 1003 has nan as 'p_gap'"):
            draw(labelled.assign(p_gap=labelled["p_gap"].where(labelled.index != 1003)))
        draw(labelled.iloc[:1]).figure.canvas.draw()
    with pytest.raises(SchemaError, match="of='gold'; expected one of 'gap', 'metal'"):
        figures.reliability(labelled, of="gold")


def test_spread_against_error(job: Any) -> None:
    ax = figures.spread_against_error(job.validated, bins=3, unit="eV")
    x, y = ax.lines[0].get_data()
    table = job.validated.iloc[np.argsort(job.validated["std"], kind="stable")]
    part = table.iloc[: int(np.ceil(len(table) / 3))]
    assert x[0] == pytest.approx(np.sqrt(np.mean(part["std"] ** 2)))
    assert y[0] == pytest.approx(np.sqrt(np.mean((part["y"] - part["mean"]) ** 2)))
    assert ax.get_xlabel() == "predicted spread (eV)"
    with pytest.raises(SchemaError, match="without std"):
        figures.spread_against_error(job.validated.drop(columns="std"))


def test_coverage_by_group(job: Any) -> None:
    by = ["left" if i % 3 else "right" for i in range(len(job.validated))]
    ax = figures.coverage_by_group(job.validated, by)
    inside = job.validated["y"].between(job.validated["lower"], job.validated["upper"])
    shares = inside.groupby(by).mean()
    assert sorted(offsets(ax)[:, 0]) == pytest.approx(sorted(shares))
    assert {text.get_text().split(" ")[0] for text in ax.get_yticklabels()} == {"left", "right"}
    with pytest.raises(SchemaError, match="3 groups"):
        figures.coverage_by_group(job.validated, ["a"] * 3)


def test_a_group_is_marked_where_its_coverage_is_off_the_level() -> None:
    y = np.r_[np.zeros(60), np.full(60, 5.0)]
    table = pd.DataFrame({"y": y, "median": 0.0, "lower": -1.0, "upper": 1.0})
    table.loc[:5, "y"] = 5.0
    ax = figures.coverage_by_group(table, ["held"] * 60 + ["missed"] * 60)
    rings = [c for c in ax.collections if type(c).__name__ == "PathCollection"][1]
    np.testing.assert_allclose(np.asarray(rings.get_offsets())[:, 0], [0.0])


def test_intervals(job: Any) -> None:
    predicted = job.surrogate.predict(job.pool)
    ax = figures.intervals(predicted, names=job.pool["formula"].tolist())
    assert offsets(ax)[:, 1] == pytest.approx(np.sort(predicted["median"])[::-1])
    highest = job.pool["formula"].iloc[int(predicted["median"].argmax())]
    assert ax.get_xticklabels()[0].get_text() == highest


def test_sources(job: Any) -> None:
    ax = figures.sources(job.surrogate)
    assert [bar.get_width() for bar in ax.patches] == [row["crps"] for row in job.surrogate.card["compared"]]


def test_they_draw_into_given_axes(job: Any) -> None:
    _, given = plt.subplots(1, 4)
    predicted = job.surrogate.predict(job.pool)
    assert figures.parity(job.validated, given[0]) is given[0]
    assert figures.calibration(job.validated, given[1]) is given[1]
    assert figures.intervals(predicted, given[2]) is given[2]
    assert figures.sources(job.surrogate, given[3]) is given[3]


def test_source_contribution(job: Any) -> None:
    said = job.surrogate.explain(job.pool)
    for of in ("reduction", "shift"):
        ax = figures.source_contribution(said, of=of, unit="eV")
        columns = [name for name in said.columns if name.startswith(f"{of}_")]
        assert [text.get_text() for text in ax.get_yticklabels()] == [name.removeprefix(f"{of}_") for name in columns]
        drawn = [c for c in ax.collections if type(c).__name__ == "PathCollection"]
        for dots, name in zip(drawn, columns, strict=True):
            np.testing.assert_allclose(np.asarray(dots.get_offsets())[:, 0], said[name])
    assert ax.get_xlabel() == "shift of the prediction (eV)"
    with pytest.raises(SchemaError, match="without reduction_"):
        figures.source_contribution(job.surrogate.predict(job.pool))


def test_source_gains() -> None:
    bars = {"gain": [0.3, -0.1, np.nan], "gain_lower": [0.2, -0.2, np.nan], "gain_upper": [0.4, 0.1, np.nan]}
    found = pd.DataFrame({"verdict": ["use", "drop", "drop"], **bars}, index=["pbe", "hse06", "none"])
    ax = figures.source_gains(found)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["pbe: use", "hse06: drop"]
    np.testing.assert_allclose(offsets(ax)[:, 0], [0.3, -0.1])
    spans = [c for c in ax.collections if type(c).__name__ == "LineCollection"]
    ends = [path.vertices[:, 0].tolist() for c in spans for path in c.get_paths()]
    assert ends == [[0.2, 0.4], [-0.2, 0.1]]
    for wrong in (found.iloc[2:], found.drop(columns="verdict"), found.drop(columns="gain")):
        with pytest.raises(SchemaError, match="diagnosed without"):
            figures.source_gains(wrong)


def test_learning_curve(job: Any) -> None:
    recipe = mf.TargetOnly(mf.BayesianLinear())
    scores = learning_curve(job.table, job.schema, recipe, sizes=[5, 20], folds=3).assign(recipe="linear")
    ax = figures.learning_curve(pd.concat([scores, scores.assign(recipe="twice", mae=2 * scores["mae"])]), by="recipe")
    means = scores.groupby("rows")["mae"].mean()
    np.testing.assert_allclose(ax.containers[0].lines[0].get_xydata(), list(means.items()))
    np.testing.assert_allclose(ax.containers[1].lines[0].get_ydata(), 2 * means)
    low, high = (ax.containers[0].lines[2][0].get_segments()[0][k][1] for k in (0, 1))
    assert high - low == pytest.approx(4 * scores.loc[scores["rows"] == 5, "mae"].sem())
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["linear", "twice"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["5", "20"]
    with pytest.raises(SchemaError, match="without crps"):
        figures.learning_curve(scores, score="crps")
    with pytest.raises(SchemaError, match="by='model'"):
        figures.learning_curve(scores, by="model")


@pytest.fixture(scope="module")
def mixture(job: Any) -> mf.Surrogate:
    return mf.fit(job.table, job.schema, mf.Mixture([mf.TargetOnly(mf.GP()), mf.Pooled(mf.BayesianLinear())], folds=3))


def test_gate_weights(job: Any, mixture: mf.Surrogate) -> None:
    plane = figures.blend(["ZnO", "GaAs", "MgO"], steps=4)
    said = mixture.explain(plane)
    ax = figures.gate_weights(mixture, plane, ["ZnO", "GaAs", "MgO"], member="pooled")
    drawn = next(c for c in ax.collections if type(c).__name__ == "TriMesh")
    np.testing.assert_allclose(drawn.get_array(), said["weight_pooled"])
    numbers = [text.get_text() for text in ax.texts if "±" in text.get_text()]
    known = {f"{w:.2f}\n±{s:.2f}" for w, s in zip(said["weight_pooled"], said["weight_std_pooled"], strict=True)}
    assert len(numbers) == 4
    assert set(numbers) <= known
    assert [text.get_text() for text in ax.texts][-3:] == ["ZnO", "GaAs", "MgO"]


def test_gate_weights_over_two_columns(mixture: mf.Surrogate) -> None:
    plane = figures.blend(["ZnO", "GaAs", "MgO"], steps=4)
    ax = figures.gate_weights(mixture, plane, ["ZnO", "GaAs"])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("ZnO", "GaAs")
    with pytest.raises(SchemaError, match="span no plane"):
        figures.gate_weights(mixture, plane[plane["GaAs"] == 0], ["ZnO", "GaAs"])
    with pytest.raises(SchemaError, match="span no plane"):
        figures.gate_weights(mixture, plane.iloc[:1], ["ZnO", "GaAs"])


def test_gate_weights_refuse(job: Any, mixture: mf.Surrogate) -> None:
    plane, corners = figures.blend(["ZnO", "GaAs", "MgO"], steps=2), ["ZnO", "GaAs", "MgO"]
    with pytest.raises(SchemaError, match=r"member='forest'.*target_only, pooled"):
        figures.gate_weights(mixture, plane, corners, member="forest")
    with pytest.raises(SchemaError, match="shares"):
        figures.gate_weights(mixture, plane.assign(ZnO=0.7), corners)
    with pytest.raises(SchemaError, match="without ZnO"):
        figures.gate_weights(mixture, plane.drop(columns="ZnO"), corners)
    alone = mf.fit(job.table, job.schema, mf.TargetOnly(mf.BayesianLinear()))
    with pytest.raises(SchemaError, match="mixes nothing"):
        figures.gate_weights(alone, plane, corners)


def test_blends_are_on_the_way_between_their_ends() -> None:
    ends, steps = ["CaF2", "Ga2O3", "NaCl"], 5
    table, places = figures.blend(ends, steps=steps), Composition("formula")
    assert len(table) == (steps + 1) * (steps + 2) // 2
    assert not table["formula"].duplicated().any()
    np.testing.assert_allclose(table[ends].sum(axis=1), 1)
    atoms = pd.DataFrame({end: dict(read_formula(end)) for end in ends}).fillna(0)
    for row in table.to_dict("records"):
        expected = sum(row[end] * atoms[end] for end in ends)
        found = pd.Series(read_formula(row["formula"])).reindex(atoms.index, fill_value=0)
        np.testing.assert_allclose(found / found.sum(), expected / expected.sum(), rtol=1e-4)
    assert places.encode(table) is not None
    for wrong in (["NaCl"], ["NaCl", "NaCl"], ["A", "B", "C", "D"]):
        with pytest.raises(SchemaError, match="different formulas"):
            figures.blend(wrong)


def test_transferability() -> None:
    gains = pd.DataFrame({"gap": [0.5, 0.1], "modulus": [np.nan, 0.4]}, index=["exp. gap", "hardness"])
    ax = figures.transferability(gains, gains / 10, what="gain")
    np.testing.assert_allclose(ax.images[0].get_array().filled(np.nan), gains)
    assert [text.get_text() for text in ax.texts] == ["0.50\n±0.05", "0.10\n±0.01", "0.40\n±0.04"]
    frames = [line.get_xydata().mean(axis=0) for line in ax.lines]
    assert [np.round(frame).tolist() for frame in frames] == [[0, 0], [1, 1]]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["exp. gap", "hardness"]


@pytest.mark.parametrize(
    ("gains", "spreads", "message"),
    [
        (pd.DataFrame(), None, "without rows"),
        (pd.DataFrame({"a": [np.nan]}), None, "none is known"),
        (pd.DataFrame({"a": ["much"]}, index=["t"]), None, "row t has much as 'a'"),
        (pd.DataFrame({"a": [np.inf]}, index=["t"]), None, "row t has inf"),
        (pd.DataFrame({"a": [1.0]}), pd.DataFrame({"b": [1.0]}), "spreads of 1 x 1"),
        (pd.DataFrame({"a": [1.0, 2]}), pd.DataFrame({"a": [1.0, np.nan]}), "no spread of a for 1"),
    ],
)
def test_transferability_refuses(gains: pd.DataFrame, spreads: pd.DataFrame | None, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        figures.transferability(gains, spreads)


def test_cost_to_target(replayed: Any) -> None:
    ax = figures.cost_to_target(replayed, unit="h")
    costs = replayed.cost_to()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == replayed.policies
    curves = [line for line in ax.lines if line.get_marker() == "None"]
    for line, policy in zip(curves, replayed.policies, strict=True):
        paid, shares = line.get_data()
        found = np.sort(costs[policy][np.isfinite(costs[policy])])
        np.testing.assert_allclose(paid[1:-1], found)
        np.testing.assert_allclose(shares[1:-1], np.arange(1, len(found) + 1) / len(costs))
        assert shares[-1] == pytest.approx(len(found) / len(costs))
    assert ax.get_xlabel() == "paid, the start included (h)"
    with pytest.raises(SchemaError, match="learn"):
        figures.cost_to_target(replace(replayed, terms={**replayed.terms, "goal": "learn"}))


def test_new_figures_are_as_wide_as_asked(job: Any) -> None:
    predicted = job.surrogate.predict(job.pool)
    assert figures.parity(job.validated).figure.get_figwidth() * 25.4 == pytest.approx(figures.SINGLE)
    assert figures.intervals(predicted).figure.get_figwidth() * 25.4 == pytest.approx(figures.DOUBLE)
    assert figures.parity(job.validated, width=60).figure.get_figwidth() * 25.4 == pytest.approx(60)
    with pytest.raises(SchemaError, match="width=0"):
        figures.parity(job.validated, width=0)


def test_letters_are_those_of_print_on_paper_alone(job: Any) -> None:
    before = dict(mpl.rcParams)
    with figures.paper(font_family="serif"):
        ax = figures.calibration(job.validated)
        assert mpl.rcParams["font.family"] == ["serif"]
    assert dict(mpl.rcParams) == before
    assert {ax.xaxis.label.get_size(), ax.yaxis.label.get_size()} == {8}
    assert {text.get_size() for text in ax.get_xticklabels()} == {7}
    with pytest.raises(SchemaError, match="fontsize"):
        figures.paper(fontsize=8)


@pytest.mark.parametrize("draw", ["parity", "calibration", "pit_histogram", "spread_against_error"])
def test_everything_is_inside_the_figure(draw: str, job: Any) -> None:
    with figures.paper():
        ax = getattr(figures, draw)(job.validated)
        ax.figure.canvas.draw()
        box = ax.get_tightbbox()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= ax.figure.bbox.x1
    assert box.y1 <= ax.figure.bbox.y1


def test_one_row_is_drawn() -> None:
    one = pd.DataFrame({"y": [1.0], "median": 1.0, "mean": 1.0, "std": 0.0, "lower": 0.0, "upper": 2.0, "pit": 0.5})
    for draw in (figures.parity, figures.calibration, figures.pit_histogram, figures.spread_against_error):
        draw(one).figure.canvas.draw()
    figures.intervals(one).figure.canvas.draw()
    figures.coverage_by_group(one, ["oxide"]).figure.canvas.draw()
    figures.learning_curve(pd.DataFrame({"rows": [10], "mae": [0.5]})).figure.canvas.draw()


def test_a_cell_that_is_no_number_is_named(job: Any) -> None:
    row = job.validated.index[3]
    for draw, column in (
        (figures.parity, "median"),
        (figures.calibration, "pit"),
        (figures.spread_against_error, "std"),
    ):
        wrong = job.validated.copy()
        wrong.loc[row, column] = np.nan
        with pytest.raises(SchemaError, match=f"row {row} has nan as '{column}'"):
            draw(wrong)
    with pytest.raises(SchemaError, match="row 0 has abc as 'mae'"):
        figures.learning_curve(pd.DataFrame({"rows": [10], "mae": ["abc"]}))


def test_an_interval_without_end_reaches_the_edge(job: Any) -> None:
    open_ended = job.validated.assign(upper=np.inf)
    ax = figures.parity(open_ended)
    tops = [path.vertices[1, 1] for c in ax.collections for path in c.get_paths() if len(path.vertices) == 2]
    assert tops[0] == pytest.approx(ax.get_ylim()[1])


def test_they_refuse_other_tables(job: Any) -> None:
    for draw in (figures.parity, figures.calibration, figures.intervals):
        with pytest.raises(SchemaError):
            draw(job.table)
        with pytest.raises(SchemaError):
            draw(job.validated.iloc[:0])
    with pytest.raises(SchemaError, match="1 names"):
        figures.intervals(job.surrogate.predict(job.pool), names=["one"])

"""The page says what the API says, escapes what users wrote, and asks for nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mfmat as mf
from mfmat.errors import CalibrationError, SchemaError, TableError
from mfmat.extras import MissingExtraError
from mfmat.reports import page as page_module
from mfmat.validation import accuracy, cross_validate

EVIL = "<script>alert(1)</script>\"'&"


def small(**columns: Any) -> tuple[pd.DataFrame, mf.Schema]:
    """Twelve rows of a line, of one source."""
    x = np.linspace(0, 1, 12)
    return pd.DataFrame({"x": x, "y": 2 * x, **columns}), mf.Schema(mf.Columns("x"), value="y")


def test_every_section_is_there(page: Path, read: Callable) -> None:
    said = read(page)
    headings = [attributes["id"] for tag, attributes in said.tags if tag == "section"]
    assert headings == ["verdict", "accuracy", "calibration", "predictions", "sources", "trust", "next", "provenance"]
    assert [tag for tag, _ in said.tags if tag == "h1"] == ["h1"]
    anchors = {attributes["href"] for tag, attributes in said.tags if tag == "a"}
    assert anchors == {"#main", *(f"#{name}" for name in headings[1:])}


def test_numbers_of_the_verdict_equal_the_api(page: Path, read: Callable, job: Any) -> None:
    said, scores = read(page), accuracy(job.validated)
    assert {name: said.numbers[f"tile-{name}"] for name in ("mae", "coverage", "width")} == {
        name: scores[name] for name in ("mae", "coverage", "width")
    }
    assert said.numbers["tile-rows"] == sum(job.surrogate.card["provenance"]["rows"].values())
    inside = job.validated["y"].between(job.validated["lower"], job.validated["upper"]).sum()
    assert f"90% intervals held {inside} of {len(job.validated)} values" in said.text
    assert "in 3 folds" in said.text


def test_numbers_of_the_baselines_equal_the_api(page: Path, read: Callable, job: Any) -> None:
    said = read(page)
    scores = [accuracy(table) for table in (job.validated, *job.baselines.values())]
    names = {
        "mean absolute error": "mae",
        "root mean square error": "rmse",
        "90% intervals held": "coverage",
        "their mean width": "width",
    }
    for title, key in names.items():
        assert [value for _, value in said.column("accuracy-table", title)] == [row[key] for row in scores]
    assert [text for text, _ in said.column("accuracy-table", "recipe")][1:] == list(job.baselines)


def test_predictions_equal_the_api(page: Path, read: Callable, job: Any) -> None:
    said = read(page)
    expected = job.pool.join(job.surrogate.predict(job.pool)).sort_values("median", ascending=False, kind="stable")
    assert [text for text, _ in said.column("predictions-table", "formula")] == expected["formula"].tolist()
    for name in ("median", "lower", "upper"):
        cells = said.column("predictions-table", name)
        assert [value for _, value in cells] == expected[name].tolist()
        for text, value in cells:
            assert float(text.replace("−", "-")) == pytest.approx(value, abs=0.0051)
    known = dict(zip(expected["formula"], [t for t, _ in said.column("predictions-table", "measured in")], strict=True))
    seen = job.table.groupby("formula")["method"].apply(set)
    for formula, text in known.items():
        assert set(filter(None, text.split(", "))) == seen.get(formula, set())


def test_weights_of_the_views_equal_the_api(tmp_path: Path, read: Callable) -> None:
    table = small()[0].assign(z=np.cos(np.arange(12.0)))
    schema = mf.Schema([mf.Columns("x", name="a"), mf.Columns("z", name="b")], value="y")
    surrogate = mf.fit(table, schema, mf.GP())
    said = read(mf.report(surrogate, tmp_path / "page.html"))
    expected = surrogate.weights()
    assert [text for text, _ in said.column("weights-table", "view")] == expected["view"].tolist()
    for title, name in {"weight": "weight", "standard deviation": "std", "upper": "upper"}.items():
        assert [value for _, value in said.column("weights-table", title)] == expected[name].tolist()
    plain = mf.fit(*small(), mf.GP())
    assert "The weights of the views" not in read(mf.report(plain, tmp_path / "plain.html")).text


def test_sources_equal_the_card(page: Path, read: Callable, job: Any) -> None:
    said, card = read(page), job.surrogate.card
    assert [value for _, value in said.column("sources-table", "values")] == list(card["provenance"]["rows"].values())
    assert [value for _, value in said.column("candidates-table", "CRPS")] == [r["crps"] for r in card["compared"]]
    tried = {row["candidate"]: row["crps"] for row in card["compared"]}
    whole = tried["difference over pbe, mbj"]
    cells = dict(zip(job.schema.sources, said.column("sources-table", "error without it"), strict=True))
    assert cells["pbe"][1] == pytest.approx(tried["difference without pbe"] / whole - 1)
    assert cells["exp"] == ("–", None)
    assert "hse06: it has no rows." in said.text


def test_slope_and_trust_are_those_of_the_chain(read: Callable, job: Any, tmp_path: Path) -> None:
    chain = mf.fit(job.table, job.schema, mf.Difference([mf.GP()]))
    said = read(mf.report(chain, tmp_path / "chain.html"))
    found = [level["link"] for level in chain.model.facts["levels"] if level["link"] and level["member"]["rows"]]
    assert len(found) == 2
    for name in ("slope", "trust"):
        shown = [value for _, value in said.column("sources-table", name) if value is not None]
        assert shown == [link[name] for link in found]
    assert [text for text, _ in said.column("sources-table", "followed by")] == ["mbj", "exp", "–", "–"]


def test_suggestions_are_told_with_their_reasons(page: Path, read: Callable, job: Any) -> None:
    said = read(page)
    assert [text for text, _ in said.column("suggestions-table", "reason")] == job.suggestions["reason"].tolist()
    assert [value for _, value in said.column("suggestions-table", "price")] == job.suggestions["cost"].tolist()


def test_points_name_their_materials(page: Path, read: Callable, job: Any) -> None:
    named = {title.split(":")[0] for title in read(page).titles if ": measured " in title}
    assert named == set(job.table.loc[job.validated.index, "formula"])


def test_what_the_surrogate_held_out_stands_in(job: Any, read: Callable, tmp_path: Path) -> None:
    said = read(mf.report(job.surrogate, tmp_path / "page.html"))
    metrics = job.surrogate.card["metrics"]
    assert said.numbers["tile-mae"] == pytest.approx(metrics["mae"], rel=1e-6)
    assert said.numbers["tile-coverage"] == pytest.approx(metrics["coverage"], rel=1e-6)
    assert said.numbers["tile-width"] == pytest.approx(metrics["width"], rel=1e-6)
    assert "The learner's own, uncalibrated 90% intervals" in said.text
    assert "honest test" in said.text


def test_nothing_held_out_is_said(read: Callable, tmp_path: Path) -> None:
    table, schema = small()
    said = read(mf.report(mf.fit(table, schema, mf.GP()), tmp_path / "page.html", pool=table))
    assert "Nothing was held out" in said.text
    assert "cross_validate" in said.text
    assert "accuracy-table" not in said.tables
    assert len(said.column("predictions-table", "median")) == 12


def test_what_users_wrote_is_escaped(tmp_path: Path, read: Callable) -> None:
    x = np.linspace(0, 1, 12)
    table = pd.DataFrame({EVIL: x, "y": 2 * x, "how": [EVIL, "b"] * 6})
    schema = mf.Schema(mf.Columns(EVIL), value="y", source="how", costs={EVIL: 1, "b": 2}, unit=EVIL)
    surrogate = mf.fit(table, schema, mf.Difference([mf.GP()]))
    validated = cross_validate(table, schema, mf.GP(), folds=2).join(table[[EVIL]])
    path = mf.report(
        surrogate,
        tmp_path / "page.html",
        validated=validated,
        baselines={EVIL: validated},
        pool=table,
        suggestions=mf.suggest(surrogate, table, 2, goal="learn"),
    )
    text, said = path.read_text(encoding="utf-8"), read(path)
    assert [tag for tag, _ in said.tags].count("script") == 1
    assert "alert(1)</script>" not in text
    assert EVIL in said.text


def test_a_formula_that_is_a_script(tmp_path: Path, read: Callable) -> None:
    table, schema = small(kind=["a", EVIL] * 6)
    schema = replace(schema, inputs=mf.Columns("x", categories="kind"))
    said = read(mf.report(mf.fit(table, schema, mf.GP()), tmp_path / "page.html", pool=table))
    assert [tag for tag, _ in said.tags].count("script") == 1
    assert EVIL in {text for text, _ in said.column("predictions-table", "kind")}


def test_the_page_asks_for_nothing(page: Path, read: Callable) -> None:
    text, said = page.read_text(encoding="utf-8"), read(page)
    asked = [value for _, attributes in said.tags for name in ("src", "href") if (value := attributes.get(name))]
    assert all(value.startswith("#") or value == "data:," for value in asked)
    assert not re.search(r"@import|url\((?!#)|https?://", text)
    assert "default-src 'none'" in text


def test_the_page_is_small(page: Path) -> None:
    assert page.stat().st_size < 150_000


def test_the_likeness_of_candidates_is_their_novelty(page: Path, read: Callable, job: Any) -> None:
    said = read(page)
    expected = job.pool.assign(p=job.surrogate.novelty(job.pool)).set_index("formula")["p"]
    names = [text for text, _ in said.column("predictions-table", "formula")]
    values = [value for _, value in said.column("predictions-table", "likeness (p)")]
    assert values == pytest.approx(expected[names].tolist())
    odd = expected[expected <= 0.05].sort_values(kind="stable")
    if len(odd):
        listed = said.column("strangers-table", "p-value")
        assert [value for _, value in listed] == pytest.approx(odd.tolist())


def test_strange_candidates_are_named(read: Callable, tmp_path: Path) -> None:
    table = pd.DataFrame({"x": np.arange(60.0) % 37}).assign(y=lambda t: np.sin(t["x"]))
    surrogate = mf.fit(table, mf.Schema(mf.Columns("x"), value="y"), mf.Conformal(mf.BayesianLinear()))
    pool = pd.DataFrame({"x": [3.0, 9000.0, 5.0]})
    with pytest.warns(UserWarning, match="unlike"):
        said = read(mf.report(surrogate, tmp_path / "page.html", pool=pool))
    assert "1 of the 3 candidates is farther from all compounds measured" in said.text
    assert [text for text, _ in said.column("strangers-table", "x")] == ["9000"]
    usual = read(mf.report(surrogate, tmp_path / "usual.html", pool=pool[pool["x"] < 10]))
    assert "None of the 2 candidates is unlike the compounds measured" in usual.text
    assert "strangers-table" not in usual.tables


def test_families_are_those_of_the_held_out_rows(page: Path, read: Callable, job: Any) -> None:
    said = read(page)
    family = pd.Series(mf.Composition("formula").families(job.table.loc[job.validated.index]), job.validated.index)
    error = (job.validated["y"] - job.validated["median"]).abs().groupby(family).mean()
    inside = job.validated["y"].between(job.validated["lower"], job.validated["upper"]).groupby(family).mean()
    names = [text for text, _ in said.column("families-table", "family")]
    assert sorted(names) == sorted(error.index)
    assert [v for _, v in said.column("families-table", "mean absolute error")] == pytest.approx(error[names].tolist())
    assert [v for _, v in said.column("families-table", "their intervals held")] == inside[names].tolist()
    sizes = family.value_counts()
    told = error[sizes[error.index] >= 5]
    assert f"It errs most on {told.idxmax()}" in said.text


def test_a_family_whose_intervals_fail_is_told(job: Any, read: Callable, tmp_path: Path) -> None:
    formulas = job.table.loc[job.validated.index, "formula"]
    oxide = formulas.str.contains("O(?![a-z])").to_numpy()
    wrong = job.validated.copy()
    far = wrong["upper"] - wrong["lower"]
    wrong["y"] = np.where(oxide, wrong["upper"] + far, wrong["median"])
    wrong["pit"] = np.where(oxide, 1.0, 0.5)
    said = read(mf.report(job.surrogate, tmp_path / "page.html", validated=wrong))
    n = int(oxide.sum())
    assert f"Of {n} oxides, 0 lay inside their 90% intervals, less often than chance allows" in said.text


@pytest.fixture(scope="module")
def mixed(job: Any) -> tuple[mf.Surrogate, pd.DataFrame]:
    """A mixture, and what moves its predictions of the pool."""
    recipe = mf.Mixture([mf.TargetOnly(mf.BayesianLinear()), mf.Pooled(mf.BayesianLinear())], folds=3)
    surrogate = mf.fit(job.table, job.schema, recipe)
    return surrogate, surrogate.explain(job.pool)


def test_what_moves_each_prediction_equals_the_api(mixed: Any, job: Any, read: Callable, tmp_path: Path) -> None:
    surrogate, explained = mixed
    said = read(mf.report(surrogate, tmp_path / "page.html", pool=job.pool, explained=explained))
    expected = explained.assign(formula=job.pool["formula"]).set_index("formula")
    names = [text for text, _ in said.column("materials-table", "formula")]
    titles = {"pbe: shift": "shift_pbe", "mbj: less doubt": "reduction_mbj", "weight of pooled": "weight_pooled"}
    for title, column in titles.items():
        assert [value for _, value in said.column("materials-table", title)] == expected.loc[names, column].tolist()
    weights = dict(zip([text for text, _ in said.column("experts-table", "expert")], [0, 1], strict=True))
    assert list(weights) == ["target only", "pooled"]
    assert [value for _, value in said.column("experts-table", "mean weight")] == pytest.approx(
        [explained["weight_target_only"].mean(), explained["weight_pooled"].mean()]
    )
    moved = explained["shift_mbj"].abs().mean()
    assert f"mbj: it moves a prediction by {moved:.3g} eV on average" in said.text


def test_weights_need_no_explanation(mixed: Any, job: Any, read: Callable, tmp_path: Path) -> None:
    surrogate, explained = mixed
    said = read(mf.report(surrogate, tmp_path / "page.html", pool=job.pool))
    assert [text for text, _ in said.tables["materials-table"][0]] == [
        "formula",
        "weight of target only",
        "weight of pooled",
    ]
    least = [value for _, value in said.column("experts-table", "least")]
    assert least == [explained["weight_target_only"].min(), explained["weight_pooled"].min()]


def test_an_explanation_of_other_rows_is_refused(mixed: Any, job: Any, tmp_path: Path) -> None:
    surrogate, explained = mixed
    for options in ({"pool": job.pool.iloc[:5]}, {}):
        with pytest.raises(SchemaError, match="explained, a table of 40 rows"):
            mf.report(surrogate, tmp_path / "page.html", explained=explained, **options)
    with pytest.raises(SchemaError, match="explained without a source"):
        mf.report(surrogate, tmp_path / "page.html", pool=job.pool, explained=explained[["median"]])


@pytest.mark.parametrize("which", ["surrogate", "campaign", "backtest"])
def test_rows_and_columns_have_headers(
    which: str, page: Path, search_page: Path, replayed: Any, tmp_path: Path, read: Callable
) -> None:
    of = {"surrogate": page, "campaign": search_page}
    said = read(of[which] if which in of else mf.report(replayed, tmp_path / "page.html"))
    scopes = [attributes.get("scope") for tag, attributes in said.tags if tag == "th"]
    assert set(scopes) == {"col", "row"}
    captions = sum(tag == "caption" for tag, _ in said.tags)
    assert captions == len(said.tables)
    marks = [tag for tag, _ in said.tags if tag in ("header", "nav", "main")]
    assert marks == ["header", "nav", "main"]
    plots = [attributes for tag, attributes in said.tags if tag == "svg" and attributes.get("class") == "plot"]
    assert all(plot["role"] == "img" and plot["aria-label"] and plot["tabindex"] == "0" for plot in plots)
    ids = [attributes["id"] for _, attributes in said.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_a_page_of_5000_candidates_lists_them_all(mixed: Any, tmp_path: Path, read: Callable) -> None:
    surrogate, _ = mixed
    formulas = [f"Ga{a}In{b}As{c}" for a in range(1, 21) for b in range(1, 21) for c in range(1, 14)][:5000]
    pool = pd.DataFrame({"formula": formulas})
    rng = np.random.default_rng(0)
    explained = pd.DataFrame(
        rng.normal(size=(5000, 8)),
        columns=[f"{part}_{name}" for part in ("shift", "reduction") for name in ("pbe", "mbj", "hse06", "all")],
    )
    path = mf.report(surrogate, tmp_path / "page.html", pool=pool, explained=explained)
    said = read(path)
    assert len(said.column("predictions-table", "median")) == 5000
    assert len(said.column("materials-table", "pbe: shift")) == 5000
    assert path.stat().st_size < 8_000_000


def test_a_big_pool_stays_small(job: Any, tmp_path: Path, read: Callable) -> None:
    table, schema = small()
    pool = pd.DataFrame({"x": np.linspace(0, 1, 20_000)}, index=[0] * 20_000)
    path = mf.report(mf.fit(table, schema, mf.GP()), tmp_path / "page.html", pool=pool)
    said = read(path)
    assert path.stat().st_size < 8_000_000
    assert len(said.column("predictions-table", "x")) == 5000
    assert "The first 5000 of 20000 rows are listed." in said.text


def test_skipped_rows_and_replicates_are_told(tmp_path: Path, read: Callable) -> None:
    table, schema = small()
    table = pd.concat([table, table.iloc[:2], pd.DataFrame({"x": [0.5], "y": ["far"]})], ignore_index=True)
    with pytest.warns(UserWarning, match="cannot be read"):
        surrogate = mf.fit(table, schema, mf.GP(), on_error="skip")
    said = read(mf.report(surrogate, tmp_path / "page.html"))
    assert "2 values that repeat a material" in said.text
    assert "text where a number belongs, got 'far'" in said.text


def test_an_empty_table_of_suggestions(job: Any, tmp_path: Path, read: Callable) -> None:
    said = read(mf.report(job.surrogate, tmp_path / "page.html", suggestions=job.suggestions.iloc[:0]))
    assert "Nothing is left to measure" in said.text


def test_the_folder_of_the_page_is_made(job: Any, tmp_path: Path) -> None:
    assert mf.report(job.surrogate, str(tmp_path / "new" / "page.html")) == tmp_path / "new" / "page.html"


def test_only_a_surrogate_has_a_report(job: Any, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="DataFrame"):
        mf.report(job.table, tmp_path / "page.html")


def test_a_folder_is_no_page(job: Any, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="folder"):
        mf.report(job.surrogate, tmp_path)


def test_intervals_of_another_level_are_refused(job: Any, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"level 0\.5"):
        mf.report(job.surrogate, tmp_path / "page.html", validated=job.validated, level=0.5)


def test_a_table_that_is_no_validation_is_refused(job: Any, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="median"):
        mf.report(job.surrogate, tmp_path / "page.html", validated=job.table)
    with pytest.raises(SchemaError, match="baselines\\['other'\\]"):
        mf.report(job.surrogate, tmp_path / "page.html", baselines={"other": job.table})


def test_a_level_that_cannot_be_promised(job: Any, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError):
        mf.report(job.surrogate, tmp_path / "page.html", pool=job.pool, level=0.999)


def test_a_pool_without_its_column(job: Any, tmp_path: Path) -> None:
    with pytest.raises(TableError, match="formula"):
        mf.report(job.surrogate, tmp_path / "page.html", pool=pd.DataFrame({"other": [1]}))
    assert not (tmp_path / "page.html").exists()


def test_a_missing_extra_is_named(job: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str, purpose: str, extra: str) -> None:
        raise MissingExtraError("no package", expected="it", fix='pip install "mfmat[report]"')

    monkeypatch.setattr(page_module, "require", missing)
    with pytest.raises(ImportError, match=r"mfmat\[report\]"):
        mf.report(job.surrogate, tmp_path / "page.html")


@pytest.mark.parametrize("label", [False, True])
def test_latents_are_reported(tmp_path: Path, read: Callable, label: bool) -> None:
    """Of values and of labels: the cheap source is used, and there is no slope to tell."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, 120)
    cheap = pd.DataFrame({"x": x, "source": "cheap", "y": np.sin(3 * x)})
    y = np.where(cheap["y"] > 0, "up", "down") if label else cheap["y"] ** 2
    rows = pd.concat([cheap, pd.DataFrame({"x": x[:30], "source": "own", "y": y[:30]})], ignore_index=True)
    kinds = {"own": "label"} if label else {}
    schema = mf.Schema(mf.Columns("x"), value="y", source="source", costs={"cheap": 1, "own": 2}, kinds=kinds)
    recipe = mf.Auto() if label else mf.Latent([mf.GP()])
    said = read(mf.report(mf.fit(rows, schema, recipe), tmp_path / "latents.html"))
    assert "its rows are not used" not in said.text

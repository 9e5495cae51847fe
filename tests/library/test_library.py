"""Library: what goes in comes out, what is damaged is refused by name, and the rest serves."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pandas as pd
import pytest

import mfmat as mf
from mfmat.errors import SavedFileError, SchemaError, UnknownNameError
from mfmat.library import INDEX, Library, LibraryWarning

NAMES = ("a", "b", "c")


def line(slope: float = 1.0) -> mf.Surrogate:
    table = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0, 4.0], "y": [slope * x + 0.1 * (x % 2) for x in range(5)]})
    return mf.fit(table, mf.Schema(mf.Columns("x"), value="y", unit="eV"), mf.GP())


@pytest.fixture(scope="module")
def surrogate() -> mf.Surrogate:
    return line()


@pytest.fixture
def library(tmp_path: Path, surrogate: mf.Surrogate) -> Library:
    filled = Library(tmp_path / "models")
    for i, name in enumerate(NAMES):
        filled.add(surrogate, name, property="gap", order=i, **{"of what": name})
    return filled


def test_what_goes_in_comes_out(library: Library, surrogate: mf.Surrogate) -> None:
    new = pd.DataFrame({"x": [0.5, 9.0]}, index=["near", "far"])
    pd.testing.assert_frame_equal(library.get("b").predict(new), surrogate.predict(new))


def test_the_cards_numbers_can_be_asked_for(tmp_path: Path) -> None:
    table = pd.DataFrame({"x": range(30), "y": [x % 7 + x / 2 for x in range(30)]})
    fitted = mf.fit(table, mf.Schema(mf.Columns("x"), value="y", unit="eV"), mf.Conformal(mf.GP()))
    library = Library(tmp_path)
    library.add(fitted, licence="CC0-1.0")
    (facts,) = library.query("mae < 10 and rows == 30").to_dict("records")
    assert facts["mae"] == fitted.card["metrics"]["mae"]
    assert (facts["property"], facts["unit"], facts["learner"], facts["inputs"]) == ("y", "eV", "conformal", "columns")
    assert facts["table_sha256"] == fitted.card["provenance"]["table_sha256"]


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("", ["a", "b", "c"]),
        ("order > 0", ["b", "c"]),
        ("property == 'gap' and order < 2", ["a", "b"]),
        ("name == 'c'", ["c"]),
        ("property.str.contains('ap') and not order == 1", ["a", "c"]),
        ("order > 5", []),
        ("`of what` == 'b'", ["b"]),
    ],
)
def test_conditions(library: Library, condition: str, found: list[str]) -> None:
    assert list(library.query(condition).index) == found


def test_a_fact_that_an_entry_lacks_meets_nothing(library: Library, surrogate: mf.Surrogate) -> None:
    library.add(surrogate, "d", mass=2.0)
    assert list(library.query("mass > 0").index) == ["d"]
    assert library.query()["mass"].isna().tolist() == [True, True, True, False]


@pytest.mark.parametrize("condition", ["colour == 3", "order >", "@order > 1", "order > 'x'"])
def test_conditions_that_cannot_be_read(library: Library, condition: str) -> None:
    with pytest.raises(SchemaError, match=r"over the facts property, unit, source.*order"):
        library.query(condition)


def test_names_are_made_of_the_property_and_never_used_twice(tmp_path: Path, surrogate: mf.Surrogate) -> None:
    library = Library(tmp_path)
    added = [library.add(surrogate, property="band gap / eV") for _ in range(3)]
    assert added == ["band-gap-eV", "band-gap-eV-2", "band-gap-eV-3"]
    assert library.add(surrogate, property="../..") == "entry"
    with pytest.raises(SchemaError, match="taken"):
        library.add(surrogate, "entry")


@pytest.mark.parametrize("name", ["", ".hidden", "../up", "a/b", "a b", "-x"])
def test_names_that_are_no_file_names(library: Library, surrogate: mf.Surrogate, name: str) -> None:
    with pytest.raises(SchemaError, match="letters, digits"):
        library.add(surrogate, name)
    assert len(library) == 3


@pytest.mark.parametrize("facts", [{"x": float("nan")}, {"x": [1]}, {"x": {"y": 1}}, {"rows": 3}, {"created": "now"}])
def test_facts_that_cannot_be_told(library: Library, surrogate: mf.Surrogate, facts: dict) -> None:
    with pytest.raises(SchemaError, match=f"the fact .?{next(iter(facts))}"):
        library.add(surrogate, "d", **facts)
    assert "d" not in library


def test_an_unknown_name_is_answered_with_the_nearest(library: Library, surrogate: mf.Surrogate) -> None:
    library.add(surrogate, "refractive-index")
    with pytest.raises(UnknownNameError, match="refractive-index"):
        library.get("refractive-indx")


@pytest.mark.parametrize("damage", ["cut", "altered", "missing"])
def test_a_damaged_file_is_refused_by_name_and_the_rest_serves(library: Library, damage: str, tmp_path: Path) -> None:
    file = tmp_path / "models" / "entries" / "b.zip"
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(content[:-100] if damage == "cut" else content[:200] + b"x" + content[201:])
    with pytest.raises(SavedFileError, match=r"entries/b\.zip"):
        library.get("b")
    assert library.get("a").schema == library.get("c").schema
    report = library.verify()
    assert report["ok"].to_dict() == {"a": True, "b": False, "c": True}
    assert "b.zip" in report.loc["b", "why"]


def test_a_line_that_was_cut_short_costs_that_line(library: Library, tmp_path: Path, surrogate: mf.Surrogate) -> None:
    index = tmp_path / "models" / INDEX
    index.write_bytes(index.read_bytes()[:-40])
    with pytest.warns(LibraryWarning, match="line 3"):
        assert list(library.query().index) == ["a", "b"]
    library.add(surrogate, "d")
    with pytest.warns(LibraryWarning, match="line 3"):
        assert list(Library(tmp_path / "models").query().index) == ["a", "b", "d"]
    assert list(library.query().index) == ["a", "b", "d"]
    report = library.verify()
    assert report["why"]["entries/c.zip"].startswith("in no line")
    assert not report["ok"][f"{INDEX} line 3"]
    library.verify(mend=True)
    assert list(library.query("property == 'gap' and order == 2").index) == ["c"]
    assert library.verify()["ok"].to_dict() == dict.fromkeys("abdc", True)


def test_a_line_that_was_altered_is_found(library: Library, tmp_path: Path) -> None:
    index = tmp_path / "models" / INDEX
    index.write_text(index.read_text().replace('"order": 1', '"order": 7'))
    assert library.verify()["why"].to_dict() == {"a": "", "b": "its line in the index was altered", "c": ""}


def test_a_file_left_by_a_killed_process_is_found_and_taken_up(library: Library, tmp_path: Path) -> None:
    index = tmp_path / "models" / INDEX
    lines = index.read_bytes().splitlines(keepends=True)
    index.write_bytes(b"".join(lines[:2]))
    assert len(library) == 2
    assert not library.verify()["ok"].all()
    assert library.verify(mend=True)["ok"].all()
    assert library.query()["order"].to_dict() == {"a": 0, "b": 1, "c": 2}


def test_a_stray_file_that_is_none_is_not_taken_up(library: Library, tmp_path: Path) -> None:
    (tmp_path / "models" / "entries" / "z.zip").write_bytes(b"nothing")
    report = library.verify(mend=True)
    assert not report["ok"]["entries/z.zip"]
    assert len(library) == 3


def test_what_another_process_adds_is_seen(library: Library, tmp_path: Path, surrogate: mf.Surrogate) -> None:
    assert len(library) == 3
    Library(tmp_path / "models").add(surrogate, "d")
    assert "d" in library


def test_two_writers_at_once_lose_nothing(tmp_path: Path, surrogate: mf.Surrogate) -> None:
    surrogate.save(tmp_path / "line")
    code = textwrap.dedent(
        f"""
        import mfmat as mf
        library, line = mf.Library({str(tmp_path / "models")!r}), mf.load({str(tmp_path / "line")!r})
        for i in range(15):
            library.add(line, property="gap")
        """
    )
    writers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    library = Library(tmp_path / "models")
    assert sorted(library.query().index) == sorted(["gap", *(f"gap-{i}" for i in range(2, 31))])
    assert library.verify()["ok"].all()


def test_pull_copies_what_is_asked_for_and_no_more(library: Library, tmp_path: Path) -> None:
    other = library.pull("order >= 1", into=tmp_path / "other")
    assert list(other.query().index) == ["b", "c"]
    library.pull(into=other)
    assert sorted(other.query().index) == ["a", "b", "c"]
    assert other.verify()["ok"].all()
    assert other.query().loc["b"].to_dict() == library.query().loc["b"].to_dict()


def test_pull_keeps_what_has_the_same_name(library: Library, tmp_path: Path) -> None:
    other = Library(tmp_path / "other")
    other.add(line(2.0), "b")
    with pytest.raises(SchemaError, match="'b', of which"):
        library.pull(into=other)
    assert other.get("b").predict(pd.DataFrame({"x": [4.0]}))["median"].iloc[0] > 7


def test_a_store_of_objects_is_published_to_and_read(library: Library, cache: Path) -> None:
    published = library.publish("memory://shelves/models", "order < 2")
    reader = Library("memory://shelves/models")
    assert list(reader.query("order == 1").index) == ["b"]
    assert reader.verify()["ok"].all()
    assert reader.get("a").schema == library.get("a").schema
    assert len(list((cache / "libraries").iterdir())) == 2
    assert repr(published) == "Library('memory://shelves/models')"


def serve(library: Library, site) -> Library:
    root = library.shelf.folder
    site.files = {f"/models/{file.relative_to(root)}": file.read_bytes() for file in root.rglob("*") if file.is_file()}
    return Library(site.url("/models"))


def test_a_library_behind_a_url_is_read_and_kept(library: Library, site, cache: Path) -> None:
    reader = serve(library, site)
    assert list(reader.query("order > 0").index) == ["b", "c"]
    assert reader.get("b").schema == library.get("b").schema
    fetched = [path for path in site.requests if path.endswith("b.zip")]
    reader.get("b")
    assert [path for path in site.requests if path.endswith("b.zip")] == fetched
    with pytest.raises(SavedFileError, match="only be read"):
        reader.add(library.get("a"))


def test_a_library_in_one_file_behind_a_url_is_read(library: Library, site, tmp_path: Path, cache: Path) -> None:
    packed = Path(shutil.make_archive(str(tmp_path / "all"), "zip", library.shelf.folder))
    site.files = {"/all.zip": packed.read_bytes()}
    reader = Library(f"zip:///::simplecache::{site.url('/all.zip')}")
    assert list(reader.query("order > 0").index) == ["b", "c"]
    assert reader.get("b").schema == library.get("b").schema


def test_a_damaged_file_behind_a_url_is_refused(library: Library, site, cache: Path) -> None:
    reader = serve(library, site)
    site.files["/models/entries/b.zip"] = site.files["/models/entries/b.zip"][:-9]
    with pytest.raises(SavedFileError, match=r"entries/b\.zip"):
        reader.get("b")
    assert reader.get("c").schema == library.get("c").schema


def test_a_damaged_copy_is_fetched_again(library: Library, site, cache: Path) -> None:
    reader = serve(library, site)
    reader.get("a")
    (kept,) = (cache / "libraries").iterdir()
    kept.write_bytes(b"half")
    assert reader.get("a").schema == library.get("a").schema


def test_no_library_at_a_url(site, cache: Path) -> None:
    assert len(Library(site.url("/nothing"))) == 0


def test_a_protocol_that_nobody_knows() -> None:
    with pytest.raises(SavedFileError, match="a URL that fsspec can read"):
        Library("gopher://models").query()


def test_the_index_is_read_again_only_where_it_changed(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    library.query()
    monkeypatch.setattr(json, "loads", lambda *_: pytest.fail("read again"))
    assert len(library.query("order == 1")) == 1


def test_the_index_is_not_read_again_for_what_was_added_here(
    library: Library, surrogate: mf.Surrogate, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.query()
    monkeypatch.setattr(json, "loads", lambda *_: pytest.fail("read again"))
    added = [library.add(surrogate, property="gap") for _ in range(3)]
    assert list(library.query().index) == [*NAMES, *added]


def test_an_empty_folder_is_an_empty_library(tmp_path: Path) -> None:
    library = Library(tmp_path / "none")
    assert len(library) == 0
    assert library.query().empty
    assert library.verify().empty

"""A public file arrives whole, once, and checked; or an error says why and nothing is left."""

from __future__ import annotations

import gzip
import hashlib
import logging
import socket
from pathlib import Path

import pandas as pd
import pooch
import pytest

from mfmat.datasets import fetch, load
from mfmat.errors import DownloadError, SchemaError
from mfmat.features import Composition
from mfmat.schema import Schema

CSV = b"formula,method,gap\nNaN,pbe,1.5\nGaAs,pbe,0.57\nGaAs,exp,1.52\n"
SCHEMA = Schema(inputs=Composition("formula"), value="gap", source="method", costs={"pbe": 1, "exp": 400})


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def left(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


def test_a_public_table_by_its_url(site, cache):
    site.files["/gaps.csv"] = CSV
    table, schema = load(site.url("/gaps.csv"), sha256=digest(CSV), schema=SCHEMA)
    assert schema is SCHEMA
    assert table["formula"].tolist() == ["NaN", "GaAs", "GaAs"]
    assert table["gap"].tolist() == [1.5, 0.57, 1.52]


def test_a_packed_table_keeps_the_checksum_of_its_file(site, cache):
    packed = gzip.compress(CSV)
    site.files["/gaps.csv.gz"] = packed
    table, _ = load(site.url("/gaps.csv.gz?download=1"), sha256=digest(packed), schema=SCHEMA)
    assert len(table) == 3


def test_the_second_use_asks_nobody(site, cache):
    site.files["/gaps.csv"] = CSV
    first = fetch(site.url("/gaps.csv"), sha256=digest(CSV))
    second = fetch(site.url("/gaps.csv"), sha256=digest(CSV).upper())
    assert first == second
    assert first.read_bytes() == CSV
    assert first.is_relative_to(cache)
    assert site.requests == ["/gaps.csv"]


def test_a_copy_altered_in_the_cache_is_fetched_again(site, cache):
    site.files["/gaps.csv"] = CSV
    fetch(site.url("/gaps.csv"), sha256=digest(CSV)).write_bytes(b"altered")
    assert fetch(site.url("/gaps.csv"), sha256=digest(CSV)).read_bytes() == CSV
    assert len(site.requests) == 2


def test_another_file_than_expected(site, cache):
    site.files["/gaps.csv"] = b"formula,gap\nSi,9.9\n"
    with pytest.raises(DownloadError, match="expected a file with SHA-256 " + digest(CSV)) as caught:
        fetch(site.url("/gaps.csv"), sha256=digest(CSV))
    assert digest(site.files["/gaps.csv"]) in str(caught.value)
    assert left(cache) == []


def test_a_connection_cut_short(site, cache):
    site.files["/gaps.csv"] = CSV[:20]
    site.declared["/gaps.csv"] = len(CSV)
    with pytest.raises(DownloadError, match="the connection was cut"):
        fetch(site.url("/gaps.csv"), sha256=digest(CSV))
    assert left(cache) == []


def test_a_cut_file_is_refused_even_where_its_length_is_not_declared(site, cache):
    site.files["/gaps.csv"] = CSV[:20]
    with pytest.raises(DownloadError, match=digest(CSV)):
        fetch(site.url("/gaps.csv"), sha256=digest(CSV))
    assert left(cache) == []


def test_a_cut_renewal_keeps_the_file_that_was_there(site, cache):
    site.files["/gaps.csv"] = CSV
    kept = fetch(site.url("/gaps.csv"), sha256=digest(CSV))
    site.declared["/gaps.csv"] = 10 * len(CSV)
    with pytest.raises(DownloadError):
        fetch(site.url("/gaps.csv"), sha256=digest(b"a newer version"))
    assert left(cache) == [kept]
    assert kept.read_bytes() == CSV


def test_a_file_that_is_not_there(site, cache):
    with pytest.raises(DownloadError, match="the server answered 404 Not Found"):
        fetch(site.url("/nothing.csv"), sha256=digest(CSV))
    assert left(cache) == []


def test_no_network(cache):
    with socket.socket() as taken:
        # Bound and not listening: whoever calls is refused.
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/gaps.csv"
        with pytest.raises(DownloadError, match="no connection") as caught:
            fetch(url, sha256=digest(CSV))
    assert url in str(caught.value)
    assert len(str(caught.value)) < 300
    assert left(cache) == []


def test_a_cache_that_cannot_be_written(site, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MFMAT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DownloadError, match="file"):
        fetch(site.url("/gaps.csv"), sha256=digest(CSV))
    assert site.requests == []


def test_fetching_is_silent_and_leaves_the_logger_alone(site, cache, capsys):
    level = pooch.get_logger().level
    site.files["/gaps.csv"] = CSV
    fetch(site.url("/gaps.csv"), sha256=digest(CSV))
    assert pooch.get_logger().level == level != logging.WARNING
    assert capsys.readouterr() == ("", "")


def test_without_the_variable_the_cache_is_the_users(monkeypatch):
    from mfmat.cache_folder import cache

    monkeypatch.delenv("MFMAT_CACHE", raising=False)
    assert cache().name == "mfmat"


@pytest.mark.parametrize("sha256", ["", "abc", "g" * 64, "sha256:" + "a" * 64])
def test_a_checksum_that_is_none(sha256, cache):
    with pytest.raises(SchemaError, match="64 hexadecimal digits"):
        fetch("https://example.org/gaps.csv", sha256=sha256)


@pytest.mark.parametrize("url", ["ftp://example.org/gaps.csv", "file:///etc/passwd", "gaps.csv"])
def test_only_http(url, cache):
    with pytest.raises(SchemaError, match="https://"):
        fetch(url, sha256="0" * 64)


def test_a_url_needs_its_checksum_and_its_schema():
    with pytest.raises(SchemaError, match="URL without sha256"):
        load("https://example.org/gaps.csv", schema=SCHEMA)
    with pytest.raises(SchemaError, match="URL without schema"):
        load("https://example.org/gaps.csv", sha256="0" * 64)


def test_what_was_fetched_is_a_table_for_everything_else(site, cache):
    content = CSV.replace(b"NaN", b"Si")
    site.files["/gaps.csv"] = content
    table, schema = load(site.url("/gaps.csv"), sha256=digest(content), schema=SCHEMA)
    data = schema.data(table)
    assert len(data) == 3
    assert data.sources == ("pbe", "exp")
    assert isinstance(table, pd.DataFrame)

"""report: one HTML file that stands on its own."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mfmat.errors import SchemaError
from mfmat.extras import require
from mfmat.features.featurizer import columns_of
from mfmat.reports import drawings, tables
from mfmat.reports.contributions import contributions
from mfmat.reports.evidence import Evidence, check, evidence
from mfmat.reports.verdict import recipe_name, skipped, tiles, verdict
from mfmat.reports.wording import labels, percent
from mfmat.schema import OnError
from mfmat.surrogate import Surrogate


def report(
    x: Surrogate,
    path: str | Path,
    *,
    validated: pd.DataFrame | None = None,
    baselines: Mapping[str, pd.DataFrame] | None = None,
    pool: pd.DataFrame | None = None,
    suggestions: pd.DataFrame | None = None,
    level: float = 0.9,
    on_error: OnError = "raise",
) -> Path:
    """Write what is known of a surrogate as one HTML file that needs nothing else, and no network.

    Args:
        x: the surrogate.
        path: of the file; its folder is made if need be.
        validated: a table of `cross_validate` for the same recipe, the honest test. Without it the page shows
            what the recipe itself held out, if anything. Where it holds the input columns too, they name its rows.
        baselines: tables of `cross_validate` or `train_median` to compare with, by name.
        pool: candidates to predict, with the schema's input columns.
        suggestions: a table of `suggest`.
        level: of all intervals, also those in `validated`.
        on_error: `"raise"`, or `"skip"` to leave out candidates of the pool that cannot be read, with a warning.

    Returns:
        The path of the file.

    Raises:
        SchemaError: something other than a surrogate; a path that is a folder; tables that do not fit.
        MissingExtraError: jinja2 is not installed: `pip install "mfmat[report]"`.
        TableError: a pool that cannot be read.
        CalibrationError: a level for which the calibration rows are too few.

    >>> import tempfile
    >>> import mfmat as mf
    >>> table = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "y": [0.1, 0.9, 2.1, 2.9]})
    >>> line = mf.fit(table, mf.Schema(mf.Columns("x"), value="y"), mf.GP())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report(line, f"{folder}/line.html", pool=table).name
    'line.html'
    """
    if not isinstance(x, Surrogate):
        raise SchemaError(
            f"report of a {type(x).__name__}", expected="a Surrogate", fix="report(mf.fit(table, schema), path)"
        )
    path = Path(path)
    if path.is_dir():
        raise SchemaError(
            f"{path}, which is a folder", expected="the path of a file", fix=f"report(x, '{path}/page.html')"
        )
    require("jinja2", "a report", "report")
    baselines = dict(baselines or {})
    for name, table in baselines.items():
        check(table, what=f"baselines[{name!r}]")
    found = evidence(x, validated, level)
    content = {
        **_heading(x, found, baselines),
        **_accuracy(x, found, baselines),
        **_predictions(x, pool, level, on_error),
        **_sources(x),
        "suggested": None if suggestions is None or suggestions.empty else tables.suggested(x, suggestions),
        "asked": suggestions is not None,
        **_provenance(x),
        **_assets(),
        "level": percent(level),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_render(content), encoding="utf-8")
    return path


def _render(content: Mapping[str, Any]) -> str:
    jinja2 = require("jinja2", "a report", "report")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    html: str = environment.from_string(_read("page.html.jinja")).render(content)
    return html


def _heading(x: Surrogate, found: Evidence | None, baselines: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    schema = x.schema
    quantity = schema.value if schema.source is None else f"{schema.value} ({schema.sources[-1]})"
    return {"quantity": quantity, "verdict": verdict(x, found, baselines), "tiles": tiles(x, found)}


def _accuracy(x: Surrogate, found: Evidence | None, baselines: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    if found is None:
        return {"found": None}
    return {
        "found": found,
        "parity": drawings.parity(found, x.schema.value, x.schema.unit),
        "curve": drawings.curve(found),
        "compared": tables.compared(found, baselines, recipe_name(x)),
        "drawn": min(len(found.table), drawings.MOST),
    }


def _predictions(x: Surrogate, pool: pd.DataFrame | None, level: float, on_error: OnError) -> dict[str, Any]:
    if pool is None:
        return {"predicted": None}
    if x.schema.classes():
        raise SchemaError(
            f"a pool for the label {x.schema.sources[-1]!r}",
            expected="a report without a pool",
            fix="x.predict(pool) gives the probability of each class",
        )
    # Positions, because the pool's own index may repeat itself.
    numbered = pool.set_axis(pd.RangeIndex(len(pool)), axis=0)
    said = x.predict(numbered, level=level, on_error=on_error)
    columns = columns_of(x.schema.featurizers)
    said = said.iloc[np.argsort(-said["median"].to_numpy(), kind="stable")]
    inputs = numbered.loc[said.index, columns]
    return {
        "predicted": tables.predictions(x, inputs, said, level),
        "ranked": drawings.ranked(said.assign(name=labels(inputs)), x.schema.value, x.schema.unit),
    }


def _sources(x: Surrogate) -> dict[str, Any]:
    found = contributions(x)
    said = {one.source: sentences for one in found if (sentences := one.sentences())}
    return {"links": tables.links(found), "candidates": tables.candidates(x), "sentences": said}


def _provenance(x: Surrogate) -> dict[str, Any]:
    provenance = x.card["provenance"]
    return {
        "created": provenance["created"],
        "fingerprint": provenance["table_sha256"],
        "rows_said": skipped(provenance["skipped"], provenance["replicates"]),
        "problems": provenance["skipped"],
        "why": x.card["why"],
        "versions": x.card["versions"],
        "recipe": json.dumps(x.recipe.config(), indent=2, ensure_ascii=False),
        "schema": json.dumps(x.schema.config(), indent=2, ensure_ascii=False),
    }


def _assets() -> dict[str, str]:
    script = _read("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {"style": _read("page.css"), "script": script, "script_hash": digest}


def _read(name: str) -> str:
    return (resources.files("mfmat.reports") / name).read_text(encoding="utf-8")

"""report: one HTML file that stands on its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from mfmat.campaign import Campaign
from mfmat.errors import SchemaError
from mfmat.extras import require
from mfmat.outcomes import Backtest
from mfmat.reports.backtest_page import lay_out_backtest
from mfmat.reports.campaign_page import lay_out_campaign
from mfmat.reports.surrogate_page import Extras, lay_out_surrogate
from mfmat.skipping import OnError
from mfmat.surrogate import Surrogate

LEVEL = 0.9
"""Of intervals, unless another is asked for."""


def report(
    x: Surrogate | Campaign | Backtest,
    path: str | Path,
    *,
    validated: pd.DataFrame | None = None,
    baselines: Mapping[str, pd.DataFrame] | None = None,
    pool: pd.DataFrame | None = None,
    suggestions: pd.DataFrame | None = None,
    explained: pd.DataFrame | None = None,
    level: float = LEVEL,
    on_error: OnError = "raise",
) -> Path:
    """Write what is known of a surrogate, a campaign or a backtest as one HTML file that needs no other and no network.

    Of a surrogate: accuracy, calibration, predictions, what each source contributed, where not to trust it. Of a
    campaign: what it found for its money, what is pending and why, whether its predictions came true, everything that
    happened. Of a backtest: which policy to use, what each one paid and found, with paired intervals of differences.

    Args:
        x: the surrogate, the campaign, or what `backtest` returned.
        path: of the file; its folder is made if need be.
        validated: of a surrogate, a table of `cross_validate` for the same recipe, the honest test. Without it the
            page shows what the recipe itself held out, if anything. Input columns in it name its rows.
        baselines: of a surrogate, tables of `cross_validate` or `train_median` to compare with, by name.
        pool: of a surrogate, candidates to predict, with the schema's input columns.
        suggestions: of a surrogate, a table of `suggest`.
        explained: of a surrogate with a pool, what `Surrogate.explain(pool)` found: what each source does to each
            prediction.
        level: of all intervals of predictions, also those in `validated`; those of a backtest are of 90%.
        on_error: of a surrogate, `"raise"`, or `"skip"` to leave out candidates of the pool that cannot be read, with a
            warning.

    Returns:
        The path of the file.

    Raises:
        SchemaError: something else than these three; a path that is a folder; tables that do not fit, or are given
            where x is no surrogate.
        MissingExtraError: jinja2 is not installed: `pip install "mfmat[report]"`.
        TableError: a pool that cannot be read.
        CalibrationError: a level for which the calibration rows are too few.
        CampaignError: a campaign's database cannot be reached.

    >>> import tempfile
    >>> import mfmat as mf
    >>> table = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "y": [0.1, 0.9, 2.1, 2.9]})
    >>> schema = mf.Schema(mf.Columns("x"), value="y")
    >>> line = mf.fit(table, schema, mf.GP())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     search = mf.Campaign.create(f"{folder}/y.db", schema, pool=table[["x"]], seen=table)
    ...     report(line, f"{folder}/line.html", pool=table).name, report(search, f"{folder}/search.html").name
    ('line.html', 'search.html')
    """
    path = Path(path)
    if path.is_dir():
        raise SchemaError(
            f"{path}, which is a folder", expected="the path of a file", fix=f"report(x, '{path}/page.html')"
        )
    require("jinja2", "a report", "report")
    extras = Extras(validated, dict(baselines or {}), pool, suggestions, explained, on_error)
    html = _render(*_lay_out(x, extras, level))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html, encoding="utf-8")
    return path


def _lay_out(x: object, extras: Extras, level: float) -> tuple[str, dict[str, Any]]:
    """The template, and what it is filled in with."""
    if isinstance(x, Surrogate):
        return "surrogate", lay_out_surrogate(x, extras, level)
    if isinstance(x, Campaign | Backtest) and extras.given:
        raise SchemaError(
            f"{extras.given[0]}= in the report of a {type(x).__name__}",
            expected="it with a surrogate alone",
            fix="report(x, path)",
        )
    if isinstance(x, Campaign):
        return "campaign", lay_out_campaign(x, level)
    if not isinstance(x, Backtest):
        raise SchemaError(
            f"report of a {type(x).__name__}",
            expected="a Surrogate, a Campaign or a Backtest",
            fix="report(mf.fit(table, schema), path)",
        )
    if level != LEVEL:
        raise SchemaError(
            f"level={level:g} in the report of a Backtest",
            expected=f"{LEVEL:g}, as it was run with",
            fix="leave it out",
        )
    return "backtest", lay_out_backtest(x)


def _render(name: str, content: Mapping[str, Any]) -> str:
    jinja2 = require("jinja2", "a report", "report")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    html: str = environment.get_template(f"{name}.html.jinja").render(**content, **_assets())
    return html


def _assets() -> dict[str, str]:
    script = _read("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {"style": _read("page.css"), "script": script, "script_hash": digest}


def _read(name: str) -> str:
    return (resources.files("mfmat.reports") / name).read_text(encoding="utf-8")

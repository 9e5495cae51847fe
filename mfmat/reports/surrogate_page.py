"""The page of a surrogate: accuracy, calibration, predictions, and what each source contributed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mfmat.errors import SchemaError
from mfmat.features.featurizer import columns_of
from mfmat.reports import drawings, tables
from mfmat.reports.contributions import contributions
from mfmat.reports.evidence import Evidence, check, evidence
from mfmat.reports.verdict import recipe_name, skipped, tiles, verdict
from mfmat.reports.wording import labels, percent
from mfmat.skipping import OnError
from mfmat.surrogate import Surrogate


@dataclass(frozen=True)
class Extras:
    """What the page of a surrogate shows besides it; see `report`."""

    validated: pd.DataFrame | None = None
    baselines: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    pool: pd.DataFrame | None = None
    suggestions: pd.DataFrame | None = None
    on_error: OnError = "raise"

    @property
    def given(self) -> list[str]:
        """Those that are there."""
        there = {
            "validated": self.validated is not None,
            "baselines": bool(self.baselines),
            "pool": self.pool is not None,
            "suggestions": self.suggestions is not None,
            "on_error": self.on_error != "raise",
        }
        return [name for name, given in there.items() if given]


def lay_out_surrogate(x: Surrogate, extras: Extras, level: float) -> dict[str, Any]:
    """What the template of a surrogate's page is filled in with."""
    for name, table in extras.baselines.items():
        check(table, what=f"baselines[{name!r}]")
    suggestions = extras.suggestions
    found = evidence(x, extras.validated, level)
    return {
        **_heading(x, found, extras.baselines),
        **_accuracy(x, found, extras.baselines),
        **_predictions(x, extras.pool, level, extras.on_error),
        **_sources(x, level),
        "suggested": None if suggestions is None or suggestions.empty else tables.suggested(x, suggestions),
        "asked": suggestions is not None,
        **_provenance(x),
        "level": percent(level),
    }


def _heading(x: Surrogate, found: Evidence | None, baselines: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    schema = x.schema
    quantity = schema.value if schema.source is None else f"{schema.value} ({schema.sources[-1]})"
    return {"title": quantity, "verdict": verdict(x, found, baselines), "tiles": tiles(x, found)}


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


def _sources(x: Surrogate, level: float) -> dict[str, Any]:
    found = contributions(x)
    said = {one.source: sentences for one in found if (sentences := one.sentences())}
    shown = {"links": tables.links(found), "candidates": tables.candidates(x), "weights": tables.weighed(x, level)}
    return {**shown, "sentences": said}


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

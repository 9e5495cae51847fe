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
from mfmat.reports import doubts, drawings, listening, tables
from mfmat.reports.contributions import contributions
from mfmat.reports.evidence import Evidence, check, evidence
from mfmat.reports.listening import check_explained
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
    explained: pd.DataFrame | None = None
    on_error: OnError = "raise"

    @property
    def given(self) -> list[str]:
        """Those that are there."""
        there = {
            "validated": self.validated is not None,
            "baselines": bool(self.baselines),
            "pool": self.pool is not None,
            "suggestions": self.suggestions is not None,
            "explained": self.explained is not None,
            "on_error": self.on_error != "raise",
        }
        return [name for name, given in there.items() if given]


def lay_out_surrogate(x: Surrogate, extras: Extras, level: float) -> dict[str, Any]:
    """What the template of a surrogate's page is filled in with."""
    for name, table in extras.baselines.items():
        check(table, what=f"baselines[{name!r}]")
    if extras.explained is not None:
        check_explained(extras.explained, extras.pool)
    suggestions, pool = extras.suggestions, _predict(x, extras, level)
    found = evidence(x, extras.validated, level)
    return {
        **_heading(x, found, extras.baselines),
        **_accuracy(x, found, extras.baselines),
        **_predictions(x, pool, level),
        **_sources(x, pool, level),
        **_doubts(x, found, pool),
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


@dataclass(frozen=True)
class Pool:
    """Candidates, the highest prediction first: their inputs, what is predicted, and what is known of each."""

    inputs: pd.DataFrame
    predicted: pd.DataFrame
    likeness: pd.Series | None
    explained: pd.DataFrame | None

    @property
    def named(self) -> pd.Series | None:
        """The likeness by name."""
        return None if self.likeness is None else self.likeness.set_axis(labels(self.inputs))


def _predict(x: Surrogate, extras: Extras, level: float) -> Pool | None:
    if extras.pool is None:
        return None
    if x.schema.classes():
        raise SchemaError(
            f"a pool for the label {x.schema.sources[-1]!r}",
            expected="a report without a pool",
            fix="x.predict(pool) gives the probability of each class",
        )
    # Positions, because the pool's own index may repeat itself.
    places = pd.RangeIndex(len(extras.pool))
    said = x.predict(extras.pool.set_axis(places, axis=0), level=level, on_error=extras.on_error)
    said = said.iloc[np.argsort(-said["median"].to_numpy(), kind="stable")]
    inputs = extras.pool.set_axis(places, axis=0).loc[said.index, columns_of(x.schema.featurizers)]
    explained = None if extras.explained is None else extras.explained.set_axis(places, axis=0).loc[said.index]
    return Pool(inputs, said, None if x.measured is None or said.empty else x.novelty(inputs), explained)


def _predictions(x: Surrogate, pool: Pool | None, level: float) -> dict[str, Any]:
    if pool is None:
        return {"predicted": None}
    named = pool.predicted.assign(name=labels(pool.inputs))
    return {
        "predicted": tables.predictions(x, pool.inputs, pool.predicted, level, pool.likeness),
        "ranked": drawings.ranked(named, x.schema.value, x.schema.unit),
    }


def _sources(x: Surrogate, pool: Pool | None, level: float) -> dict[str, Any]:
    found = contributions(x)
    said = {one.source: sentences for one in found if (sentences := one.sentences())}
    shown = {"links": tables.links(found), "candidates": tables.candidates(x), "weights": tables.weighed(x, level)}
    explained = None if pool is None else pool.explained
    weights = explained
    if weights is None:
        weights = pd.DataFrame() if pool is None else listening.shares(x, pool.inputs)
    return {
        **shown,
        "sentences": said,
        "influence": {} if explained is None else listening.influence(explained, x.schema.unit),
        "experts": listening.experts(weights),
        "materials": None if pool is None else listening.each_material(x, pool.inputs, weights, explained),
        "explained": explained is not None,
    }


def _doubts(x: Surrogate, found: Evidence | None, pool: Pool | None) -> dict[str, Any]:
    strange = None
    if pool is not None and pool.likeness is not None:
        strange = doubts.strangers(x, pool.inputs, pool.predicted, pool.likeness)
    said = doubts.doubts(x, found, pool.named if pool else None)
    return {"doubts": said, "families": doubts.families(found), "strangers": strange}


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

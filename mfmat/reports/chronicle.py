"""What there is to tell of a campaign, gathered once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from mfmat.campaign import Campaign
from mfmat.course import judge_rounds, predict_quietly
from mfmat.errors import FitError, MfmatError, SchemaError
from mfmat.features.featurizer import columns_of
from mfmat.frames import plain
from mfmat.progress import track
from mfmat.reports.wording import labels
from mfmat.schema import Schema
from mfmat.status import Status
from mfmat.surrogate import Surrogate

SAMPLED = 500
"""Candidates over which a model's error is averaged at most."""
MODELS = 40
"""Models that are read for the course of that error at most."""
RARE = 0.01
"""Of candidates like those measured, the share that is taken for strange."""


@dataclass(frozen=True)
class Chronicle:
    """A campaign at one moment.

    Attributes:
        campaign: read on demand; nobody should tell it anything meanwhile.
        level: of the intervals.
        status: see `Campaign.status`.
        course: see `Campaign.course`, with the `name` of each material.
        history: see `Campaign.history`, likewise.
    """

    campaign: Campaign = field(repr=False)
    level: float
    status: Status
    course: pd.DataFrame = field(repr=False)
    history: pd.DataFrame = field(repr=False)

    @classmethod
    def of(cls, campaign: Campaign, level: float) -> Chronicle:
        """Read off a campaign."""
        course, history = campaign.course(level), campaign.history()
        name = _naming(campaign)
        named = [table.assign(name=[name(c) for c in table["candidate"]]) for table in (course, history)]
        return cls(campaign, level, campaign.status(), *named)

    @property
    def schema(self) -> Schema:
        """Of the campaign."""
        return self.campaign.schema

    @property
    def target(self) -> str:
        """The source whose values are wanted."""
        return self.schema.sources[-1]

    @property
    def purchases(self) -> pd.DataFrame:
        """The course without its start."""
        return self.course.iloc[1:]

    @property
    def told(self) -> pd.DataFrame:
        """The target values that count, in the order in which they were told."""
        mine = self.purchases
        return mine[(mine["source"] == self.target) & mine["value"].notna()]

    @property
    def judged(self) -> pd.DataFrame:
        """Those of them that were predicted when they were asked for."""
        return self.told[self.told["inside"].notna()]

    @cached_property
    def rounds(self) -> pd.DataFrame:
        """Whether predictions came true, round by round: see `Campaign.calibration`."""
        return judge_rounds(self.course, self.level)

    @property
    def latest(self) -> pd.DataFrame:
        """What is pending, and the rest of the newest round that asked for something."""
        mine = self.purchases
        newest = mine["round"].eq(mine["round"].max()).fillna(False).astype(bool)
        return mine[(mine["state"] == "pending") | newest]

    @cached_property
    def found(self) -> int:
        """The place in the course from which the best value is what it is now."""
        best = self.course["best"].to_numpy(dtype=float)
        other = np.flatnonzero(best != best[-1])
        return int(other[-1]) + 1 if len(other) else 0

    @cached_property
    def best_name(self) -> str:
        """The material of the best value of the target."""
        seen = self.campaign.seen()
        data = self.schema.settle(seen).data(seen)
        row = data.best_row(self.campaign.goal)
        assert row is not None
        return name_rows(self.schema, seen.iloc[[int(data.rows[row])]])[0]

    @cached_property
    def newest(self) -> Surrogate | None:
        """The newest model; None where there is none yet."""
        try:
            return self.campaign.model()
        except SchemaError:
            return None

    @cached_property
    def diagnosis(self) -> pd.DataFrame | str:
        """What each cheap source is worth by all that is measured (`Campaign.diagnose`); why that cannot be told."""
        if len(self.schema.sources) < 2:
            return "there is one source only"
        if self.campaign.seen().empty:
            return "nothing is measured"
        try:
            return self.campaign.diagnose()
        except FitError as error:
            return f"{error.came}, where it takes {error.expected}"

    @cached_property
    def learned(self) -> pd.DataFrame:
        """The mean standard deviation of the target over the pool, by what each model had cost to learn: spent, std."""
        asks = self.history[(self.history["kind"] == "asked") & self.history["round"].notna()]
        firsts = asks.reset_index().groupby("round")["event"].min()
        pool = self.campaign.pool
        pool = pool.iloc[np.unique(np.linspace(0, len(pool) - 1, min(SAMPLED, len(pool))).round().astype(int))]
        answered = self.purchases[self.purchases["state"] != "pending"]
        rows = []
        for number in track(_thinned(firsts.index.tolist()), "asking the models of the rounds"):
            spent = float(answered.loc[answered.index < firsts[number], "cost"].sum())
            try:
                model = self.campaign.model(int(number))
            except SchemaError:
                # The first pairs of a campaign that knows nothing are chosen without a model.
                continue
            rows.append((spent, float(predict_quietly(model, pool, self.level)["std"].mean())))
        return pd.DataFrame(rows, columns=["spent", "std"])

    @cached_property
    def strange(self) -> float | None:
        """The share of candidates unlike anything measured in the target; None where the newest model does not know."""
        if self.newest is None:
            return None
        try:
            return float((self.newest.novelty(self.campaign.pool) < RARE).mean())
        except MfmatError:
            return None


def name_rows(schema: Schema, table: pd.DataFrame) -> list[str]:
    """A name for each row: its material, its only input, its label where that is text, else its inputs.

    >>> import mfmat as mf
    >>> name_rows(mf.Schema(mf.Columns("x y".split()), value="z"), pd.DataFrame({"x": [1], "y": [2]}, index=["film 3"]))
    ['film 3']
    """
    if schema.material and schema.material in table.columns:
        return [str(cell) for cell in table[schema.material]]
    columns = columns_of(schema.featurizers)
    if len(columns) > 1 and all(isinstance(label, str) for label in table.index):
        return table.index.astype(str).tolist()
    return labels(table[columns])


def _naming(campaign: Campaign) -> Callable[[object], str]:
    """The name of a candidate as events have it."""
    pool, schema = campaign.pool, campaign.schema
    labelled = [json.dumps(plain(label)) for label in pool.index]
    known = dict(zip(labelled, name_rows(schema, pool), strict=True))

    def name(candidate: object) -> str:
        if not isinstance(candidate, str):
            return ""
        # What is not in the pool is known by its inputs.
        return known.get(candidate) or name_rows(schema, pd.DataFrame([json.loads(candidate)]))[0]

    return name


def _thinned(rounds: Sequence[int]) -> list[int]:
    places = np.unique(np.linspace(0, len(rounds) - 1, min(MODELS, len(rounds))).round().astype(int))
    return [rounds[place] for place in places]

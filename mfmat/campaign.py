"""Campaign: ask, measure, tell, over months and by several people, with nothing lost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import pandas as pd

from mfmat import campaign_files
from mfmat.accounts import list_costs, list_history, list_pending
from mfmat.acquisitions import Acquisition
from mfmat.amounts import Amount, read_budget, simplest
from mfmat.answers import Catalogue, refuse
from mfmat.asking import ask
from mfmat.auto import Auto
from mfmat.chunks import Chunks
from mfmat.corrections import correct
from mfmat.course import judge_rounds, retrace
from mfmat.diagnosis import diagnose
from mfmat.errors import SchemaError
from mfmat.frames import text_digest, write_frame
from mfmat.journal import Entry, Head, Journal, now
from mfmat.learner import Learner
from mfmat.records import Prices, Records, Settings, check_prices, compare
from mfmat.rounding import recognise
from mfmat.schema import Schema
from mfmat.status import Status, Told
from mfmat.stopping import Rule
from mfmat.suggestion import Goal
from mfmat.surrogate import Surrogate
from mfmat.table_files import read_whole


class Campaign:
    """A search that goes on for months: `ask` for pairs, measure them, `tell` what came out.

    Everything is written into a database before a call returns, and nothing there is ever changed or removed;
    several people and processes may ask and tell at once. `Campaign.create` begins one, `Campaign.open` goes on.

    Attributes:
        schema: what the columns mean, and what each source costs.
        recipe: what is fitted.
        pool: the candidates.
        budget: what all that is asked may cost, a number or one for each unit of the prices; None: without limit.
        goal: `"max"`, `"min"` or `"learn"`.
        seed: of whatever is drawn.
        temperature: of the softmax that pairs are drawn by; 0: always the best.
        acquisition: what an observation is worth; None: the usual one for the goal.
        stop: rules by which it ends.
        prices: `"declared"`, or `"learned"` from what measurements took.

    >>> import tempfile, pandas as pd, mfmat as mf
    >>> seen = pd.DataFrame({"x": [0.0, 0.4, 1.0], "y": [0.1, 0.7, 0.3]})
    >>> pool = pd.DataFrame({"x": [0.2, 0.6, 0.8]}, index=["a", "b", "c"])
    >>> database = f"{tempfile.mkdtemp()}/y.db"
    >>> schema = mf.Schema(mf.Columns("x"), value="y")
    >>> campaign = mf.Campaign.create(database, schema, recipe=mf.GP(), pool=pool, seen=seen, budget=2)
    >>> todo = campaign.ask()
    >>> print(campaign.tell(todo.assign(y=0.9)))
    1 value recorded
    >>> len(mf.Campaign.open(database).seen())
    4
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._records = Records.of(journal)
        self._catalogue = self._records.catalogue
        self.schema, self.pool = self._catalogue.schema, self._catalogue.pool
        settings = self._records.settings
        self.recipe, self.budget, self.goal, self.seed = settings.recipe, settings.budget, settings.goal, settings.seed
        self.temperature, self.acquisition, self.stop = settings.temperature, settings.acquisition, settings.stop
        self.prices = settings.prices

    @classmethod
    def create(
        cls,
        url: str | Path,
        schema: Schema,
        *,
        recipe: Learner | None = None,
        pool: pd.DataFrame | Chunks,
        seen: pd.DataFrame | None = None,
        budget: Amount | None = None,
        goal: Goal = "max",
        seed: int = 0,
        temperature: float = 0.0,
        acquisition: Acquisition | None = None,
        stop: Sequence[Rule] = (),
        prices: Prices = "declared",
        unit: str = "",
    ) -> Self:
        """A new campaign.

        Args:
            url: a file for SQLite, or the URL of a database, as in `postgresql://host/name`.
            schema: what the columns mean, and what each source costs.
            recipe: any learner; `Auto()` unless given.
            pool: candidates with every column that the schema reads off a material; other columns travel along. A
                table, a file (.csv, .json, .parquet) or DataFrames one after the other; the campaign keeps all of it.
            seen: what is measured already.
            budget: what all that is asked may cost at most, `{"money": 5000, "days": 90}` where prices are in units.
            goal: `"max"`, `"min"` or `"learn"`.
            seed: of whatever is drawn.
            temperature: 0 asks for the best pairs; above, pairs are drawn, as `probabilities()` says (see `suggest`).
            acquisition: what an observation is worth; the usual one for the goal unless given.
            stop: rules by which it ends, next to an exhausted pool or budget: `mfmat.stopping`.
            prices: `"declared"`, or `"learned"`: times a factor for each source that the column `duration` of told
                tables (and of `seen`) teaches; what a measurement took is then what was spent on it.
            unit: of the values, where the schema does not say.

        Raises:
            CampaignError: the database holds a campaign already, or cannot be reached.
            TableError: a pool or a start table that cannot be read.
            SchemaError: an unknown goal, a budget or temperature that is none, an acquisition or a rule that
                the goal does not go with, a target that is a label, a source without a price, units without a budget.
        """
        settings = Settings(
            recipe=recipe or Auto(),
            budget=budget,
            goal=goal,
            seed=seed,
            temperature=temperature,
            acquisition=acquisition,
            stop=tuple(stop),
            prices=prices,
        )
        schema = replace(schema, unit=schema.unit or unit)
        if schema.sources[-1] in (schema.kinds or {}):
            raise SchemaError(
                f"a campaign for the label {schema.sources[-1]!r}", expected="a target of values", fix="another target"
            )
        compare(schema, budget)
        candidates = read_whole(pool)
        catalogue = Catalogue(schema, candidates)
        catalogue.check()
        if seen is not None and not seen.empty:
            schema.data(seen)
        check_prices(catalogue, prices, seen)
        text = write_frame(candidates)
        start = None if seen is None or seen.empty else write_frame(seen)
        head = Head(
            created=now(),
            facts=json.dumps({"schema": schema.config(), **settings.config()}, allow_nan=False),
            pool=text,
            pool_sha256=text_digest(text),
            start=start,
            start_sha256=start and text_digest(start),
        )
        return cls(Journal.create(url, head))

    @classmethod
    def open(cls, url: str | Path) -> Self:
        """The campaign in a database.

        Raises:
            CampaignError: there is none, or the database cannot be reached.
        """
        return cls(Journal.open(url))

    @classmethod
    def restore(cls, folder: str | Path, url: str | Path) -> Self:
        """The campaign that `export` wrote into a folder, in a new database.

        Raises:
            CampaignError: the database holds a campaign already, or cannot be reached.
            SavedFileError: a folder that holds no exported campaign, or one that was altered.
        """
        return cls(campaign_files.read(folder, url))

    def export(self, folder: str | Path) -> Path:
        """Write everything as files: `campaign.json` and the models to restore it, CSV tables to read.

        Raises:
            CampaignError: the folder is there already.
        """
        tables = {"pool": self.pool, "seen": self.seen(), "events": self.history()}
        return campaign_files.write(self._journal, folder, tables)

    def ask(self, n: int = 1, *, budget: Amount | None = None, anyway: bool = False) -> pd.DataFrame:
        """The n pairs most worth their price, which from now on are pending.

        The model is fitted and the pairs are chosen without holding anybody up; where another process has asked for
        one of them, or spent the budget, meanwhile, others are chosen by the same model.

        Args:
            n: pairs wanted; fewer come back where no more are open or the budget is short, and `status()` says why.
            budget: what this call may spend at most, a number or one for some of the units.
            anyway: ask also where a rule of `stop` says that the campaign has done its work.

        Returns:
            The pool's columns, the source column, `score`, `cost` (with the set-up, at the first pair of a source) and
            `reason`; the pool's index. Filled in with the value column it is what `tell` takes. Of several units,
            `cost (money)` has the amount in money, and `cost` their sum by the rates.

        Raises:
            SchemaError: n below 1, or a budget that is no price.
            FitError: a recipe that cannot be fitted to what was measured.
            CampaignError: the database cannot be reached; nothing was asked.
        """
        if n < 1:
            raise SchemaError(f"n={n!r}", expected="1 or more", fix="ask(1)")
        limits = read_budget("budget", budget, self.schema.units)
        return ask(self._journal, self._records, n, limits, anyway=anyway)

    def tell(self, table: pd.DataFrame, *, again: bool = False) -> Told:
        """Record what was measured: all of the table or, where anything in it is wrong, nothing.

        Rows without a value stay pending. A row may answer an ask, repeat a measurement, or be of a material that
        nobody asked for. A value that was told of its pair before is taken for the same measurement, so that a
        table told twice, or a file that grows from week to week, records each value once. A row of an asked table whose
        numbers were rounded, to three digits or more, is known again (`mfmat.rounding`).

        Args:
            table: an asked table with the value column filled in (and that of the known noise, where there is one);
                `"<0.5"` for a value below 0.5, where the schema has a column `censored`.
            again: record also values equal to what was told before: they were measured again.

        Returns:
            How many values were recorded, were known before, and are still missing.

        Raises:
            TableError: a missing column, an unknown source, a value that is no finite number, or no value at all.
            CampaignError: the database cannot be reached; nothing was recorded.
        """
        answers, empty = self._catalogue.read_answers(table, "told")
        with self._journal.writing() as log:
            ledger = self._records.ledger(log)
            answers, rounded = recognise(answers, self._catalogue, ledger)
            fresh = answers if again else ledger.news(answers)
            entries = ledger.attribute(fresh, self._records.tariff(ledger).bill)
            log.append(entries)
        human = sum(entry.facts["origin"] == "human" for entry in entries)
        return Told(len(fresh), len(answers) - len(fresh), len(empty), unasked=human, rounded=rounded)

    def correct(self, table: pd.DataFrame, why: str = "") -> int:
        """Replace what was told of these pairs, or known from the start: the new values count, the history keeps all.

        Args:
            table: as for `tell`. All rows of a pair together replace all values of it, so that of replicates each
                that still counts is given.
            why: for the history.

        Returns:
            How many values were recorded; a correction made already is not made again.

        Raises:
            TableError: as `tell`; a pair that was never measured, or with more rows than it was measured.
        """
        answers, _ = self._catalogue.read_answers(table, "corrected")
        return correct(self._journal, self._records, answers, why)

    def fail(self, rows: pd.DataFrame, why: str = "") -> int:
        """Record that these measurements gave no value: the pairs are not asked again, and count as spent.

        Args:
            rows: rows of an asked table.
            why: for the history.

        Returns:
            How many failures were recorded; one that is known already is not recorded again.

        Raises:
            TableError: rows that cannot be read, or a pair that has a value.
        """
        entries = self._catalogue.read_pairs(rows, "failed")
        with self._journal.writing() as log:
            ledger = self._records.ledger(log)
            entries, _ = recognise(entries, self._catalogue, ledger)
            standings = {entry.pair: ledger.pairs.get(entry.pair) for entry in entries}
            told = [entry for entry in entries if (known := standings[entry.pair]) and known.counted]
            refuse(told, "that has a value", "correct(table), where the value is wrong")
            fresh = {e.pair: e for e in entries if not ((known := standings[e.pair]) and known.failure)}
            attributed = ledger.attribute(fresh.values(), self._records.tariff(ledger).bill)
            log.append([replace(entry, facts={**entry.facts, "why": why}) for entry in attributed])
        return len(fresh)

    def withdraw(self, rows: pd.DataFrame, why: str = "") -> int:
        """Take back an ask: the pairs go back to the pool, and their price to the budget.

        Args:
            rows: rows of an asked table that were neither told nor failed.
            why: for the history.

        Returns:
            How many asks were taken back; one that was taken back already does not count again.

        Raises:
            TableError: rows that cannot be read, or a pair that is not pending.
        """
        named = self._catalogue.read_pairs(rows, "withdrawn")
        with self._journal.writing() as log:
            ledger = self._records.ledger(log)
            entries = {entry.pair: entry for entry in recognise(named, self._catalogue, ledger)[0]}
            gone = [e for pair, e in entries.items() if pair in ledger.pairs and ledger.pairs[pair].withdrawn]
            left = [entry for entry in entries.values() if entry not in gone]
            pending = ledger.pending
            refuse([e for e in left if e.pair not in pending], "that is not pending", "pending() lists those")
            log.append([Entry(e.kind, *e.pair, {"why": why, "origin": "human"}, pending[e.pair].round) for e in left])
        return len(left)

    def seen(self) -> pd.DataFrame:
        """Everything measured so far, the start table first, corrections applied: what `fit` takes."""
        with self._journal.reading() as log:
            return self._records.seen(self._records.ledger(log))

    def probabilities(self) -> pd.Series:
        """The probability with which each row of `seen()` was chosen; NaN where it was no model's choice.

        At temperature 0 it is 1. Above, its inverse, times that of an even draw, is a row's weight for
        `Conformal(weights=...)` (Fannjiang et al. 2022, doi:10.1073/pnas.2204569119): a pair of a batch has the
        probability that it was drawn with from what those before it had left.
        """
        with self._journal.reading() as log:
            ledger = self._records.ledger(log)
            index = self._records.seen(ledger).index
            return pd.Series(self._records.probabilities(log, ledger), index=index, name="probability", dtype=float)

    def costs(self) -> pd.DataFrame:
        """What values and failures of each source took, where told tables have a column `duration`, in its units.

        Returns:
            One row for each source: `n`, `median`, `mean` and, for the next one, `lower` and `upper` of the 90%
            interval of a log-normal fit (`mfmat.durations.summarise`); NaN where too few were told. Where prices are
            learned, also the `factor` on declared prices (`mfmat.learned_prices.learn_factor`) and the mean `price`.
        """
        with self._journal.reading() as log:
            return list_costs(self._records, log)

    def diagnose(self) -> pd.DataFrame:
        """What each cheap source is worth by all that is measured so far; see `mfmat.diagnose`.

        Raises:
            FitError: fewer than 10 compounds in the target.
            SchemaError: one source only.
        """
        return diagnose(self.seen(), self.schema, seed=self.seed)

    def pending(self) -> pd.DataFrame:
        """What is asked and not yet told, the oldest first, as `ask` gave it."""
        with self._journal.reading() as log:
            return list_pending(self._records, log)

    def history(self) -> pd.DataFrame:
        """Every event: one row each, in order."""
        with self._journal.reading() as log:
            return list_history(log.events())

    def course(self, level: float = 0.9) -> pd.DataFrame:
        """Everything paid for, in order, after the start (event 0): `cost`, `spent` by then, `value`, `best` so far.

        `median`, `mean`, `std`, `lower`, `upper` (at `level`): what the model that asked expected of the target;
        `inside`: whether it came true. Corrections are applied; what is pending comes last.
        """
        return retrace(self._journal, self._records, level)

    def calibration(self, level: float = 0.9) -> pd.DataFrame:
        """Whether predictions came true, round by round: see `mfmat.course.judge_rounds`."""
        return judge_rounds(self.course(level), level)

    def model(self, round: int | None = None) -> Surrogate:
        """The surrogate that chose the pairs of a round; of the newest that needed one, unless given.

        Raises:
            SchemaError: no such round, or one that needed no model.
        """
        with self._journal.reading() as log:
            return self._records.model(log, round)

    def status(self) -> Status:
        """Where the campaign stands."""
        with self._journal.reading() as log:
            ledger, rounds = self._records.ledger(log), log.rounds()
        best, left = self._records.best(self._records.seen(ledger)), ledger.left(self._records.budget)
        return Status(
            sources={name: ledger.counts(name) for name in self.schema.sources},
            spent=simplest(ledger.spent),
            left=None if left is None else simplest(left),
            best=best,
            rounds=len(rounds),
            note=rounds[-1].note if rounds else "",
            unit=self.schema.unit,
        )

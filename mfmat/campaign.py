"""Campaign: ask, measure, tell, over months and by several people, with nothing lost."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Self

import pandas as pd

from mfmat import campaign_files
from mfmat.accounts import list_costs, list_history, list_pending
from mfmat.acquisitions import Acquisition
from mfmat.amounts import Amount, read_budget, simplest
from mfmat.answering import fail, tell, withdraw
from mfmat.asking import Wish, ask
from mfmat.auto import Auto
from mfmat.chunks import Chunks
from mfmat.corrections import correct
from mfmat.course import judge_rounds, retrace
from mfmat.diagnosis import diagnose
from mfmat.errors import SchemaError
from mfmat.founding import extend, found
from mfmat.journal import Journal
from mfmat.learner import Learner
from mfmat.records import Prices, Records, Settings
from mfmat.schema import Schema
from mfmat.status import Status, Told
from mfmat.stopping import Rule
from mfmat.suggestion import Goal
from mfmat.surrogate import Surrogate


class Campaign:
    """A search that goes on for months: `ask` for pairs, measure them, `tell` what came out.

    Everything is written into a database before a call returns, and nothing there is ever changed or removed;
    several people and processes may ask and tell at once. `Campaign.create` begins one, `Campaign.open` goes on.

    Attributes:
        recipe: what is fitted.
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
        with journal.reading() as log:
            self._known = Records.of(log)
        settings = self._known.settings
        self.recipe, self.goal, self.seed, self.prices = settings.recipe, settings.goal, settings.seed, settings.prices
        self.temperature, self.acquisition, self.stop = settings.temperature, settings.acquisition, settings.stop

    @property
    def schema(self) -> Schema:
        """What the columns mean, and what each source costs by now."""
        return self._records.catalogue.schema

    @property
    def pool(self) -> pd.DataFrame:
        """The candidates by now."""
        return self._records.catalogue.pool

    @property
    def budget(self) -> Amount | None:
        """What all that is asked may cost, by now; None: without limit."""
        return self._records.settings.budget

    @property
    def _records(self) -> Records:
        """What the campaign is by now: others may have extended it."""
        with self._journal.reading() as log:
            if log.extended() != self._known.extended:
                self._known = Records.of(log)
        return self._known

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
        return cls(Journal.create(url, found(schema, settings, pool, seen)))

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

    def extend(
        self,
        *,
        schema: Schema | None = None,
        pool: pd.DataFrame | Chunks | None = None,
        budget: Amount | None = None,
        why: str = "",
    ) -> str:
        """Go on with more candidates, further sources, other prices or another budget, from the next ask.

        An event, as everything: what was asked before keeps the price that it had, and `history()` says what changed.

        Args:
            schema: with further sources anywhere before the target, or other prices, in the same units:
                `dataclasses.replace(campaign.schema, costs={...})`; it reads the same columns.
            pool: further candidates, as for `create`; those that the pool has already are left out, so that a file that
                grew may be given whole. Rows without names of their own are numbered on.
            budget: what all that was and will be asked may cost.
            why: for the history.

        Returns:
            What is new in words; empty, and nothing recorded, where nothing is.

        Raises:
            SchemaError: a schema by which what was told would mean something else; a budget that is none.
            TableError: candidates that cannot be read, or one under the label of another.
            CampaignError: the database cannot be reached; nothing was recorded.
        """
        return extend(self._journal, schema, pool, budget, why)

    def ask(
        self, n: int = 1, *, budget: Amount | None = None, anyway: bool = False, executor: Executor | None = None
    ) -> pd.DataFrame:
        """The n pairs most worth their price, which from now on are pending.

        The model is fitted and the pairs are chosen without holding anybody up; where another process has asked for
        one of them, or spent the budget, meanwhile, others are chosen by the same model.

        Args:
            n: pairs wanted; fewer come back where no more are open or the budget is short, and `status()` says why.
            budget: what this call may spend at most, a number or one for some of the units.
            anyway: ask also where a rule of `stop` says that the campaign has done its work.
            executor: scores the pool in chunks elsewhere, where temperature and acquisition allow for that.

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
        records = self._records
        limits = read_budget("budget", budget, records.catalogue.schema.units)
        return ask(self._journal, records, Wish(n, limits, anyway, executor))

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
        return tell(self._journal, self._records, table, again=again)

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
        records = self._records
        answers, _ = records.catalogue.read_answers(table, "corrected")
        return correct(self._journal, records, answers, why)

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
        return fail(self._journal, self._records, rows, why)

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
        return withdraw(self._journal, self._records, rows, why)

    def seen(self) -> pd.DataFrame:
        """Everything measured so far, the start table first, corrections applied: what `fit` takes."""
        records = self._records
        with self._journal.reading() as log:
            return records.seen(records.ledger(log))

    def probabilities(self) -> pd.Series:
        """The probability with which each row of `seen()` was chosen; NaN where it was no model's choice.

        At temperature 0 it is 1. Above, its inverse, times that of an even draw, is a row's weight for
        `Conformal(weights=...)` (Fannjiang et al. 2022, doi:10.1073/pnas.2204569119): a pair of a batch has the
        probability that it was drawn with from what those before it had left.
        """
        records = self._records
        with self._journal.reading() as log:
            ledger = records.ledger(log)
            index = records.seen(ledger).index
            return pd.Series(records.probabilities(log, ledger), index=index, name="probability", dtype=float)

    def costs(self) -> pd.DataFrame:
        """What values and failures of each source took, where told tables have a column `duration`, in its units.

        Returns:
            One row for each source: `n`, `median`, `mean` and, for the next one, `lower` and `upper` of the 90%
            interval of a log-normal fit (`mfmat.durations.summarise`); NaN where too few were told. Where prices are
            learned, also the `factor` on declared prices (`mfmat.learned_prices.learn_factor`) and the mean `price`.
        """
        records = self._records
        with self._journal.reading() as log:
            return list_costs(records, log)

    def diagnose(self) -> pd.DataFrame:
        """What each cheap source is worth by all that is measured so far; see `mfmat.diagnose`.

        Raises:
            FitError: fewer than 10 compounds in the target.
            SchemaError: one source only.
        """
        return diagnose(self.seen(), self.schema, seed=self.seed)

    def pending(self) -> pd.DataFrame:
        """What is asked and not yet told, the oldest first, as `ask` gave it."""
        records = self._records
        with self._journal.reading() as log:
            return list_pending(records, log)

    def history(self) -> pd.DataFrame:
        """Every event: one row each, in order."""
        with self._journal.reading() as log:
            return list_history(log.everything())

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
        records = self._records
        with self._journal.reading() as log:
            return records.model(log, round)

    def status(self) -> Status:
        """Where the campaign stands."""
        records = self._records
        with self._journal.reading() as log:
            ledger, rounds = records.ledger(log), log.rounds()
        best, left = records.best(records.seen(ledger)), ledger.left(records.budget)
        schema = records.catalogue.schema
        return Status(
            sources={name: ledger.counts(name) for name in schema.sources},
            spent=simplest(ledger.spent),
            left=None if left is None else simplest(left),
            best=best,
            rounds=len(rounds),
            note=rounds[-1].note if rounds else "",
            unit=schema.unit,
        )

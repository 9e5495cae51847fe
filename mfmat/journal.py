"""The journal of a campaign: an append-only log in a database, in which nothing is ever changed or removed."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from mfmat.errors import MfmatError

LOGGER = logging.getLogger("mfmat")
FORMAT = 1
PATIENCE = 60
"""Seconds that a process waits for the lock of another."""
EXTENDED = "extended"
"""The kind of an event that is about no pair: what the campaign is was extended."""
LOCK = 0x6D666D6174
"""The advisory lock of a campaign in PostgreSQL: "mfmat" in ASCII."""

metadata = sql.MetaData()
CAMPAIGN = sql.Table(
    "campaign",
    metadata,
    sql.Column("format", sql.Integer, nullable=False),
    sql.Column("created", sql.Text, nullable=False),
    sql.Column("facts", sql.Text, nullable=False),
    sql.Column("pool", sql.Text, nullable=False),
    sql.Column("pool_sha256", sql.Text, nullable=False),
    sql.Column("start", sql.Text),
    sql.Column("start_sha256", sql.Text),
)
EVENTS = sql.Table(
    "events",
    metadata,
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("time", sql.Text, nullable=False),
    sql.Column("kind", sql.Text, nullable=False),
    sql.Column("round", sql.Integer),
    sql.Column("candidate", sql.Text, nullable=False),
    sql.Column("source", sql.Text, nullable=False),
    sql.Column("facts", sql.Text, nullable=False),
)
ROUNDS = sql.Table(
    "rounds",
    metadata,
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("time", sql.Text, nullable=False),
    sql.Column("recipe", sql.Text, nullable=False),
    sql.Column("seed", sql.BigInteger, nullable=False),
    sql.Column("table_sha256", sql.Text),
    sql.Column("last_event", sql.Integer, nullable=False),
    sql.Column("seconds", sql.Float, nullable=False),
    sql.Column("note", sql.Text, nullable=False),
    sql.Column("model", sql.LargeBinary),
)


class CampaignError(MfmatError, RuntimeError):
    """A campaign that is not there, is there already, or cannot be reached."""


@dataclass(frozen=True)
class Entry:
    """What happened to one pair, before it is written down.

    Attributes:
        kind: asked, told, failed, withdrawn or corrected; extended where it is about no pair.
        candidate: which material, as JSON: its label in the pool's index, or the inputs of one that is not in the pool.
        source: which source of it.
        facts: value, noise, cost, score, probability, reason, origin, why: as far as they apply.
        round: of the ask that this is about; None where nobody asked.
    """

    kind: str
    candidate: str
    source: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    round: int | None = None

    @property
    def pair(self) -> tuple[str, str]:
        """The candidate and the source."""
        return self.candidate, self.source


@dataclass(frozen=True, kw_only=True)
class Event(Entry):
    """An entry as it was written down: numbered from 1 without gaps, at a time in UTC."""

    id: int
    time: str


@dataclass(frozen=True)
class Round:
    """One ask: what it knew, and why it came back short, if it did.

    Attributes:
        id: from 1.
        time: in UTC.
        recipe: as JSON.
        seed: of whatever was drawn.
        table_sha256: of the table that the model was fitted to (and, in an extended campaign, of the schema that it
            was read by); None where none was needed.
        last_event: the newest event that it saw.
        seconds: from the call to the commit.
        note: why fewer pairs came back than were wanted.
    """

    id: int
    time: str
    recipe: str
    seed: int
    table_sha256: str | None
    last_event: int
    seconds: float
    note: str


@dataclass(frozen=True)
class Head:
    """What a campaign is, set once: settings as JSON, pool and start table as text with their SHA-256."""

    created: str
    facts: str
    pool: str
    pool_sha256: str
    start: str | None = None
    start_sha256: str | None = None


class Log:
    """The journal within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def head(self) -> Head:
        """What the campaign is."""
        row = self._connection.execute(sql.select(CAMPAIGN)).one()._asdict()
        if row.pop("format") > FORMAT:
            raise CampaignError(
                "a campaign in a newer format", expected=f"format {FORMAT} or below", fix="upgrade mfmat"
            )
        return Head(**row)

    def events(self, after: int = 0) -> list[Event]:
        """All events about pairs with a greater number, in order."""
        return self._select(EVENTS.c.id > after, EVENTS.c.kind != EXTENDED)

    def extensions(self) -> list[Event]:
        """By what the campaign was extended, in order."""
        return self._select(EVENTS.c.kind == EXTENDED)

    def extended(self) -> int:
        """The number of the newest extension; 0 where there is none."""
        newest = sql.select(sql.func.max(EVENTS.c.id)).where(EVENTS.c.kind == EXTENDED)
        return self._connection.execute(newest).scalar() or 0

    def everything(self) -> list[Event]:
        """All events of both kinds, in order."""
        return self._select()

    def _select(self, *which: sql.ColumnElement[bool]) -> list[Event]:
        query = sql.select(EVENTS).where(*which).order_by(EVENTS.c.id)
        rows = [row._asdict() for row in self._connection.execute(query)]
        return [Event(**{**row, "facts": json.loads(row["facts"])}) for row in rows]

    def append(self, entries: Sequence[Entry], when: str | None = None) -> None:
        """Write entries down, all at the same time."""
        last = self._connection.execute(sql.select(sql.func.max(EVENTS.c.id))).scalar() or 0
        when = when or now()
        self.copy([Event(**_fields(e), id=last + 1 + i, time=when) for i, e in enumerate(entries)])
        for (kind, source), n in Counter((entry.kind, entry.source) for entry in entries).items():
            about = f" of {source}, {n} pair{'s' * (n != 1)}" if source else ""
            LOGGER.info("campaign: %s%s", kind, about)

    def copy(self, events: Sequence[Event]) -> None:
        """Write events down as they are."""
        if events:
            rows = [{**_fields(event), "facts": json.dumps(event.facts, allow_nan=False)} for event in events]
            self._connection.execute(sql.insert(EVENTS), rows)

    def rounds(self) -> list[Round]:
        """All rounds, in order."""
        columns = [column for column in ROUNDS.c if column.name != "model"]
        return [Round(**row._asdict()) for row in self._connection.execute(sql.select(*columns).order_by(ROUNDS.c.id))]

    def add(self, round_: Round, model: bytes | None) -> None:
        """Write a round down, with the model that was fitted for it."""
        self._connection.execute(sql.insert(ROUNDS), {**_fields(round_), "model": model})
        LOGGER.info("campaign: round %d after %.1f s%s", round_.id, round_.seconds, round_.note and f"; {round_.note}")

    def model(self, table_sha256: str | None) -> bytes | None:
        """The model that was fitted to a table; it is kept once, with the first round that needed it."""
        query = sql.select(ROUNDS.c.model).where(ROUNDS.c.table_sha256 == table_sha256, ROUNDS.c.model.is_not(None))
        found = self._connection.execute(query.order_by(ROUNDS.c.id).limit(1)).scalar()
        return None if found is None else bytes(found)

    def models(self) -> dict[int, bytes]:
        """Every model, by the round that needed it first."""
        rows = self._connection.execute(sql.select(ROUNDS.c.id, ROUNDS.c.model).where(ROUNDS.c.model.is_not(None)))
        return {number: bytes(model) for number, model in rows}


class Journal:
    """The database of one campaign; every call is a transaction of its own."""

    def __init__(self, address: str | Path) -> None:
        self._engine = _engine(str(address))
        self.name = self._engine.url.render_as_string(hide_password=True)

    @classmethod
    def create(cls, address: str | Path, head: Head, fill: Callable[[Log], None] = lambda log: None) -> Journal:
        """A new journal, and what `fill` writes into it, whole or not at all.

        Raises:
            CampaignError: the database holds a campaign already, or cannot be reached.
        """
        journal = cls(address)
        with journal._transaction(write=True) as connection:
            if sql.inspect(connection).has_table(CAMPAIGN.name):
                raise CampaignError(
                    f"{journal.name}, which holds a campaign already",
                    expected="a database without one",
                    fix="Campaign.open(...) to go on with it, or another name",
                )
            metadata.create_all(connection)
            connection.execute(sql.insert(CAMPAIGN), {"format": FORMAT, **asdict(head)})
            fill(Log(connection))
        return journal

    @classmethod
    def open(cls, address: str | Path) -> Journal:
        """The journal that is there.

        Raises:
            CampaignError: there is none, or the database cannot be reached.
        """
        journal = cls(address)
        file = journal._engine.url.database if journal._engine.dialect.name == "sqlite" else None
        # SQLite would make an empty file of a misspelt name.
        found = file is None or Path(file).is_file()
        if found:
            with journal._transaction() as connection:
                found = sql.inspect(connection).has_table(CAMPAIGN.name)
        if not found:
            raise CampaignError(
                f"{journal.name}, which holds no campaign",
                expected="a database that Campaign.create made",
                fix="check the name, or Campaign.create(...)",
            )
        return journal

    @contextmanager
    def reading(self) -> Iterator[Log]:
        """A consistent view of everything that was committed."""
        with self._transaction() as connection:
            yield Log(connection)

    @contextmanager
    def writing(self) -> Iterator[Log]:
        """The only writer: committed at the end, or nothing of it where something raises."""
        with self._transaction(write=True) as connection:
            yield Log(connection)

    @contextmanager
    def _transaction(self, *, write: bool = False) -> Iterator[Connection]:
        try:
            with self._engine.connect().execution_options(mfmat_write=write) as connection, connection.begin():
                if write and connection.dialect.name == "postgresql":
                    connection.execute(sql.select(sql.func.pg_advisory_xact_lock(LOCK)))
                yield connection
        except SQLAlchemyError as error:
            raise CampaignError(
                f"{self.name}: {str(getattr(error, 'orig', None) or error).strip()}",
                expected="a database that can be read and written",
                fix="check the address, the rights and the room on the disk; nothing of this call was recorded",
            ) from error


def now() -> str:
    """The time in UTC, with its offset, whatever the zone of the machine."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def _engine(address: str) -> Engine:
    if "://" not in address:
        address = f"sqlite:///{address}"
    scheme, _, rest = address.partition("://")
    # The bare names ask for a driver that mfmat does not bring along.
    scheme = "postgresql+psycopg" if scheme in ("postgres", "postgresql") else scheme
    try:
        engine = sql.create_engine(make_url(f"{scheme}://{rest}"), poolclass=sql.pool.NullPool, **_waiting(scheme))
    except (ArgumentError, ImportError) as error:
        raise CampaignError(
            f"a campaign at {scheme}://...: {error}",
            expected="a file name, or the URL of a database with its driver installed",
            fix='"gap.db", or "postgresql://host/name" after pip install mfmat[postgres]',
        ) from error
    if engine.dialect.name == "sqlite":
        sql.event.listen(engine, "connect", _prepare_sqlite)
        sql.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _waiting(scheme: str) -> dict[str, Any]:
    return {"connect_args": {"timeout": PATIENCE}} if scheme.startswith("sqlite") else {}


def _prepare_sqlite(connection: Any, _: object) -> None:
    # Python's driver would begin transactions by itself, and too late to lock.
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous = EXTRA")


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("mfmat_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

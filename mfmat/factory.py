"""Many models of many tables for a library: each table encoded once, networks of one shape trained side by side."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Container, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, as_completed
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import get_args

import pandas as pd

from mfmat.architectures import draw_recipes
from mfmat.card import digest, make_card, trace_origin
from mfmat.data import Data
from mfmat.datasets import load
from mfmat.descent import few_threads
from mfmat.entry_facts import FACTS, Facts, gather_facts
from mfmat.errors import FitError, MfmatWarning, SchemaError, check_choice, warn
from mfmat.experts.together import fit_together, form_of, remembering
from mfmat.learner import Learner
from mfmat.novelty import Novelty
from mfmat.packing import pack
from mfmat.progress import track
from mfmat.schema import Schema
from mfmat.skipping import OnError
from mfmat.surrogate import Surrogate

Tasks = Mapping[str, tuple[pd.DataFrame, Schema]] | Sequence[str]
"""Tables with what their columns mean, by name; or names that `mfmat.datasets.load` takes."""
PARTS = 5
"""One of so many parts of the target's compounds is kept from all models of a table."""
A_CHUNK = 16
"""Models that are trained, and added, at a time."""
OF_TASK = ("task", "seed", "hidden", "views", "split", "test_rows")
"""Facts that every trained entry has."""


class TrainWarning(MfmatWarning):
    """Tasks of which some models could not be trained, and why."""


@dataclass(frozen=True)
class Made:
    """A model that was trained, as it stands in a library.

    Attributes:
        name: of the entry.
        content: the packed surrogate.
        facts: what is known of it.
    """

    name: str
    content: bytes
    facts: Facts


@dataclass(frozen=True)
class Order:
    """What is the same for all tasks.

    Attributes:
        seed: of the compounds kept from the models, and of the recipes that are drawn.
        on_error: of rows that cannot be read, and of tasks that fail.
        told: facts of every entry.
    """

    seed: int
    on_error: OnError
    told: Facts

    def read(self, tasks: Tasks, name: str) -> Task:
        """The task of that name."""
        table, schema = tasks[name] if isinstance(tasks, Mapping) else load(name)
        return Task(name, table, schema.settle(table), **vars(self))


@dataclass(frozen=True)
class Task:
    """One table of which models are wanted.

    Attributes:
        name: of the task.
        table, schema: what is learned from.
        seed, on_error, told: see `Order`.
    """

    name: str
    table: pd.DataFrame
    schema: Schema
    seed: int
    on_error: OnError
    told: Facts

    @cached_property
    def sha256(self) -> str:
        """Of all that the models of one recipe depend on."""
        known = [self.name, digest(self.table), self.schema.config(), self.seed, PARTS]
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()

    @property
    def number(self) -> int:
        """The seed of the recipes that are drawn for it: another for each name."""
        return int.from_bytes(hashlib.sha256(f"{self.seed} {self.name}".encode()).digest()[:4])

    def entry(self, recipe: Learner) -> str:
        """The name of a recipe's entry: the same recipe on the same table has the same."""
        text = json.dumps(recipe.config(), sort_keys=True) + self.sha256
        plain = re.sub(r"[^\w.+]+", "-", self.name).strip("-.") or "task"
        return f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def split(self) -> tuple[Data, Data]:
        """The rows to learn from, and those of the compounds that are kept from all models.

        Raises:
            TableError: cells that cannot be read.
            FitError: a single compound, or labels.
        """
        data = self.schema.data(self.table, on_error=self.on_error)
        if self.schema.classes():
            raise FitError(f"{self.name!r}, whose target is a label", expected="values", fix="mf.fit and library.add")
        parts = data.split(PARTS, self.seed)
        if len(parts) < 2:
            raise FitError(f"{len(parts)} compounds in {self.name!r}", expected="at least 2", fix="a larger table")
        return data.without(parts[0]), data.take(data.scored(parts[:1])[0])


def produce(
    tasks: Tasks, recipes: int | Sequence[Learner], taken: Container[str], order: Order, executor: Executor | None
) -> Iterator[list[Made]]:
    """Models whose entries are not taken, some at a time; see `Library.train`."""
    check_choice("on_error", order.on_error, get_args(OnError))
    if wrong := sorted(set(order.told) & set(OF_TASK)):
        raise SchemaError(
            f"the fact {wrong[0]!r}, which every trained entry has", expected="a name that is free", fix="another name"
        )
    failed: dict[str, Exception] = {}
    wanted = []
    for name in tasks:
        try:
            wanted.append(_plan(order.read(tasks, name), recipes, taken))
        except Exception as error:
            # Whatever is wrong with one table is no reason to lose the others.
            _note(failed, name, error, order)
    models, steps = sum(len(c) for _, chunks in wanted for c in chunks), sum(len(chunks) for _, chunks in wanted)
    with closing(_train(wanted, executor)) as results:
        for task, made in track(results, f"training {models} models", steps):
            if isinstance(made, list):
                yield made
            else:
                _note(failed, task.name, made, order)
    if failed:
        first, why = next(iter(failed.items()))
        warn(
            TrainWarning,
            f"{len(failed)} of {len(tasks)} tasks not trained whole ({', '.join(failed)}); {first}: {why}",
            expected="tables and recipes that can be fitted",
            fix='on_error="raise" stops at the first; the same call trains only what is missing',
        )


def _note(failed: dict[str, Exception], name: str, error: Exception, order: Order) -> None:
    if order.on_error == "raise":
        raise error
    failed.setdefault(name, error)


def _plan(task: Task, recipes: int | Sequence[Learner], taken: Container[str]) -> tuple[Task, list[list[Learner]]]:
    """What is to be trained of a task, in chunks.

    Chunks are made of all recipes and then rid of what there is: a network trained again beside the same others, as
    after a kill, is the same to the bit.
    """
    drawn = draw_recipes(recipes, task.number) if isinstance(recipes, int) else recipes
    alike: dict[Learner, list[Learner]] = {}
    for recipe in dict.fromkeys(drawn):
        alike.setdefault(form_of(recipe) or recipe, []).append(recipe)
    chunks = [same[i : i + A_CHUNK] for same in alike.values() for i in range(0, len(same), A_CHUNK)]
    missing = [[recipe for recipe in chunk if task.entry(recipe) not in taken] for chunk in chunks]
    return task, [chunk for chunk in missing if chunk]


def _train(
    wanted: Sequence[tuple[Task, list[list[Learner]]]], executor: Executor | None
) -> Generator[tuple[Task, list[Made] | Exception]]:
    """Each chunk as it is finished, or why it could not be trained."""
    pending: dict[Future[list[Made] | Exception], Task] = {}
    try:
        for task, chunks in wanted:
            if not chunks:
                continue
            parts = _split(task)
            if isinstance(parts, Exception):
                yield from ((task, parts) for _ in chunks)
            elif executor is None:
                yield from ((task, _make(task, parts, chunk)) for chunk in chunks)
            else:
                pending |= {executor.submit(_make, task, parts, chunk): task for chunk in chunks}
        for future in as_completed(pending):
            yield pending[future], _outcome(future)
    finally:
        for future in pending:
            future.cancel()


def _outcome(future: Future[list[Made] | Exception]) -> list[Made] | Exception:
    try:
        return future.result()
    except Exception as error:
        # A worker that was lost.
        return error


def _split(task: Task) -> tuple[Data, Data] | Exception:
    try:
        return task.split()
    except Exception as error:
        return error


def _make(task: Task, parts: tuple[Data, Data], recipes: Sequence[Learner]) -> list[Made] | Exception:
    """The entries of some recipes, or why there are none."""
    try:
        # On one thread a result does not depend on the machine's cores, and workers do not crowd each other.
        with few_threads(0):
            models = fit_together(recipes, parts[0])
            origin = trace_origin(task.table, task.schema, parts[0])
            origin["provenance"]["split"] = {"parts": PARTS, "seed": task.seed}
            with remembering(models):
                cards = [make_card(task.table, task.schema, parts[0], m, test=parts[1], origin=origin) for m in models]
            fitted = [Surrogate(r, task.schema, m, c) for r, m, c in zip(recipes, models, cards, strict=True)]
            return [_pack(task, parts, each) for each in fitted]
    except Exception as error:
        return error


def _pack(task: Task, parts: tuple[Data, Data], fitted: Surrogate) -> Made:
    data, test = parts
    if fitted.model.evidence() is not None:
        fitted = replace(fitted, measured=Novelty.of_target(data))
    own = fitted.recipe.config()
    told = dict.fromkeys(OF_TASK) | {"task": task.name, "seed": own.get("seed"), "views": ", ".join(task.schema.views)}
    told |= {"hidden": ", ".join(map(str, own["hidden"])) if "hidden" in own else None}
    told |= {"test_rows": len(test), "split": f"1 of {PARTS} parts of the compounds kept from it, seed {task.seed}"}
    facts = gather_facts(fitted, {"property": task.name} | told | task.told)
    return Made(task.entry(fitted.recipe), pack(fitted, {FACTS: json.dumps(facts, allow_nan=False).encode()}), facts)

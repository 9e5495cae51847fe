"""A pool larger than memory: scored chunk after chunk, of which the best candidates are kept."""

from __future__ import annotations

import json
import math
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.torch import load, save
from torch import Tensor

from mfmat.acquisitions import Acquisition
from mfmat.choosing import free_first, per_cost
from mfmat.chunks import ROWS, Chunks, count_chunks, read_chunks, read_once
from mfmat.elsewhere import OneCore
from mfmat.errors import Problem, SchemaError, TableError, check_choice
from mfmat.learner import FittedModel, Learner
from mfmat.pool import Pool
from mfmat.progress import track
from mfmat.prospects import Prospects
from mfmat.purse import Purse
from mfmat.schema import Schema
from mfmat.skipping import OnError, warn_skipped

LEAST, EACH = 1000, 50
"""Candidates kept for each source: so many at least, and so many for each pair wanted."""
AHEAD = 2 * (os.cpu_count() or 1)
"""Chunks that other processes work on or wait for."""
Chunk = pd.DataFrame | Pool
"""Rows of a pool, as they came or read before."""


@dataclass(frozen=True)
class Question:
    """What every chunk is asked; small enough to be sent with each.

    Attributes:
        schema: that reads the chunk.
        acquisition: that scores its pairs.
        best: the best values measured in the target; None where nothing was.
        asked: pairs believed before (k x (d+1)).
        purse: what a pair may cost at most.
        seed: of whatever the acquisition draws.
        on_error: as of `Schema.encode`.
        reference: candidates that stand for the whole pool (r x (d+1)); None: none are needed.
    """

    schema: Schema
    acquisition: Acquisition
    measured_means: Sequence[float]
    asked: Tensor
    purse: Purse
    seed: int = 0
    on_error: OnError = "raise"
    reference: Tensor | None = None

    def score(self, model: FittedModel, chunk: Chunk, start: int) -> Scored:
        """What becomes of a chunk whose first row has this position in the pool."""
        pool, rows, problems = _read(self.schema, chunk, start, self.on_error)
        if pool is None:
            m = len(self.schema.sources)
            return Scored(rows, np.zeros(0, dtype=np.int64), np.zeros((0, m)), (-math.inf, math.inf), problems)
        # A set-up changes nothing in the order of a source's pairs of one price.
        price = self.purse.price(pool.costs)
        prospects = Prospects(model, pool.X, self.measured_means, self.seed, self.reference, prices=price)
        means = float(prospects.mean.max()), float(prospects.mean.min())
        for row in self.asked:
            prospects.believe(row)
        score = per_cost(self.acquisition.log_utility(prospects)[: len(pool.X)], price)
        score = torch.where(self.purse.affords(pool.costs), free_first(score, price == 0), -math.inf)
        return Scored(rows, pool.keys.numpy(), score.numpy(), means, problems)


@dataclass(frozen=True)
class Scored:
    """A chunk that was scored.

    Attributes:
        rows: positions in the chunk of the candidates that can be read (n).
        keys: their materials (n).
        scores: by which their pairs are ordered (n x m).
        means: the largest and the smallest mean of the target.
        problems: the cells that cannot be read.
    """

    rows: NDArray[np.int64]
    keys: NDArray[np.int64]
    scores: NDArray[np.float64]
    means: tuple[float, float]
    problems: Sequence[Problem]


@dataclass(frozen=True)
class Sent:
    """A fitted model on its way to another process: what it is restored from, without what it has computed since."""

    state: bytes = field(repr=False)
    facts: str = field(repr=False)
    recipe: Learner = field(compare=False)


@dataclass
class Shortlist:
    """The candidates that are best in some source, of all chunks so far.

    Attributes:
        size: candidates kept for each source.
        gone: materials measured in each source that may be chosen, by its fidelity.
        table: the rows kept, in the order of the pool.
        positions: of these rows in the pool.
        means: the largest and the smallest mean of the target in the pool.
        reference: candidates that stand for the whole pool; None: none are needed.
    """

    size: int
    gone: Mapping[int, Tensor]
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    positions: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    means: tuple[float, float] = (-math.inf, math.inf)
    reference: Tensor | None = None
    _scores: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    _known: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def take(self, chunk: Chunk, start: int, scored: Scored, chance: pd.Series | None) -> None:
        """Take in a chunk, and keep the best of it and of what was kept before."""
        again = pd.Series(scored.keys).duplicated().to_numpy() | _among(scored.keys, self._known)
        # Of two runs in order, a stable sort is a merge.
        self._known = np.sort(np.concatenate([self._known, np.sort(scored.keys[~again])]), kind="stable")
        scores = np.full_like(scored.scores, -math.inf)
        for fidelity, keys in self.gone.items():
            gone = again | _among(scored.keys, np.sort(keys.numpy()))
            scores[:, fidelity] = np.where(gone, -math.inf, scored.scores[:, fidelity])
        if chance is not None:
            given = chance.to_numpy(float)[start + scored.rows]
            scores = scores + np.log(np.maximum(given, 1e-300))[:, None]
        self.means = max(self.means[0], scored.means[0]), min(self.means[1], scored.means[1])
        new = self._best(scores)
        scores = np.concatenate([self._scores.reshape(-1, scores.shape[1]), scores[new]])
        kept = self._best(scores)
        rows = _table(chunk).iloc[scored.rows[new]]
        # A slice would keep the whole chunk alive.
        both = pd.concat([self.table, rows]) if len(self.table) else rows
        self.table, self._scores = both.iloc[kept].copy(), scores[kept]
        self.positions = np.concatenate([self.positions, start + scored.rows[new]])[kept]

    def _best(self, scores: NDArray[np.float64]) -> NDArray[np.int64]:
        """Positions of those that are among the best in some source, in order."""
        order = np.argsort(-scores, axis=0, kind="stable")[: self.size]
        possible = np.take_along_axis(scores, order, axis=0) > -math.inf
        return np.unique(order[possible])


def shorten(
    pool: Chunk | Chunks,
    question: Question,
    shortlist: Shortlist,
    fitted: tuple[Learner, FittedModel],
    *,
    chance: pd.Series | None = None,
    executor: Executor | None = None,
) -> Shortlist:
    """The shortlist of a whole pool.

    Args:
        pool: a table, one in chunks, or one read before, whose own prices then count.
        question: what every chunk is asked.
        shortlist: an empty one.
        fitted: a recipe and its model.
        chance: for each row of the pool the probability that a measurement there gives a value.
        executor: that scores chunks elsewhere.

    Raises:
        TableError: a pool without candidates, or cells that cannot be read.
        SchemaError: an acquisition that needs the whole pool, or one that reads it twice where that cannot be.
    """
    check_choice("on_error", question.on_error, get_args(OnError))
    question = _with_reference(pool, question)
    shortlist.reference = question.reference
    problems: list[Problem] = []
    rows = 0
    chunks = track(_read_chunks(pool), "scoring", _count_chunks(pool))
    for start, chunk, scored in _scored(chunks, question, fitted, executor):
        shortlist.take(chunk, start, scored, chance)
        problems += scored.problems
        rows = start + len(_table(chunk))
    if not rows:
        raise TableError("an empty pool", expected="at least one candidate", fix="check the filter before it")
    bad = len({problem.position for problem in problems})
    if bad == rows:
        raise TableError.of(problems)
    if bad:
        warn_skipped(problems, bad, rows, fix="mend those cells")
    return shortlist


def _read_chunks(pool: Chunk | Chunks) -> Iterator[tuple[int, Chunk]]:
    """Each chunk, with the position of its first row in the whole pool."""
    if isinstance(pool, Pool):
        return pool.parts(ROWS)
    if isinstance(pool, pd.DataFrame):
        return ((start, pool.iloc[start : start + ROWS]) for start in range(0, len(pool), ROWS))
    return read_chunks(pool)


def _count_chunks(pool: Chunk | Chunks) -> int | None:
    return math.ceil(len(_table(pool)) / ROWS) if isinstance(pool, Chunk) else count_chunks(pool)


def _table(chunk: Chunk) -> pd.DataFrame:
    return chunk.table if isinstance(chunk, Pool) else chunk


def _among(keys: NDArray[np.int64], ordered: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which keys are among those in order."""
    if not len(ordered):
        return np.zeros(len(keys), dtype=bool)
    at = np.searchsorted(ordered, keys).clip(max=len(ordered) - 1)
    found: NDArray[np.bool_] = ordered[at] == keys
    return found


def _with_reference(pool: Chunk | Chunks, question: Question) -> Question:
    """The question with a sample of the whole pool, where its acquisition asks for one."""
    wanted = question.acquisition.context
    if wanted is None:
        raise SchemaError(
            f"a pool in chunks for {type(question.acquisition).__name__}, which compares all candidates at once",
            expected='"max", "min", "learn", or an acquisition that looks at one candidate after the other',
            fix="give the pool as one DataFrame, without an executor",
        )
    if not wanted:
        return question
    if read_once(pool):
        raise SchemaError(
            f"chunks that can be read only once for {type(question.acquisition).__name__}, which first draws a sample",
            expected="a file, or an object that gives the chunks again each time",
            fix="a path, a list of DataFrames, or a class whose __iter__ makes them",
        )
    random, sample, drawn = np.random.default_rng(question.seed), pd.DataFrame(), np.zeros(0)
    for _, chunk in _read_chunks(pool):
        table = _table(chunk)
        numbers = random.random(len(table))
        new = np.argsort(numbers)[:wanted]
        sample = pd.concat([sample, table.iloc[new]]) if len(sample) else table.iloc[new]
        drawn = np.concatenate([drawn, numbers[new]])
        order = np.argsort(drawn)[:wanted]
        sample, drawn = sample.iloc[order].copy(), drawn[order]
    read = _read(question.schema, sample, 0, "skip")[0] if len(sample) else None
    return question if read is None else replace(question, reference=read.X)


def _scored(
    chunks: Iterator[tuple[int, Chunk]],
    question: Question,
    fitted: tuple[Learner, FittedModel],
    executor: Executor | None,
) -> Iterator[tuple[int, Chunk, Scored]]:
    """Each chunk with its scores, in order."""
    recipe, model = fitted
    if executor is None:
        for start, chunk in chunks:
            yield start, chunk, question.score(model, chunk, start)
        return
    state = {name: tensor.detach().clone().contiguous() for name, tensor in model.state_dict().items()}
    sent = Sent(save(state), json.dumps(model.facts), recipe)
    waiting: deque[tuple[int, Chunk, Future[Scored]]] = deque()
    try:
        for start, chunk in chunks:
            # What was read before needs no table to be scored by.
            bare = replace(chunk, table=chunk.table.iloc[:0]) if isinstance(chunk, Pool) else chunk
            waiting.append((start, chunk, executor.submit(OneCore(_score), sent, question, bare, start)))
            if len(waiting) >= AHEAD:
                yield _finished(waiting)
        while waiting:
            yield _finished(waiting)
    finally:
        for *_, future in waiting:
            future.cancel()


def _finished(waiting: deque[tuple[int, Chunk, Future[Scored]]]) -> tuple[int, Chunk, Scored]:
    start, chunk, future = waiting.popleft()
    return start, chunk, future.result()


def _score(sent: Sent, question: Question, chunk: Chunk, start: int) -> Scored:
    return question.score(_restore(sent), chunk, start)


@lru_cache(maxsize=1)
def _restore(sent: Sent) -> FittedModel:
    return sent.recipe.restore(json.loads(sent.facts), load(sent.state))


def _read(
    schema: Schema, chunk: Chunk, start: int, on_error: OnError
) -> tuple[Pool | None, NDArray[np.int64], list[Problem]]:
    """What of a chunk can be read, its rows, and what cannot be, by its position in the whole pool."""
    if isinstance(chunk, Pool):
        return (chunk if len(chunk.rows) else None), chunk.rows, []
    rows, problems = np.arange(len(chunk)), list[Problem]()
    while len(rows):
        try:
            return Pool.read(schema, chunk.iloc[rows]), rows, problems
        except TableError as error:
            if not error.problems:
                raise
            at = [rows[problem.position] for problem in error.problems]
            found = [replace(p, position=start + int(row)) for p, row in zip(error.problems, at, strict=True)]
            if on_error == "raise":
                raise TableError.of(found) from None
            problems += found
            rows = np.setdiff1d(rows, at)
    return None, rows, problems

"""suggest: the stateless ask."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Literal, get_args

import pandas as pd
import torch
from torch import Tensor

from mfmat.acquisitions import Acquisition, Improvement, VarianceReduction
from mfmat.choosing import Choice, Terms, choose
from mfmat.chunks import ROWS, Chunks
from mfmat.data import material_keys
from mfmat.errors import SchemaError, check_choice
from mfmat.pool import Pool
from mfmat.prospects import Prospects
from mfmat.shards import EACH, LEAST, Question, Shortlist, shorten
from mfmat.skipping import OnError
from mfmat.surrogate import Surrogate

LEVEL = 0.9
Goal = Literal["max", "min", "learn"]


def suggest(
    surrogate: Surrogate,
    pool: pd.DataFrame | Pool | Chunks,
    n: int = 1,
    *,
    goal: Goal | Acquisition = "max",
    sources: Sequence[str] | None = None,
    pending: pd.DataFrame | None = None,
    budget: float | None = None,
    chance: pd.Series | None = None,
    first: str | None = None,
    temperature: float = 0.0,
    seed: int = 0,
    on_error: OnError = "raise",
    executor: Executor | None = None,
) -> pd.DataFrame:
    r"""The n (candidate, source) pairs most worth their price, one after the other.

    Every candidate of the pool in every source is scored by utility / cost, the utility being about the
    target alone: `Improvement` for `goal="max"` or `"min"`, `VarianceReduction` for `"learn"`. After each
    choice its expected outcome is believed (`Prospects.believe`), so that the next teaches something else. Pairs
    at cost 0 come first, by utility. Pairs that were measured already, or that tell nothing about the
    target, are left out, so fewer than n rows may come back.

    A pool larger than memory comes as a file or as DataFrames one after the other. Each chunk is scored once, and the
    max(1000, 50 n) best candidates of each source are kept, among which the pairs are then chosen as above. In memory
    are, at a time, two chunks (with an executor two more for each core), what is kept, and eight bytes for each
    material, by which one that comes again is known. Up to rounding, the first pair is that of the whole pool in
    memory. So are the others as long as they are among those kept: what is believed of one pair may lift the score of
    another, and no bound on that is computed. Where no value of the target was measured, a chunk is scored against the
    best that is expected in it, so that even the first pair is the same only if it is among those kept. `"learn"`
    reads the pool twice, first to draw the sample that its variance is averaged over.

    Args:
        surrogate: fitted.
        pool: candidates, with the schema's input columns; other columns travel along. A `Pool` was read before. A path
            to a `.csv` or (with pyarrow) `.parquet` file, or any iterable of DataFrames, is read in chunks; chunks
            whose indices count from 0 are numbered on, any other index is kept.
        n: pairs wanted.
        goal: `"max"`, `"min"`, `"learn"` the target over the whole pool, or an acquisition.
        sources: those that may be suggested; all unless given.
        pending: rows with the schema's input and source columns that are being measured: they are not suggested
            again, and are believed to come out as expected.
        budget: what all pairs together may cost at most.
        chance: for each row of the pool the probability that a measurement there gives a value; the utility is
            multiplied by it.
        first: the source of the first pair, where it has one to suggest; any unless given.
        temperature: 0 takes the best pair; above, pairs are drawn with probability proportional to
            $score^{1 / temperature}$, which is recorded.
        seed: of those draws, and of whatever an acquisition draws.
        on_error: `"raise"`, or `"skip"` to leave out candidates that cannot be read, with a warning.
        executor: encodes and scores chunks elsewhere, each process on one core; a DataFrame, too, is then taken in
            chunks.

    Returns:
        The pool's columns, the source column, and `score` (utility per unit of cost), `cost`, `reason`;
        `attrs["probability"]` has the probability with which each row was chosen, `attrs["highest"]` the highest
        score of all pairs before the first was, `attrs["tells"]` for each source the largest share of the target's
        variance that any open pair would take away at its own candidate.

    Raises:
        TableError: an empty pool, a missing column, or cells that cannot be read.
        SchemaError: an unknown goal; a target that is a label; a pool in chunks with a temperature, with an
            acquisition that compares all candidates with each other, or, to learn, that can be read only once.
        UnknownNameError: a source that the schema does not know.

    >>> import mfmat as mf
    >>> known = pd.DataFrame({"x": [0.0, 0.2, 0.4, 0.6], "y": [0.0, 0.5, 0.8, 0.9]})
    >>> surrogate = mf.fit(known, mf.Schema(mf.Columns("x"), value="y"), mf.GP())
    >>> chunks = (pd.DataFrame({"x": [k / 8, k / 8 + 0.05]}) for k in range(8))  # made when it is their turn
    >>> suggest(surrogate, chunks, n=2)[["x", "source"]]
            x source
    14  0.875      y
    11  0.675      y
    """
    schema = surrogate.schema
    if schema.classes():
        raise SchemaError(
            f"suggestions for the label {schema.sources[-1]!r}",
            expected="a target of values",
            fix="choose by the probabilities of predict(pool)",
        )
    acquisition, best, reference = _acquisition(goal), surrogate.card["best"], None
    asked = torch.zeros(0, 1).double() if pending is None or pending.empty else _asked(surrogate, pending)
    gone, most = _gone(surrogate, asked, sources), math.inf if budget is None else budget
    if executor is not None or not isinstance(pool, pd.DataFrame | Pool):
        _check_temperature(temperature)
        question = Question(schema, acquisition, best, asked, most, seed, on_error)
        few = Shortlist(max(LEAST, EACH * n), gone)
        fitted = surrogate.recipe, surrogate.model
        shorten(_in_chunks(pool), question, few, fitted, chance=chance, executor=executor)
        if few.table.empty:
            return _table(surrogate, few.table, [], [])
        pool, reference = few.table, few.reference
        measured = {end: value for end, value in (best or {}).items() if value is not None}
        best = {"max": few.means[0], "min": few.means[1], **measured}
        chance = None if chance is None else chance.iloc[few.positions]
    known = pool if isinstance(pool, Pool) else Pool.read(schema, pool, on_error=on_error)
    terms = Terms(
        costs=known.costs,
        open=_open(known, gone),
        chance=None if chance is None else torch.from_numpy(chance.to_numpy(float)[known.rows]),
        budget=most,
        first=None if first is None else schema.fidelity(first),
        temperature=temperature,
        seed=seed,
    )
    if n < 1 or not bool(terms.open.any()):
        return _table(surrogate, known.table.iloc[:0], [], [])
    prospects = Prospects(surrogate.model, known.X, best, seed, reference)
    for row in asked:
        prospects.believe(row)
    told = torch.where(terms.open, prospects.tells[: len(terms.open)], -math.inf).amax(0)
    choices = choose(prospects, acquisition, terms, n)
    meanings = [acquisition.meaning(choice.utility, prospects, schema.unit) for choice in choices]
    rows = known.rows[[choice.candidate for choice in choices]]
    table = _table(surrogate, known.table.iloc[rows], choices, meanings)
    table.attrs["tells"] = dict(zip(schema.sources, told.tolist(), strict=True))
    return table


def _acquisition(goal: Goal | Acquisition) -> Acquisition:
    if isinstance(goal, Acquisition):
        return goal
    check_choice("goal", goal, get_args(Goal))
    return VarianceReduction() if goal == "learn" else Improvement(maximize=goal == "max")


def _asked(surrogate: Surrogate, pending: pd.DataFrame) -> Tensor:
    """The pairs that are being measured, as rows at their fidelities (k x (d+1))."""
    schema = surrogate.schema
    X = schema.encode(pending)[0][:, 0]
    column = schema.source or "source"
    names = pending[column].astype(str) if column in pending else [schema.sources[-1]] * len(pending)
    X[:, -1] = torch.tensor([schema.fidelity(name) for name in names], dtype=X.dtype)
    return X


def _in_chunks(pool: pd.DataFrame | Pool | Chunks) -> Chunks:
    table = pool.table if isinstance(pool, Pool) else pool
    if not isinstance(table, pd.DataFrame):
        return table
    return [table.iloc[start : start + ROWS] for start in range(0, len(table), ROWS)]


def _check_temperature(temperature: float) -> None:
    if temperature:
        raise SchemaError(
            f"temperature={temperature!r} for a pool in chunks, of which only the best candidates are kept",
            expected="a temperature of 0",
            fix="give the pool as one DataFrame, without an executor",
        )


def _gone(surrogate: Surrogate, asked: Tensor, sources: Sequence[str] | None) -> dict[int, Tensor]:
    """The materials that were or are being measured, in each source that may be suggested."""
    schema, gone = surrogate.schema, {}
    under_way = material_keys(asked, schema.material_column)
    for name in schema.sources if sources is None else sources:
        fidelity = schema.fidelity(name)
        seen = torch.tensor(surrogate.card["seen"][name], dtype=torch.long)
        gone[fidelity] = torch.cat([seen, under_way[asked[:, -1] == fidelity]])
    return gone


def _open(pool: Pool, gone: Mapping[int, Tensor]) -> Tensor:
    """The pairs of first candidates that are neither measured nor being measured (n x m)."""
    open_ = torch.zeros_like(pool.costs, dtype=torch.bool)
    for fidelity, keys in gone.items():
        open_[:, fidelity] = pool.first & ~torch.isin(pool.keys, keys)
    return open_


def _table(
    surrogate: Surrogate, rows: pd.DataFrame, choices: Sequence[Choice], meanings: Sequence[str]
) -> pd.DataFrame:
    schema, table = surrogate.schema, rows.copy()
    names = [schema.sources[choice.fidelity] for choice in choices]
    reasons = []
    if choices:
        # What is suggested may be far from all that is known: that is what it is suggested for.
        predicted = surrogate.predict(table, level=LEVEL, noise=False)
        said = (row for _, row in predicted.iterrows())
        reasons = [_reason(surrogate, *each) for each in zip(choices, meanings, said, strict=True)]
    table[schema.source or "source"] = names
    table["score"] = [choice.score for choice in choices]
    table["cost"] = [choice.cost for choice in choices]
    table["reason"] = reasons
    table.attrs["probability"] = [choice.probability for choice in choices]
    table.attrs["highest"] = choices[0].highest if choices else math.nan
    return table


def _reason(surrogate: Surrogate, choice: Choice, meaning: str, predicted: pd.Series) -> str:
    schema = surrogate.schema
    target, name = schema.sources[-1], schema.sources[choice.fidelity]
    if name == target:
        source = f"measures {target} itself"
    else:
        source = f"{name} explains {choice.tells:.0%} of what is uncertain about {target} here"
    said = f"{target} predicted {predicted['median']:.3g} ({predicted['lower']:.3g} to {predicted['upper']:.3g})"
    scores = {each: score for each, score in zip(schema.sources, choice.scores, strict=True) if not math.isnan(score)}
    others = ", ".join(f"{each} {score:.2g}" for each, score in scores.items() if each != name)
    instead = f"; per unit of cost: {name} {choice.score:.2g}, {others}" if others else ""
    return f"{f'{said} {schema.unit}'.strip()}; {meaning}; {source}{instead}"

"""suggest: the stateless ask."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Literal, get_args

import pandas as pd
import torch
from torch import Tensor

from mfmat.acquisitions import Acquisition, Hypervolume, Improvement, VarianceReduction
from mfmat.amounts import Amount, add, read_budget, say
from mfmat.choosing import Choice, Terms, choose
from mfmat.chunks import Chunks
from mfmat.costs import cost_columns
from mfmat.data import material_keys
from mfmat.errors import SchemaError, check_choice
from mfmat.objectives import check_alike, join
from mfmat.pool import Pool
from mfmat.prospects import Known, Prospects
from mfmat.purse import Purse
from mfmat.shards import EACH, LEAST, Question, Shortlist, shorten
from mfmat.skipping import OnError
from mfmat.surrogate import Surrogate

LEVEL = 0.9
SHARE = 0.2
"""Of what was measured, where there is one source: what comes near the best of it counts as an improvement."""
Goal = Literal["max", "min", "learn"]


def suggest(
    surrogate: Surrogate | Sequence[Surrogate],
    pool: pd.DataFrame | Pool | Chunks,
    n: int = 1,
    *,
    goal: Goal | Acquisition = "max",
    sources: Sequence[str] | None = None,
    pending: pd.DataFrame | None = None,
    seen: pd.DataFrame | Sequence[pd.DataFrame] | None = None,
    budget: Amount | None = None,
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
    choice it is taken for asked (`Prospects.believe`), so that the next teaches something else. Pairs
    at cost 0 come first, by utility. Pairs that were measured already, or that tell nothing about the
    target, are left out, so fewer than n rows may come back.

    Several surrogates are of several values that the same measurements give: columns of one table, fitted with schemas
    that share all but the value, its noise, unit and floor. The utility is then that of `Hypervolume`, which looks for
    the best compromises; a pair is left out once all of its values were measured.

    A pool larger than memory comes as a file or as DataFrames one after the other. Each chunk is scored once, and the
    max(1000, 50 n) best candidates of each source are kept, among which the pairs are then chosen as above. In memory
    are, at a time, two chunks (with an executor two more for each core), what is kept, and eight bytes for each
    material, by which one that comes again is known. Up to rounding, the first pair is that of the whole pool in
    memory (of a source with a set-up, where all its pairs have one price). So are the others as long as they are among
    those kept: what is believed of one pair may lift the score of another, and no bound on that is computed. Where no
    value of the target was measured, a chunk is scored against the best that is expected in it, so that even the first
    pair is the same only if it is among those kept. `"learn"`
    reads the pool twice, first to draw the sample that its variance is averaged over.

    Args:
        surrogate: fitted; or one for each of several values.
        pool: candidates, with the schema's input columns; other columns travel along. A `Pool` was read before,
            and its prices count. A path to a `.csv` or (with pyarrow) `.parquet` file, or any iterable of DataFrames,
            is read in chunks; chunks whose indices count from 0 are numbered on, any other index is kept.
        n: pairs wanted.
        goal: `"max"`, `"min"`, `"learn"` the target over the whole pool, or an acquisition; of several values `"max"`
            is `Hypervolume()`, `"min"` the same with all of them small.
        sources: those that may be suggested; all unless given.
        pending: rows with the schema's input and source columns that are being measured: they are not suggested
            again, and what they will tell is not to be learned twice.
        seen: the table that the surrogate was fitted to, or one for each; needed once it was loaded, by acquisitions
            that look at what was measured (`NoisyImprovement`, `Hypervolume`).
        budget: what all pairs together may cost at most, set-ups included: a number or, where prices are in units, one
            for each unit. Of several units each needs a budget or a rate (`Schema(rates=...)`): a price is the sum of
            the shares of the budgets that it takes.
        chance: for each row of the pool the probability that a measurement there gives a value; the utility is
            multiplied by it.
        first: the source of the first pair, where it has one to suggest; any unless given.
        temperature: 0 takes the best pair; above, pairs are drawn with probability proportional to
            $score^{1 / temperature}$, which is recorded.
        seed: of those draws, and of whatever an acquisition draws.
        on_error: `"raise"`, or `"skip"` to leave out candidates that cannot be read, with a warning.
        executor: encodes and scores chunks elsewhere, each process on one core; a DataFrame or a `Pool`, too, is then
            taken in chunks.

    Returns:
        The pool's columns, the source column, and `score` (utility per unit of cost), `cost` (with the set-up, at the
        first pair of a source that has one), `reason`, with what `predict` says of a new measurement at 90%; where
        prices are in several units, `cost` is the sum by their rates, and `cost (money)` the amount in money;
        `attrs["probability"]` has the probability with which each row was chosen, `attrs["highest"]` the highest
        score of all pairs before the first was, `attrs["tells"]` for each source the largest share of the target's
        variance that any open pair would take away at its own candidate.

    Raises:
        TableError: an empty pool, a missing column, or cells that cannot be read.
        SchemaError: an unknown goal; a target that is a label; prices in units that cannot be compared; a pool in
            chunks with a temperature, with an acquisition that compares all candidates with each other or looks at what
            was measured, or, to learn, that can be read only once; surrogates that do not belong together.
        UnknownNameError: a source that the schema does not know.

    >>> import mfmat as mf
    >>> known = pd.DataFrame({"x": [0.0, 0.2, 0.4, 0.6], "y": [0.0, 0.5, 0.8, 0.9]})
    >>> surrogate = mf.fit(known, mf.Schema(mf.Columns("x"), value="y"), mf.GP())
    >>> chunks = (pd.DataFrame({"x": [k / 8, k / 8 + 0.05]}) for k in range(8))  # made when it is their turn
    >>> suggest(surrogate, chunks, n=2)[["x", "source"]]
            x source
    14  0.875      y
    9   0.550      y
    """
    several = [surrogate] if isinstance(surrogate, Surrogate) else list(surrogate)
    acquisition = _acquisition(goal, several)
    first_of, schema = several[0], several[0].schema
    means, reference = first_of.card["means"], None
    asked = torch.zeros(0, 1).double() if pending is None or pending.empty else _asked(first_of, pending)
    gone = _gone(several, asked, sources)
    purse = Purse.of(schema, read_budget("budget", budget, schema.units))
    rates = dict(zip(schema.units, purse.rates.tolist(), strict=True))
    if executor is not None or not isinstance(pool, pd.DataFrame | Pool):
        _check_chunks(temperature, acquisition)
        question = Question(schema, acquisition, means, asked, purse, seed, on_error)
        few = Shortlist(max(LEAST, EACH * n), gone)
        fitted = first_of.recipe, first_of.model
        shorten(pool, question, few, fitted, chance=chance, executor=executor)
        if few.table.empty:
            return _table(several, few.table, [], [], rates)
        reference, means = few.reference, means or sorted(few.means)
        if isinstance(pool, Pool):
            pool = pool.at(few.positions)
        else:
            pool, chance = few.table, None if chance is None else chance.iloc[few.positions]
    known = pool if isinstance(pool, Pool) else Pool.read(schema, pool, on_error=on_error)
    terms = Terms(
        costs=known.costs,
        open=_open(known, gone),
        purse=purse,
        chance=None if chance is None else torch.from_numpy(chance.to_numpy(float)[known.rows]),
        first=None if first is None else schema.fidelity(first),
        temperature=temperature,
        seed=seed,
    )
    if n < 1 or not bool(terms.open.any()):
        return _table(several, known.table.iloc[:0], [], [], rates)
    prospects = Prospects(
        first_of.model,
        known.X,
        means,
        seed,
        reference,
        known=_known(several, seen) if acquisition.remembers else None,
        others=[Prospects(each.model, known.X, each.card["means"], seed) for each in several[1:]],
        prices=purse.price(known.costs),
    )
    for row in asked:
        prospects.believe(row)
    told = _told(prospects, terms.open)
    choices = choose(prospects, acquisition, terms, n)
    meanings = [acquisition.meaning(choice.utility, prospects, _unit(several)) for choice in choices]
    rows = known.rows[[choice.candidate for choice in choices]]
    table = _table(several, known.table.iloc[rows], choices, meanings, rates)
    table.attrs["tells"] = dict(zip(schema.sources, told.tolist(), strict=True))
    return table


def _acquisition(goal: Goal | Acquisition, several: Sequence[Surrogate]) -> Acquisition:
    """What is asked of every pair, where it can be asked of these surrogates."""
    if not several:
        raise SchemaError(
            "no surrogate", expected="one, or one for each value", fix="suggest([strength, ductility], ...)"
        )
    for each in several:
        if each.schema.classes():
            raise SchemaError(
                f"suggestions for the label {each.schema.sources[-1]!r}",
                expected="a target of values",
                fix="choose by the probabilities of predict(pool)",
            )
    check_alike([each.schema for each in several])
    if isinstance(goal, Acquisition):
        acquisition = goal
    else:
        check_choice("goal", goal, get_args(Goal))
        acquisition = _usual(goal, several)
    if acquisition.several != (len(several) > 1):
        raise SchemaError(
            f"{type(acquisition).__name__} of {len(several)} value{'s' * (len(several) > 1)}",
            expected="several surrogates for Hypervolume, one for every other acquisition",
            fix="goal=Hypervolume() with [strength, ductility]" if len(several) > 1 else 'goal="max"',
        )
    return acquisition


def _usual(goal: Goal, several: Sequence[Surrogate]) -> Acquisition:
    if goal == "learn":
        return VarianceReduction()
    if len(several) > 1:
        return Hypervolume(minimize=() if goal == "max" else tuple(each.schema.value for each in several))
    # Of one source what is best is found sooner, and more of it, by what comes near the best, too.
    return Improvement(maximize=goal == "max", share=SHARE if len(several[0].schema.sources) == 1 else 0.0)


def _known(several: Sequence[Surrogate], seen: pd.DataFrame | Sequence[pd.DataFrame] | None) -> Known:
    """What was measured in the target."""
    tables = [seen] * len(several) if seen is None or isinstance(seen, pd.DataFrame) else list(seen)
    if len(tables) != len(several):
        raise SchemaError(
            f"{len(tables)} tables seen by {len(several)} surrogates",
            expected="the table that each was fitted to",
            fix="seen=[...] in the order of the surrogates",
        )
    data = [each.recall(table) for each, table in zip(several, tables, strict=True)]
    return join(data, [each.schema.value for each in several])


def _asked(surrogate: Surrogate, pending: pd.DataFrame) -> Tensor:
    """The pairs that are being measured, as rows at their fidelities (k x (d+1))."""
    schema = surrogate.schema
    X = schema.encode(pending)[0][:, 0]
    column = schema.source or "source"
    names = pending[column].astype(str) if column in pending else [schema.sources[-1]] * len(pending)
    X[:, -1] = torch.tensor([schema.fidelity(name) for name in names], dtype=X.dtype)
    return X


def _check_chunks(temperature: float, acquisition: Acquisition) -> None:
    wrong = f"temperature={temperature!r}" if temperature else type(acquisition).__name__
    if temperature or acquisition.remembers or acquisition.several:
        raise SchemaError(
            f"{wrong} for a pool in chunks, of which only the best candidates are kept",
            expected="a temperature of 0, and one value that is looked at candidate by candidate",
            fix="give the pool as one DataFrame, without an executor",
        )


def _gone(several: Sequence[Surrogate], asked: Tensor, sources: Sequence[str] | None) -> dict[int, Tensor]:
    """The materials of which all values were or are being measured, in each source that may be suggested."""
    schema, gone = several[0].schema, {}
    under_way = material_keys(asked, schema.material_column)
    for name in schema.sources if sources is None else sources:
        fidelity = schema.fidelity(name)
        seen = [torch.tensor(_seen(each, fidelity), dtype=torch.long) for each in several]
        measured = seen[0]
        for other in seen[1:]:
            measured = measured[torch.isin(measured, other)]
        gone[fidelity] = torch.cat([measured, under_way[asked[:, -1] == fidelity]])
    return gone


def _seen(surrogate: Surrogate, fidelity: int) -> list[int]:
    found: list[int] = surrogate.card["seen"][surrogate.schema.sources[fidelity]]
    return found


def _open(pool: Pool, gone: Mapping[int, Tensor]) -> Tensor:
    """The pairs of first candidates that are neither measured nor being measured (n x m)."""
    open_ = torch.zeros(pool.costs.shape[:2], dtype=torch.bool)
    for fidelity, keys in gone.items():
        open_[:, fidelity] = pool.first & ~torch.isin(pool.keys, keys)
    return open_


def _told(prospects: Prospects, open_: Tensor) -> Tensor:
    """For each source the largest share of a value's variance that an open pair would take away (m)."""
    tells = torch.stack([each.tells[: len(open_)] for each in prospects.objectives]).amax(0)
    return torch.where(open_, tells, -math.inf).amax(0)


def _unit(several: Sequence[Surrogate]) -> str:
    """Of a utility: that of the value, or of the volume of several."""
    units = [each.schema.unit for each in several]
    return "·".join(units) if all(units) else ""


def _table(
    several: Sequence[Surrogate],
    rows: pd.DataFrame,
    choices: Sequence[Choice],
    meanings: Sequence[str],
    rates: Mapping[str, float],
) -> pd.DataFrame:
    schema, table = several[0].schema, rows.copy()
    names = [schema.sources[choice.fidelity] for choice in choices]
    reasons = []
    if choices:
        # What is suggested may be far from all that is known: that is what it is suggested for.
        predicted = [each.predict(table, level=LEVEL) for each in several]
        said = [[row for _, row in each.iterrows()] for each in predicted]
        reasons = [_reason(several, *each) for each in zip(choices, meanings, zip(*said, strict=True), strict=True)]
    own = [dict(zip(schema.units, choice.cost, strict=True)) for choice in choices]
    setups = [dict(zip(schema.units, choice.setup, strict=True)) for choice in choices]
    table[schema.source or "source"] = names
    table["score"] = [choice.score for choice in choices]
    for name, cells in cost_columns([add(both) for both in zip(own, setups, strict=True)], rates).items():
        table[name] = cells
    table["reason"] = reasons
    table.attrs["paid"] = [{"cost": each, "setup": setup} for each, setup in zip(own, setups, strict=True)]
    table.attrs["probability"] = [choice.probability for choice in choices]
    table.attrs["chance"] = [choice.chance for choice in choices]
    table.attrs["highest"] = choices[0].highest if choices else math.nan
    return table


def _reason(several: Sequence[Surrogate], choice: Choice, meaning: str, predicted: Sequence[pd.Series]) -> str:
    schema = several[0].schema
    target, name = schema.sources[-1], schema.sources[choice.fidelity]
    whats = [target] if len(several) == 1 else [each.schema.value for each in several]
    if name == target:
        source = f"measures {target} itself" if len(several) == 1 else f"measures {' and '.join(whats)} themselves"
    else:
        shares = [
            f"{told:.0%} of what is uncertain about {what}" for told, what in zip(choice.tells, whats, strict=True)
        ]
        source = f"{name} explains {' and '.join(shares)} here"
    said = [
        f"{what} predicted {row['median']:.3g} ({row['lower']:.3g} to {row['upper']:.3g}) {each.schema.unit}".strip()
        for what, row, each in zip(whats, predicted, several, strict=True)
    ]
    scores = {each: score for each, score in zip(schema.sources, choice.scores, strict=True) if not math.isnan(score)}
    others = ", ".join(f"{each} {score:.2g}" for each, score in scores.items() if each != name)
    instead = f"; per unit of cost: {name} {choice.score:.2g}, {others}" if others else ""
    setup = {unit: x for unit, x in zip(schema.units, choice.setup, strict=True) if x}
    opened = f"; sets up {name} for this batch ({say(setup)})" if setup else ""
    works = "" if choice.chance is None else f"; gives a value with a probability of {choice.chance:.0%}"
    return f"{', '.join(said)}; {meaning}; {source}{instead}{works}{opened}"

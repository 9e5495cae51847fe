"""backtest: know beforehand, by replay, whether a campaign would have paid."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, as_completed
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from mfmat.acquisitions import Improvement
from mfmat.amounts import Amount, read_budget
from mfmat.card import digest
from mfmat.data import Data
from mfmat.elsewhere import OneCore
from mfmat.errors import SavedFileError, SchemaError, TableError
from mfmat.experts import GP
from mfmat.outcomes import BASELINES, Backtest
from mfmat.policies import Ask, Policy, Random
from mfmat.progress import track
from mfmat.replay import StartBy, Terms, replay
from mfmat.schema import Schema
from mfmat.suggestion import Goal
from mfmat.world import World

LOGGER = logging.getLogger("mfmat")
SHARE = 0.2
"""Of the target's materials, held out to test on where the goal is to learn and no test is given."""


def backtest(
    table: pd.DataFrame,
    schema: Schema,
    policies: Policy | Sequence[Policy] | None = None,
    *,
    budget: Amount | None = None,
    goal: Goal = "max",
    seeds: int | Sequence[int] = 20,
    start: int = 3,
    start_by: StartBy = "random",
    batch: int = 1,
    stop: Literal["best", "budget"] | float = "best",
    cost: str | None = None,
    test: float | pd.DataFrame | None = None,
    given: str | Sequence[str] = (),
    path: str | Path | None = None,
    executor: Executor | None = None,
) -> Backtest:
    """Replay campaigns on a table of known values: what would each policy have paid and found?

    A campaign begins with a few materials measured in every source, the same ones for all policies of a seed. Then
    the policy asks for (material, source) pairs, is told their values from the table and pays for them. It sees no
    value before that, and can ask only pairs that have one. `Random()` and a GP on the target alone with expected
    improvement, as `"random"` and `"single-fidelity"`, are always among the policies.

    Args:
        table: known values, one a row; the more of the (material, source) pairs have one, the better.
        schema: what the columns mean.
        policies: one or several; `Ask()` unless given: what `suggest` does with `Auto()`.
        budget: what a campaign may pay, the start included (`500` or `{"money": 500}`); None: whatever it takes.
        goal: `"max"`, `"min"` or `"learn"` the target.
        seeds: campaigns of each policy, or their seeds.
        start: materials measured in every source at the beginning.
        start_by: `"random"`, or `"farthest"`: one at random, each further one farthest from those before, by the
            standardised inputs.
        batch: pairs at each ask.
        stop: `"best"`: a campaign ends when it has measured the best material at the target; a number: that share of
            the best 5%; `"budget"`: when nothing can be paid any more. To learn always does the last.
        cost: column with what each row really costs; the policies see the schema's prices. None: those are paid.
            Set-ups (`Schema(setup=...)`) are paid once an ask, on top.
        test: for `goal="learn"`: target rows to test on, or a share of the target's materials (0.2 unless given), drawn
            by the seed; they are never asked.
        given: cheap sources of which every value is there already and costs nothing, such as a public table.
        path: a file that each finished run is written to as one line of JSON; a second call goes on where the first
            was stopped.
        executor: where the runs take place; here, one after the other, unless given.

    Raises:
        TableError: as `fit`; a table without values of the target.
        SchemaError: options that contradict each other; two policies of one name; prices in several units.
        SavedFileError: a file at `path` that was made of other inputs.

    >>> import numpy as np, pandas as pd, mfmat as mf
    >>> x = np.linspace(0, 1, 12)
    >>> table = pd.DataFrame({"x": x, "y": np.sin(6 * x)})
    >>> runs = backtest(table, mf.Schema(mf.Columns("x"), value="y"), Random(name="luck"), seeds=2, start=2)
    >>> runs.policies
    ['luck', 'random', 'single-fidelity']
    """
    if goal == "learn":
        test, stop = SHARE if test is None else test, "budget"
    share = float(test) if isinstance(test, int | float) else None
    named = (given,) if isinstance(given, str) else tuple(given)
    world = World.of(table, schema, cost)
    limit = None if budget is None else sum((read_budget("budget", budget, world.schema.units) or {}).values())
    said = {"goal": goal, "budget": limit, "start": start, "start_by": start_by}
    terms = Terms(**said, batch=batch, stop=stop, test=share, given=named)  # type: ignore[arg-type]
    _check_given(named, world.schema)
    rows = _tested(test, world) if isinstance(test, pd.DataFrame) else None
    known = _with_baselines(policies, world.schema, goal)
    numbers = range(seeds) if isinstance(seeds, int) else seeds
    journal = _Journal(path, _digest(table, world, terms, cost, test), known)
    wanted = [(name, seed) for seed, name in product(map(int, numbers), known) if (name, seed) not in journal.runs]
    task = partial(_run, world, terms, rows)
    for name, seed, steps in track(_runs(task, known, wanted, executor), "replaying campaigns", len(wanted)):
        journal.add(name, seed, steps)
        LOGGER.info("backtest: %s with seed %d, %d steps", name, seed, len(steps))
    done = {(name, int(seed)): journal.runs[name, int(seed)] for name, seed in product(known, numbers)}
    return Backtest(_table(done, world), terms.config(), world.dearest)


def _run(world: World, terms: Terms, test: Data | None, policy: Policy, seed: int) -> list[dict[str, Any]]:
    return replay(world, terms, test, policy, seed)


def _runs(
    task: Any, policies: dict[str, Policy], wanted: Sequence[tuple[str, int]], executor: Executor | None
) -> Iterator[tuple[str, int, list[dict[str, Any]]]]:
    """The steps of each run, as they are finished."""
    if executor is None:
        for name, seed in wanted:
            yield name, seed, task(policies[name], seed)
        return
    pending = {executor.submit(OneCore(task), policies[name], seed): (name, seed) for name, seed in wanted}
    for future in as_completed(pending):
        yield *pending[future], future.result()


class _Journal:
    """Finished runs, kept in memory and, where a path is given, in a file."""

    def __init__(self, path: str | Path | None, inputs: str, policies: dict[str, Policy]) -> None:
        self.path, self.inputs, self.policies = Path(path) if path else None, inputs, policies
        self.runs: dict[tuple[str, int], list[dict[str, Any]]] = {}
        if self.path and self.path.exists():
            self._read(self.path)

    def add(self, name: str, seed: int, steps: list[dict[str, Any]]) -> None:
        """Keep one run."""
        self.runs[name, seed] = steps
        if self.path is None:
            return
        head = {"inputs": self.inputs, "policy": self.policies[name].config(), "name": name, "seed": seed}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(head | {"steps": steps}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _read(self, path: Path) -> None:
        lines = path.read_bytes().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            # The process was killed while it wrote: that run is done again.
            lines = lines[:-1]
            path.write_bytes(b"".join(lines))
        for number, line in enumerate(lines):
            run = json.loads(line)
            policy = self.policies.get(run["name"])
            same = run["inputs"] == self.inputs
            if not same or (policy and run["policy"] != json.loads(json.dumps(policy.config()))):
                what = f"policy {run['name']!r}" if same else "table, schema or terms"
                raise SavedFileError(
                    f"{path}, line {number + 1}, made of another {what}",
                    expected="the inputs of this call",
                    fix="another path, or remove the file",
                )
            self.runs[run["name"], run["seed"]] = run["steps"]


def _with_baselines(policies: Policy | Sequence[Policy] | None, schema: Schema, goal: Goal) -> dict[str, Policy]:
    """The policies by name, the baselines last."""
    given = [Ask()] if policies is None else [policies] if isinstance(policies, Policy) else list(policies)
    target = schema.sources[-1:]
    textbook = None if goal == "learn" else Improvement(maximize=goal == "max")
    baselines: dict[str, Policy] = {
        BASELINES[0]: Random(name=BASELINES[0]),
        BASELINES[1]: Ask(GP(), sources=target, goal=textbook, name=BASELINES[1]),
    }
    for policy in given:
        policy.check(schema)
        if [each.name for each in given].count(policy.name) > 1 or baselines.get(policy.name, policy) != policy:
            raise SchemaError(
                f"another policy of the name {policy.name!r}",
                expected=f"different names, and {BASELINES[0]!r} and {BASELINES[1]!r} for the baselines",
                fix='Ask(..., name="mine")',
            )
    return {policy.name: policy for policy in given if policy.name not in baselines} | baselines


def _check_given(given: Sequence[str], schema: Schema) -> None:
    if schema.sources[-1] in given:
        raise SchemaError(
            f"given={given[list(given).index(schema.sources[-1])]!r}, the target",
            expected="cheap sources: what is given cannot be asked",
            fix="leave the target out",
        )
    for name in given:
        schema.fidelity(name)


def _tested(test: pd.DataFrame, world: World) -> Data:
    rows = world.schema.data(test)
    at_target = rows.take(rows.fidelity == rows.target)
    if not len(at_target):
        raise TableError("a test without values of the target", expected="some", fix="test=0.2 holds some out")
    return at_target


def _digest(table: pd.DataFrame, world: World, terms: Terms, cost: str | None, test: Any) -> str:
    """Of everything that the steps of a run depend on, but the policy and the seed."""
    tested = digest(test) if isinstance(test, pd.DataFrame) else None
    said = [digest(table), world.schema.config(), terms.config(), cost, tested]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _table(runs: dict[tuple[str, int], list[dict[str, Any]]], world: World) -> pd.DataFrame:
    columns = ["step", "material", "source", "cost", "total_cost", "value", "best", "regret", "top", "seconds"]
    columns += ["median", "lower", "upper", "inside", "mae", "crps", "coverage"]
    rows = [{"policy": name, "seed": seed, **step} for (name, seed), steps in runs.items() for step in steps]
    table = pd.DataFrame(rows).reindex(columns=["policy", "seed", *columns])
    table["material"] = world.index[table["material"].to_numpy(dtype=np.int64)]
    numbers = [name for name in columns if name not in ("step", "material", "source", "inside")]
    table[numbers] = table[numbers].astype(float)
    inside = table["value"].between(table["lower"], table["upper"]).astype(object)
    table["inside"] = inside.where(table["median"].notna(), None)
    return table

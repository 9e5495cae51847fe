"""Replay: a campaign on a table of known values, each of them shown only once it has been paid for."""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from mfmat.data import Data, at_fidelity, material_keys
from mfmat.descent import few_threads
from mfmat.errors import MfmatWarning, SchemaError, check_choice
from mfmat.metrics import coverage, crps, mae
from mfmat.policies import Answer, Policy, Situation
from mfmat.suggestion import Goal
from mfmat.world import World

LEVEL = 0.9
"""Of the intervals that what is asked is compared with."""
FACTOR = 1.5
"""Asks, in multiples of those at the last test, after which what was learned is tested again."""
TOP = 0.05
"""Share of the materials that count as the best ones."""
StartBy = Literal["random", "farthest"]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a campaign is for, and when it ends.

    Attributes:
        goal: `"max"`, `"min"` or `"learn"`.
        budget: what may be paid in all; None: whatever it takes.
        start: materials that are measured in every source before the first ask.
        start_by: `"random"`, or `"farthest"`: one at random, each further one as far as can be from those before.
        batch: pairs at each ask.
        stop: `"best"`: when the best material has been measured at the target; a number: when that share of the best
            5% has been; `"budget"`: when nothing can be paid any more.
        test: share of the target's materials that are never asked, to test on; None: no such share.
        given: cheap sources of which every value is known beforehand, for nothing, those of the test, too.

    Raises:
        SchemaError: an option that is none of these.
    """

    goal: Goal
    budget: float | None
    start: int
    start_by: StartBy
    batch: int
    stop: Literal["best", "budget"] | float
    test: float | None
    given: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choice("goal", self.goal, ("max", "min", "learn"))
        check_choice("start_by", self.start_by, ("random", "farthest"))
        for name in ("start", "batch"):
            if getattr(self, name) < 1:
                raise SchemaError(f"{name}={getattr(self, name)}", expected="1 or more", fix=f"{name}=1")
        if isinstance(self.stop, str):
            check_choice("stop", self.stop, ("best", "budget"))
        elif not 0 < self.stop <= 1:
            raise SchemaError(f"stop={self.stop}", expected="a share above 0, at most 1", fix="stop=0.5")
        if self.test is not None and not 0 < self.test < 1:
            raise SchemaError(f"test={self.test}", expected="a share between 0 and 1, or a table", fix="test=0.2")
        if self.budget is not None and not self.budget > 0:
            raise SchemaError(f"budget={self.budget}", expected="more than 0", fix="leave it out for no limit")

    def config(self) -> dict[str, Any]:
        """These terms as JSON."""
        said = asdict(self) | {"given": list(self.given)}
        # Runs written down before there were given sources are still of the same terms.
        return {name: value for name, value in said.items() if value or name != "given"}


@dataclass(frozen=True)
class Ranking:
    """What there is to find.

    Attributes:
        gain: each material's value at the target, large where it is good; NaN where there is none.
        best: the greatest of them.
        top: whether a material is among the best 5%.
    """

    gain: NDArray[np.float64] = field(repr=False)
    best: float
    top: NDArray[np.bool_] = field(repr=False)

    @classmethod
    def of(cls, value: NDArray[np.float64], goal: Goal) -> Ranking:
        """The ranking of values (NaN: none) for a goal; where that is to learn, large values come first."""
        gain = -value if goal == "min" else value
        known = np.sort(gain[~np.isnan(gain)])[::-1]
        least = known[math.ceil(TOP * len(known)) - 1]
        return cls(gain, float(known[0]), gain >= least)


def replay(world: World, terms: Terms, test: Data | None, policy: Policy, seed: int) -> list[dict[str, Any]]:
    """The steps of one campaign, as JSON: what was measured at which cost, and what had been expected.

    Args:
        world: what is known, and shown piece by piece.
        terms: what the campaign is for.
        test: rows of the target to test on, where they are not a share of the world.
        policy: who chooses.
        seed: of the start, of the share held out, and of whatever the policy draws.
    """
    # Sums differ in their last bits with the number of threads: a run is the same wherever it takes place.
    with few_threads(0), warnings.catch_warnings():
        warnings.simplefilter("ignore", MfmatWarning)
        campaign = _Campaign(world, terms, test, seed)
        campaign.begin()
        answer, asks = None, 0
        campaign.examine(policy, asks)
        while not campaign.over:
            situation = campaign.situation(asks)
            began = time.perf_counter()
            answer = policy.ask(situation, terms.batch, answer)
            seconds = time.perf_counter() - began
            asks += 1
            campaign.pay(answer, asks, seconds)
            campaign.examine(policy, asks)
        return campaign.steps


class _Campaign:
    """One campaign under way: what is measured, what may be asked, what is left to pay with."""

    def __init__(self, world: World, terms: Terms, test: Data | None, seed: int) -> None:
        self.world, self.terms, self.seed = world, terms, seed
        self.rng = np.random.default_rng([seed])
        self.closed = world.place < 0
        self.test = test
        if terms.test is not None:
            self._hold_out(terms.test)
        elif test is not None:
            shared = torch.isin(world.keys, material_keys(test.X, test.material))
            self.closed[shared.numpy()] = True
        self.ranking = Ranking.of(np.where(self.closed[:, -1], np.nan, world.target), terms.goal)
        self.seen = self._given()
        self.steps: list[dict[str, Any]] = []
        self.spent, self.best, self.found = 0.0, -math.inf, np.zeros(len(world), dtype=bool)
        self.over, self.due = False, 0
        self.prices = np.array([world.schema.prices[name] for name in world.schema.sources]) + world.setup
        self.opened: set[tuple[int, int]] = set()

    @property
    def open(self) -> NDArray[np.bool_]:
        """What may be asked: a value that is there, not known yet, at a price that is left."""
        return ~self.closed & (self.prices <= self._left())

    def begin(self) -> None:
        """Measure the first materials in every source."""
        able = np.flatnonzero(~self.closed[:, -1])
        for material in self._first(able):
            for fidelity in np.flatnonzero(~self.closed[material]):
                self.over = self.over or not self._measure(int(material), int(fidelity), step=0)
        self._end()

    def situation(self, asks: int) -> Situation:
        """What a policy may know now."""
        world = self.world
        return Situation(
            seen=world.rows.iloc[self.seen],
            pool=world.pool,
            open=pd.DataFrame(self.open, columns=list(world.schema.sources)),
            keys=world.keys,
            schema=world.schema,
            goal=self.terms.goal,
            seed=(self.seed, asks),
            left=None if self.terms.budget is None else self._left(),
        )

    def pay(self, answer: Answer, step: int, seconds: float) -> None:
        """Measure what was asked for, but for what the budget does not reach."""
        said, before = self._said(answer), len(self.steps)
        for material, source in answer.pairs:
            fidelity = self.world.schema.fidelity(source)
            if self.closed[material, fidelity]:
                raise SchemaError(
                    f"an ask for {source} of {self.world.index[material]!r}, which is not open",
                    expected="pairs that are open in the situation",
                    fix="choose among them in the policy",
                )
            self._measure(material, fidelity, step=step, seconds=seconds, **said.get((material, source), {}))
        # A policy that sees prices alone would ask for ever for what really costs more than is left.
        self.over = self.over or len(self.steps) == before
        self._end()

    def examine(self, policy: Policy, asks: int) -> None:
        """Test what was learned, after the first asks often and then ever more rarely, and at the end."""
        if self.test is None or not self.steps or (asks < self.due and not self.over):
            return
        self.due = math.ceil(max(asks * FACTOR, asks + 1))
        surrogate, rows = policy.learn(self.situation(asks)), self.test
        with torch.no_grad():
            # A surrogate of fewer sources has the target at another position.
            X = at_fidelity(rows.X, len(surrogate.schema.sources) - 1).unsqueeze(1)
            posterior = surrogate.model.posterior(X, observation_noise=True)
            y = rows.Y.unsqueeze(1)
            self.steps[-1] |= {
                "mae": mae(posterior, y),
                "crps": crps(posterior, y),
                "coverage": coverage(posterior, y, LEVEL),
            }

    def _given(self) -> list[int]:
        """The rows that are known beforehand, now closed."""
        named = [self.world.schema.fidelity(name) for name in self.terms.given]
        self.closed[:, named] = True
        return [int(row) for row in self.world.place[:, named].ravel() if row >= 0]

    def _left(self) -> float:
        return (math.inf if self.terms.budget is None else self.terms.budget) - self.spent

    def _hold_out(self, share: float) -> None:
        """Close a share of the target's materials, and test on their values."""
        able = np.flatnonzero(~self.closed[:, -1])
        held = self.rng.permutation(able)[: max(1, round(share * len(able)))]
        self.closed[held] = True
        rows = self.world.rows.iloc[self.world.place[held, -1]]
        self.test = self.world.schema.data(rows)

    def _first(self, able: NDArray[np.int64]) -> NDArray[np.int64]:
        order = self.rng.permutation(able)
        if self.terms.start_by == "random":
            return order[: self.terms.start]
        chosen, inputs = [order[0]], self.world.inputs[able]
        distance = np.full(len(able), np.inf)
        while len(chosen) < min(self.terms.start, len(able)):
            distance = np.minimum(distance, np.linalg.norm(inputs - self.world.inputs[chosen[-1]], axis=1))
            chosen.append(able[distance.argmax()])
        return np.array(chosen)

    def _measure(self, material: int, fidelity: int, *, step: int, **said: float) -> bool:
        """Pay and see one value; False where the budget does not reach."""
        row = int(self.world.place[material, fidelity])
        first = (step, fidelity) not in self.opened
        cost = float(self.world.cost[row] + first * self.world.setup[fidelity])
        if cost > self._left():
            return False
        self.opened.add((step, fidelity))
        self.closed[material, fidelity] = True
        self.spent += cost
        self.seen.append(row)
        if fidelity == self.closed.shape[1] - 1:
            self.best = max(self.best, float(self.ranking.gain[material]))
            self.found[material] = True
        sign = -1 if self.terms.goal == "min" else 1
        reached = math.isfinite(self.best)
        self.steps.append(
            {
                "step": step,
                "material": material,
                "source": self.world.schema.sources[fidelity],
                "cost": cost,
                "total_cost": self.spent,
                "value": float(self.world.value[row]),
                "best": sign * self.best if reached else None,
                "regret": self.ranking.best - self.best if reached else None,
                "top": float((self.found & self.ranking.top).sum() / self.ranking.top.sum()),
                **said,
            }
        )
        return True

    def _said(self, answer: Answer) -> dict[tuple[int, str], dict[str, float]]:
        """What was expected of each pair at the target, before it is measured."""
        target = self.world.schema.sources[-1]
        rows = [material for material, source in answer.pairs if source == target]
        if not rows or answer.surrogate is None:
            return {}
        said = answer.surrogate.predict(self.world.pool.iloc[rows], level=LEVEL)[["median", "lower", "upper"]]
        found = said.astype(float).to_dict("records")
        return {(row, target): {str(k): v for k, v in each.items()} for row, each in zip(rows, found, strict=True)}

    def _end(self) -> None:
        """Whether the goal is reached or nothing can be asked any more."""
        stop, goal = self.terms.stop, self.terms.goal
        done = False
        if goal != "learn" and self.steps and stop != "budget":
            last = self.steps[-1]
            done = last["regret"] == 0 if stop == "best" else last["top"] >= stop
        self.over = self.over or done or not self.open.any()

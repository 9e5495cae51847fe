"""What a campaign says of itself: where it stands, and what it took of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mfmat.amounts import Amount, say
from mfmat.ledger import Counts


@dataclass(frozen=True)
class Status:
    """Where a campaign stands.

    Attributes:
        sources: what happened in each source.
        spent: the price of all that was asked and not withdrawn, with its set-ups, and of what was measured unasked: a
            number, or one for each unit of the prices.
        left: of the budget, in each unit that has one; None: without limit.
        best: the best value of the target so far; None where there is none, or the goal is to learn.
        rounds: asks so far.
        note: why the last ask came back short, which rule says that the campaign has done its work, or which source has
            stopped helping; else empty.
        unit: of the values.

    >>> print(Status({"exp": Counts(asked=3, told=1, pending=2)}, 30.0, 70.0, 1.42, 2, "", "eV"))
    exp: 3 asked, 1 told, 0 failed, 2 pending
    spent 30, 70 left; 2 rounds; best so far 1.42 eV
    """

    sources: Mapping[str, Counts]
    spent: Amount
    left: Amount | None
    best: float | None
    rounds: int
    note: str
    unit: str = ""

    def __str__(self) -> str:
        lines = [
            f"{name}: {c.asked} asked, {c.told} told, {c.failed} failed, {c.pending} pending"
            for name, c in self.sources.items()
        ]
        left, spent = self.left, f"spent {say(self.spent)}"
        if isinstance(left, Mapping):
            spent += f"; left {say(left)}"
        else:
            spent += ", no limit" if left is None else f", {left:g} left"
        best = "no value of the target yet" if self.best is None else f"best so far {self.best:.4g} {self.unit}".strip()
        lines.append(f"{spent}; {self.rounds} round{'s' * (self.rounds != 1)}; {best}")
        return "\n".join(lines + ([f"the last ask: {self.note}"] if self.note else []))


@dataclass(frozen=True)
class Told:
    """What a campaign took of a table.

    Attributes:
        recorded: values written down.
        repeated: values that were told before.
        empty: rows without a value yet.
        unasked: of those recorded, measurements that no ask was waiting for.
        rounded: rows that were known again by rounded numbers.

    >>> print(Told(recorded=2, repeated=1))
    2 values recorded; 1 told before
    """

    recorded: int
    repeated: int = 0
    empty: int = 0
    unasked: int = 0
    rounded: int = 0

    def __str__(self) -> str:
        parts = [f"{self.recorded} value{'s' * (self.recorded != 1)} recorded"]
        parts += [f"{self.unasked} of them not asked for"] if self.unasked else []
        parts += [f"{self.repeated} told before"] if self.repeated else []
        parts += [f"{self.rounded} known by rounded inputs"] if self.rounded else []
        return "; ".join(parts + ([f"{self.empty} without a value yet"] if self.empty else []))

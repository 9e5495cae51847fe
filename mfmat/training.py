"""Train a network on batches: Adam with a falling rate, stopped early on compounds held out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.errors import FitError
from mfmat.progress import track
from mfmat.types import Codes
from mfmat.values import Value


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Attributes:
        epochs: passes over the rows at most.
        steps: at least as many steps, whatever the number of rows.
        batch: rows a step.
        rate: the largest learning rate, reached after a tenth of the steps; it falls to 0 along a cosine.
        decay: of the weights (AdamW).
        patience: share of the epochs without a better score after which training stops.
    """

    epochs: int = 100
    steps: int = 1000
    batch: int = 256
    rate: float = 2e-3
    decay: float = 1e-2
    patience: float = 0.3


def hold_out(data: Data, share: float, seed: int) -> tuple[Codes, Codes]:
    """Positions to train on and positions held out: a share of the groups, of which none is divided.

    With fewer than 10 groups nothing is held out.
    """
    return hold_out_groups(data.groups, share, seed)


def hold_out_groups(each: Codes, share: float, seed: int) -> tuple[Codes, Codes]:
    """As `hold_out`, of the group of each row."""
    groups, member = torch.unique(each, return_inverse=True)
    order = torch.randperm(len(groups), generator=torch.Generator().manual_seed(seed))
    held = torch.isin(member, order[: count_held(len(groups), share)])
    return torch.nonzero(~held).flatten(), torch.nonzero(held).flatten()


def count_held(groups: int, share: float) -> int:
    """How many groups are held out."""
    return round(share * groups) if groups >= 10 else 0


def train(
    parameters: Sequence[Tensor],
    loss: Callable[[Codes], Tensor],
    rows: Codes,
    score: Callable[[], float] | None,
    schedule: Schedule,
    *,
    seed: int = 0,
    title: str = "training",
) -> None:
    """Lower the loss, in place, and end at the parameters that scored best.

    Args:
        parameters: leaves that require a gradient.
        loss: the mean loss of the rows at these positions.
        rows: positions to train on.
        score: smaller is better, asked after every epoch; None: train to the end.
        schedule: how long and how fast.
        seed: of the order of the rows.
        title: of the bar.
    """
    batches = math.ceil(len(rows) / schedule.batch)
    epochs = max(schedule.epochs, math.ceil(schedule.steps / max(batches, 1)))
    optimiser = torch.optim.AdamW(parameters, lr=schedule.rate, weight_decay=schedule.decay, fused=True)
    decline = torch.optim.lr_scheduler.LambdaLR(optimiser, fall(epochs * batches))
    # Scoring after every step would cost more than training where an epoch is a single step.
    every = max(1, epochs // 100)
    best, kept, since = math.inf, [p.detach().clone() for p in parameters], 0
    for epoch, order in enumerate(track(_orders(rows, epochs, seed), title, epochs)):
        for batch in order.split(schedule.batch):
            optimiser.zero_grad(set_to_none=True)
            loss(batch).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            decline.step()
        if score is None or ((epoch + 1) % every and epoch + 1 < epochs):
            continue
        now = score()
        since += every
        if now < best:
            best, kept, since = now, [p.detach().clone() for p in parameters], 0
        if since > schedule.patience * epochs:
            break
    if score is not None:
        with torch.no_grad():
            for p, value in zip(parameters, kept, strict=True):
                p.copy_(value)


def _orders(rows: Codes, epochs: int, seed: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        yield rows[torch.randperm(len(rows), generator=generator)]


def fall(steps: int) -> Callable[[int], float]:
    """The learning rate at each step as a share of the largest: up within a tenth of the steps, then down a cosine."""
    warm = max(steps // 10, 1)

    def rate(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))

    return rate


def check_sizes(learner: Value, counts: Iterable[str], *, fix: str, **others: int) -> None:
    """Nothing, for a recipe whose networks can be trained.

    Args:
        learner: with fields `dropout` and `held`, shares of at least 0 and below 1.
        counts: its fields that are at least 1.
        fix: a recipe that can be fitted.
        others: what is no field of its own and at least 1, too.

    Raises:
        FitError: it cannot; everything that is wrong is named.
    """
    whole = {name: getattr(learner, name) for name in counts} | others
    shares = {name: getattr(learner, name) for name in ("dropout", "held")}
    wrong = [f"{name}={size}" for name, size in whole.items() if size < 1]
    wrong += [f"{name}={share}" for name, share in shares.items() if not 0 <= share < 1]
    if wrong:
        raise FitError(
            ", ".join(wrong), expected="whole numbers of at least 1, and shares of at least 0 and below 1", fix=fix
        )

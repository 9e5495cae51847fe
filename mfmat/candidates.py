"""Which recipes are worth a try for data of a size."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from mfmat.data import Data
from mfmat.experts import GP, DeepKernelGP, Ensemble, Forest
from mfmat.learner import Expert, Learner
from mfmat.stacks import Difference, Hurdle, Imputed, Latent, Mixture, MultiTask, TargetOnly, Transformed
from mfmat.transforms import BENT, Logarithm, find_bend

EXACT = 1000
"""Rows up to which an exact Gaussian process is fitted in seconds."""
FEW = 100
"""Rows of the target from which networks and trees are worth a try."""
MANY = 4000
"""Rows of the target from which a deep kernel takes longer than it gains."""
SMOOTH = 2000
"""Values up to which an exact process says more than networks: of 1,600 energies it did, of 5,600 gaps not."""
VIEWS = 5
"""Views from which an exact process, with a weight for each, says more up to as many values than networks over all
columns: of 826 Poisson ratios over 24 views it errs by 0.0180, an ensemble by 0.0300, a deep kernel by 0.0192 in seven
times the seconds."""
SHARED = 300
"""Rows of all sources up to which one process over all of them is fitted in seconds."""
SINGLY = 200
"""Rows of the target up to which leaving out each source in turn costs seconds, if none has many rows itself."""
SEVERAL = 4
"""Cheap sources up to which that is so, and one of them may be the one that hurts."""
NARROW = 20
"""Columns of a view up to which a relevance for each of them can be learned: settings, not descriptors."""
OF_LOGARITHMS = ", of logarithms"
"""What the name of a candidate that learns logarithms ends with; without it, that of its twin."""
QUICK = Ensemble(members=2, epochs=20, steps=400)
"""Of a cheap source with thousands of rows: what it says becomes an input, and needs no polish."""


@dataclass(frozen=True)
class Sizes:
    """What the choice of candidates depends on.

    Attributes:
        cheap: rows of each cheap source that has any, by name in order of trust.
        target: rows of the target.
        above: those of them that are not at the floor.
        labels: whether the target is a label.
        narrow: whether views have several columns, and none many.
        floored: whether the target often has its smallest value exactly, and that is the stated floor where one is; not
             where values lie below a limit, and so may be that or above.
        limited: whether of some of the target's rows only a limit is known.
        skewed: whether all values of all sources are above 0, and their logarithm bends the target's (`find_bend`).
        views: how many there are.
    """

    cheap: dict[str, int]
    target: int
    above: int
    labels: bool
    narrow: bool
    floored: bool
    limited: bool
    skewed: bool
    views: int


def measure(data: Data) -> Sizes:
    """The sizes of these data."""
    counts = {name: int((data.fidelity == i).sum()) for i, name in enumerate(data.sources)}
    bounded, at_target = data.bounded, data.fidelity == data.target
    y = data.Y[at_target & ~bounded, 0]
    cheap = {name: n for name, n in counts.items() if n and name != data.sources[-1]}
    lowest = float(y.min()) if len(y) else math.nan
    labels = data.target in data.classes
    below = data.censored is not None and bool((data.censored[at_target] < 0).any())
    floored = not labels and lowest in data.atoms() and data.floor in (None, lowest) and not below
    rows, limited = counts[data.sources[-1]], bool(bounded[at_target].any())
    widths = [view.stop - view.start for view in data.views.values()]
    narrow = max(widths) <= NARROW and max(widths) > 1
    above = rows - int((y == lowest).sum()) if floored else rows
    skewed = not (labels or floored) and bool((data.Y[~data.labelled] > 0).all()) and find_bend(Logarithm(), y) >= BENT
    return Sizes(cheap, rows, above, labels, narrow, floored, limited, skewed, len(data.views))


def suggest_candidates(data: Data, member: Learner | None, limit: int, seed: int) -> dict[str, Learner]:
    """Recipes by what they are called, those of the target alone last.

    Args:
        data: all rows.
        member: the expert that every candidate is made of; None: by the number of rows.
        limit: rows of a cheap source that an exact expert is fitted to at most.
        seed: of draws.
    """
    sizes = measure(data)
    names = ", ".join(sizes.cheap)
    found: dict[str, Learner] = {}
    if sizes.cheap and not sizes.labels and (member or sizes.target <= EXACT):
        difference = Difference((member or GP(),), limit=limit, seed=seed)
        found[f"difference over {names}"] = difference
        quick = sizes.target <= SINGLY and max(sizes.cheap.values()) <= EXACT
        if 1 < len(sizes.cheap) <= SEVERAL and quick:
            found |= {f"difference without {name}": replace(difference, leave_out=(name,)) for name in sizes.cheap}
    few = sizes.target + sum(sizes.cheap.values()) <= SHARED
    if sizes.cheap and few and not member and not data.classes:
        found[f"one process over {names}"] = MultiTask(limit=limit)
    if sizes.cheap:
        found[f"latents of {names}"] = _latent(data, sizes, member, limit, seed)
    found["the target alone"] = TargetOnly(member or _alone(sizes))
    if sizes.skewed and sizes.target >= FEW:
        name = f"latents of {names}" if sizes.cheap else "the target alone"
        found[f"{name}{OF_LOGARITHMS}"] = Transformed(found[name], transform="log")
    if not sizes.cheap and sizes.narrow and sizes.target <= SHARED and not member and not sizes.labels:
        found["the target alone, each column by its relevance"] = TargetOnly(_earnest(sizes, GP(ard=True)))
    return found


def describe_limit(data: Data, member: Learner | None, limit: int) -> list[str]:
    """A sentence for each cheap source of which candidates are fitted to some rows only."""
    sizes = measure(data)
    if member is None and (sizes.target > EXACT or sizes.labels):
        return []
    who = "" if member else "in differences "
    return [
        f"{name}: {who}{limit} of its {n} rows are fitted, those shared with the target first; all measured values "
        "are used."
        for name, n in sizes.cheap.items()
        if n > limit
    ]


def _latent(data: Data, sizes: Sizes, member: Learner | None, limit: int, seed: int) -> Learner:
    if member:
        return Latent((member,), limit=limit, seed=seed)
    below = [
        _able(_below(sizes.cheap.get(name, 0), i in data.classes), bool(data.bounded[data.fidelity == i].any()))
        for i, name in enumerate(data.sources[:-1])
    ]
    latent = Latent((*below, _earnest(sizes)), limit=None, seed=seed)
    return latent if sizes.target < FEW else replace(latent, draws=1)


def _below(rows: int, labels: bool) -> Learner:
    if rows <= EXACT:
        return GP()
    return Forest() if labels else QUICK


def _earnest(sizes: Sizes, process: GP = GP()) -> Learner:  # noqa: B008 (a frozen value)
    """For the target's rows, by their number."""
    if sizes.target < FEW:
        return _floored(process, sizes)
    if sizes.labels:
        return Mixture([process, Forest()]) if sizes.target <= EXACT else Forest()
    members = [process if sizes.above <= SMOOTH else Ensemble(), Forest()]
    return _floored(Mixture([_able(member, sizes.limited) for member in members]), sizes)


def _alone(sizes: Sizes) -> Learner:
    """For the target's rows alone: in earnest where there is nothing else, else as a safeguard."""
    smooth = not sizes.cheap and sizes.views >= VIEWS and sizes.target <= SMOOTH
    if sizes.target <= EXACT or smooth or sizes.labels or (sizes.floored and not sizes.cheap):
        return _earnest(sizes)
    if sizes.cheap:
        return _floored(_able(Forest(), sizes.limited), sizes)
    members = [DeepKernelGP() if sizes.target <= MANY else Forest(), Ensemble()]
    return Mixture([_able(member, sizes.limited) for member in members])


def _able(member: Learner, limited: bool) -> Learner:
    """The member where it takes limits, or need not; else one that gets values for them."""
    return Imputed(member) if limited and not (isinstance(member, Expert) and member.takes_limits) else member


def _floored(member: Learner, sizes: Sizes) -> Learner:
    if not sizes.floored:
        return member
    return Hurdle(member) if sizes.target < FEW else Hurdle(member, gate=Forest())

"""diagnose: what each cheap source is worth for the target, before money is spent on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.cluster import KMeans
from torch import Tensor

from mfmat.calibrators.held_out import COLUMNS as HELD
from mfmat.calibrators.held_out import ask, score
from mfmat.data import Data, material_keys
from mfmat.errors import FitError, SchemaError
from mfmat.experts.gp import GP
from mfmat.learner import Learner
from mfmat.schema import Schema
from mfmat.skipping import OnError
from mfmat.stacks.difference import Difference
from mfmat.stacks.target_only import TargetOnly

Array = NDArray[np.float64]
CRPS = HELD.index("crps")
LEVEL = 0.9
"""Of every error bar."""
FEWEST = 10
"""Target compounds without which nothing can be held out."""
SHARED = 5
"""Materials with both values from which a correlation is taken; with fewer, that of predictions."""
DRAWS = 2000
"""Resamplings of the compounds behind an error bar."""
REGION = 15
"""Target compounds that a region needs to be judged on its own."""
SCALE = 3.0
"""Ratio of the spreads, or shift in units of them, from which a source counts as on another scale."""
USE, HERE, DROP = "use", "use here", "drop"


def diagnose(
    table: pd.DataFrame,
    schema: Schema,
    *,
    member: Learner | None = None,
    by: str | None = None,
    folds: int = 5,
    limit: int = 3000,
    seed: int = 0,
    on_error: OnError = "raise",
) -> pd.DataFrame:
    r"""One row for each cheap source: how it goes with the target, what it gains, where, and up to which price.

    The gain is the share of the mean CRPS of held-out target compounds that goes away when this source alone is
    added, $1 - \mathrm{CRPS}(\text{source} + \text{target}) / \mathrm{CRPS}(\text{target})$, by `Difference` against
    `TargetOnly` on the same folds; error bars (90%) resample compounds. What the same gain would cost in target
    rows follows from the target's own learning curve, $\mathrm{CRPS} \propto n^{-b}$ between half of the rows and
    all of them (far beyond twice the rows it is an extrapolation); the break-even price is that number of target
    rows over the number of the source's rows.

    Args:
        table, schema: as for `fit`.
        member: the expert of both recipes; `GP()` unless given.
        by: column of the table with regions to judge apart; unless given, families of compounds by their anion
            where there are formulas, else clusters of the inputs.
        folds: parts that the target's compounds are divided into.
        limit: rows of a source that its expert is fitted to at most.
        seed: of folds, draws and clusters.
        on_error: as for `fit`.

    Returns:
        For each cheap source in order of trust: `verdict` (`"use"`: the gain's error bar is above 0; `"use here"`: it
        is so in the regions named by `where`; `"drop"`: nowhere), `rows`, `shared` (materials measured in both),
        `correlation` with `correlation_lower` and `correlation_upper`, `gain` with its bar, `where`, `saves` (target
        rows), `break_even` (price of one of its values in units of one target value), and `warning`.

    Raises:
        FitError: fewer than 10 compounds in the target.
        SchemaError: one source only, or a target that is a label.

    Kennedy & O'Hagan 2000, doi:10.1093/biomet/87.1.1, for the recipe; Efron 1979, doi:10.1214/aos/1176344552.

    >>> import pandas as pd, mfmat as mf
    >>> x = [i / 30 for i in range(30)]
    >>> cheap = pd.DataFrame({"x": x, "y": [8 * (i - 0.5) ** 3 for i in x], "source": "cheap"})
    >>> exact = cheap[::2].assign(y=lambda t: 2 * t["y"] + 1, source="exact")
    >>> schema = mf.Schema(mf.Columns("x"), value="y", source="source", costs={"cheap": 1, "exact": 10})
    >>> mf.diagnose(pd.concat([cheap, exact]), schema).columns[:3].tolist()
    ['verdict', 'rows', 'shared']
    """
    schema = schema.settle(table)
    data = schema.data(table, on_error=on_error)
    _check(schema, data)
    member = member or GP()
    held = data.split(folds, seed)
    alone = _scores(TargetOnly(member), data.at(data.target), data, held)
    rows_held = torch.cat(data.scored(held))
    regions = _regions(table.iloc[data.rows[rows_held].numpy()], schema, data.X[rows_held, :-1].numpy(), by, seed)
    compounds = data.groups[rows_held].numpy()
    curve = _curve(TargetOnly(member), data, held, alone, seed)
    rows = []
    for s, name in enumerate(data.sources[:-1]):
        line: dict[str, Any] = {"source": name, "rows": int((data.fidelity == s).sum())}
        if not line["rows"] or schema.classes(name):
            why = "labels are not compared" if line["rows"] else "no rows"
            rows.append({**line, "verdict": DROP, "warning": why})
            continue
        fused = _scores(Difference((member,), limit=limit, seed=seed), _pair(data, s), data, held)
        agreement = _agreement(member, data, s, limit, seed)
        gain = _gain(alone, fused, compounds, seed)
        where = _where(alone, fused, compounds, regions, seed)
        saves = curve.rows(alone.mean(), fused.mean())
        verdict = USE if gain[1] > 0 else HERE if where else DROP
        rows.append(
            {
                **line,
                **agreement,
                **_bar("gain", gain),
                "verdict": verdict,
                "where": "everywhere" if verdict == USE and not where else ", ".join(where),
                "saves": saves,
                "break_even": saves / line["rows"],
                "warning": _warning(data, s, agreement),
            }
        )
    return pd.DataFrame(rows).set_index("source").reindex(columns=COLUMNS)


COLUMNS = (
    *("verdict", "rows", "shared", "correlation", "correlation_lower", "correlation_upper"),
    *("gain", "gain_lower", "gain_upper", "where", "saves", "break_even", "warning"),
)


@dataclass(frozen=True)
class _Curve:
    """The target's own learning curve, CRPS = c n^-b."""

    n: int
    slope: float

    def rows(self, alone: float, fused: float) -> float:
        """Target rows that would have brought the same gain."""
        if fused >= alone:
            return 0.0
        # Where more rows do not help, no number of them is as good.
        return self.n * ((alone / fused) ** (1 / self.slope) - 1) if self.slope > 0 else math.inf


def _check(schema: Schema, data: Data) -> None:
    if len(schema.sources) < 2:
        raise SchemaError(
            f"one source, {schema.sources[0]!r}",
            expected="a cheap source and the target at least",
            fix='Schema(..., source="method", costs={"cheap": 1, "trusted": 10})',
        )
    if schema.classes():
        raise SchemaError(
            f"the label {schema.sources[-1]!r} as target", expected="a target of values", fix="cross_validate(...)"
        )
    compounds = data.compounds()
    if compounds < FEWEST:
        raise FitError(
            f"{compounds} compounds of the target {schema.sources[-1]!r}",
            expected=f"at least {FEWEST}, to hold some out",
            fix="measure more in the target, or fit all the same: mf.fit",
        )


def _pair(data: Data, s: int) -> Data:
    return data.take((data.fidelity == s) | (data.fidelity == data.target))


def _scores(recipe: Learner, part: Data, data: Data, held: Sequence[Tensor]) -> Array:
    """The CRPS of every held-out target row, predicted by a model of the part's rows without the row's compound."""
    folds = [torch.nonzero(torch.isin(part.rows, data.rows[fold])).flatten() for fold in held]
    models, valued = recipe.cross_fit(part, folds), part.scored(folds)
    found: Array = score(ask(models, valued, part), valued, part)[0][:, CRPS].numpy()
    return found


def _gain(
    alone: Array, fused: Array, compounds: NDArray[np.int64], seed: int, level: float = LEVEL
) -> tuple[float, float, float]:
    """One minus the ratio of the mean scores, with its error bar over compounds."""
    names, member = np.unique(compounds, return_inverse=True)
    sums = np.stack([np.bincount(member, each, len(names)) for each in (alone, fused)])
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), DRAWS)
    before, after = drawn @ sums.T[:, 0], drawn @ sums.T[:, 1]
    low, high = np.quantile(1 - after / before, [(1 - level) / 2, (1 + level) / 2])
    return float(1 - fused.sum() / alone.sum()), float(low), float(high)


def _where(alone: Array, fused: Array, compounds: NDArray[np.int64], regions: Array, seed: int) -> list[str]:
    """The regions whose gain has its error bar above 0, if not all that can be judged have."""
    parts = {name: regions == name for name in dict.fromkeys(regions.tolist())}
    parts = {name: mine for name, mine in parts.items() if len(np.unique(compounds[mine])) >= REGION}
    # Of many regions one looks good by chance: each gets its share of the risk (Bonferroni).
    level = 1 - (1 - LEVEL) / max(len(parts), 1)
    good = [
        str(name)
        for name, mine in parts.items()
        if _gain(alone[mine], fused[mine], compounds[mine], seed, level)[1] > 0
    ]
    return good if len(good) < len(parts) else []


def _regions(table: pd.DataFrame, schema: Schema, X: Array, by: str | None, seed: int) -> Any:
    """The region of each target row (a table of n rows, and their features, n x d)."""
    if by is not None:
        if by not in table.columns:
            raise SchemaError(f"by={by!r}", expected="a column of the table", fix="name one, or leave it out")
        return table[by].astype(str).to_numpy()
    named = [found for featurizer in schema.featurizers if (found := featurizer.families(table)) is not None]
    if named:
        return named[0]
    z = (X - X.mean(0)) / np.where(X.std(0) > 0, X.std(0), 1.0)
    count = min(4, len(z) // (2 * REGION)) or 1
    clusters = KMeans(count, n_init=4, random_state=seed).fit(z)
    typical = clusters.transform(z).argmin(axis=0)
    names = np.array([f"rows like {table.index[i]}" for i in typical], dtype=object)
    return names[clusters.labels_]


def _curve(recipe: Learner, data: Data, held: Sequence[Tensor], alone: Array, seed: int) -> _Curve:
    """The exponent between half of the target's rows and all of them, on the same held-out rows."""
    rows = data.at(data.target)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    halves = []
    for fold in held:
        own = torch.isin(rows.rows, data.rows[fold])
        rest = order[~own[order]]
        model = recipe.fit(rows.take(rest[: len(rest) // 2].sort().values))
        place = rows.scored([torch.nonzero(own).flatten()])
        halves.append(score(ask([model], place, rows), place, rows)[0])
    half = torch.cat(halves)[:, CRPS].numpy()
    return _Curve(len(rows), float(np.log2(half.mean() / alone.mean())))


def _agreement(member: Learner, data: Data, s: int, limit: int, seed: int) -> dict[str, Any]:
    """Correlation with the target over shared materials, else that of the source's predictions."""
    valued = data.take(~data.bounded)
    own, target = valued.at(s), valued.at(data.target)
    values = dict(zip(material_keys(own.X, data.material).tolist(), own.Y[:, 0].tolist(), strict=True))
    keys = material_keys(target.X, data.material).tolist()
    both = [i for i, key in enumerate(keys) if key in values]
    if len(both) >= SHARED:
        theirs, mine = np.array([values[keys[i]] for i in both]), target.Y[both, 0].numpy()
    else:
        rows = own.draw(limit, torch.zeros(len(own), dtype=torch.bool), seed)
        model = member.fit(rows)
        with torch.no_grad():
            theirs = model.posterior(target.X.unsqueeze(1)).mean.flatten().numpy()
        mine = target.Y[:, 0].numpy()
    return {"shared": len(both), **_bar("correlation", _correlation(theirs, mine))}


def _correlation(a: Array, b: Array) -> tuple[float, float, float]:
    """Pearson's, with the error bar of Fisher's z (Fisher 1921)."""
    if len(a) < 4 or not a.std() or not b.std():
        return math.nan, math.nan, math.nan
    found = float(np.clip(np.corrcoef(a, b)[0, 1], -1 + 1e-12, 1 - 1e-12))
    reach = norm.ppf((1 + LEVEL) / 2) / math.sqrt(len(a) - 3)
    return found, math.tanh(math.atanh(found) - reach), math.tanh(math.atanh(found) + reach)


def _bar(name: str, found: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip((name, f"{name}_lower", f"{name}_upper"), found, strict=True))


def _warning(data: Data, s: int, agreement: dict[str, Any]) -> str:
    """What a user should look at before trusting the verdict."""
    said = []
    (centre, spread), (target_centre, target_spread) = data.standards()[s], data.standards()[data.target]
    ratio = max(spread / target_spread, target_spread / spread)
    shift = abs(centre - target_centre) / max(spread, target_spread)
    if ratio > SCALE or shift > SCALE:
        said.append(f"another scale: {centre:.3g} ± {spread:.3g} against {target_centre:.3g} ± {target_spread:.3g}")
    if agreement["correlation_upper"] < 0:
        said.append("inverted: it falls where the target rises")
    if agreement["shared"] == 0:
        said.append("no material in common; the correlation is that of its predictions")
    elif agreement["shared"] < SHARED:
        said.append(f"{agreement['shared']} materials in common; the correlation is that of its predictions")
    return "; ".join(said)

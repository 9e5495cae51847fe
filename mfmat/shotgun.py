"""Shotgun: a few rows of a new property, and what thousands of models of other properties make of its materials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.encoded import EncodedModel, Looker, add_views, seat
from mfmat.entry_models import open_library, read_entry
from mfmat.errors import FitError, SchemaError
from mfmat.experts import GP
from mfmat.learner import Facts, FittedModel, Learner, part
from mfmat.library import Library
from mfmat.linear_heads import choose_heads, leave_out
from mfmat.progress import track
from mfmat.stacks import Mixture, TargetOnly

FEWEST = 5
"""Values below which errors of left-out rows tell no entry from another."""


@dataclass(frozen=True)
class Screened(Learner, kind="screened"):
    """A learner that sees, beside the columns of a row, what the best few entries of a library make of them.

    Each entry looks at the columns that it was trained on: the views of its schema must be among those of the data
    (`formula.descriptors` is `composition.descriptors`). Its last hidden layer, or where it is no network its mean and
    standard deviation, gets a Bayesian linear head, whose errors on rows left out are known in closed form
    (`leave_out`); the entries whose average errs least become views (`choose_heads`). Entries are kept in the model, so
    that it predicts without the library. What is said of left-out rows was used for the choice: have it cross-fitted,
    as `Shotgun` does, before trusting its intervals.

    Args:
        library: folder or URL.
        query: of the entries, see `Library.query`.
        member: fitted to all views.
        keep: entries at most.

    Raises:
        FitError: labels, or no entry that can look at these columns.
    """

    library: str
    query: str = ""
    _: KW_ONLY
    member: Learner = field(default_factory=GP)
    keep: int = 4

    def __post_init__(self) -> None:
        object.__setattr__(self, "library", _root(self.library))
        if self.keep < 1:
            raise SchemaError(f"keep={self.keep}", expected="at least 1", fix="keep=4")

    def fit(self, data: Data) -> FittedModel:
        """The member's model over the columns and what the entries make of them."""
        return self.cross_fit(data, [torch.zeros(0, dtype=torch.long)])[0]

    def cross_fit(self, data: Data, folds: Sequence[Tensor], executor: Executor | None = None) -> list[FittedModel]:
        """See `Learner.cross_fit`: entries look once, and are chosen anew without each fold."""
        if executor:
            return super().cross_fit(data, folds, executor)
        if data.classes:
            raise FitError("labels", expected="values", fix="an expert that takes labels, such as GP()")
        entries = self._entries(data)
        with torch.no_grad():
            said = [looker.look(data.X) for looker, _ in entries]
        models = []
        for fold in folds:
            rest = torch.ones(len(data), dtype=torch.bool)
            rest[fold] = False
            models.append(self._fit(data.take(rest), entries, [units[rest] for units in said]))
        return models

    def _fit(self, data: Data, entries: Sequence[tuple[Looker, Learner]], said: Sequence[Tensor]) -> FittedModel:
        places, why = self._choose(data, [looker.name for looker, _ in entries], said)
        chosen = [entries[place] for place in places]
        lookers = [looker for looker, _ in chosen]
        recipes = [recipe.config() for _, recipe in chosen]
        facts = {"width": data.X.shape[-1] - 1, "sources": list(data.sources), "recipes": recipes, "why": [why]}
        return EncodedModel(self.member.fit(add_views(data, lookers)), lookers, facts).eval()

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> FittedModel:
        """The fitted model that had these facts and this state; the library is not asked."""
        lookers = []
        for i, (kept, recipe) in enumerate(zip(facts["lookers"], facts["recipes"], strict=True)):
            model = Learner.of(recipe).restore(kept["facts"], part(state, f"encoders.{i}."))
            lookers.append(Looker(kept["name"], model, tuple(kept["columns"])))
        own = {name: fact for name, fact in facts.items() if name not in ("inner", "lookers")}
        return EncodedModel(self.member.restore(facts["inner"], part(state, "inner.")), lookers, own).eval()

    def _entries(self, data: Data) -> list[tuple[Looker, Learner]]:
        """The entries that can look at these data, with their recipes."""
        names = [str(name) for name in open_library(self.library).query(self.query).index]
        found, views = [], ""
        for name in track(names, f"looking with {len(names)} entries", len(names)):
            entry = read_entry(f"{self.library}#{name}")
            looker = seat(name, entry.model, entry.schema.views, data)
            views = views or ", ".join(entry.schema.views)
            if looker is not None:
                found.append((looker, entry.recipe))
        if not found:
            raise FitError(
                f"views {', '.join(data.views)} and {len(names)} entries of {self.library} that {self.query!r} meets",
                expected="entries over views that the data have" + (f" (the first has {views})" if views else ""),
                fix='inputs like theirs, such as Composition("formula", blocks="descriptors"), or another query',
            )
        return found

    def _choose(self, data: Data, names: Sequence[str], said: Sequence[Tensor]) -> tuple[list[int], str]:
        """Positions of the entries that are kept, by what they say of each row (n x h), and why."""
        known = ~data.bounded
        y, groups = data.Y[known, 0], data.groups[known]
        if len(y) < FEWEST or not bool((y != y[0]).any()):
            return [], f"{len(y)} values, or all equal: no entry is told from another, and none is kept."
        z = (y - y.mean()) / y.std()
        found = [leave_out(units[known], z, groups) for units in said]
        places = choose_heads(found, z, self.keep)
        errors = [float((found[place].mean - z).abs().mean() * y.std()) for place in places]
        named = "; ".join(f"{names[k]} {error:.3g}" for k, error in zip(places, errors, strict=True))
        return places, f"Of {len(names)} entries kept, with their mean error on rows left out: {named}."


@dataclass(frozen=True)
class Shotgun(Learner, kind="shotgun"):
    r"""A few rows of a new property, taught by models of other properties: transfer from a library of any size.

    Thousands of entries look at the rows, the few that help most become inputs (`Screened`), and a `Mixture` weighs
    that learner against the one that asks nobody (`TargetOnly`): $p = w(x)\,p_{direct} + (1 - w(x))\,p_{screened}$.
    The best of thousands is good by luck, too; so every prediction that weights and the widths of intervals are learned
    from was made by a screening that had not seen its compound. Cross-fitting (`Auto`, `Conformal`, `cross_validate`)
    screens again inside each fold.

    Args:
        library: folder or URL, or a `Library`.
        query: of the entries, such as `"mae < 0.5"`; see `Library.query`. Entries of the very property, or trained on
            the rows that you test on, are yours to leave out.
        member: fitted to the columns and what the entries make of them.
        direct: asks nobody; the member unless given.
        keep: entries at most.
        folds: of the target's compounds, from which the weights are learned.
        seed: of the folds.

    Raises:
        FitError: labels, or no entry over views that the data have.

    Yamada et al. 2019, doi:10.1021/acscentsci.9b00804.

    >>> import tempfile
    >>> import pandas as pd, mfmat as mf
    >>> cheap = pd.DataFrame({"x": range(40), "y": [(x % 10) ** 2 for x in range(40)]})
    >>> schema = mf.Schema(mf.Columns("x"), value="y")
    >>> library = mf.Library(tempfile.mkdtemp())
    >>> name = library.add(mf.fit(cheap, schema, mf.BNN(hidden=(8,), steps=50)), property="square")
    >>> model = mf.fit(cheap.iloc[::3], schema, mf.Shotgun(library, "property == 'square'"))
    >>> list(model.explain(cheap[:1]).filter(like="weight_").columns)[::2]
    ['weight_target_only', 'weight_target_only 2']
    """

    library: str
    query: str = ""
    _: KW_ONLY
    member: Learner = field(default_factory=GP)
    direct: Learner | None = None
    keep: int = 4
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "library", _root(self.library))
        # Says at once what is wrong with the options.
        _ = self.mixture

    @property
    def mixture(self) -> Mixture:
        """What is fitted."""
        screened = Screened(self.library, self.query, member=self.member, keep=self.keep)
        members = [TargetOnly(self.direct or self.member), TargetOnly(screened)]
        return Mixture(members, folds=self.folds, seed=self.seed)

    def fit(self, data: Data) -> FittedModel:
        """The mixture of these data."""
        return self.mixture.fit(data)

    def cross_fit(self, data: Data, folds: Sequence[Tensor], executor: Executor | None = None) -> list[FittedModel]:
        """See `Learner.cross_fit`: each fold's entries are chosen without it."""
        return self.mixture.cross_fit(data, folds, executor)

    def fit_with_folds(
        self, data: Data, folds: Sequence[Tensor], executor: Executor | None = None
    ) -> list[FittedModel]:
        """See `Learner.fit_with_folds`."""
        return self.mixture.fit_with_folds(data, folds, executor)

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> FittedModel:
        """The fitted model that had these facts and this state; the library is not asked."""
        return self.mixture.restore(facts, state)


def _root(library: str | Path | Library) -> str:
    return library.shelf.root if isinstance(library, Library) else str(library)

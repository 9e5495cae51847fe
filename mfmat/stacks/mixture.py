"""Mixture: several learners, each trusted as far as it has predicted what it had not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import KW_ONLY, dataclass, field

import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.errors import SchemaError
from mfmat.gates import ConstantGate, Evidence, FittedGate, Gate, LocalGate
from mfmat.learner import Facts, FittedModel, Learner, part
from mfmat.stacks.gated import GatedModel
from mfmat.stacks.heldout import describe, gather

FEWEST = 10
"""Target compounds below which nothing is held out: every member is trusted alike."""
ROWS = 300
"""Rows of a cheap source at most from which its own weights are learned."""


@dataclass(frozen=True)
class Mixture(Learner, kind="mixture"):
    r"""A Bayesian mixture of learners, $p(y | x) = \sum_k w_k(x) p_k(y | x)$.

    Every member is fitted to all the data. Its weight comes from the gate, which learns from the densities that
    members without a fold of target compounds gave to the values in that fold: Bayesian stacking. The posterior is the
    mixture itself, of all components of all members; the joint Gaussian has its moments, with weights
    $\sqrt{w_{ki} w_{kj}}$ between rows i and j.

    A pool of calibrated members is wider than they are, by how far they disagree. So the standard deviations of all
    members are multiplied by one factor, learned at the target from the same held-out densities (`learn_scale`: the
    spread-adjusted linear pool); a mixture of one member leaves it as it is.

    One row that a member rules out must not decide alone: a Gaussian around the target's mean, three times as wide
    as its values, is mixed into each held-out density with a share of 0.001. Where a member has an atom (`Hurdle`),
    all densities are means over $y \pm d$ with d a tenth of the target's standard deviation. With fewer
    than 10 target compounds nothing is held out, and all members have equal weights. Of a cheap source, whose rows
    are in every fold, weights come from how well each member fits those rows; of a label, from the
    probability of the true class.

    Args:
        members: learners; a calibrated one takes part without its calibration, which belongs around the mixture.
        gate: `LocalGate`, `ConstantGate`.
        rescale: whether that factor is learned, or 1.
        folds: parts that the target compounds are divided into.
        seed: of that division.

    Raises:
        SchemaError: no members, fewer than 2 folds.

    Yao et al. 2018, doi:10.1214/17-BA1091; Yao et al. 2021, arXiv:2101.08954; Gneiting & Ranjan 2013,
    doi:10.1214/13-EJS823.

    >>> from mfmat.experts import GP, BayesianLinear
    >>> Mixture([GP(), BayesianLinear()]).members[1].kind
    'bayesian-linear'
    """

    members: Sequence[Learner]
    _: KW_ONLY
    gate: Gate = field(default_factory=LocalGate)
    rescale: bool = True
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(self.members))
        if not self.members or self.folds < 2:
            raise SchemaError(
                f"{len(self.members)} members, folds={self.folds}",
                expected="at least 1 member and 2 folds",
                fix="Mixture([GP(), Forest()], folds=5)",
            )

    def fit(self, data: Data) -> FittedModel:
        """The mixture of these data."""
        return self.cross_fit(data, [torch.zeros(0, dtype=torch.long)])[0]

    def cross_fit(self, data: Data, folds: Sequence[Tensor], executor: Executor | None = None) -> list[FittedModel]:
        """One mixture for each fold, whose gate has not seen it either; each member is cross-fitted once, to all parts.

        So what no fold touches, such as the cheap levels of a chain, is fitted once.
        """
        parts = [data.without(fold) for fold in folds]
        inner = [self._inner(part) for part in parts]
        # Positions in the whole of what each model must not see: the fold, and the fold with each inner one.
        unseen = []
        for fold, held in zip(folds, inner, strict=True):
            seen = torch.ones(len(data), dtype=torch.bool)
            seen[fold] = False
            at = torch.nonzero(seen).flatten()
            unseen += [fold, *(torch.cat([fold, at[rows]]) for rows in held)]
        fitted = [member.cross_fit(data, unseen, executor) for member in self.members]
        models: list[FittedModel] = []
        start = 0
        for rest, held in zip(parts, inner, strict=True):
            own = [each[start : start + 1 + len(held)] for each in fitted]
            asked = [(rows, [each[1 + j] for each in own]) for j, rows in enumerate(held)]
            evidence = gather(rest, asked, len(self.members), rescale=self.rescale)
            members = [each[0] for each in own]
            models.append(self._assemble(rest, members, evidence, self._below(rest, members)))
            start += 1 + len(held)
        return models

    def fit_with_folds(
        self, data: Data, folds: Sequence[Tensor], executor: Executor | None = None
    ) -> list[FittedModel]:
        """The mixture of all rows, then one for each fold, by which the gates learn, too: members are fitted once.

        What a fold's gate has learned from are the other folds, predicted by members that had seen this one.
        """
        return self.weigh(data, folds, [member.fit_with_folds(data, folds, executor) for member in self.members])

    def weigh(self, data: Data, folds: Sequence[Tensor], fitted: Sequence[Sequence[FittedModel]]) -> list[FittedModel]:
        """The mixtures of `fit_with_folds`, of fitted members (each to all rows, then without each fold).

        With one fold there is no other to learn from: its own rows are many, or the weights are equal.
        """
        few = data.compounds() < FEWEST
        held = [] if few or len(self.members) == 1 else list(range(len(folds)))
        models: list[FittedModel] = []
        below: list[FittedGate] | None = None
        for left_out in (None, *range(len(folds))):
            rest = data if left_out is None else data.without(folds[left_out])
            others = [j for j in held if j != left_out or len(folds) == 1]
            asked = [(folds[j], [each[j + 1] for each in fitted]) for j in others]
            members = [each[0 if left_out is None else left_out + 1] for each in fitted]
            evidence = gather(data, asked, len(members), rescale=self.rescale)
            # Folds hold rows of the target: what was learned of the other sources holds without them, too.
            below = below or self._below(rest, members)
            models.append(self._assemble(rest, members, evidence, below))
        return models

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> GatedModel:
        """The fitted mixture that had these facts and this state."""
        members = [
            member.restore(fact, part(state, f"members.{k}."))
            for k, (member, fact) in enumerate(zip(self.members, facts["members"], strict=True))
        ]
        kinds = [*[ConstantGate()] * (len(facts["gates"]) - 1), self.gate]
        gates = [
            gate.restore(fact, part(state, f"gates.{i}."))
            for i, (gate, fact) in enumerate(zip(kinds, facts["gates"], strict=True))
        ]
        own = {name: fact for name, fact in facts.items() if name not in ("members", "gates")}
        return GatedModel(members, gates, own).eval()

    def _inner(self, data: Data) -> list[Tensor]:
        compounds = data.compounds()
        few = compounds < FEWEST or len(self.members) == 1
        return [] if few else data.split(self.folds, self.seed)

    def _assemble(
        self, data: Data, members: list[FittedModel], evidence: Evidence, below: Sequence[FittedGate]
    ) -> GatedModel:
        """The mixture of fitted members, from what those without each fold said of it, and the other sources' gates."""
        gates = [*below, self.gate.fit(evidence)]
        facts = {"width": data.X.shape[-1] - 1, "sources": list(data.sources)}
        names = _names([member.kind for member in self.members])
        why = describe(names, gates[-1], evidence)
        return GatedModel(members, gates, {**facts, "names": names, "scale": evidence.scale, "why": why}).eval()

    def _below(self, data: Data, members: list[FittedModel]) -> list[FittedGate]:
        """The gate of each source but the target."""
        return [
            ConstantGate().fit(gather(data, self._seen(data, source, members), len(members)))
            for source in range(data.target)
        ]

    def _seen(self, data: Data, source: int, members: list[FittedModel]) -> list[tuple[Tensor, list[FittedModel]]]:
        """Some rows of a cheap source and the members, which were fitted to them; nothing where that tells nothing."""
        at = torch.nonzero(data.fidelity == source).flatten()
        if len(members) == 1 or not len(at) or data.classes:
            return []
        order = torch.randperm(len(at), generator=torch.Generator().manual_seed(self.seed))
        return [(at[order[:ROWS]], members)]


def _names(kinds: Sequence[str]) -> list[str]:
    """Each member's kind, with a number from the second of its kind on."""
    counts = [kinds[: k + 1].count(kind) for k, kind in enumerate(kinds)]
    return [kind if count == 1 else f"{kind} {count}" for kind, count in zip(kinds, counts, strict=True)]

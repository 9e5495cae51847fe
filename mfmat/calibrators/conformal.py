"""Conformal: intervals that hold as often as they say, whatever the learner."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal

import torch
from botorch.posteriors import GPyTorchPosterior
from torch import Tensor

from mfmat.data import Data
from mfmat.errors import CalibrationError, SchemaError
from mfmat.learner import Facts, FittedModel, Learner, WrappedModel, part
from mfmat.posteriors import ConformalPosterior, quantile
from mfmat.types import Codes, Rows


@dataclass(frozen=True)
class Conformal(Learner, kind="conformal"):
    r"""A learner whose intervals at the target are set by rows that it had not seen.

    Scores $R_i = |y_i - m(x_i)| / s(x_i)$, the distance from the median in units of the posterior spread,
    of held-out groups (never single rows of a compound that is also trained on). `"split"` trains on all
    but one fold and scores that fold: exact coverage $\ge 1 - \alpha$. `"cross"` scores every fold by the
    model trained on the others and combines them as CV+: coverage $\ge 1 - 2\alpha$ guaranteed, about
    $1 - \alpha$ in practice, and no row is lost. Other sources keep the learner's own intervals.

    Args:
        learner: what is calibrated.
        form: `"cross"` or `"split"`.
        folds: parts that the target's groups are divided into.
        seed: of that division.

    Raises:
        CalibrationError: fewer than two groups among the target's rows; at prediction, a level for which the
            rows are too few (90% needs 9).

    Barber et al. 2021, doi:10.1214/20-AOS1965; Lei et al. 2018, doi:10.1080/01621459.2017.1307116.

    >>> from mfmat.experts import GP
    >>> Conformal(GP(), form="split", folds=3).folds
    3
    """

    learner: Learner
    _: KW_ONLY
    form: Literal["cross", "split"] = "cross"
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.form not in ("cross", "split"):
            raise SchemaError(f"form={self.form!r}", expected='"cross" or "split"', fix='Conformal(..., form="cross")')

    def fit(self, data: Data) -> ConformalModel:
        """The learner's model of these data, with calibrated intervals at the target."""
        folds = data.split(self.folds, self.seed)
        if len(folds) < 2:
            raise CalibrationError(
                f"target rows of {len(folds)} compound{'s' * (len(folds) != 1)}",
                expected="at least 2, to hold some out",
                fix="fit the learner without Conformal, or measure more",
            )
        if self.form == "split":
            model = self.learner.fit(data.without(folds[0]))
            return ConformalModel(model, [model], *score([model], folds[:1], data)).eval()
        members = self.learner.cross_fit(data, folds)
        return ConformalModel(self.learner.fit(data), members, *score(members, folds, data)).eval()

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> ConformalModel:
        """The fitted model that had these facts and this state."""
        inner = self.learner.restore(facts["inner"], part(state, "inner."))
        members = [
            inner if fact is None else self.learner.restore(fact, part(state, f"members.{i}."))
            for i, fact in enumerate(facts["members"])
        ]
        return ConformalModel(inner, members, state["heldout"], state["member"]).eval()


def score(members: Sequence[FittedModel], folds: Sequence[Tensor], data: Data) -> tuple[Tensor, Codes]:
    """What each member says of the fold (rows of `data`) that it had not seen.

    Returns a row for each held-out row, n x 5 (position in the table, y, median, mean and standard
    deviation), and which member predicted it (n).
    """
    heldout, member = [], []
    for i, (fitted, fold) in enumerate(zip(members, folds, strict=True)):
        with torch.no_grad():
            posterior = fitted.posterior(data.X[fold].unsqueeze(1), observation_noise=True)
        median, mean, spread = quantile(posterior, 0.5), posterior.mean, posterior.variance.sqrt()
        columns = [data.rows[fold], data.Y[fold, 0], median, mean, spread]
        heldout.append(torch.stack([column.reshape(-1).double() for column in columns], dim=1))
        member.append(torch.full((len(fold),), i))
    return torch.cat(heldout), torch.cat(member)


class ConformalModel(WrappedModel):
    """A fitted model, the members that predicted held-out rows, and those predictions (see `score`)."""

    heldout: Tensor
    member: Codes

    def __init__(self, inner: FittedModel, members: Sequence[FittedModel], heldout: Tensor, member: Codes) -> None:
        # The split form has one model, which is not stored twice.
        facts = [None if model is inner else model.facts for model in members]
        super().__init__(inner, width=inner.facts["width"], sources=inner.facts["sources"], members=facts)
        self.members = torch.nn.ModuleList([torch.nn.Module() if model is inner else model for model in members])
        self._scored = list(members)
        self.register_buffer("heldout", heldout)
        self.register_buffer("member", member)

    def evidence(self) -> Tensor | None:
        """See `FittedModel.evidence`."""
        return self.heldout

    @property
    def scores(self) -> Tensor:
        """Distance of each held-out value from its predicted median, in predicted standard deviations (n)."""
        return (self.heldout[:, 1] - self.heldout[:, 2]).abs() / self.heldout[:, 4]

    def posterior(
        self,
        X: Rows,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Callable[[GPyTorchPosterior], GPyTorchPosterior] | None = None,
    ) -> GPyTorchPosterior | ConformalPosterior:
        """As the learner's own; new measurements of the target have calibrated quantiles."""
        base = self.inner.posterior(X, output_indices, observation_noise, posterior_transform)
        target = X[..., -1].round() == len(self.facts["sources"]) - 1
        if observation_noise is not True or not bool(target.any()):
            return base
        if not bool(target.all()):
            raise SchemaError(
                "target rows and others in one posterior of new measurements",
                expected="rows of the target alone, or of the others",
                fix="ask for each source on its own",
            )
        posteriors = [base if model is self.inner else model.posterior(X, None, True) for model in self._scored]
        centres = torch.stack([quantile(posterior, 0.5) for posterior in posteriors])
        spreads = torch.stack([posterior.variance.sqrt() for posterior in posteriors])
        return ConformalPosterior(base, centres, spreads, self.scores, self.member)

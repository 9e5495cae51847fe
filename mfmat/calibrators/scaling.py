"""Scaling: a better density, learned from rows that were held out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal

import torch
from botorch.posteriors import GPyTorchPosterior
from torch import Tensor

from mfmat.calibrators.conformal_model import CalibratedModel
from mfmat.calibrators.held_out import ask, score
from mfmat.data import Data
from mfmat.errors import CalibrationError, FitError, check_choice
from mfmat.learner import Facts, FittedModel, Learner, WrappedModel, part
from mfmat.metrics import pit
from mfmat.posteriors import CalibratedPosterior, MixturePosterior, RecalibratedPosterior, RowPosterior, components
from mfmat.rescaling import at_target, learn_scale, score_pools, stretch
from mfmat.types import Covariance, Flags, Rows

FORMS = ("factor", "isotonic")
FEWEST = 20
"""Held-out rows below which the shape of a distribution cannot be learned."""


@dataclass(frozen=True)
class Scaling(Learner, kind="scaling"):
    r"""A learner whose stated uncertainty at the target is mended by what was held out: no guarantee, a better density.

    `"factor"`: all standard deviations times one c, the one under which values of held-out compounds are most
    probable, $\ln c \sim N(0, 0.3^2)$ beforehand. Means and atoms stay, and so does the joint Gaussian but for c: what
    conditions on it (suggestions, joint draws) has the mended spread, too. `"isotonic"`: the predictive cumulative
    probability F becomes R(F), R the share of held-out values that F put lower (`RecalibratedPosterior`): mends the
    shape as well, of single new measurements.

    Args:
        learner: what is mended.
        form: `"factor"`, `"isotonic"`.
        folds: parts that the target's groups are divided into.
        seed: of that division.

    Raises:
        SchemaError: another form.
        FitError: a target that is a label.
        CalibrationError: fewer than two groups among the target's rows; fewer than 20 rows for `"isotonic"`.

    Kuleshov et al. 2018, arXiv:1807.00263; Gneiting & Ranjan 2013, doi:10.1214/13-EJS823.

    >>> from mfmat.experts import GP
    >>> Scaling(GP()).form
    'factor'
    """

    learner: Learner
    _: KW_ONLY
    form: Literal["factor", "isotonic"] = "factor"
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("form", self.form, FORMS)

    def fit(self, data: Data) -> FittedModel:
        """The learner's model of these data, its uncertainty mended at the target."""
        if data.target in data.classes:
            raise FitError(
                f"labels ({data.sources[-1]})", expected="values of the target", fix="the learner without Scaling"
            )
        folds = data.split(self.folds, self.seed)
        rows = sum(map(len, data.scored(folds)))
        compounds = data.compounds()
        needed = FEWEST if self.form == "isotonic" else 2
        if len(folds) < 2 or rows < needed:
            raise CalibrationError(
                f"{rows} target rows of {compounds} compound{'s' * (compounds != 1)}",
                expected=f"at least {needed} rows of 2 compounds, to hold some out",
                fix="fit the learner without Scaling, or measure more",
            )
        return self.calibrate(data, folds, self.learner.fit_with_folds(data, folds))

    def calibrate(self, data: Data, folds: Sequence[Tensor], fitted: Sequence[FittedModel]) -> FittedModel:
        """The mended model, of one fitted to all rows and one without each fold."""
        whole, *members = fitted
        folds = data.scored(folds)
        said, y = ask(members, folds, data), [data.Y[fold].unsqueeze(1) for fold in folds]
        if self.form == "factor":
            pools = [[components(posterior)] for posterior in said]
            return ScaledModel(whole, learn_scale(score_pools(pools, y, data.standards()[-1]))).eval()
        with torch.no_grad():
            pits = torch.cat(
                [pit(posterior, each, self.seed).flatten() for posterior, each in zip(said, y, strict=True)]
            )
        return IsotonicModel(whole, score(said, folds, data)[0], pits).eval()

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> FittedModel:
        """The fitted model that had these facts and this state."""
        inner = self.learner.restore(facts["inner"], part(state, "inner."))
        if self.form == "factor":
            return ScaledModel(inner, facts["scale"]).eval()
        return IsotonicModel(inner, state["heldout"], state["pits"]).eval()


class ScaledModel(WrappedModel):
    """A fitted model whose standard deviations at the target are multiplied by one factor."""

    def __init__(self, inner: FittedModel, scale: float) -> None:
        super().__init__(inner, width=inner.facts["width"], sources=inner.facts["sources"], scale=scale)

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """See `FittedModel.joint`."""
        mean, covariance = self.inner.joint(X, observed)
        return mean, stretch(covariance, self._scales(X))

    def noise(self, X: Rows) -> Tensor:
        """See `FittedModel.noise`."""
        return self.inner.noise(X) * self._scales(X) ** 2

    def solve(self, B: Tensor) -> Tensor:
        """See `FittedModel.solve`."""
        return self.inner.solve(B) / float(self.facts["scale"]) ** 2

    def posterior(
        self,
        X: Rows,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Callable[[GPyTorchPosterior], GPyTorchPosterior] | None = None,
    ) -> GPyTorchPosterior | CalibratedPosterior:
        """As the learner's own, each of its components with the mended spread."""
        self.eval()
        means, covariances, weights = components(self.inner.posterior(X, None, observation_noise is True))
        covariances = stretch(covariances, self._scales(X))
        if isinstance(observation_noise, Tensor):
            covariances = covariances + torch.diag_embed(observation_noise[..., 0].expand(means.shape[1:]))
        posterior = MixturePosterior(means, covariances, weights)
        return posterior if posterior_transform is None else posterior_transform(posterior)

    def _scales(self, X: Rows) -> Tensor:
        return at_target(X, self.facts["scale"], len(self.facts["sources"]))


class IsotonicModel(CalibratedModel):
    """A fitted model, and the cumulative probabilities that its like gave to held-out values."""

    pits: Tensor

    def __init__(self, inner: FittedModel, heldout: Tensor, pits: Tensor) -> None:
        super().__init__(inner, heldout)
        self.register_buffer("pits", pits)

    def calibrate(self, base: RowPosterior, X: Rows) -> CalibratedPosterior:
        """See `CalibratedModel.calibrate`."""
        return RecalibratedPosterior(base, self.pits)

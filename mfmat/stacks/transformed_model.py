"""A fitted model of transformed values that answers for the values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from botorch.posteriors import GPyTorchPosterior
from torch import Tensor

from mfmat.errors import FitError
from mfmat.learner import Facts, FittedModel, OpenModel, RowsOfInner, WrappedModel
from mfmat.metrics import row_crps
from mfmat.posteriors import CalibratedPosterior, normal, push, quantile
from mfmat.transforms import Partial, Transform
from mfmat.types import Covariance, Flags, Rows


class PlainModel(OpenModel, RowsOfInner):
    """A model of the values themselves, with the reason why no transform was taken."""

    def posterior(self, X: Rows, *args: Any, **kwargs: Any) -> Any:
        """That of the model."""
        return self.inner.posterior(X, *args, **kwargs)


class TransformedModel(WrappedModel):
    r"""$y = g^{-1}(z)$ with z as the inner model says.

    The noise-free value is that whose transform is the noise-free one, $g^{-1}(f)$: the median of measurements, which
    of a skewed value is not their mean. `joint` has the exact mean and covariance of values whose transforms have the
    inner model's joint Gaussian; the posterior of a row is exact for every inner one.

    Args:
        inner: of the transforms.
        facts: what else is to be kept; `transform`, and in `labels` the fidelities that have none.
        slopes: of the transform at each of the rows that it was fitted to (n).
    """

    slopes: Tensor

    def __init__(self, inner: FittedModel, facts: Facts, slopes: Tensor) -> None:
        super().__init__(inner, **facts)
        self.transform: Transform = Transform.of(facts["transform"])
        self.register_buffer("slopes", slopes)

    @property
    def batch_shape(self) -> torch.Size:
        """Of imagined measurements, where it is conditioned on them."""
        return self.inner.batch_shape

    def at(self, X: Rows) -> Transform:
        """The transform of these rows: all of them but those of labels."""
        if not self.facts["labels"]:
            return self.transform
        return Partial(self.transform, ~torch.isin(X[..., -1].round(), X.new_tensor(self.facts["labels"])))

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """See `FittedModel.joint`."""
        return self.at(X).moments(*self.inner.joint(X, observed))

    def noise(self, X: Rows) -> Tensor:
        """See `FittedModel.noise`; by how much the variance of a new measurement exceeds that of its noise-free value.

        Where the transform is steep in z, as the value of a large logarithm, measurements scatter more.
        """
        none = torch.zeros(X.shape[-2], dtype=torch.bool)
        mean, covariance = self.inner.joint(X, none)
        return self._excess(X, mean, covariance.diagonal(dim1=-2, dim2=-1), self.inner.noise(X))

    def moments(self, X: Rows) -> tuple[Tensor, Covariance, Tensor]:
        """See `FittedModel.moments`."""
        mean, covariance, noise = self.inner.moments(X)
        variance = covariance.diagonal(dim1=-2, dim2=-1)
        return *self.at(X).moments(mean, covariance), self._excess(X, mean, variance, noise)

    def posterior(
        self,
        X: Rows,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Callable[[GPyTorchPosterior], GPyTorchPosterior] | None = None,
    ) -> GPyTorchPosterior | CalibratedPosterior:
        """BoTorch's contract, as the inner posterior seen through the transform; noise is given as that of values."""
        self.eval()
        transform = self.at(X)
        if isinstance(observation_noise, Tensor):
            middle = transform.inverse(quantile(self.inner.posterior(X), 0.5))
            observation_noise = observation_noise * (2 * transform.log_slope(middle)).exp()
        posterior: Any = push(self.inner.posterior(X, None, observation_noise), transform)
        return posterior if posterior_transform is None else posterior_transform(posterior)

    def condition_on_observations(self, X: Rows, Y: Tensor, **kwargs: Any) -> TransformedModel:
        """This model after q more measurements of values (s x b x q x 1): the inner one, after their transforms.

        Raises:
            FitError: a value that has no transform.
        """
        transform = self.at(X)
        if not bool((allowed := transform.allows(Y)).all()):
            raise FitError(
                f"a measurement of {float(Y[~allowed][0]):g}",
                expected=f"a value with {self.transform.name}, such as those that the model was fitted to",
                fix='mend the value, or fit Transformed(member, transform="arcsinh"), which takes every value',
            )
        return self._around(self.inner.condition_on_observations(X, transform.forward(Y), **kwargs))

    def fantasize(self, X: Rows, sampler: Callable[[Any], Tensor], **kwargs: Any) -> TransformedModel:
        """See `FittedModel.fantasize`; transforms are imagined, so that every imagined value has one."""
        return self._around(self.inner.fantasize(X, sampler, **kwargs))

    def solve(self, B: Tensor) -> Tensor:
        """See `FittedModel.solve`; covariances of values are those of transforms by the slopes."""
        slopes = self.slopes[:, None]
        return slopes * self.inner.solve(slopes * B).detach()

    def told(self) -> Tensor | None:
        """See `FittedModel.told`."""
        told = self.inner.told()
        return None if told is None or self.facts["labels"] else self.transform.inverse(told)

    def evidence(self) -> Tensor | None:
        """See `FittedModel.evidence`; mean, spread and CRPS as of a transform that is Gaussian."""
        kept = self.inner.evidence()
        if kept is None:
            return None
        place, z, median, mean, std, lower, upper, below, _, nll = kept.T
        y = self.transform.inverse(z)
        said = push(normal(mean[:, None], std.square()[:, None, None]), self.transform)
        score = row_crps(said, y[:, None, None])[:, 0, 0]
        ends = [self.transform.inverse(each) for each in (lower, upper)]
        spread = said.variance[:, 0, 0].sqrt()
        density = nll - self.transform.log_slope(y)
        middle = self.transform.inverse(median)
        return torch.stack([place, y, middle, said.mean[:, 0, 0], spread, *ends, below, score, density], dim=1)

    def _excess(self, X: Rows, mean: Tensor, variance: Tensor, noise: Tensor) -> Tensor:
        """What noise of transforms adds to the variance of the value of each row on its own (b x q)."""
        transform = self.at(X)
        rows = Partial(transform.inner, transform.rows.unsqueeze(-1)) if isinstance(transform, Partial) else transform
        both = [rows.moments(mean[..., None], each[..., None, None])[1] for each in (variance + noise, variance)]
        return (both[0] - both[1])[..., 0, 0]

    def _around(self, inner: FittedModel) -> TransformedModel:
        """The same, of another model of transforms."""
        own = {name: fact for name, fact in self.facts.items() if name != "inner"}
        return TransformedModel(inner, own, self.slopes)

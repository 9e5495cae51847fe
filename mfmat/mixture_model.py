"""A fitted model that is an even mixture of fitted models."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from botorch.posteriors import GPyTorchPosterior
from torch import Tensor

from mfmat.learner import FittedModel
from mfmat.posteriors import CalibratedPosterior, MixturePosterior
from mfmat.types import Covariance, Flags, Rows


class MixtureModel(FittedModel):
    r"""$p(y) = \frac1K \sum_k p_k(y)$ over K models of the same rows.

    The posterior is the mixture itself; the joint Gaussian, which conditioning and acquisitions use, has its
    moments: the mean of the models' means, and the mean of their covariances plus the covariance of their means.
    """

    @abstractmethod
    def parts(self) -> Sequence[FittedModel]:
        """The K models."""

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """See `FittedModel.joint`."""
        means, covariances = self._components(X, observed)
        mean = means.mean(0)
        apart = (means - mean).unsqueeze(-1)
        return mean, (covariances + apart * apart.mT).mean(0)

    def hidden(self, X: Rows) -> Tensor | None:
        """See `FittedModel.hidden`; the units of all models."""
        units = [model.hidden(X) for model in self.parts()]
        known = [each for each in units if each is not None]
        return torch.cat(known, dim=-1) if known else None

    def noise(self, X: Rows) -> Tensor:
        """See `FittedModel.noise`; the mean over the models."""
        return torch.stack([model.noise(X) for model in self.parts()]).mean(0)

    def solve(self, B: Tensor) -> Tensor:
        """See `FittedModel.solve`; the mean over the models."""
        return torch.stack([model.solve(B) for model in self.parts()]).mean(0)

    def posterior(
        self,
        X: Rows,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Callable[[GPyTorchPosterior], GPyTorchPosterior] | None = None,
    ) -> GPyTorchPosterior | CalibratedPosterior:
        """BoTorch's contract, as a mixture over the models."""
        self.eval()
        means, covariances = self._components(X, torch.full((X.shape[-2],), observation_noise is True))
        if isinstance(observation_noise, Tensor):
            covariances = covariances + torch.diag_embed(observation_noise[..., 0].expand(means.shape[1:]))
        posterior = MixturePosterior(means, covariances, means.new_full((len(means),), 1 / len(means)))
        return posterior if posterior_transform is None else posterior_transform(posterior)

    def _components(self, X: Rows, observed: Flags) -> tuple[Tensor, Tensor]:
        answers = [model.joint(X, observed) for model in self.parts()]
        return torch.stack([mean for mean, _ in answers]), torch.stack([covariance for _, covariance in answers])

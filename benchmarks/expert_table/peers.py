"""Who mfmat's experts are measured against: each takes the same columns, and answers with a Gaussian for each row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.transforms import Normalize, Standardize
from gpytorch.mlls import ExactMarginalLogLikelihood
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.ensemble import RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from mfmat.data import Data
from mfmat.errors import FitError
from mfmat.posteriors import GaussianPosterior, normal

Array = NDArray[np.float64]


class Peer(Protocol):
    """What a peer answers to."""

    def fit(self, data: Data) -> Fitted:
        """Train on these rows."""

    def config(self) -> dict[str, Any]:
        """Its settings."""


@dataclass(frozen=True)
class Fitted:
    """A fitted peer: mean and standard deviation of new measurements from their features (n x d)."""

    say: Callable[[Array], tuple[Array, Array]]

    def posterior(self, X: Tensor, observation_noise: bool = True) -> GaussianPosterior:
        """As mfmat's models answer, for rows on their own (n x 1 x (d+1))."""
        mean, std = (torch.from_numpy(np.asarray(part)).double()[:, None] for part in self.say(X[:, 0, :-1].numpy()))
        return normal(mean, std.square()[..., None])


@dataclass(frozen=True)
class Settings:
    """Settings that write themselves."""

    def config(self) -> dict[str, Any]:
        """Name and fields."""
        return {"kind": type(self).__name__, **asdict(self)}


@dataclass(frozen=True)
class Median(Settings):
    """No model: a Gaussian around the median of the training values, as wide as they lie about it."""

    def fit(self, data: Data) -> Fitted:
        """Median, and root mean square distance from it."""
        y = data.Y[:, 0].numpy()
        centre, spread = float(np.median(y)), float(np.sqrt(np.square(y - np.median(y)).mean()))
        return Fitted(lambda X: (np.full(len(X), centre), np.full(len(X), spread)))


@dataclass(frozen=True)
class RandomForest(Settings):
    """scikit-learn's random forest; variance a + b s², s the spread of the trees, a and b fitted out of bag."""

    small: int = 500
    large: int = 100
    many: int = 10_000
    features: float = 1 / 3
    seed: int = 0

    def fit(self, data: Data) -> Fitted:
        """500 trees up to 10,000 rows, 100 above; a and b maximise the Gaussian likelihood of out-of-bag errors."""
        X, y = data.X[:, :-1].numpy().astype(np.float32), data.Y[:, 0].numpy()
        trees = self.small if len(y) <= self.many else self.large
        forest = RandomForestRegressor(
            trees, max_features=self.features, random_state=self.seed, n_jobs=torch.get_num_threads()
        ).fit(X, y)
        sums = np.zeros((3, len(y)))
        for tree, drawn in zip(forest.estimators_, forest.estimators_samples_, strict=True):
            out = np.ones(len(y), dtype=bool)
            out[drawn] = False
            said = tree.predict(X[out])
            sums[:, out] += np.stack([np.ones(len(said)), said, said**2])
        noise, factor = calibrated_out_of_bag(y, sums)
        forest.set_params(n_jobs=1)

        def say(X: Array) -> tuple[Array, Array]:
            every = np.stack([tree.predict(X.astype(np.float32)) for tree in forest.estimators_])
            return every.mean(0), np.sqrt(noise + factor * every.var(0))

        return Fitted(say)


def calibrated_out_of_bag(y: Array, sums: Array) -> tuple[float, float]:
    """a and b from number, sum and sum of squares of what members say of rows that they have not seen (3 x n)."""
    told = sums[0] > 1
    mean = sums[1, told] / sums[0, told]
    return calibrated((y[told] - mean) ** 2, np.maximum(sums[2, told] / sums[0, told] - mean**2, 0))


def calibrated(errors: Array, variances: Array) -> tuple[float, float]:
    """a and b that maximise the likelihood of squared errors under the variance a + b v."""
    scale = errors.mean()

    def loss(logs: Array) -> float:
        total = scale * np.exp(logs[0]) + np.exp(logs[1]) * variances
        return float((errors / total + np.log(total)).mean())

    a, b = minimize(loss, np.array([-2.0, -0.5]), method="Nelder-Mead").x
    return float(scale * np.exp(a)), float(np.exp(b))


@dataclass(frozen=True)
class SklearnGP(Settings):
    """scikit-learn's GP: one Matern 5/2 lengthscale on standardised columns, and white noise."""

    limit: int = 20_000
    seed: int = 0

    def fit(self, data: Data) -> Fitted:
        """Marginal likelihood from one start."""
        refuse_above(self.limit, data)
        width = data.X.shape[1] - 1
        kernel = ConstantKernel(1.0) * Matern(width**0.5, nu=2.5) + WhiteKernel(0.1)
        process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=self.seed)
        model = make_pipeline(StandardScaler(), process).fit(data.X[:, :-1].numpy(), data.Y[:, 0].numpy())
        return Fitted(lambda X: model.predict(X, return_std=True))


@dataclass(frozen=True)
class BotorchGP(Settings):
    """BoTorch's SingleTaskGP as it comes, with its usual transforms."""

    limit: int = 20_000

    def fit(self, data: Data) -> Fitted:
        """Until its own criterion says that it has converged."""
        refuse_above(self.limit, data)
        X = data.X[:, :-1]
        model = SingleTaskGP(X, data.Y, input_transform=Normalize(X.shape[1]), outcome_transform=Standardize(1))
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))

        def say(X: Array) -> tuple[Array, Array]:
            posterior = model.posterior(torch.from_numpy(X)[:, None], observation_noise=True)
            return posterior.mean[:, 0, 0].numpy(), posterior.variance[:, 0, 0].sqrt().numpy()

        return Fitted(say)


def refuse_above(limit: int, data: Data) -> None:
    """An error for tables whose covariance would not fit into memory.

    Raises:
        FitError: more rows than `limit`.
    """
    if len(data) > limit:
        raise FitError(f"{len(data)} rows", expected=f"at most {limit}", fix="fewer rows")

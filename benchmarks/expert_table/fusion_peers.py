"""Who mfmat's stacks are measured against: forests told of the cheap sources, and co-kriging of other libraries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import MultiTaskGP, SingleTaskMultiFidelityGP
from botorch.models.transforms import Normalize, Standardize
from gpytorch.mlls import ExactMarginalLogLikelihood
from sklearn.ensemble import RandomForestRegressor
from smt.applications import MFK

from expert_table.peers import Array, Fitted, RandomForest, Settings, refuse_above
from mfmat.data import Data, material_keys

FOREST = RandomForest()


@dataclass(frozen=True)
class ForestTarget(Settings):
    """A forest of the target's rows alone."""

    forest: RandomForest = FOREST

    def fit(self, data: Data) -> Fitted:
        """As `RandomForest`."""
        return self.forest.fit(data.at(data.target))


@dataclass(frozen=True)
class ForestDifference(Settings):
    """A forest of the closest cheap source, and one of the target's difference from it (Hutchinson et al. 2017)."""

    forest: RandomForest = FOREST
    trees: int = 100
    seed: int = 0

    def fit(self, data: Data) -> Fitted:
        """The cheap source with the most rows; measured values are not used."""
        rows = data.at(data.target)
        sizes = [int((data.fidelity == s).sum()) for s in range(data.target)]
        cheap = grown(data.at(int(np.argmax(sizes))), self.trees, self.seed)
        below = cheap.predict(rows.X[:, :-1].numpy().astype(np.float32))
        model = self.forest.fit(replace(rows, Y=rows.Y - torch.from_numpy(below)[:, None]))

        def say(X: Array) -> tuple[Array, Array]:
            mean, std = model.say(X)
            return mean + cheap.predict(X.astype(np.float32)), std

        return Fitted(say)


@dataclass(frozen=True)
class ForestLatent(Settings):
    """A forest whose inputs hold what forests of the cheap sources say (Hutchinson et al. 2017)."""

    measured: bool = False
    """Where a material has a measured cheap value, that instead."""
    forest: RandomForest = FOREST
    trees: int = 100
    seed: int = 0

    def fit(self, data: Data) -> Fitted:
        """One latent for each cheap source."""
        cheap = [data.at(s) for s in range(data.target) if bool((data.fidelity == s).any())]
        forests = [grown(rows, self.trees, self.seed) for rows in cheap]
        known = [
            dict(zip(material_keys(part.X, data.material).tolist(), part.Y[:, 0].tolist(), strict=True))
            for part in cheap
        ]

        def latents(X: Array) -> Array:
            said = np.stack([forest.predict(X.astype(np.float32)) for forest in forests], axis=1)
            if self.measured:
                rows = torch.from_numpy(np.pad(X, ((0, 0), (0, 1))))
                keys = material_keys(rows, data.material).tolist()
                for column, have in zip(said.T, known, strict=True):
                    column[:] = [have.get(key, value) for key, value in zip(keys, column, strict=True)]
            return np.hstack([X, said])

        rows = data.at(data.target)
        X = torch.from_numpy(np.hstack([latents(rows.X[:, :-1].numpy()), np.zeros((len(rows), 1))]))
        model = self.forest.fit(replace(rows, X=X))
        return Fitted(lambda new: model.say(latents(new)))


def grown(data: Data, trees: int, seed: int) -> RandomForestRegressor:
    """A forest of one source."""
    forest = RandomForestRegressor(trees, max_features=1 / 3, random_state=seed, n_jobs=torch.get_num_threads())
    return forest.fit(data.X[:, :-1].numpy().astype(np.float32), data.Y[:, 0].numpy())


@dataclass(frozen=True)
class BotorchMultiTask(Settings):
    """BoTorch's MultiTaskGP over all sources, as it comes."""

    limit: int = 4000

    def fit(self, data: Data) -> Fitted:
        """Until its own criterion says that it has converged."""
        refuse_above(self.limit, data)
        width = data.X.shape[1] - 1
        inner = Normalize(width + 1, indices=list(range(width)))
        model = MultiTaskGP(
            data.X, data.Y, task_feature=-1, output_tasks=[data.target], input_transform=inner,
            outcome_transform=Standardize(1),
        )  # fmt: skip
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        return Fitted(lambda X: answered(model, torch.from_numpy(X)))


@dataclass(frozen=True)
class BotorchMultiFidelity(Settings):
    """BoTorch's SingleTaskMultiFidelityGP with the rank of the source as its fidelity from 0 to 1."""

    limit: int = 4000

    def fit(self, data: Data) -> Fitted:
        """Until its own criterion says that it has converged."""
        refuse_above(self.limit, data)
        width, top = data.X.shape[1] - 1, max(data.target, 1)
        X = torch.cat([data.X[:, :-1], data.X[:, -1:] / top], dim=1)
        inner = Normalize(width + 1, indices=list(range(width)))
        model = SingleTaskMultiFidelityGP(
            X, data.Y, data_fidelities=[width], input_transform=inner, outcome_transform=Standardize(1)
        )
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        return Fitted(lambda new: answered(model, torch.nn.functional.pad(torch.from_numpy(new), (0, 1), value=1.0)))


def answered(model: Any, X: torch.Tensor) -> tuple[Array, Array]:
    """Mean and standard deviation of new measurements (n and n)."""
    posterior = model.posterior(X[:, None], observation_noise=True)
    return posterior.mean[:, 0, 0].numpy(), posterior.variance[:, 0, 0].sqrt().numpy()


@dataclass(frozen=True)
class CoKriging(Settings):
    """SMT's MFK on as many leading principal components as it can take, with the cheap sources by their trust."""

    limit: int = 4000
    components: int = 10

    def fit(self, data: Data) -> Fitted:
        """One level a source; noise is estimated."""
        refuse_above(self.limit, data)
        X = data.X[:, :-1].numpy()
        centre, scale = X.mean(0), np.where(X.std(0) > 0, X.std(0), 1.0)
        _, _, axes = np.linalg.svd((X - centre) / scale, full_matrices=False)
        axes = axes[: self.components].T
        model = MFK(theta0=[1e-2] * axes.shape[1], eval_noise=True, print_global=False)
        present = [s for s in range(data.target) if bool((data.fidelity == s).any())]
        for level, s in enumerate(present):
            rows = data.at(s)
            model.set_training_values((rows.X[:, :-1].numpy() - centre) / scale @ axes, rows.Y.numpy(), name=level)
        rows = data.at(data.target)
        model.set_training_values((rows.X[:, :-1].numpy() - centre) / scale @ axes, rows.Y.numpy())
        model.train()
        noise = float(np.ravel(model.optimal_noise_all[-1])[0])

        def say(new: Array) -> tuple[Array, Array]:
            placed = (new - centre) / scale @ axes
            variance = np.maximum(model.predict_variances(placed)[:, 0], 0) + noise
            return model.predict_values(placed)[:, 0], np.sqrt(variance)

        return Fitted(say)

"""BoTorch's own loops, as policies that a backtest can replay beside mfmat's."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from botorch.acquisition import ExpectedImprovement
from botorch.acquisition.cost_aware import InverseCostWeightedUtility
from botorch.acquisition.max_value_entropy_search import qMultiFidelityMaxValueEntropy
from botorch.fit import fit_gpytorch_mll
from botorch.models import MultiTaskGP, SingleTaskGP, SingleTaskMultiFidelityGP
from botorch.models.cost import AffineFidelityCostModel
from gpytorch.kernels import MaternKernel, ScaleKernel
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import GammaPrior
from torch import Tensor

import mfmat as mf
from mfmat.policies import Answer, Policy, Situation

CHUNK = 64
"""Pairs scored at a time."""


@dataclass(frozen=True)
class Loop(Policy):
    """A model of all rows, inputs scaled to the unit cube, and a score for each pair of the pool."""

    def ask(self, situation: Situation, n: int, previous: Answer | None = None) -> Answer:
        """See `Policy.ask`."""
        schema, sources = situation.schema, situation.schema.sources
        data = schema.data(situation.seen)
        width = data.X.shape[1] - 1 - (data.material is not None)
        pool = schema.encode(situation.pool)[0][:, 0, :width]
        low, high = pool.amin(0), pool.amax(0)
        span = torch.where(high > low, high - low, 1.0)
        seen = torch.cat([(data.X[:, :width] - low) / span, data.fidelity[:, None].double()], dim=1)
        values = -data.Y if situation.goal == "min" else data.Y
        score = self.score(seen, values, (pool - low) / span, schema)
        score = np.where(situation.open, score.numpy(), -np.inf)
        row, column = np.unravel_index(score.argmax(), score.shape)
        return Answer([(int(row), sources[column])])

    @abstractmethod
    def score(self, seen: Tensor, y: Tensor, pool: Tensor, schema: mf.Schema) -> Tensor:
        """What each pair of the pool (n x d) is worth per unit of cost (n x m), by values that are good where large."""

    def learn(self, situation: Situation) -> mf.Surrogate:
        """See `Policy.learn`."""
        raise NotImplementedError


@dataclass(frozen=True)
class CostCooled(Loop, kind="benchmark_cost_cooled"):
    """MultiTaskGP: expected improvement at the target, times |correlation| of the source, over its price."""

    name: str = "multi-task"

    def score(self, seen: Tensor, y: Tensor, pool: Tensor, schema: mf.Schema) -> Tensor:
        """See `Loop.score`."""
        sources, scaled, task = len(schema.sources), torch.empty_like(y), seen[:, -1]
        for k in task.unique():
            mine = y[task == k]
            scaled[task == k] = (mine - mine.mean()) / mine.std().clamp_min(1e-9)
        model = MultiTaskGP(seen, scaled, task_feature=-1, output_tasks=[sources - 1])
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        gain = ExpectedImprovement(model, best_f=scaled[task == sources - 1].max())
        with torch.no_grad():
            improvement = torch.cat([gain(at(part, sources - 1).unsqueeze(1)) for part in pool.split(128)])
            prior = model.covar_module(torch.cat([at(pool[:1], k) for k in range(sources)])).to_dense()
        spread = prior.diagonal().sqrt()
        correlation = (prior[:, -1] / spread / spread[-1]).abs()
        return improvement[:, None] * correlation / prices(schema)


@dataclass(frozen=True)
class MaxValue(Loop, kind="benchmark_max_value"):
    """SingleTaskMultiFidelityGP with multi-fidelity max-value entropy, over the price."""

    name: str = "max-value entropy"

    def score(self, seen: Tensor, y: Tensor, pool: Tensor, schema: mf.Schema) -> Tensor:
        """See `Loop.score`."""
        low, high = prices(schema)
        model = SingleTaskMultiFidelityGP(seen, y, data_fidelities=[seen.shape[1] - 1])
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        cost = AffineFidelityCostModel(fidelity_weights={-1: float(high - low)}, fixed_cost=float(low))
        top = torch.tensor(1.0).double()
        value = qMultiFidelityMaxValueEntropy(
            model,
            candidate_set=at(pool, 1),
            num_fantasies=0,
            cost_aware_utility=InverseCostWeightedUtility(cost),
            project=lambda X: torch.cat([X[..., :-1], top.expand_as(X[..., :1])], dim=-1),
        )
        with torch.no_grad():
            columns = [torch.cat([value(at(part, k).unsqueeze(1)) for part in pool.split(CHUNK)]) for k in (0, 1)]
        return torch.stack(columns, dim=1)


@dataclass(frozen=True)
class UpperBound(Loop, kind="benchmark_upper_bound"):
    """SingleTaskGP with a Matern-5/2 kernel of one lengthscale, and mean + 2 standard deviations."""

    name: str = "mean + 2 sd"

    def score(self, seen: Tensor, y: Tensor, pool: Tensor, schema: mf.Schema) -> Tensor:
        """See `Loop.score`."""
        kernel = ScaleKernel(
            MaternKernel(nu=2.5, lengthscale_prior=GammaPrior(3.0, 6.0)), outputscale_prior=GammaPrior(2.0, 0.15)
        )
        scaled = (y - y.mean()) / y.std().clamp_min(1e-9)
        model = SingleTaskGP(seen[:, :-1], scaled, covar_module=kernel, outcome_transform=None)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        with torch.no_grad():
            said = model.posterior(pool)
        return said.mean + 2 * said.variance.sqrt()


def prices(schema: mf.Schema) -> Tensor:
    """Of each source (m)."""
    return torch.tensor([schema.prices[name] for name in schema.sources]).double()


def at(X: Tensor, fidelity: int) -> Tensor:
    """Rows (n x d) at a fidelity (n x (d+1))."""
    return torch.cat([X, torch.full((len(X), 1), float(fidelity)).double()], dim=1)

"""A fitted mixture: models of the same rows, weighed by a gate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from botorch.posteriors import GPyTorchPosterior
from torch import Tensor

from mfmat.gates import FittedGate
from mfmat.learner import Facts, FittedModel, StackModel
from mfmat.posteriors import CalibratedPosterior, MixturePosterior, components
from mfmat.rescaling import at_target, stretch
from mfmat.types import Covariance, Flags, Rows


class GatedModel(StackModel):
    r"""$p(y | x) = \sum_k w_k(x) p_k(y | x)$, with one gate for each source.

    Args:
        members: K fitted models.
        gates: one for each source.
        facts: what else is to be kept; `scale` is the factor on the members' standard deviations at the target.
    """

    def __init__(self, members: Sequence[FittedModel], gates: Sequence[FittedGate], facts: Facts) -> None:
        described = {"members": [member.facts for member in members], "gates": [gate.facts for gate in gates]}
        super().__init__(members, {**facts, **described})
        self.gates = torch.nn.ModuleList(gates)
        self.models, self.fitted_gates = tuple(members), tuple(gates)

    @property
    def member_names(self) -> Sequence[str]:
        """See `StackModel.member_names`: their kinds."""
        return [str(name) for name in self.facts["names"]]

    def weights(self, X: Rows) -> Tensor:
        """The weight of each member at each row (b x q x (d+1) to K x b x q): the mean of its posterior."""
        return self._weigh(X, self._spreads(X))

    def weight_std(self, X: Rows) -> Tensor:
        """The standard deviation of that posterior (K x b x q)."""
        spreads = self._spreads(X)
        return self._route(X, [gate.weight_std(X, spreads) for gate in self.fitted_gates])

    def shares(self, X: Rows) -> dict[str, tuple[Tensor, Tensor]]:
        """See `FittedModel.shares`: those of the members, each by its kind."""
        names = self.facts["names"]
        if len(names) == 1:
            return self.models[0].shares(X)
        return dict(zip(names, zip(self.weights(X), self.weight_std(X), strict=True), strict=True))

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """See `FittedModel.joint`; the moments of the mixture."""
        answers = [model.joint(X, observed) for model in self.models]
        means = torch.stack([mean for mean, _ in answers])
        covariances = torch.stack([covariance for _, covariance in answers])
        noise = torch.stack([model.noise(X) for model in self.models]) * ~observed
        spreads = (covariances.diagonal(dim1=-2, dim2=-1) + noise).sqrt()
        return mix(means, stretch(covariances, self._scales(X)), self._weigh(X, spreads))

    def noise(self, X: Rows) -> Tensor:
        """See `FittedModel.noise`; the mean over the members."""
        noise = torch.stack([model.noise(X) for model in self.models])
        return (self.weights(X) * noise).sum(0) * self._scales(X) ** 2

    def solve(self, B: Tensor) -> Tensor:
        """See `FittedModel.solve`; the mean over the members, by the constant part of the target's weights."""
        shares = self.fitted_gates[-1].mean.reshape(-1, 1, 1)
        with torch.no_grad():
            solved = torch.stack([model.solve(B) for model in self.models]) / float(self.facts["scale"]) ** 2
            return (shares * solved).sum(0)

    def probabilities(self, X: Rows) -> Tensor:
        """See `FittedModel.probabilities`; the mean over the members."""
        each = torch.stack([model.probabilities(X) for model in self.models])
        with torch.set_grad_enabled(each.requires_grad):
            return (self.weights(X).unsqueeze(-1) * each).sum(0)

    def posterior(
        self,
        X: Rows,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Callable[[GPyTorchPosterior], GPyTorchPosterior] | None = None,
    ) -> GPyTorchPosterior | CalibratedPosterior:
        """BoTorch's contract, as the mixture of all components of all members."""
        self.eval()
        said = [model.posterior(X, None, observation_noise is True) for model in self.models]
        variances = torch.stack([posterior.variance[..., 0] for posterior in said])
        if observation_noise is not True:
            variances = variances + torch.stack([model.noise(X) for model in self.models])
        weights = self._weigh(X, variances.sqrt())
        parts = [components(posterior) for posterior in said]
        shares = torch.cat([own * weights[k] for k, (_, _, own) in enumerate(parts)])
        means, covariances = (torch.cat([part[i] for part in parts]) for i in (0, 1))
        covariances = stretch(covariances, self._scales(X))
        if isinstance(observation_noise, Tensor):
            covariances = covariances + torch.diag_embed(observation_noise[..., 0].expand(means.shape[1:]))
        posterior = MixturePosterior(means, covariances, shares)
        return posterior if posterior_transform is None else posterior_transform(posterior)

    def _spreads(self, X: Rows) -> Tensor:
        """The standard deviation of a new measurement that each member states (K x b x q)."""
        return torch.stack([model.posterior(X, None, True).variance[..., 0].sqrt() for model in self.models])

    def _scales(self, X: Rows) -> Tensor:
        return at_target(X, self.facts["scale"], len(self.fitted_gates))

    def _weigh(self, X: Rows, spreads: Tensor) -> Tensor:
        return self._route(X, [gate.weights(X, spreads) for gate in self.fitted_gates])

    def _route(self, X: Rows, each: Sequence[Tensor]) -> Tensor:
        """At each row what the gate of its source says."""
        fidelity, found = X[..., -1].round(), each[-1]
        for i, said in enumerate(each[:-1]):
            found = torch.where(fidelity == i, said, found)
        return found


def mix(means: Tensor, covariances: Tensor, weights: Tensor) -> tuple[Tensor, Covariance]:
    r"""Mean and covariance of a mixture of joint Gaussians whose weights differ from row to row.

    $\mu = \sum_k w_k \mu_k$ and $\Sigma_{ij} = \sum_k \sqrt{w_{ki} w_{kj}} [\Sigma_{kij} + (\mu_{ki} - \mu_i)(\mu_{kj}
    - \mu_j)]$: positive semi-definite, and exact on the diagonal (see `MixturePosterior`).

    Args:
        means: K x b x q.
        covariances: K x b x q x q.
        weights: K x b x q; they sum to 1 over K.
    """
    moments = MixturePosterior(means, covariances, weights).distribution
    return moments.mean, moments.covariance_matrix

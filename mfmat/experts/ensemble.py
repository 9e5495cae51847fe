"""Deep ensembles: several networks trained in one pass, whose disagreement is the doubt."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from botorch.posteriors import GPyTorchPosterior
from torch import Tensor

from mfmat.data import Data
from mfmat.descent import LONG, descend, few_threads
from mfmat.errors import FitError, UnknownNameError, nearest
from mfmat.experts.atoms import build_inputs, build_trunk
from mfmat.experts.mixture_network import FLOOR, Members, MixtureHead, crps, surprise
from mfmat.familiarity import Familiarity
from mfmat.learner import Expert, Facts, FittedModel, views_of
from mfmat.posteriors import MixturePosterior
from mfmat.training import Schedule, check_sizes, hold_out, train
from mfmat.types import Covariance, Flags, Rows

NETWORKS = ("dense", "set")
LIKELIHOOD = 0.1
"""Share of the logarithmic score in what is learned: enough to mind the tails, too little to hunt for spikes."""
PATIENCE = 0.5
"""Share of the epochs without a better score after which training stops: much is learned while the rate falls."""
CHUNK = 512
"""Rows whose hidden units are held at a time."""


@dataclass(frozen=True, kw_only=True)
class Ensemble(Expert, kind="ensemble"):
    r"""Networks that differ by their first weights and the order of the rows; together a mixture of Gaussians.

    Each of M members says $p_j(y | x) = \sum_k w_{jk}(x) N(\mu_{jk}(x), \sigma_{jk}^2(x) + v)$ of values standardised
    for each source (v is what is known of a row's noise), and is trained to the smallest continuous ranked
    probability score and a tenth of the logarithmic one. The answer is their mean, $\frac1M \sum_j p_j$. What is
    not known of the value itself is where the members' means disagree,
    $\mathrm{cov}(f(x), f(x')) = \mathrm{cov}_j(m_j(x), m_j(x'))$; the mean variance within members is the noise of a
    measurement. One factor on the $\sigma_{jk}^2$ for each source maximises the likelihood of compounds held out, on
    which training also stops. Beyond the range of the training rows the prior takes over (`Familiarity`). All sources
    are taken as one function in their own units; to fuse sources that differ, put it in a stack.

    Args:
        members: M, 2 at least.
        network: `"dense"`, layers on all columns, or `"set"`, layers on the elements of a compound (`AtomSet`).
        view: of `"set"`: whose columns are the fractions of the elements; None: the one that is named so.
        hidden: units of each layer.
        components: Gaussians of one member; 1 for a value with symmetric noise.
        dropout: share of units left out at each step of training.
        held: share of the compounds held out of training.
        epochs: passes over the rows at most.
        steps: of training at least, whatever the number of rows.
        batch: rows a step.
        rate: the largest learning rate.
        decay: of the weights in training.
        seed: of the first weights, the rows held out and the batches.
        device: where to train, such as `"cuda"`; the fitted model is on the CPU.

    Raises:
        UnknownNameError: a network or a view that nobody knows.
        FitError: an impossible size.

    Lakshminarayanan et al. 2017, arXiv:1612.01474; the score: Gneiting & Raftery 2007, doi:10.1198/016214506000001437.

    >>> import pandas as pd
    >>> from mfmat.features import Columns
    >>> from mfmat.schema import Schema
    >>> table = pd.DataFrame({"x": range(20), "y": [i * i for i in range(20)]})
    >>> schema = Schema(Columns("x"), value="y")
    >>> model = Ensemble(members=3, hidden=(16,), steps=100).fit(schema.data(table))
    >>> model.posterior(schema.encode(table)[0]).mean.shape
    torch.Size([20, 1, 1])
    """

    members: int = 4
    network: Literal["dense", "set"] = "dense"
    view: str | None = None
    hidden: tuple[int, ...] = (256, 256)
    components: int = 2
    dropout: float = 0.3
    held: float = 0.1
    epochs: int = 60
    steps: int = 1000
    batch: int = 256
    rate: float = 3e-3
    decay: float = 1e-2
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        # A list would make the recipe unhashable.
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if self.network not in NETWORKS:
            raise UnknownNameError(
                f"network={self.network!r}",
                expected=f"one of {', '.join(map(repr, NETWORKS))}",
                fix=nearest(self.network, NETWORKS) + 'Ensemble(network="dense")',
            )
        fix = "Ensemble(members=4, hidden=(256, 256), dropout=0.3, held=0.1)"
        if self.members < 2:
            raise FitError(f"members={self.members}", expected="2 at least, whose disagreement is the doubt", fix=fix)
        others = {"layers": len(self.hidden), "units": min(self.hidden, default=1)}
        check_sizes(self, ("components", "epochs", "steps", "batch"), fix=fix, **others)

    def build(self, facts: Facts) -> EnsembleModel:
        """An untrained model."""
        return EnsembleModel(facts, self)

    def train(self, model: EnsembleModel, data: Data) -> None:
        """Train the members, then find the noise of each source on the compounds held out."""
        with few_threads(len(data), LONG):
            model.measure(data)
            if not len(data):
                return
            rows, held = hold_out(data, self.held, self.seed)
            y = model.standardise(data)[0]
            # Of equal values there is nothing to learn but the noise.
            if bool((y != y[0]).any()):
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(self.seed)
                    self._teach(model, data, rows, held)
            model.members.eval()
            model.calibrate(data.take(held if len(held) else rows))

    def _teach(self, model: EnsembleModel, data: Data, rows: Tensor, held: Tensor) -> None:
        """Train in single precision, and stop where the held-out rows are predicted best."""
        work = copy.deepcopy(model.members).float().to(self.device)
        with torch.no_grad():
            z = torch.cat([model.inputs(x).float() for x in data.X[:, :-1].split(CHUNK)]).to(self.device)
        y, extra, known = (part.to(self.device) for part in model.standardise(data))
        y, extra = y.float(), extra.float()
        # Each member goes through the rows in an order of its own.
        orders = torch.stack([rows[torch.randperm(len(rows))] for _ in range(self.members)]).to(self.device)

        def score(at: Tensor, each: bool) -> Tensor:
            weights, means, stds = work(z[at], each)
            variances = FLOOR + extra[at].unsqueeze(-1) + torch.where(known[at].unsqueeze(-1), 0.0, stds.square())
            said = (weights, means, variances)
            if not each:
                said = (_merge(weights - math.log(len(work))), _merge(means), _merge(variances))
            # The factor on the noise, found later, mends what only the likelihood minds.
            return crps(*said, y[at]) + (LIKELIHOOD * surprise(*said, y[at]) if each else 0.0)

        def together() -> float:
            work.eval()
            with torch.no_grad():
                total = sum(float(score(part, each=False).sum()) for part in held.to(self.device).split(CHUNK))
            work.train()
            return total

        schedule = Schedule(self.epochs, self.steps, self.batch, self.rate, self.decay, PATIENCE)
        train(
            list(work.parameters()),
            lambda batch: score(orders[:, batch], each=True).mean(),
            torch.arange(len(rows)),
            together if len(held) else None,
            schedule,
            seed=self.seed,
            title="training networks",
        )
        model.members.load_state_dict(work.cpu().double().state_dict())


class EnsembleModel(FittedModel):
    """A fitted ensemble: its members, each source's factor on their noise, and where the training rows lie."""

    centre: Tensor
    scale: Tensor
    typical: Tensor

    def __init__(self, facts: Facts, recipe: Ensemble) -> None:
        super().__init__()
        self.facts = facts
        views = views_of(facts)
        self.inputs = build_inputs(facts, recipe.network, recipe.view)
        self.familiarity = Familiarity(views, facts["width"])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            trunks = [build_trunk(self.inputs, recipe.hidden, recipe.dropout) for _ in range(recipe.members)]
            self.members = Members([MixtureHead(t, t.width, recipe.components) for t in trunks]).double()
        scales = torch.tensor(facts["scales"], dtype=torch.double).reshape(-1, 2)
        self.register_buffer("centre", scales[:, 0], persistent=False)
        self.register_buffer("scale", scales[:, 1], persistent=False)
        self.register_buffer("typical", torch.full((len(scales),), math.nan).double())
        self.log_factor = torch.nn.Parameter(torch.zeros(len(scales)).double())
        # In a tuple, so that the copy for tables is no part of the state.
        self._single: tuple[Members] | None = None

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """As torch's, forgetting the copy for tables."""
        self._single = None
        return super().load_state_dict(*args, **kwargs)

    def measure(self, data: Data) -> None:
        """Learn the columns' scales and ranges, and the noise of sources where all of it is known."""
        self.inputs.measure(data.X[:, :-1])
        self.familiarity.measure(data.X[:, :-1])
        for s in data.fidelity.unique():
            mine = data.fidelity == s
            if bool(data.known[mine].all()):
                self.typical[s] = data.Yvar[mine, 0].median() / self.scale[s] ** 2

    def standardise(self, data: Data) -> tuple[Tensor, Tensor, Tensor]:
        """Values, what is known of their noise, in units of each source, and whether that is all (n each)."""
        s = data.fidelity
        return (data.Y[:, 0] - self.centre[s]) / self.scale[s], data.Yvar[:, 0] / self.scale[s] ** 2, data.known

    def calibrate(self, data: Data) -> None:
        r"""The factors that maximise the likelihood of these rows times the prior $\ln c_s \sim N(0, 0.5^2)$."""
        s = data.fidelity
        y, extra, known = self.standardise(data)
        with torch.no_grad():
            weights, means, variances = (_merge(part) for part in self._say(data.X[:, :-1]))
        extra, known = extra[:, None] + FLOOR, known[:, None]
        weights = weights - math.log(len(self.members))

        def closure() -> tuple[Tensor, list[Tensor]]:
            factor = self.log_factor.exp()[s, None]
            total = extra + torch.where(known, 0.0, factor * variances)
            loss = surprise(weights, means, total, y).sum() + 0.5 * (self.log_factor / 0.5).square().sum()
            return loss.detach(), list(torch.autograd.grad(loss, [self.log_factor]))

        descend(closure, {"log_factor": self.log_factor}, {"log_factor": (-6.0, 6.0)}, 50)

    def _say(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logarithms of weights, means and variances (each M x n x K, standardised) of raw columns (n x d)."""
        if torch.is_grad_enabled():
            weights, means, stds = self.members(self.inputs(x))
        else:
            # For tables: rounding is far below the smallest noise that a member can state.
            if self._single is None:
                self._single = (copy.deepcopy(self.members).float(),)
            parts = [self._single[0](self.inputs(part).float()) for part in x.split(CHUNK)]
            weights, means, stds = (torch.cat(part, dim=1).double() for part in zip(*parts, strict=True))
        # Weights whose sum is 1 in single precision only would move a mean of 1e6 by 0.1.
        return torch.log_softmax(weights, dim=-1), means, stds.square()

    def _components(self, X: Rows) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weights, means and noise variances (each M x b x q x K, in units of y), and trust (b x q)."""
        x, s = X[..., :-1], X[..., -1].round().long()
        trust, scale = self.familiarity.trust(x), self.scale[s]
        weights, means, variances = (part.unflatten(1, X.shape[:-1]) for part in self._say(x.flatten(0, -2)))
        learned = FLOOR + self.log_factor.exp()[s].unsqueeze(-1) * variances
        typical = self.typical[s].unsqueeze(-1)
        variances = torch.where(typical.isnan(), learned, FLOOR + typical) * scale.square().unsqueeze(-1)
        means = self.centre[s].unsqueeze(-1) + (scale * trust).unsqueeze(-1) * means
        return weights.exp(), means, variances, trust

    def _doubt(self, X: Rows, trust: Tensor) -> Covariance:
        """What is left to the prior (b x q x q), in units of y."""
        scale = self.scale[X[..., -1].round().long()]
        covariance: Tensor = self.familiarity.prior(X[..., :-1], trust)
        return covariance * scale.unsqueeze(-1) * scale.unsqueeze(-2)

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """See `FittedModel.joint`."""
        mean, covariance, noise = self.moments(X)
        return mean, covariance + torch.diag_embed(noise * observed)

    def moments(self, X: Rows) -> tuple[Tensor, Covariance, Tensor]:
        """See `FittedModel.moments`: one pass through the networks."""
        weights, means, variances, trust = self._components(X)
        centres = (weights * means).sum(-1)
        apart = (centres - centres.mean(0)).movedim(0, -1) / len(centres) ** 0.5
        covariance = apart @ apart.mT + self._doubt(X, trust)
        # Where members agree to the last digit, and between more rows than members, rounding decides.
        floor = FLOOR * self.scale[X[..., -1].round().long()].square()
        covariance = covariance + torch.diag_embed(floor)
        return centres.mean(0), covariance, _within(weights, means, variances)

    def hidden(self, X: Rows) -> Tensor:
        """See `FittedModel.hidden`; the units of all members."""
        self.eval()
        z = self.inputs(X[..., :-1].flatten(0, -2))
        units: Tensor = self.members.hidden(z).movedim(0, -2).flatten(-2).unflatten(0, X.shape[:-1])
        return units

    def noise(self, X: Rows) -> Tensor:
        """See `FittedModel.noise`; where all noise of a source is known, its median and what members leave open."""
        return _within(*self._components(X)[:3])

    def posterior(
        self,
        X: Rows,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Callable[[GPyTorchPosterior], GPyTorchPosterior] | None = None,
    ) -> Any:
        """See `FittedModel.posterior`; a new measurement is the mixture of all components of all members.

        Several rows at once are a mixture of one Gaussian a member, with its mean and variance.
        """
        if observation_noise is not True:
            return super().posterior(X, output_indices, observation_noise, posterior_transform)
        self.eval()
        weights, means, variances, trust = self._components(X)
        doubt = self._doubt(X, trust) + torch.diag_embed(FLOOR * self.scale[X[..., -1].round().long()].square())
        if X.shape[-2] == 1:
            shares, means, variances = (part.movedim(-1, 1).flatten(0, 1) for part in (weights, means, variances))
            shares = shares / len(weights)
        else:
            shares = torch.full((len(weights),), 1 / len(weights)).to(X)
            means, variances = (weights * means).sum(-1), _variance(weights, means, variances)
        said = MixturePosterior(means, doubt + torch.diag_embed(variances), shares)
        return said if posterior_transform is None else posterior_transform(said)


def _merge(part: Tensor) -> Tensor:
    """The components of all members as those of one (M x n x K to n x MK)."""
    return part.movedim(0, -2).flatten(-2)


def _variance(weights: Tensor, means: Tensor, variances: Tensor) -> Tensor:
    """Of each member's mixture (M x b x q)."""
    apart = means - (weights * means).sum(-1, keepdim=True)
    return (weights * (variances + apart.square())).sum(-1)


def _within(weights: Tensor, means: Tensor, variances: Tensor) -> Tensor:
    """The mean variance within members (b x q)."""
    return _variance(weights, means, variances).mean(0)

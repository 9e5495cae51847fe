"""Forest: trees on resampled compounds, corrected and with a spread calibrated by compounds left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from botorch.posteriors import GPyTorchPosterior
from numpy.typing import NDArray
from torch import Tensor

from mfmat.data import Data
from mfmat.descent import descend
from mfmat.errors import FitError, UnknownNameError, nearest
from mfmat.experts.boosting import Boost, Corrected, Loss, grow_boost, huber, log_loss
from mfmat.experts.trees import CHUNK, Trees, grow_tree
from mfmat.experts.votes import VoteModel, vote_odds
from mfmat.labels import LabelExpert
from mfmat.learner import Facts, FittedModel, facts_of, views_of
from mfmat.posteriors import MixturePosterior
from mfmat.progress import track
from mfmat.scaling import find_outside
from mfmat.types import Covariance, Flags, Rows

SPLITS = ("random", "best")
FEW = 5
"""Rows below which there is no tree, but the prior: each source's mean and spread."""
FLOOR = 1e-6
"""Variance of every value, standardised: keeps the covariance of rows on which all trees agree invertible."""
PRIORS = {
    "log_noise": (-3.0, 1.5),
    "log_between": (0.0, 1.0),
    "log_within": (-1.0, 1.0),
    "log_surprise": (0.0, 1.0),
    "log_odds": (-4.0, 1.0),
}
"""Mean and deviation of what the spread is calibrated by."""
BOUNDS = dict.fromkeys(PRIORS, (-14.0, 4.0))
"""Where a line search may look; the priors keep the optimum far inside."""


@dataclass(frozen=True, kw_only=True)
class Forest(LabelExpert, kind="forest"):
    r"""Mean of trees grown on resampled compounds, boosted; variance from how they differ, by compounds left out.

    Every tree is grown by scikit-learn on as many groups of `Data` (compounds) as there are, drawn with replacement, on
    values standardised for each source. With $\mu_t(x)$ and $s_t^2(x)$ the mean and the variance of the training
    values in the leaf of tree t, the mean is $m(x) = \bar\mu(x) + h(x)(\mathrm{var}_t\,\mu_t(x) + \bar{s^2}(x))^{1/2}$;
    h are further trees on what $\bar\mu$ leaves wrong, in units of this root, of compounds that the first ones had not
    seen. With $v(x) = \beta\,\mathrm{var}_t\,\mu_t(x) + \gamma\,\bar{s^2}(x)$ the value is
    $f(x) \sim (1-\pi)\,N(m(x), v(x)) + \pi\,N(m(x), v(x) + \tau^2)$: now and then all trees agree, and
    all are wrong. A measurement is $y = f(x) + \epsilon$ with $\epsilon \sim N(0, \sigma_s^2 + v_i)$, $v_i$ what is
    known of row i. $\beta$, $\gamma$, $\pi$, $\tau^2$ and the noise $\sigma_s^2$ of each source maximise the likelihood
    of every row under the trees that had not seen its compound, times priors ($\ln\beta$, $\ln\gamma$, $\ln\tau^2$ and
    the log odds of $\pi$: normal around 0, -1, 0 and -4 with deviation 1; $\ln\sigma_s^2 \sim N(-3, 1.5^2)$).
    `joint` has the moments of it.

    Trees say the same for ever beyond the data, so the forest is believed with $g = e^{-u^2/2}$ only, where u is how
    far x lies outside the range of the training rows (in standard deviations, root mean square over a view's
    columns and over views): the mean is $g m$, the variance $g^2 v + 1 - g^2$, that of the source itself far away.
    Two rows correlate by the share of trees in which they share a leaf times $e^{-r}$, r their distance.
    All sources are taken as one function in their own units; to fuse sources that differ, put it in a stack.
    Of a label, the trees' mean is the share of votes, whose log odds further trees correct and compounds left out
    calibrate (`VoteModel`).

    Args:
        trees: their number, 2 at least.
        leaf: the fewest training rows in a leaf.
        features: share of the columns tried at each split.
        splits: at `"random"` thresholds (extremely randomised trees, several times faster on many rows), or at the
            `"best"` of all (random forest).
        seed: of the resampling and the columns tried.

    Raises:
        FitError: fewer than 2 trees, no row in a leaf, or a share outside 0 to 1.

    Breiman 2001, doi:10.1023/A:1010933404324; random thresholds: Geurts et al. 2006, doi:10.1007/s10994-006-6226-1;
    forests with a
    spread: Ling et al. 2017, doi:10.1007/s40192-017-0098-z, Hutter et al. 2014, doi:10.1016/j.artint.2013.10.003.

    >>> import pandas as pd
    >>> from mfmat.features import Columns
    >>> from mfmat.schema import Schema
    >>> table = pd.DataFrame({"x": range(40), "y": [i // 10 for i in range(40)]})
    >>> schema = Schema(Columns("x"), value="y")
    >>> model = Forest(trees=20).fit(schema.data(table))
    >>> model.posterior(schema.encode(table)[0]).mean.shape
    torch.Size([40, 1, 1])
    """

    trees: int = 100
    leaf: int = 1
    features: float = 1 / 3
    splits: Literal["random", "best"] = "random"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.splits not in SPLITS:
            raise UnknownNameError(
                f"splits={self.splits!r}",
                expected=f"one of {', '.join(map(repr, SPLITS))}",
                fix=nearest(self.splits, SPLITS) + 'Forest(splits="random")',
            )
        if self.trees < 2 or self.leaf < 1 or not 0 < self.features <= 1:
            raise FitError(
                f"trees={self.trees}, leaf={self.leaf}, features={self.features}",
                expected="at least 2 trees, 1 row in a leaf, and a share of the columns above 0 and at most 1",
                fix="Forest(trees=100, leaf=1, features=1 / 3)",
            )

    def build(self, facts: Facts) -> ForestModel:
        """An untrained model; of as many trees and nodes as the facts of a trained one say."""
        return ForestModel(facts)

    def train(self, model: ForestModel, data: Data) -> None:
        """Grow the trees, then calibrate their spread on the rows that each had left out."""
        unseen = self._plant(model, data)
        if unseen is not None:
            rows, said = model.ask_unseen(data, unseen)
            own = _own(said)
            wrong = (model.standardise(rows) - said[:, 0]) / own
            boost, left = self._boost(model, rows, wrong, torch.zeros_like(wrong), huber)
            model.correct(boost)
            model.calibrate(rows, said, own * left)

    def _fit_class(self, data: Data, inside: Tensor) -> FittedModel:
        """The log odds of one class against the rest; a label that was given several times counts as often."""
        often = data.take(torch.arange(len(data)).repeat_interleave(data.counts))
        every, counted = torch.ones(len(often), dtype=torch.bool), inside.repeat_interleave(data.counts)
        votes = often.revalue(every, counted.to(data.Y), {})
        forest = self.build(facts_of(votes))
        unseen = self._plant(forest, votes)
        if unseen is None:
            return VoteModel(forest.eval(), self.trees).eval()
        rows, said = forest.ask_unseen(votes, unseen)
        s, labels = rows.fidelity, rows.Y[:, 0]
        mean = forest.centre[s] + forest.scale[s] * said[:, 0]
        boost, left = self._boost(forest, rows, labels, vote_odds(mean, self.trees), log_loss)
        model = VoteModel(forest.eval(), self.trees, boost)
        model.calibrate(mean, left, labels)
        return model.eval()

    def _boost(self, forest: ForestModel, rows: Data, y: Tensor, before: Tensor, loss: Loss) -> Corrected:
        """What corrects answers by trees that had not seen the rows, and says it of each row unseen, too."""
        x, options = forest.place(rows.X[:, :-1]), {"splitter": self.splits, "max_features": self.features}
        return grow_boost(x, y, before, rows.groups, loss=loss, seed=self.seed, **options)

    def _restore_class(self, facts: Facts, state: Mapping[str, Tensor]) -> FittedModel:
        boost = Boost(facts["boosted"]) if "boosted" in facts else None
        model = VoteModel(self.build(facts["inner"]), self.trees, boost)
        model.load_state_dict(dict(state), strict=True)
        return model.eval()

    def _plant(self, model: ForestModel, data: Data) -> Tensor | None:
        """Grow the trees; which rows each has left out, with all their compound (n x trees); None with too few rows."""
        model.measure(data)
        if len(data) < FEW:
            return None
        groups, member = torch.unique(data.groups, return_inverse=True)
        draws = np.random.default_rng(self.seed)
        counts = draws.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=self.trees)
        model.hold(self._grow(model, data, counts[:, member.cpu().numpy()]))
        return torch.from_numpy(counts == 0).T[member.cpu()]

    def _grow(self, model: ForestModel, data: Data, counts: NDArray[np.int64]) -> list[Any]:
        """One tree of scikit-learn for each row of counts (trees x n): how often a row was drawn."""
        x = model.place(data.X[:, :-1]).float().cpu().contiguous().numpy()
        y = model.standardise(data).cpu().numpy()

        def grow(t: int) -> Any:
            # Each seed is its own stream, so that trees do not depend on who grew before them.
            seed = int(np.random.default_rng((self.seed, t)).integers(2**31))
            options = {"splitter": self.splits, "max_features": self.features, "min_samples_leaf": self.leaf}
            return grow_tree(x, y, counts[t].astype(np.float64), **options, random_state=seed)

        pool = ThreadPoolExecutor(torch.get_num_threads())
        try:
            return list(track(pool.map(grow, range(self.trees)), "growing trees", self.trees))
        finally:
            # An interrupt need not wait for trees that nobody will use.
            pool.shutdown(cancel_futures=True)


class ForestModel(FittedModel):
    """A fitted forest: its trees, what their spread means, and the range of the rows they were grown on."""

    centre: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor
    middle: Tensor
    spread: Tensor
    typical: Tensor
    log_noise: Tensor
    log_between: Tensor
    log_within: Tensor
    log_surprise: Tensor
    log_odds: Tensor
    outside: Tensor

    def __init__(self, facts: Facts) -> None:
        super().__init__()
        self.facts = facts
        width, m = facts["width"], len(facts["sources"])
        self.views = list(views_of(facts).values())
        self.trees = Trees(facts.get("trees", 0), facts.get("nodes", 0))
        self.boost = Boost(facts["boosted"]) if "boosted" in facts else None
        for name, (middle, _) in PRIORS.items():
            size = m if name == "log_noise" else 1
            self.register_parameter(name, torch.nn.Parameter(torch.full((size,), middle).double()))
        self.register_buffer("typical", torch.full((m,), math.nan).double())
        for name, start in (("middle", 0.0), ("spread", 1.0), ("low", 0.0), ("high", 0.0)):
            self.register_buffer(name, torch.full((width,), start).double())
        self.register_buffer("outside", find_outside(self.views, width), persistent=False)
        scales = torch.tensor(facts["scales"], dtype=torch.double).reshape(m, 2)
        self.register_buffer("centre", scales[:, 0], persistent=False)
        self.register_buffer("scale", scales[:, 1], persistent=False)

    def measure(self, data: Data) -> None:
        """Learn where the rows lie. A constant column gets its view's median spread, to notice what is new in it."""
        x, s = data.X[:, :-1], data.fidelity
        if len(x) > 1:
            self.middle.copy_(x.mean(0))
            deviation = x.std(0)
            for view in self.views:
                varying = deviation[view] > 1e-12 * x[:, view].abs().amax(0)
                if varying.any():
                    block = deviation[view]
                    self.spread[view] = torch.where(varying, block, block[varying].median())
        if len(x):
            placed = self.place(x)
            self.low.copy_(placed.amin(0))
            self.high.copy_(placed.amax(0))
        for source in s.unique():
            if bool(data.known[s == source].all()):
                self.typical[source] = data.Yvar[s == source, 0].median() / self.scale[source] ** 2

    def hold(self, grown: Sequence[Any]) -> None:
        """Take in scikit-learn's trees."""
        self.facts |= {"trees": len(grown), "nodes": sum(tree.node_count for tree in grown)}
        self.trees = Trees(self.facts["trees"], self.facts["nodes"])
        self.trees.hold(grown)

    def correct(self, boost: Boost | None) -> None:
        """Take in what corrects the trees' mean."""
        self.boost = boost
        self.facts |= {} if boost is None else {"boosted": boost.facts}

    def place(self, x: Tensor) -> Tensor:
        """Columns (b x q x d) in units of their spread; those of no view (an id, metadata) are 0."""
        return ((x - self.middle) / self.spread).masked_fill(self.outside, 0.0)

    def standardise(self, data: Data) -> Tensor:
        """Values in units of their source's spread (n)."""
        s = data.fidelity
        return (data.Y[:, 0] - self.centre[s]) / self.scale[s]

    def ask_unseen(self, data: Data, unseen: Tensor) -> tuple[Data, Tensor]:
        """The rows whose compound two trees have not seen, and what those say of each (see `_say`)."""
        parts = zip(self.place(data.X[:, :-1]).split(CHUNK), unseen.to(data.X.device).split(CHUNK), strict=True)
        said = torch.cat([self._say(self.trees.leaves(x.float()), mask) for x, mask in parts])
        told = unseen.sum(1).to(data.X.device) > 1
        return data.take(torch.nonzero(told).flatten()), said[told]

    def calibrate(self, data: Data, said: Tensor, left: Tensor) -> None:
        """Learn what the spread means from what trees that have not seen a row's compound say of it (n x 3 and n)."""
        s = data.fidelity
        mean, between, within = said.T
        error = (self.standardise(data) - mean - left).square()
        extra, known = data.Yvar[:, 0] / self.scale[s] ** 2, data.known
        parameters: dict[str, Tensor] = {name: getattr(self, name) for name in PRIORS}

        def closure() -> tuple[Tensor, list[Tensor]]:
            noise = FLOOR + extra + torch.where(known, 0.0, self.log_noise.exp()[s])
            variance = noise + self._spreads(between, within)
            scores = -0.5 * (error / variance + variance.log()) + self._weights().log()[:, None]
            loss = -torch.logsumexp(scores, dim=0).sum()
            for name, (middle, deviation) in PRIORS.items():
                loss = loss + 0.5 * ((parameters[name] - middle) / deviation).square().sum()
            return loss.detach(), list(torch.autograd.grad(loss, list(parameters.values())))

        descend(closure, parameters, BOUNDS, 200)

    def posterior(
        self,
        X: Rows,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Callable[[GPyTorchPosterior], GPyTorchPosterior] | None = None,
    ) -> Any:
        """See `FittedModel.posterior`; a new measurement is a mixture of two Gaussians with one mean."""
        if observation_noise is not True:
            return super().posterior(X, output_indices, observation_noise, posterior_transform)
        mean, covariances = self._both(X)
        both = covariances + torch.diag_embed(self.noise(X))
        said = MixturePosterior(mean.expand(both.shape[:-1]), both, self._weights())
        return said if posterior_transform is None else posterior_transform(said)

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """See `FittedModel.joint`: the moments of the mixture."""
        mean, (usual, surprised) = self._both(X)
        covariance = torch.lerp(usual, surprised, self._weights()[1])
        return mean, covariance + torch.diag_embed(self.noise(X) * observed)

    def _both(self, X: Rows) -> tuple[Tensor, Tensor]:
        """Mean (b x q), and covariance of the values when the trees are right and when they are not (2 x b x q x q)."""
        x = self.place(X[..., :-1])
        leaves = self.trees.leaves(x.detach().reshape(-1, x.shape[-1]).float())
        mean, spreads = self._forest(leaves, x.reshape(-1, x.shape[-1]))
        trust = self.trust(x)
        variances = trust.square() * spreads.reshape(2, *X.shape[:-1]) + 1 - trust.square()
        scale, centre = self.scale[self._source(X)], self.centre[self._source(X)]
        stds = variances.sqrt() * scale
        alike = _alike(leaves.reshape(*X.shape[:-1], len(self.trees)), self._near(x))
        covariances = stds.unsqueeze(-1) * stds.unsqueeze(-2) * alike
        return centre + scale * trust * mean.reshape(X.shape[:-1]), covariances

    def trust(self, x: Tensor) -> Tensor:
        """How far the trees are believed of placed rows (b x q x d to b x q): 1 inside the range of their own."""
        return torch.exp(-0.5 * self._beyond(x))

    def noise(self, X: Rows) -> Tensor:
        """See `FittedModel.noise`; where all noise is known, its median."""
        s = self._source(X)
        noise = FLOOR + torch.where(self.typical.isnan(), self.log_noise.exp(), self.typical)
        return noise[s] * self.scale[s] ** 2

    def _forest(self, leaves: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (n) and both variances (2 x n) of the value by the trees alone; with none, of the prior."""
        if not len(self.trees):
            return self.low.new_zeros(len(leaves)), self.low.new_ones(2, len(leaves))
        said = self._say(leaves)
        mean = said[:, 0] if self.boost is None else said[:, 0] + _own(said) * self.boost(x)
        return mean, self._spreads(*said[:, 1:].T)

    def _say(self, leaves: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mean of the trees, variance between them and mean variance within leaves (n x 3), of the flagged trees."""
        index = leaves.reshape(-1)
        mean = self.trees.mean.index_select(0, index).reshape(leaves.shape)
        within = self.trees.variance.index_select(0, index).reshape(leaves.shape)
        if mask is None:
            return torch.stack([mean.mean(1), mean.var(1), within.mean(1)], dim=1)
        count = mask.sum(1, dtype=torch.double).clamp_min(1)
        centre = (mean * mask).sum(1) / count
        between = ((mean - centre[:, None]).square() * mask).sum(1) / (count - 1).clamp_min(1)
        return torch.stack([centre, between, (within * mask).sum(1) / count], dim=1)

    def _spreads(self, between: Tensor, within: Tensor) -> Tensor:
        """Variance of the value when the trees are right, and when they are not (2 x n)."""
        usual = FLOOR + self.log_between.exp() * between + self.log_within.exp() * within
        return torch.stack([usual, usual + self.log_surprise.exp()])

    def _weights(self) -> Tensor:
        """How often the trees are right, and how often not (2)."""
        return torch.cat([torch.sigmoid(-self.log_odds), torch.sigmoid(self.log_odds)])

    def _beyond(self, x: Tensor) -> Tensor:
        """How far placed rows (b x q x d) lie outside the range of the training rows, squared (b x q)."""
        outside = (self.low - x).clamp_min(0) + (x - self.high).clamp_min(0)
        return torch.stack([outside[..., view].square().mean(-1) for view in self.views]).mean(0)

    def _near(self, x: Tensor) -> Tensor:
        """Placed rows (b x q x d) whose distance is the root mean square over a view's columns and over views."""
        sizes = [math.sqrt(len(self.views) * max(view.stop - view.start, 1)) for view in self.views]
        return torch.cat([x[..., view] / size for view, size in zip(self.views, sizes, strict=True)], dim=-1)

    def _source(self, X: Rows) -> Tensor:
        return X[..., -1].round().long()


def _own(said: Tensor) -> Tensor:
    """The trees' own standard deviation, between them and within leaves, of what they say (n x 3 to n)."""
    return (said[:, 1] + said[:, 2] + FLOOR).sqrt()


def _alike(leaves: Tensor, near: Tensor) -> Covariance:
    """Correlation of rows (b x q x trees and b x q x d): the share of leaves in common, times a falling exponential."""
    q = near.shape[-2]
    if q == 1:
        return near.new_ones(*near.shape[:-1], 1)
    shared = near.new_ones(*near.shape[:-1], q)
    if leaves.shape[-1]:
        shared = torch.zeros_like(shared)
        for tree in leaves.unbind(-1):
            shared += tree.unsqueeze(-1) == tree.unsqueeze(-2)
        shared = shared / leaves.shape[-1]
    distance: Tensor = torch.cdist(near, near, compute_mode="donot_use_mm_for_euclid_dist")
    return shared * torch.exp(-distance)

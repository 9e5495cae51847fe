"""A network on the set of a compound's atoms, with a Bayesian last layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mfmat.data import Data
from mfmat.descent import LONG, few_threads
from mfmat.errors import check_choice
from mfmat.experts.atoms import build_inputs, build_trunk
from mfmat.experts.laplace import LaplaceModel
from mfmat.experts.multi_head import MultiHead, fit_heads
from mfmat.experts.pooling import POOLINGS, Pooling
from mfmat.experts.set_trunk import SetInputs, SetTrunk, find_sets
from mfmat.learner import Expert, Facts, views_of
from mfmat.small_sets import SetColumns
from mfmat.training import Schedule, check_sizes, hold_out


@dataclass(frozen=True, kw_only=True)
class AtomSet(Expert, kind="atom-set"):
    r"""A network on the elements of a compound and their fractions, in whatever order, with a Bayesian last layer.

    $h = \rho(\sum_i x_i \phi_i,\ \sqrt{\sum_i x_i (\phi_i - \bar\phi)^2},\ z)$ with the fraction $x_i$ of element i and
    $\phi_i = \phi(e_i)$ of its embedding: learned numbers, beside them the properties of the element table. z are all
    columns. $\phi$ is computed once for each element, whatever the number of rows.

    Or on what a pretrained network makes of them: where a level is a set (`Structure` with `set` among its moments),
    $\phi_i = \phi(v_i)$ of the mean features $v_i$ of the atoms of element i, on one scale for all elements, and z are
    the columns of all other views. Several levels are one set, with the features of all. Then
    $y = h^T w + \epsilon$ with a Gaussian over w and $\epsilon \sim N(0, \sigma_s^2 r(x) + v_i)$: a noise for each
    source s times a second head r, and what is known of row i. Precisions and noise maximise the evidence of compounds
    held out of training, on which training also stops; then w learns from every row. Beyond the range of the training
    rows the prior takes over (`Familiarity`). All sources are taken as one function in their own units; to fuse sources
    that differ, put it in a stack.

    Args:
        view: a level that is a set, or several of one featurizer; or the view whose columns are the fractions. None:
            all levels that are sets; where there are none, the view whose name ends in `fractions`, or the only one.
            Of any other view members are columns, their values the weights.
        pooling: of members: `"mean"`, as above, with the spread; `"learned"`: by weighted set2set.
        hidden: units of each layer of rho; phi has two of the first width.
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
        UnknownNameError: a view that is not there.
        FitError: an impossible size, sets of different members.

    Chen & Ong 2021, doi:10.1038/s41524-021-00639-w; sets: Zaheer et al. 2017, arXiv:1703.06114.

    >>> import pandas as pd
    >>> from mfmat.features import Composition
    >>> from mfmat.schema import Schema
    >>> table = pd.DataFrame({"formula": ["NaCl", "MgO", "KBr", "CaO", "LiF"], "y": [5.0, 4.5, 4.3, 3.6, 8.9]})
    >>> schema = Schema(Composition("formula", blocks="fractions"), value="y")
    >>> model = AtomSet(hidden=(16,), steps=50).fit(schema.data(table))
    >>> model.posterior(schema.encode(table)[0]).mean.shape
    torch.Size([5, 1, 1])
    """

    view: str | tuple[str, ...] | None = None
    pooling: Pooling = "mean"
    hidden: tuple[int, ...] = (128, 128)
    dropout: float = 0.2
    held: float = 0.15
    epochs: int = 80
    steps: int = 1000
    batch: int = 256
    rate: float = 3e-3
    decay: float = 1e-2
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_choice("pooling", self.pooling, POOLINGS)
        # A list would make the recipe unhashable.
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if self.view is not None and not isinstance(self.view, str):
            object.__setattr__(self, "view", tuple(self.view))
        others = {"layers": len(self.hidden), "units": min(self.hidden, default=1)}
        fix = "AtomSet(hidden=(128, 128), dropout=0.2, held=0.15)"
        check_sizes(self, ("epochs", "steps", "batch"), fix=fix, **others)

    def build(self, facts: Facts) -> LaplaceModel:
        """An untrained model."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return LaplaceModel(facts, AtomHead(facts, self), [])

    def train(self, model: LaplaceModel, data: Data) -> None:
        """Train the network, then find the posterior of its last layer."""
        with few_threads(len(data), LONG), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model.measure(data.X[:, :-1])
            parts = hold_out(data, self.held, self.seed)
            if len(data):
                schedule = Schedule(self.epochs, self.steps, self.batch, self.rate, self.decay)
                fit_heads(model.network, data, model.standardise(data), parts, schedule, device=self.device)
            model.network.eval()
            model.learn(data, parts)


class AtomHead(MultiHead):
    """Heads for the value and its noise on a trunk for sets."""

    def __init__(self, facts: Facts, recipe: AtomSet) -> None:
        hidden, dropout = recipe.hidden, recipe.dropout
        super().__init__(facts, hidden, dropout, own=False, uneven=True)
        views = views_of(facts)
        known = {name: SetColumns(*(slice(*ends) for ends in parts)) for name, parts in facts.get("sets", {}).items()}
        # One kind of inputs and trunk in place of another: both give `width` features.
        if sets := find_sets(views, known, recipe.view):
            among = SetInputs(views, sets)
            self.inputs = among  # type: ignore[assignment]
            self.trunk = SetTrunk(among, hidden, dropout, recipe.pooling)  # type: ignore[assignment]
        else:
            self.inputs = build_inputs(facts, "set", recipe.view)
            self.trunk = build_trunk(self.inputs, hidden, dropout, recipe.pooling)  # type: ignore[assignment]
        self.double()

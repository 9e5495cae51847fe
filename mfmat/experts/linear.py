"""Bayesian linear regression."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.feature_model import FeatureModel
from mfmat.labels import LabelExpert
from mfmat.learner import Facts, views_of
from mfmat.scaling import Scaling
from mfmat.types import Rows


@dataclass(frozen=True, kw_only=True)
class BayesianLinear(LabelExpert, kind="bayesian-linear"):
    r"""Linear regression with a Gaussian over its weights and evidence maximised in closed form.

    $y = w_0 + \sum_v w_v^T z_v / \sqrt{d_v} + \epsilon$ with $w_v \sim N(0, I/\alpha_v)$: one precision for
    each view v of $d_v$ standardised columns $z_v$, a noise learned for each source, and what is known of a
    row. The baseline that nobody should lose to without noticing. Its variance grows without bound away
    from the data, as the prior's does. All sources are taken as one function in their own units; to fuse
    sources that differ, put it in a stack.

    Args:
        steps: of L-BFGS at most.

    MacKay 1992, doi:10.1162/neco.1992.4.3.415.

    >>> import pandas as pd
    >>> from mfmat.features import Columns
    >>> from mfmat.schema import Schema
    >>> table = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "y": [0.1, 0.9, 2.1, 2.9]})
    >>> schema = Schema(Columns("x"), value="y")
    >>> model = BayesianLinear().fit(schema.data(table))
    >>> round(float(model.posterior(schema.encode(pd.DataFrame({"x": [6.0]}))[0]).mean), 1)
    5.8
    """

    steps: int = 100

    def build(self, facts: Facts) -> LinearModel:
        """An untrained model."""
        return LinearModel(facts)

    def train(self, model: LinearModel, data: Data) -> None:
        """Learn the precisions and the noise, then the weights."""
        model.scaling.measure(data.X[:, :-1])
        if len(data):
            model.weights.learn(model.evidence_of(data), steps=self.steps)
        model.condition(data)


class LinearModel(FeatureModel):
    """A fitted linear regression: the columns' scales and the weights."""

    def __init__(self, facts: Facts) -> None:
        views = views_of(facts)
        super().__init__(facts, [1, *(view.stop - view.start for view in views.values())])
        self.scaling = Scaling(views, facts["width"])
        columns = [torch.arange(view.start, view.stop) for view in views.values()]
        roots = torch.cat([torch.full((len(each),), max(len(each), 1) ** 0.5) for each in columns])
        self.register_buffer("columns", torch.cat(columns), persistent=False)
        self.register_buffer("roots", roots.double(), persistent=False)

    def features(self, X: Rows) -> Tensor:
        """A one, then every standardised column by the root of its view's width."""
        z = self.scaling(X[..., :-1])[..., self.columns] / self.roots
        return torch.cat([torch.ones_like(z[..., :1]), z], dim=-1)

"""Pretrained: an entry of a library as a learner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.encoded import Looker, seat
from mfmat.entry_models import locate, read_entry
from mfmat.errors import FitError, check_choice
from mfmat.experts import BayesianLinear
from mfmat.learner import Facts, FittedModel, Learner, part
from mfmat.types import Covariance, Flags, Rows

USES = ("recalibrated", "fine-tuned", "direct")


@dataclass(frozen=True)
class Pretrained(Learner, kind="pretrained"):
    r"""What a model of a library says, mended by the rows of the property at hand.

    With $m_0(x)$ the entry's mean, $y = m_0(x) + \phi(x)^T \delta + \epsilon$ and a Gaussian prior of delta around 0,
    whose width and the noise maximise the evidence (`BayesianLinear`): few rows leave the entry as it is, many have
    their way. `"recalibrated"`: $\phi = (1, m_0)$, a shift and a slope around 1. `"fine-tuned"`: $\phi = (1, h)$, the
    units of the last hidden layer, so that $\delta$ moves the last layer's weights away from those that the entry came
    with: a prior centred on them, in closed form. `"direct"`: the entry answers, its doubt and all; nothing is learned.

    The entry looks at the columns that it was trained on: the views of its schema must be among those of the data
    (`formula.descriptors` is `composition.descriptors`). It is kept in the model, which predicts without the library.

    Args:
        entry: the folder or URL of a library, `#`, and the name of an entry: `library.address("band-gap")`.
        use: `"recalibrated"`, `"fine-tuned"` or `"direct"`.

    Raises:
        FitError: labels, columns that the entry cannot look at, or one to be fine-tuned that is no network.

    Li et al. 2018, arXiv:1802.01483, for priors centred on what was learned before.

    >>> import tempfile
    >>> import pandas as pd, mfmat as mf
    >>> table = pd.DataFrame({"x": range(40), "y": [x % 20 for x in range(40)]})
    >>> schema = mf.Schema(mf.Columns("x"), value="y")
    >>> library = mf.Library(tempfile.mkdtemp())
    >>> name = library.add(mf.fit(table, schema, mf.GP()), "saw")
    >>> few = table.iloc[::8].assign(y=lambda t: t["y"] + 100)
    >>> mended = mf.fit(few, schema, mf.Pretrained(library.address("saw")))
    >>> round(float(mended.predict(table.iloc[[10]])["median"].iloc[0]))
    110
    """

    entry: str
    _: KW_ONLY
    use: Literal["recalibrated", "fine-tuned", "direct"] = "recalibrated"

    def __post_init__(self) -> None:
        locate(self.entry)
        check_choice("use", self.use, USES)

    def fit(self, data: Data) -> FittedModel:
        """The entry's model, mended by these rows."""
        if data.classes:
            raise FitError("labels", expected="values", fix="an expert that takes labels, such as GP()")
        surrogate = read_entry(self.entry)
        looker = seat(locate(self.entry)[1], surrogate.model, surrogate.schema.views, data)
        if looker is None:
            raise FitError(
                f"views {', '.join(data.views)}",
                expected=f"those of {self.entry}: {', '.join(surrogate.schema.views)}",
                fix="inputs like its own",
            )
        facts = {"width": data.X.shape[-1] - 1, "sources": list(data.sources), "use": self.use}
        facts |= {"recipe": surrogate.recipe.config(), "columns": list(looker.columns), "name": looker.name}
        inner = None if self.use == "direct" else MEND.fit(self._residuals(looker, data))
        return PretrainedModel(looker, inner, facts).eval()

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> FittedModel:
        """The fitted model that had these facts and this state; the library is not asked."""
        model = Learner.of(facts["recipe"]).restore(facts["entry"], part(state, "entry."))
        looker = Looker(facts["name"], model, tuple(facts["columns"]))
        inner = MEND.restore(facts["inner"], part(state, "inner.")) if facts["inner"] else None
        own = {name: fact for name, fact in facts.items() if name not in ("entry", "inner")}
        return PretrainedModel(looker, inner, own).eval()

    def _residuals(self, looker: Looker, data: Data) -> Data:
        """What the entry gets wrong, as a function of what it sees."""
        if self.use == "fine-tuned" and looker.model.hidden(looker.own(data.X[:1])) is None:
            raise FitError(
                f"{self.entry}, a {type(looker.model).__name__}, to be fine-tuned",
                expected="a network, which has hidden layers",
                fix='Pretrained(entry, use="recalibrated")',
            )
        with torch.no_grad():
            X, wrong = _see(looker, self.use, data.X), data.Y - looker.say(data.X)[:, :1]
        views = {"entry": slice(0, X.shape[-1] - 1)}
        plain: dict[str, Any] = {"sets": {}, "kernels": {}, "metadata": {}, "material": None, "floor": None}
        return replace(data, X=X, Y=wrong, views=views, **plain)


MEND = BayesianLinear()


def _see(looker: Looker, use: str, X: Rows) -> Tensor:
    """What the correction depends on, with the fidelity behind it."""
    seen = looker.look(X) if use == "fine-tuned" else looker.say(X)[..., :1]
    return torch.cat([seen, X[..., -1:]], dim=-1)


class PretrainedModel(FittedModel):
    """The entry's model with what was learned of its errors; see `Pretrained`.

    Args:
        looker: the entry in front of the data.
        inner: of its errors; None: they were not asked for.
        facts: what else is to be kept.
    """

    def __init__(self, looker: Looker, inner: FittedModel | None, facts: Facts) -> None:
        super().__init__()
        self.facts = {**facts, "entry": looker.model.facts, "inner": inner.facts if inner else None}
        self.entry, self.looker = looker.model, looker
        self.inner = inner

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """See `FittedModel.joint`."""
        if self.inner is None:
            return self.entry.joint(self.looker.own(X), observed)
        mean, covariance = self.inner.joint(_see(self.looker, self.facts["use"], X), observed)
        return self.looker.say(X)[..., 0] + mean, covariance

    def noise(self, X: Rows) -> Tensor:
        """See `FittedModel.noise`."""
        if self.inner is None:
            return self.entry.noise(self.looker.own(X))
        return self.inner.noise(_see(self.looker, self.facts["use"], X))

    def posterior(self, X: Rows, *args: Any, **kwargs: Any) -> Any:
        """The entry's own where nothing is learned; else that of the joint Gaussian."""
        if self.inner is None:
            return self.entry.posterior(self.looker.own(X), *args, **kwargs)
        return super().posterior(X, *args, **kwargs)

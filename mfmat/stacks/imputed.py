"""Imputed: values in place of limits, for learners that need values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace

import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.errors import FitError, SchemaError
from mfmat.experts import GP
from mfmat.experts.limits import stand_for
from mfmat.experts.process import GPModel
from mfmat.learner import Facts, FittedModel, Learner


@dataclass(frozen=True)
class Imputed(Learner, kind="imputed"):
    r"""A learner that gets a value for every limit: drawn from what the limit and an exact process say of it.

    $y_i \sim p(y_i \mid y_i < c_i, \text{all other rows})$, $p$ that of a process fitted to the rows of the same
    source, limits included. A draw, other than a mean, scatters as a measured value does, so that the learner finds the
    noise that there is. For trees and networks, which cannot weigh a row by what is known of it; `GP` and `MultiTask`
    take limits as they are. Where there are no limits the learner is fitted as it is.

    Inside a stack, as in `Latent([GP(), Imputed(Forest())])`, the process sees what the member sees.

    Args:
        member: the learner.
        process: what predicts the limited values.
        limit: limits, and values beside them, that one process is fitted to at most; more limits take more processes.
        seed: of the draws.

    Raises:
        SchemaError: a limit below 1.

    Rubin 1987, doi:10.1002/9780470316696, for draws; Tobin 1958, doi:10.2307/1907382.

    >>> from mfmat.experts import Forest
    >>> Imputed(Forest()).member.kind
    'forest'
    """

    member: Learner
    _: KW_ONLY
    process: GP = field(default_factory=GP)
    limit: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise SchemaError(f"limit={self.limit}", expected="at least 1", fix="Imputed(member, limit=1000)")

    def fit(self, data: Data) -> FittedModel:
        """The learner's model of these data, limits replaced."""
        return self.member.fit(self.impute(data))

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> FittedModel:
        """The fitted model that had these facts and this state."""
        return self.member.restore(facts, state)

    def impute(self, data: Data) -> Data:
        """The same rows with a value for every limit."""
        Y, bounded = data.Y.clone(), data.bounded
        generator = torch.Generator().manual_seed(self.seed)
        for fidelity in data.fidelity[bounded].unique().tolist():
            at = torch.nonzero(bounded & (data.fidelity == fidelity)).flatten()
            values = torch.nonzero(~bounded & (data.fidelity == fidelity)).flatten()
            for part in at[torch.randperm(len(at), generator=generator)].split(self.limit):
                beside = values[torch.randperm(len(values), generator=generator)][: self.limit]
                rows = torch.cat([part, beside]).sort().values
                Y[rows[bounded[rows]], 0] = self._draw(data.take(rows), fidelity, generator)
        return replace(data, Y=Y, censored=None)

    def _draw(self, rows: Data, fidelity: int, generator: torch.Generator) -> Tensor:
        """A value for each limit among rows of one source."""
        # A trend is the stack's own business, and the process of a sampler the one that it began with.
        model = replace(self.process, inference="map").fit(replace(rows, trend=None))
        if not isinstance(model, GPModel) or rows.censored is None or (told := stand_for(model, rows)) is None:
            raise FitError("rows without a limit", expected="limits to replace", fix="the member without Imputed")
        centre, scale, at = model.centre[fidelity], model.scale[fidelity], rows.bounded
        return centre + scale * told.draw((rows.Y[at, 0] - centre) / scale, rows.censored[at], generator)

"""Encoder: an entry of a library as a featurizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property
from typing import Literal, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mfmat.encoded import Looker
from mfmat.entry_models import find_digest, locate, read_entry
from mfmat.errors import Problem, SchemaError, check_choice, nearest
from mfmat.features.featurizer import Featurizer, columns_of, encode_all
from mfmat.surrogate import Surrogate

LAYERS = ("hidden", "posterior", "both")
SAID = ("mean", "std")
ROWS = 64
"""Rows that an entry looks at together, always as many: a row's numbers then do not depend on the others."""


@dataclass(frozen=True)
class Encoder(Featurizer, kind="encoder"):
    """What an entry of a library makes of a row, as views: knowledge of another property for any learner.

    The entry reads the columns that it was fitted with, under other names where `rename` says so. A saved surrogate
    names the library and the SHA-256 of the entry, and needs both where it is loaded; `Shotgun` keeps its entries.

    Args:
        entry: the folder or URL of a library, `#`, and the name of an entry: `library.address("band-gap")`.
        layer: `"hidden"`, the units of its last hidden layer; `"posterior"`, mean and standard deviation of the
            noise-free value; or `"both"`.
        rename: the entry's name of a column, and this table's, where they differ.
        sha256: of the entry; left out, that of the present one.

    Raises:
        UnknownNameError: no such entry.
        SavedFileError: an entry of another SHA-256, or one that is missing, cut short or altered.
        SchemaError: a hidden layer of a model that is no network.

    Yamada et al. 2019, doi:10.1021/acscentsci.9b00804.

    >>> import tempfile
    >>> import pandas as pd, mfmat as mf
    >>> table = pd.DataFrame({"x": range(20), "y": [x % 10 for x in range(20)]})
    >>> library = mf.Library(tempfile.mkdtemp())
    >>> name = library.add(mf.fit(table, mf.Schema(mf.Columns("x"), value="y"), mf.GP()), "saw")
    >>> mf.Encoder(library.address("saw"), layer="posterior").views
    {'saw.posterior': ('mean', 'std')}
    """

    entry: str
    _: KW_ONLY
    layer: Literal["hidden", "posterior", "both"] = "hidden"
    rename: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""

    def __post_init__(self) -> None:
        check_choice("layer", self.layer, LAYERS)
        known = columns_of(self._surrogate.schema.featurizers)
        if unknown := [name for name in self.rename if name not in known]:
            raise SchemaError(
                f"rename of {unknown[0]!r}",
                expected=f"one of the entry's columns {', '.join(map(repr, known))}",
                fix=nearest(unknown[0], known) + "the entry's name first, then this table's",
            )
        if self.layer != "posterior" and self._surrogate.model.hidden(self._blank()) is None:
            raise SchemaError(
                f"layer={self.layer!r} of {self.entry}, a {self._surrogate.recipe.kind}",
                expected="a network, which has hidden layers",
                fix='layer="posterior"',
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """See `Featurizer.columns`."""
        return tuple(self.rename.get(name, name) for name in columns_of(self._surrogate.schema.featurizers))

    @property
    def numbers(self) -> tuple[str, ...]:
        """See `Featurizer.numbers`."""
        read = [name for each in self._surrogate.schema.featurizers for name in each.numbers]
        return tuple(self.rename.get(name, name) for name in read)

    @cached_property
    def views(self) -> dict[str, tuple[str, ...]]:
        """See `Featurizer.views`: `NAME.hidden` and `NAME.posterior`, NAME being the entry's."""
        name, found = locate(self.entry)[1], {}
        for layer in self._layers:
            width = self._look(self._blank(), layer).shape[-1]
            found[f"{name}.{layer}"] = SAID if layer == "posterior" else tuple(f"unit {i}" for i in range(width))
        return found

    def encode(self, table: pd.DataFrame) -> tuple[NDArray[np.float64], list[Problem]]:
        """See `Featurizer.encode`."""
        inputs, problems = encode_all(self._surrogate.schema.featurizers, self._own(table))
        X = torch.from_numpy(inputs)
        # Metadata, which no learner sees, are columns, too.
        X = functional.pad(X, (0, self._width + 1 - X.shape[1])).unsqueeze(1)
        refused = X.isnan().any(dim=-1).flatten()
        parts = [self._encode_some(part) for part in X.nan_to_num().split(ROWS)]
        found = torch.cat([torch.zeros(0, len(self.features)).double(), *parts])
        found[refused] = torch.nan
        return found.numpy(), [self._named(problem) for problem in problems]

    def settle(self, table: pd.DataFrame) -> Self:
        """With the SHA-256 of the present entry, where none is given."""
        return replace(self, sha256=self.sha256 or find_digest(self.entry))

    def groups(self, table: pd.DataFrame) -> NDArray[np.object_] | None:
        """See `Featurizer.groups`: as the first of the entry's inputs that knows."""
        found = [each.groups(self._own(table)) for each in self._surrogate.schema.featurizers]
        return next((groups for groups in found if groups is not None), None)

    def families(self, table: pd.DataFrame) -> NDArray[np.object_] | None:
        """See `Featurizer.families`: as the first of the entry's inputs that knows."""
        found = [each.families(self._own(table)) for each in self._surrogate.schema.featurizers]
        return next((families for families in found if families is not None), None)

    @property
    def _surrogate(self) -> Surrogate:
        return read_entry(self.entry, self.sha256)

    @property
    def _layers(self) -> tuple[str, ...]:
        return LAYERS[:2] if self.layer == "both" else (self.layer,)

    @property
    def _width(self) -> int:
        return int(self._surrogate.model.facts["width"])

    def _blank(self) -> Tensor:
        return torch.zeros(1, 1, self._width + 1, dtype=torch.double)

    def _look(self, X: Tensor, layer: str) -> Tensor:
        looker = Looker("", self._surrogate.model, tuple(range(self._width)))
        with torch.no_grad():
            return looker.say(X) if layer == "posterior" else looker.look(X)

    def _encode_some(self, X: Tensor) -> Tensor:
        """Of at most ROWS rows, in a batch of exactly as many."""
        whole = functional.pad(X, (0, 0, 0, 0, 0, ROWS - len(X)))
        return torch.cat([self._look(whole, layer)[: len(X), 0] for layer in self._layers], dim=1)

    def _own(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with the columns named as the entry names them."""
        names = columns_of(self._surrogate.schema.featurizers)
        return pd.DataFrame({name: table[self.rename.get(name, name)] for name in names}, index=table.index)

    def _named(self, problem: Problem) -> Problem:
        return replace(problem, column=self.rename.get(problem.column, problem.column))

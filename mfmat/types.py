"""Shapes, in one wording: n rows, d features, q joint rows, b batch, m sources, s draws."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor

Rows = Float[Tensor, "*b q d1"]
"""X: b x q x (d+1), the last column the fidelity."""

Values = Float[Tensor, "*b q 1"]
"""Y, mean, variance: b x q x 1."""

Covariance = Float[Tensor, "*c q q"]
"""Covariance among q joint rows; its batch may have gained s imagined measurements in front."""

Flags = Bool[Tensor, " q"]
"""One truth value for each of the q joint rows, the same in every batch."""

Codes = Int[Tensor, " n"]
"""One integer per row: a fidelity, a material, a group."""

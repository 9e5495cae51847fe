"""Shapes, in one wording: n rows, d features, q joint rows, b batch, m sources, s draws."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor

Rows = Float[Tensor, "*b q d1"]
"""X: b x q x (d+1), the last column the fidelity."""

Values = Float[Tensor, "*b q 1"]
"""Y, mean, variance: b x q x 1."""

Covariance = Float[Tensor, "*b q q"]
"""Covariance among q joint rows."""

Flags = Bool[Tensor, "*b q"]
"""One truth value per row."""

Codes = Int[Tensor, " n"]
"""One integer per row: a fidelity, a material, a group."""

"""One guarantee per file."""

from mfmat.calibrators.conformal import Conformal

__all__ = ["Conformal"]

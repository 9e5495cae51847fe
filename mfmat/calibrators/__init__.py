"""One way of mending stated uncertainty by held-out rows per file."""

from mfmat.calibrators.conformal import Conformal
from mfmat.calibrators.scaling import Scaling

__all__ = ["Conformal", "Scaling"]

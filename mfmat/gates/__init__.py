"""One way of weighing the members of a mixture per file."""

from mfmat.gates.constant import ConstantGate
from mfmat.gates.gate import Evidence, FittedGate, Gate
from mfmat.gates.local import LocalGate

__all__ = ["ConstantGate", "Evidence", "FittedGate", "Gate", "LocalGate"]

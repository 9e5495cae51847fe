"""One way of fusing per file."""

from mfmat.stacks.difference import Difference
from mfmat.stacks.target_only import TargetOnly

__all__ = ["Difference", "TargetOnly"]

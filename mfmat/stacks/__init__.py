"""One way of fusing per file."""

from mfmat.stacks.difference import Difference
from mfmat.stacks.hurdle import Hurdle
from mfmat.stacks.imputed import Imputed
from mfmat.stacks.latent import Latent
from mfmat.stacks.mixture import Mixture
from mfmat.stacks.multi_task import MultiTask
from mfmat.stacks.pooled import Pooled
from mfmat.stacks.target_only import TargetOnly
from mfmat.stacks.transformed import Transformed

__all__ = ["Difference", "Hurdle", "Imputed", "Latent", "Mixture", "MultiTask", "Pooled", "TargetOnly", "Transformed"]

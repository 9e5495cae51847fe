"""One source of knowledge per file."""

from mfmat.experts.atom_set import AtomSet
from mfmat.experts.bnn import BNN
from mfmat.experts.deep_kernel import DeepKernelGP
from mfmat.experts.ensemble import Ensemble
from mfmat.experts.forest import Forest
from mfmat.experts.gated_transfer import GatedTransfer
from mfmat.experts.gp import GP
from mfmat.experts.linear import BayesianLinear
from mfmat.experts.sparse_gp import SparseGP

__all__ = ["BNN", "GP", "AtomSet", "BayesianLinear", "DeepKernelGP", "Ensemble", "Forest", "GatedTransfer", "SparseGP"]

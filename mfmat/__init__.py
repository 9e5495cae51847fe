"""mfmat: probabilistic multi-fidelity modeling for materials science."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Quiet unless whoever uses the library asks: logging.basicConfig(level="INFO") shows what long work did.
logging.getLogger(__name__).addHandler(logging.NullHandler())

_public = {
    "Ask": "mfmat.policies",
    "AtomSet": "mfmat.experts",
    "Auto": "mfmat.auto",
    "Backbone": "mfmat.features",
    "BayesianLinear": "mfmat.experts",
    "BNN": "mfmat.experts",
    "CGCNN": "mfmat.features",
    "CHGNet": "mfmat.features",
    "Campaign": "mfmat.campaign",
    "ChemicalGroups": "mfmat.features",
    "Clusters": "mfmat.features",
    "Columns": "mfmat.features",
    "Composition": "mfmat.features",
    "Conformal": "mfmat.calibrators",
    "ConstantGate": "mfmat.gates",
    "Data": "mfmat.data",
    "DeepKernelGP": "mfmat.experts",
    "DensityRatio": "mfmat.features",
    "Difference": "mfmat.stacks",
    "Encoder": "mfmat.encoder",
    "Ensemble": "mfmat.experts",
    "Expert": "mfmat.learner",
    "Forest": "mfmat.experts",
    "GP": "mfmat.experts",
    "GatedTransfer": "mfmat.experts",
    "Geometry": "mfmat.features",
    "Groups": "mfmat.features",
    "Hurdle": "mfmat.stacks",
    "Imputed": "mfmat.stacks",
    "Latent": "mfmat.stacks",
    "Learner": "mfmat.learner",
    "Library": "mfmat.library",
    "LocalGate": "mfmat.gates",
    "MfmatError": "mfmat.errors",
    "Mixture": "mfmat.stacks",
    "Molecule": "mfmat.features",
    "MultiTask": "mfmat.stacks",
    "Pooled": "mfmat.stacks",
    "Pretrained": "mfmat.pretrained",
    "Random": "mfmat.policies",
    "Scaling": "mfmat.calibrators",
    "Schema": "mfmat.schema",
    "Shotgun": "mfmat.shotgun",
    "SourceNetworks": "mfmat.features",
    "SparseGP": "mfmat.experts",
    "Structure": "mfmat.features",
    "Surrogate": "mfmat.surrogate",
    "TargetOnly": "mfmat.stacks",
    "Transformed": "mfmat.stacks",
    "fit": "mfmat.surrogate",
    "load": "mfmat.surrogate",
    "diagnose": "mfmat.diagnosis",
    "suggest": "mfmat.suggestion",
    "backtest": "mfmat.backtesting",
    "train_cgcnn": "mfmat.backbone_training",
    "cross_validate": "mfmat.validation",
    "report": "mfmat.reports",
    "datasets": "mfmat.datasets",
    "metrics": "mfmat.metrics",
}
_modules = ("datasets", "metrics")

__all__ = [*_public]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    # Names are resolved when first used, so that `mfmat --help` does not wait for torch.
    if name not in _public:
        raise AttributeError(f"module 'mfmat' has no attribute {name!r}")
    module = import_module(_public[name])
    value = module if name in _modules else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*_public, "__version__"]

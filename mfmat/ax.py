"""A fitted surrogate in Ax: what Ax asks its models for, answered by one that is there already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botorch.models.model import Model

from mfmat.extras import require
from mfmat.learner import FittedModel
from mfmat.surrogate import Surrogate

if TYPE_CHECKING:
    from ax.generators.torch.botorch_modular.generator import BoTorchGenerator


def as_generator(surrogate: Surrogate, acquisition: type, **options: Any) -> BoTorchGenerator:
    """Ax's modular generator (Balandat et al. 2020, arXiv:1910.06403) with the surrogate's model in place of one of Ax.

    Give it to `TorchAdapter(experiment=..., generator=..., transforms=[])`: rows stay raw, for the model places and
    scales them itself. The parameters of the experiment are the features in the order of `surrogate.schema.views`,
    then the fidelity: a whole number from 0, with `is_fidelity=True` for acquisitions that choose the source, too, or
    held at the target's by `fixed_features`.

    Args:
        surrogate: of any recipe.
        acquisition: a class of BoTorch's, as Ax takes it.
        options: of the acquisition. Give an improvement its `best_f`, the best value *of the target*: left to Ax, it
            would be the best of all sources.

    Raises:
        MissingExtraError: Ax is not installed: `pip install "mfmat[ax]"`.

    >>> import pandas as pd, mfmat as mf
    >>> from botorch.acquisition import LogExpectedImprovement
    >>> table = pd.DataFrame({"x": [0.0, 0.4, 1.0], "y": [0.1, 0.7, 0.3]})
    >>> y = mf.fit(table, mf.Schema(mf.Columns("x"), value="y"), mf.GP())
    >>> type(as_generator(y, LogExpectedImprovement, best_f=0.7)).__name__
    'BoTorchGenerator'
    """
    require("ax", "a surrogate in Ax", "ax")
    from ax.generators.torch.botorch_modular.generator import BoTorchGenerator
    from ax.generators.torch.botorch_modular.surrogate import SurrogateSpec
    from ax.generators.torch.botorch_modular.utils import ModelConfig, fit_botorch_model

    fit_botorch_model.register(FittedModel)(_leave)
    config = ModelConfig(botorch_model_class=_as_class(surrogate.model), input_transform_classes=None)
    return BoTorchGenerator(
        SurrogateSpec(model_configs=[config]), botorch_acqf_class=acquisition, botorch_acqf_options=options
    )


def _as_class(model: Model) -> type[Model]:
    """What Ax takes for a class of models: calling it gives the model that was fitted already."""
    told = {"__new__": lambda _: model, "construct_inputs": classmethod(lambda *_, **__: {})}
    return type("Fused", (Model,), told)


def _leave(model: FittedModel, mll_class: object, mll_options: object = None) -> None:
    """It was fitted by mfmat."""

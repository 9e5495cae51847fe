"""BoTorch's acquisitions that condition on imagined measurements, on a GP and on a Difference of GPs."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from botorch.acquisition import qNegIntegratedPosteriorVariance
from botorch.acquisition.knowledge_gradient import qMultiFidelityKnowledgeGradient
from botorch.acquisition.utils import project_to_target_fidelity

import mfmat as mf

LEARNERS = {"GP": mf.GP(), "Difference": mf.Difference([mf.GP()]), "Auto": mf.Auto()}


@pytest.mark.parametrize("name", LEARNERS)
def test_integrated_posterior_variance_prefers_what_teaches(name: str, problem) -> None:
    table, schema = problem()
    data = schema.data(table)
    model = LEARNERS[name].fit(data)
    target = data.X[data.fidelity == 1]
    acquisition = qNegIntegratedPosteriorVariance(model, mc_points=target)
    at_target = torch.tensor([[[0.5, 1.0]], [[50.0, 1.0]]]).double()
    value = acquisition(at_target)
    assert value.shape == (2,)
    assert value[0] > value[1]  # a measurement far from every point of interest teaches nothing
    before = float(model.posterior(target.unsqueeze(1)).variance.mean().detach())
    assert -before * 1.001 <= float(value[1].detach()) <= -before * 0.98


@pytest.mark.parametrize("name", LEARNERS)
def test_multi_fidelity_knowledge_gradient_runs_and_has_a_slope(name: str, problem) -> None:
    table, schema = problem()
    data = schema.data(table)
    model = LEARNERS[name].fit(data)
    project = partial(project_to_target_fidelity, target_fidelities={1: 1.0}, d=2)
    acquisition = qMultiFidelityKnowledgeGradient(
        model, num_fantasies=4, project=project, current_value=torch.tensor(1.0).double()
    )
    candidates = data.X[[0, 1, 30, 31]].unsqueeze(1)
    fantasies = data.X[30:34].expand(4, 4, 2)
    X = torch.cat([candidates, fantasies], dim=1).clone().requires_grad_()
    value = acquisition(X)
    value.sum().backward()
    assert value.shape == (4,)
    assert torch.isfinite(value).all()
    assert torch.isfinite(X.grad).all()
    assert X.grad.abs().sum() > 0

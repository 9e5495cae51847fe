"""Closed-form errors of left-out rows against heads that are fitted anew, and the choice among them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mfmat.linear_heads import CONSTANT, RATIOS, LeftOut, choose_heads, leave_out


def problem(n: int = 14, h: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    Z = torch.randn(n, h, generator=generator).double()
    y = Z[:, 0] - Z[:, 1] + 0.3 * torch.randn(n, generator=generator).double()
    return Z, (y - y.mean()) / y.std()


def process(Z: Tensor, ratio: Tensor) -> Tensor:
    """The covariance of all rows, in units of what is explained."""
    Z = (Z - Z.mean(0)) / Z.std(0)
    return Z @ Z.T / Z.shape[1] + CONSTANT**2 + ratio * torch.eye(len(Z)).double()


def evidence(A: Tensor, y: Tensor) -> Tensor:
    """With the scale at its best."""
    scale = y @ torch.linalg.solve(A, y) / len(y)
    return torch.distributions.MultivariateNormal(torch.zeros(len(y)).double(), scale * A).log_prob(y)


@pytest.mark.parametrize("groups", [torch.arange(14), torch.arange(14) // 3, torch.zeros(14).long() + 1])
def test_rows_left_out_are_predicted_as_by_the_process_of_the_others(groups: Tensor) -> None:
    Z, y = problem()
    ratio = max(RATIOS, key=lambda each: float(evidence(process(Z, each), y)))
    A = process(Z, ratio)
    scale = y @ torch.linalg.solve(A, y) / len(y)
    found = leave_out(Z, y, groups)
    for code in groups.unique():
        at, rest = groups == code, groups != code
        reach = torch.linalg.solve(A[rest][:, rest], A[rest][:, at])
        torch.testing.assert_close(found.mean[at], reach.T @ y[rest])
        variance = scale * (A[at][:, at] - A[at][:, rest] @ reach).diagonal()
        torch.testing.assert_close(found.variance[at], variance)


def test_columns_that_do_not_vary_and_more_columns_than_rows_are_no_trouble() -> None:
    Z, y = problem(8, 30)
    Z[:, 5] = 2.0
    found = leave_out(Z, y, torch.arange(8))
    assert torch.isfinite(found.mean).all()
    assert (found.variance > 0).all()


def test_heads_that_err_in_opposite_ways_are_chosen_before_copies_of_the_best() -> None:
    generator = torch.Generator().manual_seed(1)
    y, noise, other = torch.randn(3, 200, generator=generator).double()
    heads = [LeftOut(y + 0.5 * noise, y), LeftOut(y + 0.5 * noise + 0.1 * other, y), LeftOut(y - 0.6 * noise, y)]
    assert choose_heads(heads, y, keep=2) == [0, 2]


def test_no_more_heads_are_chosen_than_are_asked_for_or_help() -> None:
    Z, y = problem(40, 10)
    heads = [leave_out(Z[:, i : i + 3], y, torch.arange(40)) for i in range(8)]
    assert len(choose_heads(heads, y, keep=3)) <= 3
    perfect = LeftOut(y, y)
    assert choose_heads([*heads, perfect], y, keep=3) == [8]

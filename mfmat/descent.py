"""Minimise a function of a module's parameters whose gradient is at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

EXACT, ENOUGH = 2e-9, 1e-5
"""Relative falls of the loss in a step that end the descent: to the last digits, or to hundredths of a nat, beyond
which rows tell nothing, and which take more steps than all before."""
SMALL, LONG = 1200, 20_000
"""Rows below which sharing a matrix out among threads costs more than it saves (benchmarks/threads.py); and rows below
which it does for a network, whose batches are small: where a core has other work, too, threads wait for each other at
every step, five times as long as one takes alone."""


@contextmanager
def few_threads(rows: int, few: int | None = None) -> Iterator[None]:
    """One thread while there are fewer than `few` rows (`SMALL` unless given), then as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if rows < (SMALL if few is None else few) else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def descend(
    closure: Callable[[], tuple[Tensor, Sequence[Tensor]]],
    parameters: Mapping[str, Tensor],
    bounds: Mapping[str, tuple[float, float]],
    steps: int,
    tolerance: float = EXACT,
) -> None:
    """Move the parameters to a minimum by L-BFGS-B, in place.

    Args:
        closure: the loss at the parameters and its gradient along each, in their order.
        parameters: by name.
        bounds: of every entry of a parameter, by the last part of its name; no entry, no bound.
        steps: iterations at most.
        tolerance: relative fall of the loss in a step that ends them.
    """
    # A quarter of a second that only those who fit should wait for.
    from scipy.optimize import minimize

    def value(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        _assign(parameters, x)
        loss, gradients = closure()
        return float(loss), torch.cat([g.reshape(-1) for g in gradients]).double().cpu().numpy()

    start = torch.cat([p.detach().reshape(-1) for p in parameters.values()]).double().cpu().numpy()
    limits = [bounds.get(name.split(".")[-1], (None, None)) for name, p in parameters.items() for _ in range(p.numel())]
    found = minimize(
        value, start, jac=True, method="L-BFGS-B", bounds=limits, options={"maxiter": steps, "ftol": tolerance}
    )
    _assign(parameters, found.x)


def _assign(parameters: Mapping[str, Tensor], x: NDArray[np.float64]) -> None:
    with torch.no_grad():
        sizes = [p.numel() for p in parameters.values()]
        for p, part in zip(parameters.values(), torch.from_numpy(x).split(sizes), strict=True):
            p.copy_(part.reshape(p.shape))

"""Work that is sent to other processes, each on one core."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class OneCore(Generic[P, T]):
    """A task that leaves the other cores of its machine to other tasks, where a process of its own runs it.

    Args:
        task: a function that can be sent.

    >>> OneCore(abs)(-3)
    3
    """

    task: Callable[P, T]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """What the task returns."""
        if multiprocessing.parent_process() is not None:
            torch.set_num_threads(1)
        return self.task(*args, **kwargs)

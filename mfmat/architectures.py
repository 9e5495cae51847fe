"""Random networks for a library: descending widths, few shapes, many seeds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mfmat.errors import FitError
from mfmat.experts import BNN

DEPTHS = (2, 3, 4)
"""Hidden layers."""
LAST, FIRST = (8, 32), 64
"""Units of the last layer, which are what an encoder gives, and of the first at most."""
A_SHAPE = 16
"""Networks of one shape, trained side by side."""
EPOCHS, STEPS, BATCH = 15, 200, 128
"""A third of the work of `BNN()`; on three tables of hundreds of rows the errors differed by no more than chance."""


def draw_recipes(count: int, seed: int = 0) -> list[BNN]:
    """Networks of random depth and descending widths, each with a seed of its own; about 16 share a shape.

    Two to four layers; the last has 8 to 32 units, those before it up to 64, evenly in the logarithm.

    Args:
        count: of networks.
        seed: of the draws; equal arguments give equal networks.

    Raises:
        FitError: a count below 1.

    Yamada et al. 2019 (XenonPy.MDL), doi:10.1021/acscentsci.9b00804.

    >>> recipes = draw_recipes(32, seed=1)
    >>> len({recipe.hidden for recipe in recipes}), len({recipe.seed for recipe in recipes})
    (2, 32)
    >>> all(list(recipe.hidden) == sorted(recipe.hidden, reverse=True) for recipe in recipes)
    True
    """
    if count < 1:
        raise FitError(f"{count} networks", expected="1 or more", fix="draw_recipes(32)")
    random = np.random.default_rng(seed)
    shapes: list[tuple[int, ...]] = []
    while len(shapes) < max(count // A_SHAPE, 1):
        shape = _draw_shape(random)
        if shape not in shapes:
            shapes.append(shape)
    first = int(random.integers(2**30))
    form = BNN(epochs=EPOCHS, steps=STEPS, batch=BATCH)
    return [replace(form, hidden=shapes[i * len(shapes) // count], seed=first + i) for i in range(count)]


def _draw_shape(random: np.random.Generator) -> tuple[int, ...]:
    last = round(np.exp(random.uniform(*np.log(LAST))))
    before = np.exp(random.uniform(np.log(last), np.log(FIRST), random.choice(DEPTHS) - 1))
    return (*sorted((round(width) for width in before), reverse=True), last)

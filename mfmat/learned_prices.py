"""Prices learned from what measurements really took."""

from __future__ import annotations

import math
from collections.abc import Sequence

SPREAD = 0.5
"""Standard deviation of the logarithms of one source's durations, before any is known: a factor of 1.6."""
DEGREES = 4.0
"""Durations that this spread counts for."""
SURE = 3.0
"""Durations of that spread that a declared price counts for."""


def learn_factor(ratios: Sequence[float], *, declared: bool = True) -> float:
    r"""What the next measurement is expected to take, in multiples of its declared price.

    The logarithms $y_i$ of n ratios of durations to declared prices are Gaussian with mean $\mu$ and variance
    $\sigma^2$. The variance is that of the sample, shrunk as by a scaled inverse chi-squared prior, and $\mu$ has the
    prior $N(-(\tau^2 + s_0^2) / 2, \tau^2)$, by which the declared price is the mean that it is meant to be:

    $$ s^2 = \frac{\nu s_0^2 + \sum_i (y_i - \bar y)^2}{\nu + (n - 1)_+}, \quad
       v = \Big( \frac{1}{\tau^2} + \frac{n}{s^2} \Big)^{-1}, \quad
       m = v \Big( -\frac{\tau^2 + s_0^2}{2 \tau^2} + \frac{n \bar y}{s^2} \Big). $$

    The factor is $\exp(m + (v + s^2) / 2)$, the mean of the next ratio. Without durations a price stays as declared, a
    few move it a little, less where they differ much among each other, and many overrule it ($s_0 = 0.5$, $\nu = 4$,
    $\tau^2 = s_0^2 / 3$). The variance is plugged in because that mean, averaged over $\sigma^2$, is infinite (a
    log-t distribution), and it does not count how far off the declared price is, as a conjugate normal-inverse-gamma
    prior would: there one very short duration raises the price.

    Args:
        ratios: durations by declared prices, above 0; where none was declared, the durations.
        declared: False: without a price to begin with ($\tau$ infinite); NaN without durations.

    >>> learn_factor([]), round(learn_factor([2.0]), 2), round(learn_factor([2.0] * 100), 2)
    (1.0, 1.23, 2.01)
    """
    n = len(ratios)
    if not declared and not n:
        return math.nan
    logs = [math.log(ratio) for ratio in ratios]
    mean = math.fsum(logs) / max(n, 1)
    variance = DEGREES * SPREAD**2 + math.fsum((y - mean) ** 2 for y in logs)
    variance /= DEGREES + max(n - 1, 0)
    width = SPREAD**2 / SURE
    known = 1 / width if declared else 0.0
    doubt = 1 / (known + n / variance)
    middle = doubt * (n * mean / variance - known * (width + SPREAD**2) / 2)
    return math.exp(middle + (doubt + variance) / 2)

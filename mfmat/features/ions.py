"""What a formula says of its ions: whether charges can balance, electrons left over, and how ionic its bonds are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from mfmat.features.elements import load_elements

IONS = (
    "imbalance, common states",
    "imbalance, known states",
    "electrons wanted",
    "electrons left, highest states",
    "electrons left, lowest states",
    "odd electrons",
    "log atoms",
    "elements",
    "largest ionic character",
    "mean ionic character",
)
"""Names of the numbers, as `count_ions` gives them."""
LARGEST = 1000
"""Atoms in a formula unit up to which they are counted one by one; larger ones are taken to the nearest thousandth."""
States = tuple[int, ...]


class Ion(NamedTuple):
    """What is known of an element: its states in rising order, the common ones first; and its electronegativity."""

    common: States
    known: States
    pull: float


@cache
def load_ions() -> tuple[Ion, ...]:
    """Every element's oxidation states and electronegativity, in the order of the atomic number.

    >>> load_ions()[25]
    Ion(common=(2, 3), known=(2, 3), pull=1.83)
    """
    table = pd.read_csv(Path(__file__).parent / "oxidation_states.csv", keep_default_na=False, dtype=str)
    pulls = load_elements().column("Electronegativity").tolist()
    common, known = ([tuple(map(int, cell.split())) for cell in table[name]] for name in ("common", "known"))
    return tuple(map(Ion, common, known, pulls))


def count_ions(formula: dict[int, int]) -> list[float]:
    r"""Ten numbers of a formula unit with $n_i$ atoms of element i, fractions $x_i = n_i / \sum n$.

    The imbalance is $\min_q |\sum_i x_i q_i|$ over one oxidation state $q_i$ for each element, where no element has a
    positive state that pulls electrons more than one with a negative one: 0 where charges can balance, as in most
    compounds with a gap. The most electronegative element wants $-x\,\min q$ electrons; what the others give in their
    highest and lowest positive states beyond that is left. An odd number of electrons in the formula unit half-fills a
    band (1/2 with more than 1,000 atoms, which are rarely a formula unit). The ionic character of a bond is
    $1 - e^{-(\chi_i - \chi_j)^2 / 4}$ (Pauling), its mean is weighted by $x_i x_j$.

    Oxidation states: pymatgen (Ong et al. 2013, doi:10.1016/j.commatsci.2012.10.028), the common ones and those of
    crystals in the ICSD.

    >>> dict(zip(IONS, count_ions({26: 2, 8: 3})))["electrons wanted"]
    1.2
    """
    ions = load_ions()
    # By rising electronegativity, so that states in order fall from left to right.
    order = sorted(formula, key=lambda z: (ions[z - 1].pull, z))
    each = [ions[z - 1] for z in order]
    atoms = sum(formula.values())
    counts = [formula[z] for z in order]
    odd = 0.5 if atoms > LARGEST else sum(z * n for z, n in formula.items()) % 2
    if atoms > LARGEST:
        counts = [max(round(LARGEST * n / atoms), 1) for n in counts]
    shares = [n / sum(counts) for n in counts]
    common, known = [ion.common for ion in each], [ion.known for ion in each]
    imbalances = [_imbalance(counts, states) for states in (common, known)]
    bonds = _bonds(shares, [ion.pull for ion in each])
    return [*imbalances, *_electrons(shares, common), odd, math.log(atoms), float(len(order)), *bonds]


def _imbalance(counts: Sequence[int], states: Sequence[States]) -> float:
    """The smallest charge of an atom on average; bit s + span of a number says whether charges can add up to s."""
    span = _span(counts, states)
    giving, taking = 1 << span, 0
    for n, each in zip(counts, states, strict=True):
        # An element gives electrons only while none before it, which pulls less, has taken any.
        taken = _shifted(giving | taking, n, [q for q in each if q < 0]) | (taking if 0 in each else 0)
        giving, taking = _shifted(giving, n, [q for q in each if q >= 0]), taken
    reached = giving | taking
    return _nearest(reached, span) / sum(counts)


def _shifted(sums: int, n: int, states: Sequence[int]) -> int:
    """All that n atoms more can make of sums."""
    total = 0
    for q in states:
        total |= sums << n * q if q >= 0 else sums >> -n * q
    return total


def _span(counts: Sequence[int], states: Sequence[States]) -> int:
    return sum(n * max(map(abs, each)) for n, each in zip(counts, states, strict=True))


def _nearest(reached: int, span: int) -> int:
    """How far from 0 the nearest sum is."""
    above, below = reached >> span, reached & ((1 << (span + 1)) - 1)
    up = (above & -above).bit_length() - 1 if above else span + 1
    down = span - (below.bit_length() - 1) if below else span + 1
    return min(up, down)


def _electrons(shares: Sequence[float], states: Sequence[States]) -> tuple[float, float, float]:
    """What the last element wants, and what is left of what the others give, in their highest and lowest states."""
    wanted = shares[-1] * -min(0, *states[-1])
    given = [[q for q in each if q > 0] or [0] for each in states[:-1]]
    most, least = (sum(x * q[end] for x, q in zip(shares, given, strict=False)) for end in (-1, 0))
    return wanted, most - wanted, least - wanted


def _bonds(shares: Sequence[float], pulls: Sequence[float]) -> tuple[float, float]:
    """The largest and the mean ionic character of pairs."""
    largest = -math.expm1(-0.25 * (pulls[-1] - pulls[0]) ** 2)
    pairs = combinations(zip(shares, pulls, strict=True), 2)
    return largest, sum(-2 * x * y * math.expm1(-0.25 * (a - b) ** 2) for (x, a), (y, b) in pairs)

"""Colours that stand beside each other can be told apart, also by those who see no red, no green or no blue."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import mfmat.reports
from mfmat.reports.figures.paper import MAIN, OFF, SERIES, SOFT

SEEN = {
    "all": np.eye(3),
    # Machado et al. 2009, doi:10.1109/TVCG.2009.113, severity 1, on linear RGB.
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
APART = 12
"""Distance in CIELAB; some 2 are just noticed side by side, lines apart from each other need several times that."""
CSS = (Path(mfmat.reports.__file__).parent / "page.css").read_text(encoding="utf-8")
BLOCKS = [dict(re.findall(r"--(\w[\w-]*): (#\w{6})\b", block)) for block in re.findall(r"\{[^{}]*--s0:[^{}]*\}", CSS)]


def linear(colour: str) -> NDArray[np.float64]:
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    xyz = XYZ @ np.clip(rgb, 0, 1) / XYZ.sum(axis=1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(one: str, other: str, eyes: str) -> float:
    a, b = (lab(np.array(SEEN[eyes]) @ linear(colour)) for colour in (one, other))
    return float(np.linalg.norm(a - b))


def contrast(one: str, other: str) -> float:
    low, high = sorted(float(XYZ[1] @ linear(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def test_distances_are_those_of_the_standard() -> None:
    assert lab(np.ones(3)) == pytest.approx([100, 0, 0], abs=0.02)
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    # Red and green of one lightness are far apart, but not without the cones that tell them.
    assert distance("#c2410c", "#8a6100", "all") > 40
    assert distance("#c2410c", "#8a6100", "no red") < 5


@pytest.mark.parametrize("eyes", SEEN)
@pytest.mark.parametrize("block", BLOCKS)
def test_series_of_a_page_can_be_told_apart(block: dict[str, str], eyes: str) -> None:
    series = [block[f"s{i}"] for i in range(6)]
    assert min(distance(a, b, eyes) for a, b in combinations(series, 2)) > APART
    assert distance(block["main"], block["off"], eyes) > 3 * APART


@pytest.mark.parametrize("block", BLOCKS)
def test_what_is_drawn_stands_out_from_the_page(block: dict[str, str]) -> None:
    lines = [block[name] for name in ("main", "off", *(f"s{i}" for i in range(6)))]
    # WCAG 2.2, 1.4.11 and 1.4.3.
    assert min(contrast(line, block["page"]) for line in lines) >= 3
    assert min(contrast(block[name], block["page"]) for name in ("ink", "soft")) >= 4.5


@pytest.mark.parametrize("eyes", SEEN)
def test_series_of_a_figure_can_be_told_apart(eyes: str) -> None:
    assert min(distance(a, b, eyes) for a, b in combinations(SERIES, 2)) > APART
    assert min(distance(a, b, eyes) for a, b in combinations((MAIN, OFF, SOFT), 2)) > APART


def test_both_colour_schemes_and_the_paper_are_looked_at() -> None:
    assert len(BLOCKS) == 3

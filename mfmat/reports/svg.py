"""Plots as SVG text: scales, axes and marks, whose colours are left to the page's style sheet."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

KEYS = "Arrow keys tell its points one after the other."
TOP, RIGHT, LEFT = 12, 24, 64
"""Room around the plot, in its own units (about a pixel)."""


def tag(name: str, *inside: str, **attributes: object) -> str:
    """One element; attributes are escaped, `inside` is SVG already. `class_` and `stroke_width` lose their underscore.

    >>> tag("text", "1", x=2.04, class_="a<b")
    '<text x="2" class="a&lt;b">1</text>'
    """
    said = "".join(f' {key.rstrip("_").replace("_", "-")}="{_plain(value)}"' for key, value in attributes.items())
    return f"<{name}{said}>{''.join(inside)}</{name}>" if inside else f"<{name}{said}/>"


def _plain(value: object) -> str:
    # A tenth of a pixel is all that a screen shows, and keeps thousands of points small.
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else escape(str(value))


@dataclass(frozen=True)
class Scale:
    """A line from values to places.

    >>> Scale(0, 10, 100, 200)(5)
    150.0
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    """Whether equal ratios are equally far apart."""

    def __call__(self, value: float) -> float:
        low, high, at = (
            (math.log(each) for each in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        return self.start + (at - low) / ((high - low) or 1.0) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Round values within the scale, about so many.

        >>> Scale(0, 13.2, 0, 1).ticks()
        [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0]
        >>> Scale(30, 4000, 0, 1, log=True).ticks()
        [50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0]
        >>> Scale(25, 80, 0, 1, log=True).ticks()  # 1, 2, 5 would be one tick
        [30.0, 40.0, 50.0, 60.0, 70.0, 80.0]
        """
        if self.log and self.high > 10 * self.low:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if self.high < 1000 * self.low else (1,)
            values = (10.0**decade * step for decade in decades for step in steps)
            return [value for value in values if self.low <= value <= self.high]
        raw = (self.high - self.low) / about
        if not raw > 0:
            return [self.low]
        size = 10.0 ** math.floor(math.log10(raw))
        step = next(size * k for k in (1, 2, 2.5, 5, 10) if size * k >= raw * 0.75)
        first = math.ceil(self.low / step - 1e-9)
        return [round(k * step, 12) + 0.0 for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def spanning(values: Sequence[float], margin: float = 0.04) -> tuple[float, float]:
    """The least and greatest finite value with a margin around; never an empty range.

    >>> spanning([0.0, 100.0])
    (-4.0, 104.0)
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    room = (high - low) * margin or abs(high) * margin or 1.0
    return low - room, high + room


@dataclass
class Plot:
    """A plot in the making: axes first, then marks in the order they are drawn."""

    x: tuple[float, float]
    y: tuple[float, float]
    width: int = 440
    height: int = 400
    bottom: int = 46
    log: bool = False
    marks: list[str] = field(default_factory=list)

    @property
    def across(self) -> Scale:
        """From x to the place from the left."""
        return Scale(*self.x, LEFT, self.width - RIGHT, self.log)

    @property
    def up(self) -> Scale:
        """From y to the place from the top."""
        return Scale(*self.y, self.height - self.bottom, TOP)

    def line(self, points: Sequence[tuple[float, float]], class_: str) -> None:
        """A line through points."""
        self.marks.append(tag("polyline", points=self._path(points), class_=class_))

    def steps(self, points: Sequence[tuple[float, float]], class_: str) -> None:
        """A line that keeps each value up to the next point."""
        corners = [(after[0], before[1]) for before, after in itertools.pairwise(points)]
        pairs = itertools.zip_longest(points, corners)
        self.line([point for pair in pairs for point in pair if point is not None], class_)

    def text(self, x: float, y: float, content: str) -> None:
        """Words that begin at a place."""
        self.marks.append(tag("text", escape(content), x=self.across(x), y=self.up(y), class_="note"))

    def area(self, points: Sequence[tuple[float, float]], class_: str) -> None:
        """A filled outline."""
        self.marks.append(tag("polygon", points=self._path(points), class_=class_))

    def point(self, x: float, y: float, label: str, class_: str = "", radius: float = 3.5) -> None:
        """A point that tells `label` when the pointer is near."""
        title = tag("title", escape(label))
        place = {"cx": self.across(x), "cy": self.up(y), "r": radius}
        self.marks.append(tag("circle", title, **place, class_=f"point {class_}".strip()))

    def whisker(self, x: float, low: float, high: float, class_: str = "") -> None:
        """A vertical interval."""
        ends = {"x1": self.across(x), "x2": self.across(x), "y1": self.up(low), "y2": self.up(high)}
        self.marks.append(tag("line", **ends, class_=f"whisker {class_}".strip()))

    def drawn(
        self, name: str, label: str, axes: tuple[str, str], *, percent: str = "", bare: str = "", whole: str = ""
    ) -> str:
        """The finished element.

        Args:
            name: unique on the page.
            label: what the plot shows, for those who do not see it.
            axes: titles of x and y.
            percent: axes that are shares, such as `"xy"`.
            bare: axes that need no ticks.
            whole: axes whose ticks are whole numbers.
        """
        frame = {"x": LEFT, "y": TOP, "width": self.width - LEFT - RIGHT, "height": self.height - TOP - self.bottom}
        clip = tag("clipPath", tag("rect", **frame), id=f"{name}-clip")
        marks = tag("g", *self.marks, clip_path=f"url(#{name}-clip)")
        inside = [clip, *self._ticks(percent, bare, whole), marks, *self._titles(axes)]
        about = {"role": "img", "aria_label": f"{label} {KEYS}", "tabindex": 0, "class_": "plot"}
        return tag("svg", *inside, viewBox=f"0 0 {self.width} {self.height}", **about)

    def _ticks(self, percent: str, bare: str, whole: str) -> list[str]:
        bottom, side = self.height - self.bottom, self.width - RIGHT
        made = []
        for value in [] if "y" in bare else self.up.ticks():
            place = self.up(value)
            made.append(tag("line", x1=LEFT, x2=side, y1=place, y2=place, class_="grid"))
            made.append(tag("text", _tick(value, "y" in percent), x=LEFT - 8, y=place + 4.5, class_="tick end"))
        for value in [] if "x" in bare else self.across.ticks():
            if "x" in whole and value % 1:
                continue
            place = self.across(value)
            made.append(tag("line", x1=place, x2=place, y1=TOP, y2=bottom, class_="grid"))
            made.append(tag("text", _tick(value, "x" in percent), x=place, y=bottom + 19, class_="tick middle"))
        return made

    def _titles(self, axes: tuple[str, str]) -> list[str]:
        middle = (TOP + self.height - self.bottom) / 2
        across = {"x": (LEFT + self.width - RIGHT) / 2, "y": self.height - 6, "class_": "title middle"}
        upward = {"x": 13, "y": middle, "class_": "title middle", "transform": f"rotate(-90 13 {middle:.0f})"}
        return [tag("text", escape(axes[0]), **across), tag("text", escape(axes[1]), **upward)]

    def _path(self, points: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{self.across(x):.1f},{self.up(y):.1f}" for x, y in points)


def _tick(value: float, percent: bool) -> str:
    return f"{100 * value:g}%" if percent else f"{value:g}".replace("-", "−")

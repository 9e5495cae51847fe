"""Every deliberate error: what came, what was expected, what to try."""

from __future__ import annotations

import difflib
import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


class MfmatError(Exception):
    """The root of every error that mfmat raises on purpose.

    The message always has three parts: what came, what was expected, what to try.

    >>> raise MfmatError("costs={'exp': -1}", expected="costs of 0 or more", fix="give a price")
    Traceback (most recent call last):
    mfmat.errors.MfmatError: got costs={'exp': -1}; expected costs of 0 or more; try: give a price
    """

    def __init__(self, came: str, *, expected: str, fix: str) -> None:
        self.came, self.expected, self.fix = came, expected, fix
        super().__init__(f"got {came}; expected {expected}; try: {fix}")

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[Any, ...]:
        # Made anew from its message alone, an error of another process would break that process.
        return _revive, (type(self), self.args, self.__dict__)


class SchemaError(MfmatError, ValueError):
    """A schema, recipe or option that contradicts itself or the table it is used on."""


class UnknownNameError(MfmatError, KeyError):
    """A source, dataset, kind or view that nobody knows."""


class FitError(MfmatError, RuntimeError):
    """A learner that cannot be fitted to the data it was given."""


class CalibrationError(MfmatError, ValueError):
    """A promise on intervals that the calibration rows are too few to give."""


class SavedFileError(MfmatError, OSError):
    """A saved surrogate that is incomplete, altered, or from another version."""


class DownloadError(MfmatError, OSError):
    """A public table that could not be fetched, or is not the one that was expected."""


class MfmatWarning(UserWarning):
    """The root of every warning: the result is valid, and there is something to know about it."""


def _revive(kind: type[MfmatError], args: tuple[Any, ...], facts: dict[str, Any]) -> MfmatError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error


def warn(category: type[MfmatWarning], came: str, *, expected: str, fix: str) -> None:
    """A warning in the same three parts as an error, shown at the caller's own line."""
    here = os.path.dirname(__file__)
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(here):
        frame, level = frame.f_back, level + 1
    warnings.warn(f"got {came}; expected {expected}; try: {fix}", category, stacklevel=level)


def check_choice(option: str, value: object, choices: Sequence[str]) -> None:
    """Nothing, for an option that is one of its choices.

    Raises:
        SchemaError: it is not.
    """
    if value not in choices:
        raise SchemaError(
            f"{option}={value!r}",
            expected=f"one of {', '.join(map(repr, choices))}",
            fix=f"{option}={choices[0]!r}",
        )


class Line(int):
    """The label of a row that a person wrote: its line in the file, from 1, as editors and spreadsheets count."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with one cell of a table.

    Attributes:
        position: row number from 0.
        index: the row's label in the table's own index.
        column: the column's name.
        value: what the cell holds.
        what: why it cannot be used.
    """

    position: int
    index: object
    column: str
    value: object
    what: str

    def __post_init__(self) -> None:
        # NumPy's scalars would be shown as np.float64(nan).
        for name in ("index", "value"):
            cell = getattr(self, name)
            object.__setattr__(
                self, name, cell.item() if hasattr(cell, "item") and not hasattr(cell, "__len__") else cell
            )

    def __str__(self) -> str:
        row = f"line {self.index}" if isinstance(self.index, Line) else f"row {self.index!r} (number {self.position})"
        return f"{row}, column {self.column!r}: {self.what}, got {_shorten(self.value)}"


def _shorten(value: object, length: int = 120) -> str:
    """A cell as it is shown: one line, the middle of a whole file left out."""
    said = " ".join(repr(value).split()) if len(repr(value)) > length else repr(value)
    return said if len(said) <= length else f"{said[: length - 20]} ... {said[-15:]}"


class TableError(MfmatError, ValueError):
    """A table with cells that cannot be used; `problems` holds every one of them."""

    def __init__(self, came: str, *, expected: str, fix: str, problems: Sequence[Problem] = ()) -> None:
        self.problems = tuple(problems)
        super().__init__(came, expected=expected, fix=fix)

    @classmethod
    def of(cls, problems: Sequence[Problem], *, shown: int = 5) -> TableError:
        """One error for all bad cells: the first few in the message, the rest in `problems`."""
        rows = len({problem.position for problem in problems})
        more = f" (and {len(problems) - shown} more in .problems)" if len(problems) > shown else ""
        return cls(
            f"{rows} bad row{'s' * (rows != 1)}: " + "; ".join(map(str, problems[:shown])) + more,
            expected="a table whose every row can be read",
            fix='mend those cells, or pass on_error="skip" to leave those rows out',
            problems=problems,
        )


def nearest(name: str, known: Iterable[object]) -> str:
    """A suggestion for a misspelt name, or an empty string.

    >>> nearest("gpa", ["gap", "method"])
    "did you mean 'gap'? "
    """
    close = difflib.get_close_matches(str(name), [str(other) for other in known], n=1)
    return f"did you mean {close[0]!r}? " if close else ""

"""Long work shows how far it is."""

from __future__ import annotations

import atexit
import inspect
import logging
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

PATIENCE = 2.0
"""Seconds before a bar appears."""
TICK = 0.1
"""Seconds between two looks at what is under way."""
GENERATORS = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
T = TypeVar("T")


def track(items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
    """The items as they come, with a bar and the time left on stderr where that is a terminal and the work is long.

    Calls may be nested and made in several threads: each has a line. Processes of a pool show nothing.

    >>> list(track([1, 2, 3], "counting"))
    [1, 2, 3]
    """
    seen = hasattr(sys.stderr, "isatty") and sys.stderr.isatty()
    if not seen or multiprocessing.parent_process() is not None:
        return iter(items)
    return _tracked(items, Work(title, len(items) if total is None and isinstance(items, Sized) else total))


def _tracked(items: Iterable[T], work: Work) -> Iterator[T]:
    work.reader = _reader()
    SCREEN.add(work)
    try:
        for item in items:
            yield item
            work.done += 1
    finally:
        work.over = True
        SCREEN.clear()


@dataclass(eq=False)
class Work:
    """Items that somebody goes through, and how far that is.

    Attributes:
        title: what is done.
        total: how many items there are, where that is known.
        reader: the thread, and the function in it (the identity of its frame), that goes through them.
        done: items that were dealt with.
        over: whether they are through.
    """

    title: str
    total: int | None
    reader: tuple[int, int] = (0, 0)
    began: float = field(default_factory=time.monotonic)
    done: int = 0
    over: bool = False

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began

    @property
    def abandoned(self) -> bool:
        """Whether the function that went through the items was left, as by an interrupt.

        Their iterator lives on with the traceback: in an interactive session until the next error.
        """
        thread, reader = self.reader
        frame = sys._current_frames().get(thread)
        while frame is not None and id(frame) != reader:
            frame = frame.f_back
        return frame is None

    @property
    def cells(self) -> tuple[str, str]:
        """How many items of how many, and the time left, or gone by where nobody knows."""
        count = f"{self.done:,}" if self.total is None else f"{self.done:,} of {self.total:,}"
        if not self.total or not self.done:
            return count, f"{_clock(self.seconds)} so far"
        return count, f"{_clock(self.seconds / self.done * max(0, self.total - self.done))} left"


class Screen:
    """The bars of this process, one below the other, drawn by a thread that is there only while somebody tracks."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._works: list[Work] = []
        self._ticker: threading.Thread | None = None
        self._live: Live | None = None
        self._loggers: list[logging.StreamHandler[Any]] = []
        self._left: list[Any] = []

    def add(self, work: Work) -> None:
        """A bar for this work, should it take long."""
        with self._lock:
            self._works = [*self._works, work]
            if self._ticker is None:
                self._ticker = threading.Thread(target=self._watch, name="mfmat progress", daemon=True)
                self._ticker.start()

    def clear(self) -> None:
        """No bar for what is over."""
        # Work that is dropped while some thread prints must not wait for the bars, which may wait for that thread.
        if self._lock.acquire(timeout=1):
            try:
                self._works = [work for work in self._works if not work.over]
                if not any(work.seconds > PATIENCE for work in self._works):
                    self.close()
            finally:
                self._lock.release()

    def close(self) -> None:
        """Leave the terminal as it was."""
        with self._lock:
            live, self._live = self._live, None
            if live is not None:
                for handler in self._loggers:
                    handler.setStream(live.console.file)
                # A terminal that was closed meanwhile must not end the work.
                with suppress(OSError, ValueError):
                    live.update("")
                    live.stop()

    def leave(self) -> None:
        """What was printed past the bars goes straight to the terminal: in a forked process nobody draws them."""
        self._left = [sys.stdout, sys.stderr]
        sys.stdout, sys.stderr = (getattr(each, "rich_proxied_file", each) for each in self._left)
        for handler in self._loggers:
            handler.stream = getattr(handler.stream, "rich_proxied_file", handler.stream)

    def _watch(self) -> None:
        while True:
            time.sleep(TICK)
            with self._lock:
                self._works = [work for work in self._works if not (work.over or work.abandoned)]
                if not self._works:
                    self.close()
                    self._ticker = None
                    return
                long = [work for work in self._works if work.seconds > PATIENCE]
                # Where somebody else's bars catch what is printed, ours would be drawn across them.
                if long and (self._live or not hasattr(sys.stderr, "rich_proxied_file")):
                    self._live = self._live or self._open()
                    with suppress(OSError, ValueError):
                        self._live.update(_draw(long), refresh=True)
                else:
                    self.close()

    def _open(self) -> Live:
        # A tenth of a second that only those who wait anyway should pay.
        from rich.console import Console
        from rich.live import Live

        stream = sys.stderr
        live = Live(
            console=Console(file=stream),
            auto_refresh=False,
            transient=True,
            # What is printed meanwhile goes above the bars; what goes into a file goes there.
            redirect_stdout=hasattr(sys.stdout, "isatty") and sys.stdout.isatty(),
        )
        live.start()
        handlers = [*logging.root.handlers, *logging.getLogger("mfmat").handlers]
        self._loggers = [h for h in handlers if isinstance(h, logging.StreamHandler) and h.stream is stream]
        for handler in self._loggers:
            handler.setStream(sys.stderr)
        return live


def _draw(works: Iterable[Work]) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    lines = Table.grid(padding=(0, 1), expand=True)
    # Where there is little room, titles are cut first; the bar takes what the words leave.
    lines.add_column()
    lines.add_column(ratio=1, no_wrap=True)
    for _ in range(2):
        lines.add_column(no_wrap=True, justify="right")
    for work in works:
        bar = ProgressBar(work.total or None, work.done, pulse=not work.total)
        lines.add_row(Text(work.title, no_wrap=True, overflow="ellipsis"), bar, *map(Text, work.cells))
    return lines


def _reader() -> tuple[int, int]:
    """The thread that asks for the first item, and the innermost function in it that is no generator."""
    frame = sys._getframe(2)
    while frame.f_code.co_flags & GENERATORS and frame.f_back is not None:
        frame = frame.f_back
    return threading.get_ident(), id(frame)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _forget() -> None:
    """A process that was forked has no bars, whatever its parent shows."""
    global SCREEN, PARENT
    PARENT, SCREEN = SCREEN, Screen()
    PARENT.leave()


def _close() -> None:
    SCREEN.close()


SCREEN = Screen()
PARENT: Screen | None = None
"""That of the process which this one was forked from; kept, for what it caught is that process's to print."""
atexit.register(_close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)

"""Bars where somebody looks, and a terminal as clean afterwards as before, read off a pseudo terminal."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

HEAD = """
import logging, multiprocessing, signal, sys, threading, time, warnings
from mfmat import progress
from mfmat.progress import track
progress.PATIENCE = 0.2
# What is started in the background of a shell inherits that nobody interrupts it.
signal.signal(signal.SIGINT, signal.default_int_handler)

def nap(seconds=0.15):
    time.sleep(seconds)

"""
CODES = re.compile(r"\x1b\[(\??)(\d*)(?:;\d+)*([A-Za-z])|\r|\n|[^\x1b\r\n]+")


@dataclass
class Screen:
    """A terminal of endless height: what is on it now, and every state in which it paused before it drew anew."""

    lines: list[str] = field(default_factory=lambda: [""])
    row: int = 0
    column: int = 0
    cursor: bool = True
    states: list[list[str]] = field(default_factory=list)

    def take(self, text: str) -> None:
        for found in CODES.finditer(text):
            mark, number, letter = found.groups()
            if found[0] == "\r":
                self.column = 0
            elif found[0] == "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif letter == "A":
                self.row -= int(number or 1)
            elif letter == "K":
                self.states.append([line.rstrip() for line in self.lines])
                self.lines[self.row] = ""
            elif mark and number == "25":
                self.cursor = letter == "h"
            elif letter is None:
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + found[0] + line[self.column + len(found[0]) :]
                self.column += len(found[0])

    @property
    def left(self) -> list[str]:
        """What is read in the end."""
        return [line.rstrip() for line in self.lines if line.strip()]

    def together(self, *words: str) -> bool:
        """Whether all these words were once there at the same time, each on a line of its own."""
        return any(all(sum(word in line for line in state) == 1 for word in words) for state in self.states)


def watch(
    code: str, *, interrupt: str = "", columns: int = 80, term: str = "xterm", output: int | None = None
) -> Screen:
    """What a terminal shows of a program; Ctrl-C is pressed once the words `interrupt` are there."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": term, "COLUMNS": str(columns), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", HEAD + code], stdout=output or theirs, stderr=theirs, stdin=theirs, env=env
    ) as process:
        os.close(theirs)
        said, pressed = b"", False
        while True:
            try:
                said += os.read(ours, 65536)
            except OSError:
                # Linux says so when the other end is closed.
                break
            if interrupt and not pressed and interrupt.encode() in said:
                time.sleep(0.3)
                process.send_signal(signal.SIGINT)
                pressed = True
    os.close(ours)
    screen = Screen()
    screen.take(said.decode())
    return screen


def test_a_bar_has_a_title_a_count_and_the_time_left() -> None:
    screen = watch("for _ in track(range(6), 'counting [b]sheep[/b]'): nap()")
    shown = {line for state in screen.states for line in state if "sheep" in line}
    assert any(re.fullmatch(r"counting \[b\]sheep\[/b\] ━+[━╸╺]+ 3 of 6 0:00:0[01] left", line) for line in shown)
    assert max(map(len, shown)) <= 80
    assert screen.left == []
    assert screen.cursor


def test_short_work_shows_nothing() -> None:
    screen = watch("progress.PATIENCE = 2.0\nfor _ in track(range(3), 'counting'): nap()")
    assert (screen.states, screen.left) == ([], [])


def test_one_long_step_is_enough() -> None:
    assert watch("for _ in track([1], 'waiting'): nap(0.6)").together("waiting", "0 of 1")


def test_a_total_that_nobody_knows() -> None:
    screen = watch("for _ in track((k for k in range(4)), 'reading'): nap()")
    assert any(re.fullmatch(r"reading +━+ +2 +0:00:0\d so far", line) for state in screen.states for line in state)
    assert screen.left == []


@pytest.mark.parametrize("setting", [{}, {"FORCE_COLOR": "1"}, {"TTY_COMPATIBLE": "1"}])
def test_nothing_at_all_where_it_is_no_terminal(setting: dict[str, str]) -> None:
    code = HEAD + "for _ in track(range(4), 'counting'): nap()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env={**os.environ, **setting})
    assert (done.stdout, done.stderr) == (b"", b"")


def test_a_terminal_that_cannot_draw_is_left_alone() -> None:
    assert watch("for _ in track(range(4), 'counting'): nap()", term="dumb").left == []


def test_nested_bars_are_one_below_the_other_and_nothing_printed_is_lost() -> None:
    screen = watch("""
logging.basicConfig(format="%(message)s", level="INFO")
for i in track(range(3), "outer"):
    for j in track(range(4), "inner"):
        nap()
        if j == 2:
            print("printed", i)
            logging.getLogger("mfmat").info("logged %d", i)
            warnings.warn(f"warned {i}", stacklevel=1)
logging.info("at the end")
""")
    assert screen.together("outer", "inner")
    assert any(state[-2].startswith("outer") and state[-1].startswith("inner") for state in screen.states if state[1:])
    said = [line for line in screen.left if re.match(r"printed|logged|.*: UserWarning: warned|at the end", line)]
    wanted = [word for i in range(3) for word in (f"printed {i}", f"logged {i}", f"warned {i}")]
    assert [re.search(r"\w+ \d$|at the end", line)[0] for line in said] == [*wanted, "at the end"]  # type: ignore[index]
    assert not any("━" in line for line in screen.left)
    assert screen.cursor


def test_a_line_that_was_not_ended_is_kept() -> None:
    screen = watch("for k in track(range(4), 'counting'): nap(0.4); print(k, end=' ')")
    assert "".join(screen.left).split() == ["0", "1", "2", "3"]


def test_what_is_printed_into_a_file_goes_there(tmp_path: Path) -> None:
    with (tmp_path / "out.txt").open("wb") as file:
        screen = watch("for k in track(range(5), 'counting'): nap(); print(k)", output=file.fileno())
    assert screen.together("counting")
    assert screen.left == []
    assert (tmp_path / "out.txt").read_text().split() == ["0", "1", "2", "3", "4"]


def test_an_interrupt_leaves_a_traceback_alone() -> None:
    screen = watch(
        "for _ in track(range(99), 'counting'):\n    for _ in track(range(99), 'inner'): nap()", interrupt="inner"
    )
    assert screen.together("counting", "inner")
    assert screen.left[0].startswith("Traceback")
    assert screen.left[-1] == "KeyboardInterrupt"
    assert not any("━" in line for line in screen.left)
    assert screen.cursor


def test_bars_go_although_an_error_is_kept() -> None:
    """As an interactive session keeps it, and with it the loop that it left half-way."""
    screen = watch("""
def steps():
    for k in track(range(9), "steps"):
        yield k

def work():
    for k in track(range(9), "counting"):
        for _ in steps():
            nap(0.5)
            raise ValueError

try:
    work()
except ValueError as error:
    kept = error
nap(0.4)
sys.__stderr__.write("kept\\n")
nap(0.4)
""")
    assert screen.together("counting", "steps")
    assert screen.left == ["kept"]
    assert screen.states[-1][-1] == ""
    assert screen.cursor


def test_a_loop_that_is_dropped_half_way() -> None:
    screen = watch("""
items = track(range(9), "counting")
for _ in items:
    nap(0.5)
    break
del items
print("dropped")
for _ in track(range(9), "again"):
    nap(0.5)
    break
print("left")
kept = track(range(9), "kept")
next(kept)
nap(0.5)
""")
    assert screen.together("counting")
    assert screen.together("again")
    assert screen.together("kept")
    assert screen.left == ["dropped", "left"]
    assert screen.cursor


def test_threads_have_a_line_each_and_end_in_any_order() -> None:
    screen = watch("""
def work(name, steps):
    for _ in track(range(steps), name):
        nap()

threads = [threading.Thread(target=work, args=(f"thread {k}", 8 - 2 * k)) for k in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
nap(0.3)
assert [thread.name for thread in threading.enumerate()] == ["MainThread"]
print("done")
""")
    assert screen.together("thread 0", "thread 1", "thread 2")
    assert screen.left == ["done"]


def test_processes_of_a_pool_show_nothing_of_their_own() -> None:
    screen = watch("""
def work():
    for _ in track(range(4), "small"):
        nap()
    print("from the child", flush=True)

for _ in track(range(2), "parent"):
    nap(0.4)
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join()
""")
    assert screen.together("parent")
    assert not screen.together("small")
    assert sum("from the child" in line for line in screen.left) == 2
    assert screen.cursor


def test_a_narrow_terminal_keeps_one_line_a_bar() -> None:
    screen = watch("for _ in track(range(6), 'training 64 networks at once'): nap()", columns=40)
    shown = [state for state in screen.states if any("training" in line for line in state)]
    assert shown
    assert all(len(line) <= 40 for state in shown for line in state)
    assert all(sum(bool(line) for line in state) <= 1 for state in shown)
    assert any("3 of 6 0:00:0" in line for state in shown for line in state)


def test_bars_of_others_are_left_alone() -> None:
    screen = watch("""
from rich.progress import track as theirs
for _ in theirs(range(3), "theirs", transient=True):
    for _ in track(range(4), "ours"):
        nap()
""")
    assert screen.together("theirs")
    assert not screen.together("ours")
    assert screen.left == []

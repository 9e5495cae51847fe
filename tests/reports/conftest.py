"""For the tests of reports: one fitted surrogate, a reader of pages, and a headless browser."""

from __future__ import annotations

import base64
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import mfmat as mf


@dataclass(frozen=True)
class Job:
    """A surrogate with everything that a report can show."""

    table: pd.DataFrame
    schema: mf.Schema
    surrogate: mf.Surrogate
    validated: pd.DataFrame
    baselines: dict[str, pd.DataFrame]
    pool: pd.DataFrame
    suggestions: pd.DataFrame

    @property
    def everything(self) -> dict[str, Any]:
        """The options of a report that shows it all."""
        names = ("validated", "baselines", "pool", "suggestions")
        return {name: getattr(self, name) for name in names}


@pytest.fixture(scope="session")
def job() -> Job:
    """Fifty compounds of the embedded table, fitted once."""
    from mfmat.validation import cross_validate, train_median

    table, schema = mf.datasets.load("semiconductor-gaps")
    kept = table["formula"].drop_duplicates().iloc[:50]
    pool = table["formula"].drop_duplicates().iloc[30:70].to_frame()
    table = table[table["formula"].isin(kept) & (table["method"] != "hse06")]
    surrogate = mf.fit(table, schema, mf.Auto(folds=3))
    alone = mf.Conformal(mf.TargetOnly(mf.GP()), folds=3)
    # Quick recipes: the tests ask whether the page says what these tables say.
    validated = cross_validate(table, schema, mf.Conformal(mf.Difference([mf.GP()]), folds=3), folds=3)
    baselines = {
        "the target alone": cross_validate(table, schema, alone, folds=3),
        "the training median": train_median(table, schema, folds=3),
    }
    suggestions = mf.suggest(surrogate, pool, 3, goal="learn")
    return Job(table, schema, surrogate, validated, baselines, pool, suggestions)


@pytest.fixture(scope="session")
def page(job: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of everything."""
    return mf.report(job.surrogate, tmp_path_factory.mktemp("report") / "page.html", **job.everything)


@dataclass
class Reader(HTMLParser):
    """What a page says: its text, its tables by id (a list of cells a row), the numbers by id, and every link."""

    text: str = ""
    tables: dict[str, list[list[tuple[str, float | None]]]] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._table, self._within, self._id = "", "", ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        self.tags.append((tag, said))
        self._within, self._id = tag, said.get("id") or self._id
        value = said.get("data-value")
        if tag == "table":
            self._table = str(said["id"])
            self.tables[self._table] = []
        elif tag == "tr":
            self.tables[self._table].append([])
        elif tag in ("td", "th"):
            self.tables[self._table][-1].append(("", None if value is None else float(value)))
        elif tag == "title":
            self.titles.append("")
        elif value is not None:
            self.numbers[self._id] = float(value)

    def handle_endtag(self, tag: str) -> None:
        self._within = "" if tag == self._within else self._within

    def handle_data(self, data: str) -> None:
        if self._within in ("script", "style"):
            return
        self.text += data
        if self._within == "title":
            self.titles[-1] += data
        elif self._within in ("td", "th"):
            text, value = self.tables[self._table][-1][-1]
            self.tables[self._table][-1][-1] = (text + data, value)

    def column(self, table: str, name: str) -> list[tuple[str, float | None]]:
        """The cells of a column: what is read, and the number it stands for."""
        head, *rows = self.tables[table]
        place = [text for text, _ in head].index(name)
        return [row[place] for row in rows]


@pytest.fixture(scope="session")
def read() -> Callable[[Path], Reader]:
    """A reader of pages."""

    def reader(path: Path) -> Reader:
        found = Reader()
        found.feed(path.read_text(encoding="utf-8"))
        return found

    return reader


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    """A headless Chromium."""
    if executable() is None:
        pytest.skip("no chromium on this machine")
    with Chromium() as chromium:
        yield chromium


NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)
# Chromium reads commands from descriptor 3 and answers on 4; out of the way first, lest a move overwrite the other.
SEAT = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3])
os.dup2(read, 3)
os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def executable() -> str | None:
    """The browser's path; None where none is installed."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Chromium:
    """One browser with one page, spoken to in the DevTools protocol over two pipes: no driver, no port, no network.

    `complaints` collects console errors, exceptions and refused requests; `requests` every address asked for.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        here_reads, there_writes = os.pipe()
        there_reads, here_writes = os.pipe()
        command = [str(executable()), *QUIET, "--remote-debugging-pipe", f"--user-data-dir={self._folder.name}"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", SEAT, str(there_reads), str(there_writes), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(there_reads, there_writes),
        )
        os.close(there_reads)
        os.close(there_writes)
        self._from, self._to = os.fdopen(here_reads, "rb"), os.fdopen(here_writes, "wb")
        self._count, self._session, self._rest = 0, "", b""
        self.complaints: list[str] = []
        self.requests: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, path: Path, *, width: int = 1200, height: int = 900, dark: bool = False, media: str = "") -> None:
        """Load a file at that width, and wait until it is there."""
        self.complaints.clear()
        self.requests.clear()
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.send("Page.navigate", url=path.resolve().as_uri())
        self._wait("Page.loadEventFired")

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression on the page."""
        said = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in said:
            raise AssertionError(said["exceptionDetails"])
        return said["result"].get("value")

    def press(self, key: str) -> None:
        """A key, as typed."""
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key)

    def point(self, x: float, y: float) -> None:
        """The mouse, moved there."""
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """A screenshot: of the whole page, or of what is in the window."""
        shot = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole))
        path.write_bytes(base64.b64decode(shot["data"]))

    def print(self, path: Path) -> None:
        """The page as it is printed."""
        path.write_bytes(base64.b64decode(self.send("Page.printToPDF", printBackground=False)["data"]))

    def close(self) -> None:
        """End the browser."""
        self._process.terminate()
        self._process.wait(20)
        self._from.close()
        self._to.close()
        self._folder.cleanup()

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its answer."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        while True:
            said = self._next()
            if said.get("id") == self._count:
                assert "error" not in said, said
                return said["result"]

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    def _wait(self, event: str) -> None:
        while self._next().get("method") != event:
            pass

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            chunk = os.read(self._from.fileno(), 1 << 16)
            assert chunk, "the browser has ended"
            self._rest += chunk
        line, self._rest = self._rest.split(b"\0", 1)
        said: dict[str, Any] = json.loads(line)
        self._listen(said.get("method", ""), said.get("params", {}))
        return said

    def _listen(self, method: str, what: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(what["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(what["args"]))
        elif method == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
            self.complaints.append(what["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(what["request"]["url"])


NAMES_OF_FILMS = ["<script>alert(1)</script>", *(f"film {i}" for i in range(1, 30))]


def bend(x: pd.Series, source: pd.Series) -> pd.Series:
    """What a source would measure."""
    return 3 * x * (1 - x) + 0.2 * x - 0.1 * (source == "cheap")


@pytest.fixture(scope="session")
def search(tmp_path_factory: pytest.TempPathFactory) -> mf.Campaign:
    """A campaign to which everything has happened, one material of which is named like a script."""
    x = pd.Series(range(30)) / 29
    pool = pd.DataFrame({"x": x, "film": NAMES_OF_FILMS})
    sources = ["cheap"] * 15 + ["<b>trusted</b>"] * 12
    seen = pd.DataFrame({"x": [*(x[::2] / 2), *(x[:12] / 3 + 0.01)], "source": sources})
    seen = seen.assign(film=[f"old {i}" for i in range(27)], y=bend(seen["x"], seen["source"]))
    schema = mf.Schema(
        mf.Columns("x"),
        value="y",
        source="source",
        costs={"cheap": 1, "<b>trusted</b>": 10},
        material="film",
        unit="eV",
    )
    database = tmp_path_factory.mktemp("search") / "y.db"
    recipe = mf.Difference([mf.GP(steps=5)])
    campaign = mf.Campaign.create(database, schema, recipe=recipe, pool=pool, seen=seen, budget=400)

    def told(todo: pd.DataFrame) -> None:
        campaign.tell(todo.assign(y=bend(todo["x"], todo["source"])))

    told(pool.iloc[[0, 20]].assign(source="<b>trusted</b>"))
    for k in range(4):
        todo = campaign.ask(4)
        if k == 1:
            campaign.fail(todo.iloc[:1], "<i>burnt</i>")
        if k == 2:
            campaign.withdraw(todo.iloc[:1], "no time")
        told(todo.iloc[1:] if k in (1, 2) else todo)
    campaign.correct(pool.iloc[[20]].assign(source="<b>trusted</b>", y=0.5), "wrong sample")
    campaign.ask(2)
    return campaign


@pytest.fixture(scope="session")
def search_page(search: mf.Campaign, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its report."""
    return mf.report(search, tmp_path_factory.mktemp("report") / "search.html")


@pytest.fixture(scope="session")
def replayed() -> Any:
    """Campaigns of four policies, one of them named like a script, replayed from three starts."""
    x = pd.Series(range(30)) / 29
    cheap = (20 * x).map(math.sin) * x
    both = {"cheap": cheap, "trusted": 1.3 * cheap + 0.2 * x}
    table = pd.concat([pd.DataFrame({"x": x, "source": name, "y": y}) for name, y in both.items()])
    table.index = pd.Index([f"row {k}" for k in range(len(table))])
    schema = mf.Schema(mf.Columns("x"), value="y", source="source", costs={"cheap": 1, "trusted": 10})
    policies = [mf.Ask(mf.Pooled(mf.BayesianLinear()), name="<script>x</script>"), mf.Ask(mf.GP(steps=5), name="gp")]
    return mf.backtest(table, schema, policies, seeds=3, start=3, budget=200)

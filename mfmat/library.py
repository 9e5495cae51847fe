"""Library: a folder or a URL of surrogates that can be asked what is in it."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pandas as pd

from mfmat.cache_folder import cache
from mfmat.entry import ENDING, ENTRIES, Entry, parse
from mfmat.entry_facts import FACTS, gather_facts
from mfmat.errors import MfmatError, MfmatWarning, SavedFileError, SchemaError, UnknownNameError, nearest, warn
from mfmat.factory import Order, Tasks, produce
from mfmat.learner import Learner
from mfmat.packing import pack, read_packed, unpack
from mfmat.progress import track
from mfmat.shelf import Shelf
from mfmat.skipping import OnError
from mfmat.surrogate import Surrogate

LOGGER = logging.getLogger("mfmat")
INDEX = "index.jsonl"


class LibraryWarning(MfmatWarning):
    """Lines of an index that cannot be read; all others serve."""


class Library:
    """Surrogates in a folder or behind a URL, each in one file with its SHA-256, and an index of what is known of them.

    In a folder several processes may add at once, and a killed one leaves nothing half done. What is cut short or
    altered is refused by name, and the rest still serves. From a URL an entry is fetched once and kept (MFMAT_CACHE).
    No file holds a pickle.

    Args:
        path: a folder, made by the first `add`; or a URL that fsspec reads: `https://` (extra `remote`), `s3://` and
            its like with their packages.
        options: of the file system behind the URL, such as `anon=True`.

    Yamada et al. 2019 (XenonPy.MDL), doi:10.1021/acscentsci.9b00804.

    >>> import tempfile
    >>> import pandas as pd, mfmat as mf
    >>> table = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "y": [0.1, 0.9, 2.1, 2.9]})
    >>> line = mf.fit(table, mf.Schema(mf.Columns("x"), value="y"), mf.GP())
    >>> library = Library(tempfile.mkdtemp())
    >>> library.add(line, property="a line", licence="CC0-1.0")
    'a-line'
    >>> library.query("rows > 3")[["property", "learner", "licence"]].values.tolist()
    [['a line', 'gp', 'CC0-1.0']]
    >>> library.get("a-line").predict(table)["median"].equals(line.predict(table)["median"])
    True
    """

    def __init__(self, path: str | Path, **options: Any) -> None:
        self.shelf = Shelf(str(path), tuple(sorted(options.items())))
        self._known: tuple[Any, dict[str, Entry]] | None = None

    def __repr__(self) -> str:
        return f"Library({self.shelf.root!r})"

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    @property
    def entries(self) -> dict[str, Entry]:
        """Every entry by name, in the order in which they came; read again only where the index has changed.

        Warns:
            LibraryWarning: lines that cannot be read.
        """
        stamp = self.shelf.stamp(INDEX) if self.shelf.has(INDEX) else ()
        if self._known is None or stamp is None or self._known[0] != stamp:
            entries, lost = self._parse()
            if lost:
                warn(
                    LibraryWarning,
                    f"{INDEX} of {self.shelf.root} with {len(lost)} unreadable lines (the first is line {lost[0]})",
                    expected="one JSON object a line",
                    fix="library.verify(mend=True); all other entries serve",
                )
            self._known = stamp, entries
        return self._known[1]

    def add(self, surrogate: Surrogate, name: str | None = None, **facts: Any) -> str:
        """Put a surrogate in, and return its name.

        Args:
            surrogate: what is kept.
            name: letters, digits and `._+-`; left out, made of the property, with a number where that is taken.
            facts: what else can be asked for, such as `property="band gap", licence="CC-BY-4.0"`.

        Raises:
            SchemaError: a name that is taken or has other characters; a fact that the card tells itself, or that is no
                text, number, truth value or None.
            SavedFileError: a library that can only be read.
        """
        known = gather_facts(surrogate, facts)
        content = pack(surrogate, {FACTS: json.dumps(known, allow_nan=False).encode()})
        with self.shelf.turn():
            taken = self.entries
            name = _free(known["property"], taken) if name is None else _checked(name, taken)
            self._put([(Entry(name, _digest(content), len(content), known), content)])
        return name

    def train(
        self,
        tasks: Tasks,
        recipes: int | Sequence[Learner] = 32,
        *,
        seed: int = 0,
        executor: Executor | None = None,
        on_error: OnError = "raise",
        **facts: Any,
    ) -> pd.DataFrame:
        """Train many models of many tables, add them, and return what is known of all entries of these tasks.

        Each table is encoded once. A fifth of the target's compounds is kept from all its models, and what each says of
        them are the metrics of its entry. Networks of one shape are trained side by side (`fit_together`), and added
        16 at a time. An entry's name is that of the task and a digest of recipe, table and seed: the same call, after a
        kill at any moment or with more tasks, trains only what is missing.

        Args:
            tasks: a table with its schema by the task's name; or names that `mfmat.datasets.load` takes.
            recipes: how many random networks for each task (`draw_recipes`); or learners, the same for all tasks.
            seed: of the compounds that are kept, and of the random networks.
            executor: where the models are trained, each process on one core; here, one chunk after the other, unless
                given. The results are the same.
            on_error: `"raise"`; or `"skip"` to leave out rows that cannot be read and tasks that fail, with a warning.
            facts: of every entry, such as `licence="CC-BY-4.0"`; `property` is the task's name unless told.

        Raises:
            SchemaError: a fact that every entry has anyway.
            SavedFileError: a library that can only be read.

        Warns:
            TrainWarning: tasks that failed, with `on_error="skip"`.

        Yamada et al. 2019 (XenonPy.MDL), doi:10.1021/acscentsci.9b00804.

        >>> import tempfile
        >>> import mfmat as mf
        >>> table, schema = mf.datasets.load("semiconductor-gaps")
        >>> recipes = [mf.BNN(hidden=(16, 8), steps=30, epochs=1, seed=seed) for seed in range(2)]
        >>> Library(tempfile.mkdtemp()).train({"gap": (table, schema)}, recipes)[["property", "hidden"]].values.tolist()
        [['gap', '16, 8'], ['gap', '16, 8']]
        """
        self.shelf.check_writable()
        tasks = (tasks,) if isinstance(tasks, str) else tasks
        order = Order(seed, on_error, facts)
        for made in produce(tasks, recipes, self.entries, order, executor):
            with self.shelf.turn():
                new = [each for each in made if each.name not in self.entries]
                LOGGER.info("library: %s trained", ", ".join(each.name for each in new) or "nothing new")
                self._put([(Entry(m.name, _digest(m.content), len(m.content), m.facts), m.content) for m in new])
        return _frame({name: entry for name, entry in self.entries.items() if entry.facts.get("task") in tasks})

    def get(self, name: str) -> Surrogate:
        """The surrogate of that name, with predictions equal to those saved with it.

        Raises:
            UnknownNameError: there is none.
            SavedFileError: its file is missing, cut short or altered, or from a newer version.
        """
        return unpack(self.content(name))

    def entry(self, name: str) -> Entry:
        """One line of the index.

        Raises:
            UnknownNameError: there is none.
        """
        if name not in self.entries:
            raise UnknownNameError(
                f"entry {name!r}",
                expected=f"one of the {len(self)} entries of {self.shelf.root}",
                fix=nearest(name, self.entries) + "library.query() lists them",
            )
        return self.entries[name]

    def address(self, name: str) -> str:
        """An entry as text that `Encoder` and `Pretrained` take: the folder or URL, `#`, and its name.

        Raises:
            UnknownNameError: there is none.
        """
        return f"{self.shelf.root}#{self.entry(name).name}"

    def query(self, condition: str = "") -> pd.DataFrame:
        """What is known of the entries that meet a condition, one a row; of all without one.

        Args:
            condition: in the language of `pandas.DataFrame.query`, over the facts:
                `"property == 'refractive index' and mae < 0.3"`. A fact that an entry lacks is NaN and meets nothing.

        Raises:
            SchemaError: a condition that cannot be read, or asks for a fact that no entry has.
        """
        entries = self.entries
        if not condition.strip():
            return _frame(entries)
        # Of many entries with many facts, only those that are asked for become columns.
        columns = {word: [entry.facts.get(word, math.nan) for entry in entries.values()] for word in _words(condition)}
        known = {word: facts for word, facts in columns.items() if any(word in e.facts for e in entries.values())}
        try:
            frame = pd.DataFrame(known, index=pd.Index(list(entries), name="name"))
            met = frame.query(condition, engine="python", local_dict={}, global_dict={})
        except Exception as error:
            # Whatever the parser, the names or the comparison stumbled over.
            raise SchemaError(
                f"the condition {condition!r} ({error})",
                expected=f"one over the facts {', '.join(map(str, _frame(entries).columns))}"
                if entries
                else f"entries to ask about: {self.shelf.root} holds none",
                fix="\"property == 'band gap' and mae < 0.5\"" if entries else "check the path, or add(surrogate)",
            ) from error
        return _frame({name: entries[name] for name in met.index})

    def verify(self, *, mend: bool = False) -> pd.DataFrame:
        """Read every file and compare it with the index; one row an entry, `ok` and `why` not.

        Files that no line names, and lines that cannot be read, are rows of their own.

        Args:
            mend: write a line for each whole file that has none, as a killed process or an altered index leaves them,
                and leave out lines that cannot be read.
        """
        entries, lost = self._parse()
        rows = [(entry.name, self._judge(entry)) for entry in track(entries.values(), "verifying", len(entries))]
        rows += [(f"{INDEX} line {number}", "cannot be read") for number in lost]
        files = {entry.file for entry in entries.values()}
        for file in self.shelf.names(ENTRIES):
            if file.endswith(ENDING) and file not in files:
                rows.append((file, self._mend(file) if mend else "in no line of the index: verify(mend=True)"))
        if mend and lost:
            self._rewrite()
        found = pd.DataFrame(rows, columns=["name", "why"]).set_index("name")
        return found.assign(ok=found["why"] == "")[["ok", "why"]]

    def pull(self, condition: str = "", *, into: str | Path | Library) -> Library:
        """Copy the entries that meet a condition into another library, and return it; those that it has are left.

        Raises:
            SchemaError: an entry of the same name and another content is there.
            SavedFileError: a file that is cut short or altered; what came before it is there.
        """
        other = into if isinstance(into, Library) else Library(into)
        names = self.query(condition).index
        for name in track(names, f"copying {len(names)} entries"):
            other._take(self.entries[name], self.content(name))
        return other

    def publish(self, url: str | Path, condition: str = "", **options: Any) -> Library:
        """Copy the entries that meet a condition to a folder or store, from where others pull; see `pull`."""
        return self.pull(condition, into=Library(url, **options))

    def content(self, name: str) -> bytes:
        """The file of an entry, checked.

        Raises:
            UnknownNameError: there is none.
            SavedFileError: it is missing, cut short or altered.
        """
        entry = self.entry(name)
        kept = cache() / "libraries" / entry.sha256
        if self.shelf.folder is None and kept.is_file() and _digest(content := kept.read_bytes()) == entry.sha256:
            return content
        content = self.shelf.read(entry.file)
        if _digest(content) != entry.sha256:
            raise SavedFileError(
                f"{entry.file} of {self.shelf.root} ({len(content)} of {entry.size} bytes), whose SHA-256 is another",
                expected="the file as it was added",
                fix="copy it again: it was cut short or altered; the other entries serve",
            )
        if self.shelf.folder is None:
            Shelf(str(kept.parent)).write(kept.name, content)
        return content

    def _take(self, entry: Entry, content: bytes) -> None:
        with self.shelf.turn():
            there = self.entries.get(entry.name)
            if there is None:
                self._put([(entry, content)])
            elif there.sha256 != entry.sha256:
                raise SchemaError(
                    f"the entry {entry.name!r}, of which {self.shelf.root} has another",
                    expected="one content a name",
                    fix="pull into an empty folder, or add it under another name",
                )

    def _put(self, new: Sequence[tuple[Entry, bytes]]) -> None:
        known = self.entries
        # The files first: a process killed between the two leaves files that `verify` finds.
        for entry, content in new:
            self.shelf.write(entry.file, content)
        if new:
            self.shelf.append(INDEX, b"\n".join(entry.line() for entry, _ in new))
            # Nobody else writes now, so that the thousandth entry need not read the thousand lines before it.
            self._known = self.shelf.stamp(INDEX), known | {entry.name: entry for entry, _ in new}

    def _rewrite(self) -> None:
        with self.shelf.turn():
            self.shelf.write(INDEX, b"".join(entry.line() + b"\n" for entry in self._parse()[0].values()))

    def _judge(self, entry: Entry) -> str:
        try:
            packed = read_packed(self.content(entry.name), FACTS)
        except MfmatError as error:
            return str(error)
        return "" if json.loads(packed) == entry.facts else "its line in the index was altered"

    def _mend(self, file: str) -> str:
        name = file.removeprefix(f"{ENTRIES}/").removesuffix(ENDING)
        content = self.shelf.read(file)
        try:
            facts = json.loads(read_packed(content, FACTS))
            unpack(content)
        except MfmatError as error:
            return str(error)
        with self.shelf.turn():
            self._put([(Entry(name, _digest(content), len(content), facts), content)])
        return ""

    def _parse(self) -> tuple[dict[str, Entry], list[int]]:
        """The entries of the index by name, the latest line of each; and the numbers of lines that cannot be read."""
        return parse(self.shelf.read(INDEX)) if self.shelf.has(INDEX) else ({}, [])


def _frame(entries: Mapping[str, Entry]) -> pd.DataFrame:
    return pd.DataFrame([entry.facts for entry in entries.values()], index=pd.Index(list(entries), name="name"))


def _words(condition: str) -> list[str]:
    """What could be the name of a fact: words, and whatever stands between backticks."""
    return list(dict.fromkeys(quoted or word for quoted, word in re.findall(r"`([^`]+)`|([^\W\d]\w*)", condition)))


def _free(wanted: str, taken: dict[str, Entry]) -> str:
    """A name of allowed characters that nothing has."""
    base = re.sub(r"[^\w.+]+", "-", wanted).strip("-.") or "entry"
    name, number = base, 2
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    return name


def _checked(name: str, taken: dict[str, Entry]) -> str:
    if not re.fullmatch(r"[\w+][\w.+-]*", name):
        raise SchemaError(
            f"the name {name!r}", expected="letters, digits and ._+-, beginning with none of .-", fix="leave it out"
        )
    if name in taken:
        raise SchemaError(f"the name {name!r}, which is taken", expected="a free name", fix="leave it out, or another")
    return name


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

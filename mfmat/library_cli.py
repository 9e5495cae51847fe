"""One verb per call of a library: add, train, query, get, verify, pull."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mfmat.shell import Json, OnError, Out, Saved, Skip, read_json, read_table, say, write_table

app = typer.Typer(
    help="Fitted models in a folder or behind a URL, with what is known of each.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

Root = Annotated[str, typer.Argument(help="A folder, or a URL such as https://host/models.")]
Condition = Annotated[str, typer.Argument(help="Over the facts; all entries unless given.")]


@app.command(rich_help_panel="Fill")
def add(
    library: Root,
    surrogate: Saved,
    name: Annotated[str | None, typer.Option(help="Name of the entry; made of the property unless given.")] = None,
    fact: Annotated[list[str] | None, typer.Option(help="NAME=VALUE to ask for later (repeat).")] = None,
    as_json: Json = False,
) -> None:
    """Put a saved surrogate in.

    Example: `mfmat library add models gap.mfmat --fact "property=band gap" --fact licence=CC-BY-4.0`
    """
    from mfmat.library import Library
    from mfmat.surrogate import load

    added = Library(library).add(load(surrogate), name, **_read_facts(fact or []))
    say({"added": added}, as_json, f"added {added}")


@app.command(rich_help_panel="Fill")
def train(
    library: Root,
    task: Annotated[list[str] | None, typer.Option(help="A table by its name in mfmat.datasets (repeat).")] = None,
    table: Annotated[list[Path] | None, typer.Option(help="A table, one value a row, with --schema (repeat).")] = None,
    schema: Annotated[Path | None, typer.Option(help="JSON of their schema (`schema.config()`).")] = None,
    networks: Annotated[int, typer.Option(help="Random networks for each table.")] = 32,
    seed: Annotated[int, typer.Option(help="Of the compounds kept to judge by, and of the networks.")] = 0,
    fact: Annotated[list[str] | None, typer.Option(help="NAME=VALUE to ask for later (repeat).")] = None,
    on_error: Skip = OnError.RAISE,
    as_json: Json = False,
) -> None:
    """Train many networks for each table and put them in; run again, it trains only what is missing.

    Example: `mfmat library train models --task jarvis/n_seebeck --task dft/mp_mu_b --networks 32`
    """
    from mfmat.datasets import load
    from mfmat.library import Library
    from mfmat.schema import Schema

    if not (task or table) or (schema is None) != (not table):
        raise typer.BadParameter("expected --task NAME, or --table FILE with --schema FILE")
    tasks = {name: load(name) for name in task or []}
    if schema is not None:
        meaning = Schema.of(read_json(schema, "a schema"))
        tasks |= {path.stem: (read_table(path, meaning), meaning) for path in table or []}
    facts = _read_facts(fact or [])
    found = Library(library).train(tasks, networks, seed=seed, on_error=on_error.value, **facts)
    said = f"{library} has {len(found)} entries of {len(tasks)} task{'s' * (len(tasks) != 1)}"
    say({"library": library, "entries": len(found), "tasks": list(tasks)}, as_json, said)


@app.command(rich_help_panel="Look")
def query(library: Root, condition: Condition = "", out: Out = None, as_json: Json = False) -> None:
    """What is known of the entries that meet a condition.

    Example: `mfmat library query models "property == 'band gap' and mae < 0.5"`
    """
    from mfmat.library import Library

    write_table(Library(library).query(condition).reset_index(), out, as_json)


@app.command(rich_help_panel="Take")
def get(
    library: Root,
    name: Annotated[str, typer.Argument(help="Name of the entry.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the surrogate is saved.")],
    as_json: Json = False,
) -> None:
    """Save one entry as a surrogate that `mfmat predict` takes.

    Example: `mfmat library get models band-gap -o gap.mfmat`
    """
    from mfmat.library import Library

    Library(library).get(name).save(out)
    say({"saved": str(out)}, as_json, f"saved {out}")


@app.command(rich_help_panel="Look")
def verify(
    library: Root,
    mend: Annotated[bool, typer.Option(help="Write the index anew where files and lines differ.")] = False,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Read every file and compare it with the index; exit code 1 where something is wrong.

    Example: `mfmat library verify models`
    """
    from mfmat.library import Library

    found = Library(library).verify(mend=mend)
    write_table(found.reset_index(), out, as_json)
    if not found["ok"].all():
        raise typer.Exit(1)


@app.command(rich_help_panel="Take")
def pull(
    library: Root,
    into: Annotated[str, typer.Argument(help="A folder, or a store that can be written to.")],
    condition: Condition = "",
    as_json: Json = False,
) -> None:
    """Copy the entries that meet a condition into another library.

    Example: `mfmat library pull https://host/models models "property == 'band gap'"`
    """
    from mfmat.library import Library

    other = Library(library).pull(condition, into=into)
    say({"library": into, "entries": len(other)}, as_json, f"{into} has {len(other)} entries")


def _read_facts(texts: list[str]) -> dict[str, Any]:
    """Facts of NAME=VALUE: numbers and truth values as JSON has them, all else as text."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"--fact {text}: expected NAME=VALUE, as in --fact licence=CC-BY-4.0")
        try:
            plain = json.loads(value)
        except json.JSONDecodeError:
            plain = value
        found[name] = value if isinstance(plain, dict | list) else plain
    return found

"""A campaign as plain files: JSON and models to restore it from, CSV tables to read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from mfmat.errors import SavedFileError
from mfmat.frames import text_digest
from mfmat.journal import CampaignError, Event, Head, Journal, Log, Round
from mfmat.packing import unzip, zip_folder

FILE, MODELS, SUMS = "campaign.json", "models", "SHA256SUMS"


def write(journal: Journal, folder: str | Path, tables: Mapping[str, pd.DataFrame]) -> Path:
    """Write a journal into a new folder: `campaign.json`, the models by round, and tables as CSV.

    Raises:
        CampaignError: the folder is there already.
    """
    folder = Path(folder)
    if folder.exists():
        raise CampaignError(f"{folder}, which exists", expected="a folder that is not there yet", fix="another name")
    with journal.reading() as log:
        head, events, rounds = log.head(), log.everything(), log.rounds()
        models = log.models()
    content = {
        "head": asdict(head),
        "events": [asdict(event) for event in events],
        "rounds": [asdict(each) for each in rounds],
    }
    text = json.dumps(content, indent=1, allow_nan=False)
    folder.mkdir(parents=True)
    for number, model in models.items():
        unzip(model, folder / MODELS / str(number))
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv")
    (folder / FILE).write_text(text, encoding="utf-8")
    # Last, so that a folder with this file is a whole one.
    (folder / SUMS).write_text(f"{text_digest(text)}  {FILE}\n", encoding="utf-8")
    return folder


def read(folder: str | Path, address: str | Path) -> Journal:
    """A new journal with everything that `write` wrote: the same numbers, times and models.

    Raises:
        SavedFileError: a folder without a campaign, or one that was altered.
        CampaignError: the database holds a campaign already, or cannot be reached.
    """
    folder = Path(folder)
    try:
        text, kept = ((folder / name).read_text(encoding="utf-8") for name in (FILE, SUMS))
    except (OSError, ValueError) as error:
        raise SavedFileError(
            f"{folder} without a readable {FILE} and {SUMS}", expected="a folder that export wrote", fix="export again"
        ) from error
    if text_digest(text) != kept.split(maxsplit=1)[0]:
        raise SavedFileError(f"{folder / FILE}, which was altered", expected="the file as written", fix="export again")
    content = json.loads(text)

    def fill(log: Log) -> None:
        log.copy([Event(**event) for event in content["events"]])
        for each in content["rounds"]:
            model = folder / MODELS / str(each["id"])
            log.add(Round(**each), zip_folder(model) if model.is_dir() else None)

    return Journal.create(address, Head(**content["head"]), fill)

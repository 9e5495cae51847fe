"""The one way to save: a folder of JSON and safetensors, checked by SHA-256 before anything is read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from mfmat.errors import SavedFileError

FORMAT = 1
CARD, TENSORS, SUMS = "card.json", "model.safetensors", "SHA256SUMS"


def write(path: str | Path, card: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Write a card and a state as a folder; another save there is replaced, whole or not at all.

    Equal tensors (the levels that several models of a stack have in common) are written once.

    Raises:
        SavedFileError: the path holds something else.
    """
    path = Path(path)
    if path.exists() and not all((path / name).is_file() for name in (CARD, SUMS)):
        raise SavedFileError(
            f"{path}, which exists and is no saved surrogate", expected="a free path", fix="another name"
        )
    tensors, aliases = _unique(state)
    files = {
        CARD: json.dumps({"format": FORMAT, **card, "aliases": aliases}, indent=1, allow_nan=False).encode(),
        TENSORS: save(tensors),
    }
    files[SUMS] = "".join(f"{_digest(content)}  {name}\n" for name, content in files.items()).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    for name, content in files.items():
        (fresh / name).write_bytes(content)
    fresh.chmod(0o755)
    if path.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        os.replace(path, old)
        os.replace(fresh, path)
        shutil.rmtree(old)
    else:
        os.replace(fresh, path)


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The card and the state of a saved folder.

    Raises:
        SavedFileError: a file that is missing, cut short or altered, or a newer format; nothing of it is used.
    """
    path = Path(path)
    contents = {name: _content(path, name) for name in (SUMS, CARD, TENSORS)}
    lines = [line.split("  ", 1) for line in contents[SUMS].decode(errors="replace").splitlines()]
    sums = {line[-1]: line[0] for line in lines}
    for name in (CARD, TENSORS):
        if _digest(contents[name]) != sums.get(name):
            raise SavedFileError(
                f"{path / name} ({len(contents[name])} bytes), whose SHA-256 is not the one in {SUMS}",
                expected="the file as it was saved",
                fix="copy the whole folder again: it was cut short or altered",
            )
    card: dict[str, Any] = json.loads(contents[CARD])
    if card.get("format") != FORMAT:
        raise SavedFileError(
            f"{path} in format {card.get('format')} (written by mfmat {card.get('versions', {}).get('mfmat')})",
            expected=f"format {FORMAT}",
            fix="upgrade mfmat: the file is from a newer version",
        )
    state = load(contents[TENSORS])
    return card, {**state, **{name: state[kept] for name, kept in card["aliases"].items()}}


def _content(path: Path, name: str) -> bytes:
    try:
        return (path / name).read_bytes()
    except OSError as error:
        came, fix = f"{path} without a readable {name}", "copy the whole folder again"
        if not path.exists():
            came, fix = f"{path}, which is not there", "check the path; Surrogate.save and mfmat fit write one"
        elif not path.is_dir():
            came, fix = f"{path}, which is a file", "check the path; a campaign's database is for mfmat campaign"
        raise SavedFileError(came, expected=f"a folder with {CARD}, {TENSORS} and {SUMS}", fix=fix) from error


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _unique(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    kept: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    seen: dict[tuple[Any, ...], str] = {}
    for name, tensor in state.items():
        own = tensor.detach().cpu().contiguous().clone()
        content = (own.shape, own.dtype, _digest(own.numpy().tobytes()))
        if content in seen:
            aliases[name] = seen[content]
        else:
            seen[content] = name
            kept[name] = own
    return kept, aliases

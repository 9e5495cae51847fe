"""Frozen values that write themselves as JSON and come back by the name of their kind."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, Self

from mfmat.errors import SchemaError, UnknownNameError, nearest

MAPPING = "mapping"
"""The kind of a plain mapping with an entry that would be taken for a kind."""
HOMES = {"encoder": "encoder", "pretrained": "pretrained", "screened": "shotgun", "shotgun": "shotgun"}
"""Modules of kinds that stand above those who restore them, imported once such a kind is asked for."""
_kinds: dict[str, type[Value]] = {}


class Value:
    """A frozen dataclass of plain fields and other values, known by its `kind`.

    A concrete class names its kind when it is defined: `class GP(Expert, kind="gp")`. Equal fields
    make equal values, and `Value.of(value.config()) == value`.
    """

    kind: ClassVar[str] = ""

    def __init_subclass__(cls, *, kind: str = "", **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if not kind:
            return
        known = _kinds.get(kind)
        if known is not None and known.__qualname__ != cls.__qualname__:
            raise SchemaError(
                f"two classes of kind {kind!r}: {known.__qualname__} and {cls.__qualname__}",
                expected="one class a kind",
                fix="choose another kind for the new class",
            )
        cls.kind = kind
        _kinds[kind] = cls

    def config(self) -> dict[str, Any]:
        """This value as JSON: its kind and its fields, nested values included."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return {"kind": self.kind} | {field.name: _encode(getattr(self, field.name)) for field in fields}

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """The value that wrote `config`; of others' classes only those that are already imported are looked at."""
        if "kind" in config:
            _find(config["kind"], cls)
        value = _decode(dict(config))
        if not isinstance(value, cls):
            raise SchemaError(
                f"a {type(value).__name__}",
                expected=f"a {cls.__name__}",
                fix="check which file or field this configuration belongs to",
            )
        return value


def _find(kind: str, family: type = object) -> type:
    """The class of a kind."""
    if kind not in _kinds and kind in HOMES:
        import_module(f"mfmat.{HOMES[kind]}")
    if kind not in _kinds:
        known = sorted(name for name, each in _kinds.items() if issubclass(each, family))
        raise UnknownNameError(
            f"kind {kind!r}",
            expected=f"one of {', '.join(known)}",
            fix=nearest(kind, known) + "import the module that defines it, then load again",
        )
    return _kinds[kind]


def _encode(item: Any) -> Any:
    if isinstance(item, Value):
        return item.config()
    if isinstance(item, Mapping):
        plain = {str(key): _encode(value) for key, value in item.items()}
        # A source or a column may be called "kind".
        return {"kind": MAPPING, "items": [list(entry) for entry in plain.items()]} if "kind" in plain else plain
    if isinstance(item, list | tuple):
        return [_encode(value) for value in item]
    if item is None or isinstance(item, bool | int | float | str):
        return item
    raise SchemaError(
        f"a field of type {type(item).__name__}",
        expected="numbers, text, sequences, mappings and other values",
        fix="keep tensors and functions out of recipes",
    )


def _decode(item: Any) -> Any:
    if isinstance(item, list):
        return tuple(_decode(value) for value in item)
    if not isinstance(item, dict):
        return item
    if item.get("kind") == MAPPING:
        return {key: _decode(value) for key, value in item["items"]}
    fields = {key: _decode(value) for key, value in item.items() if key != "kind"}
    if "kind" not in item:
        return fields
    kind = item["kind"]
    names = {field.name for field in dataclasses.fields(_find(kind))}
    if unknown := set(fields) - names:
        raise UnknownNameError(
            f"field {min(unknown)!r} of {kind!r}",
            expected=f"fields {', '.join(sorted(names))}",
            fix="upgrade mfmat: this was written by a newer version",
        )
    return _kinds[kind](**fields)

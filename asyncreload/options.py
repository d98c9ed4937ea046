"""The fields of `Settings`, and of what else the command knows, as options for people."""

from __future__ import annotations

import ast
import inspect
import os
from collections.abc import Iterable
from dataclasses import MISSING, Field, fields
from functools import cache
from glob import escape, has_magic
from itertools import pairwise
from typing import Any, get_type_hints

from asyncreload.errors import SettingsError
from asyncreload.frozen_data import FrozenData
from asyncreload.style import shown

_WORDS = {int: "NUMBER", float: "SECONDS"}
_KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple[str, ...]: "a list of texts",
}


class Option(FrozenData):
    """A field, as an option of the command and as a key in pyproject.toml."""

    owner: type
    """The dataclass whose field it is; judges its values."""
    field: Field[Any]
    kind: Any
    """Its type: bool, int, float, str, or tuple[str, ...] for what may be repeated."""

    @property
    def name(self) -> str:
        """The field's name."""
        return self.field.name

    @property
    def meaning(self) -> str:
        """What stands below the field. To be read in the source, which takes its time."""
        return _meanings(self.owner).get(self.name, "")

    @property
    def flag(self) -> str:
        """The option, as it is typed to turn it on."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def is_required(self) -> bool:
        """Whether it is no option, in truth: it stands without a flag."""
        return self.field.default is MISSING

    @property
    def is_switch(self) -> bool:
        """Whether it takes no value."""
        return self.kind is bool

    @property
    def repeats(self) -> bool:
        """Whether it may be given several times."""
        return bool(self.kind == tuple[str, ...])

    @property
    def off(self) -> Any:
        """The value that `--no-NAME` stands for, if it is no switch and may be turned off."""
        return self.field.metadata.get("off")

    @property
    def is_rare(self) -> bool:
        """Whether `--help` leaves it out."""
        return "rare" in self.field.metadata

    @property
    def default(self) -> Any:
        """What the command takes when it is not given."""
        return self.field.metadata.get("command", self.field.default)

    @property
    def is_commands_own(self) -> bool:
        """Whether the command's default is another than the field's."""
        return "command" in self.field.metadata

    @property
    def metavar(self) -> str:
        """What stands for its value."""
        word = _WORDS.get(self.kind, self.name.upper())
        return str(self.field.metadata.get("metavar", word))

    @property
    def spelled(self) -> str:
        """How it is typed to get what is not the default."""
        if self.is_required:
            return self.metavar
        if self.is_switch:
            return f"--no-{self.flag[2:]}" if self.default else self.flag
        return f"{self.flag} {self.metavar}"

    @property
    def effect(self) -> str:
        """What typing it does: `meaning`, turned round for a switch that is on by itself."""
        if not (self.is_switch and self.default):
            return self.meaning
        return f"Do not {self.meaning[:1].lower()}{self.meaning[1:]}"

    def checked(self, value: Any) -> Any:
        """Return a value from pyproject.toml. Raises `SettingsError` if it cannot work."""
        if self.repeats and isinstance(value, str):
            value = [value]
        if not self._fits(value):
            told = str(value).lower() if isinstance(value, bool) else shown(value)  # as TOML has it
            remedy = ": write 0 for none" if value is False and self.kind is int else ""
            raise SettingsError(f"{self.name} must be {_KINDS[self.kind]}, not {told}{remedy}")
        value = tuple(value) if self.repeats else value
        required = {each.name: "" for each in fields(self.owner) if each.default is MISSING}
        self.owner(**required | {self.name: value})
        return value

    def typed(self, text: str) -> Any:
        """Return the value that was typed. Raises `SettingsError` if it is of another type."""
        try:
            return text if self.repeats else self.kind(text)
        except ValueError:
            kind = _KINDS[self.kind]
            raise SettingsError(f"{self.name} must be {kind}, not {text!r}") from None

    def _fits(self, value: Any) -> bool:
        if self.repeats:
            return isinstance(value, list) and all(isinstance(each, str) for each in value)
        return type(value) is self.kind or (self.kind is float and type(value) is int)

    @property
    def names_files(self) -> bool:
        """Whether a value means other files in another directory."""
        return "path" in self.field.metadata

    def placed(self, value: Any, base: str) -> Any:
        """Return a value that was given in a directory; where it names files, these are there."""
        named = self.field.metadata.get("path")
        if self.repeats and isinstance(value, str | os.PathLike):
            value = (os.fspath(value),)
        if named is None or not isinstance(value, Iterable):
            return value  # which is refused, or as it is
        return tuple(_placed(each, named, base) for each in value)


def _placed(text: str, named: str, base: str) -> str:
    """Return what means the same from anywhere as a path or a pattern does from a directory."""
    text = os.path.expanduser(text)
    if named == "file" or base == os.getcwd():
        return os.path.join(base, text) if named == "file" else text
    anywhere = "/" not in text.rstrip("/") and (named == "name" or has_magic(text))
    return os.path.join(escape(base), "**" if anywhere else "", text)


def options_of(*owners: type) -> dict[str, Option]:
    """Return the options that people may give, by name, in the order of the fields."""
    return {
        field.name: Option(owner, field, kinds[field.name])
        for owner in owners
        for kinds in [get_type_hints(owner)]
        for field in fields(owner)
        if not field.metadata.get("internal")
    }


@cache
def _meanings(owner: type) -> dict[str, str]:
    """Return what stands below each field."""
    try:
        (tree,) = ast.parse(inspect.getsource(owner)).body
    except OSError:  # installed without sources
        return {}
    assert isinstance(tree, ast.ClassDef)  # noqa: S101  for the type checker
    return {
        above.target.id: " ".join(text.value.value.split())
        for above, text in pairwise(tree.body)
        if isinstance(above, ast.AnnAssign) and isinstance(above.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if isinstance(text.value.value, str)
    }

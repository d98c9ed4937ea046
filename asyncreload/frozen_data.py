"""Plain data: what a dataclass is, at a fraction of the time that it takes to make one.

For each dataclass, methods are written and compiled whenever its module is imported. There are
some thirty such classes, and somebody waits for the boot of each child.
"""

from __future__ import annotations

from typing import Any, NoReturn, Self, dataclass_transform


@dataclass_transform(frozen_default=True)
class FrozenData:
    """The base of such a class: its annotations are its fields, in their order.

    A field that is not given is what stands in the class. Nothing is changed after it was made.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        type.__setattr__(cls, "__match_args__", cls.names())  # which type checkers make up, too

    def __init__(self, *values: Any, **named: Any) -> None:
        names = self.names()
        given = dict(zip(names, values, strict=False)) | named
        absent = [name for name in names if name not in given and not hasattr(type(self), name)]
        if absent or len(given) < len(values) + len(named) or not given.keys() <= {*names}:
            raise TypeError(f"{type(self).__name__} is made of {', '.join(names) or 'nothing'}")
        vars(self).update(given)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the fields."""
        return tuple(cls.__annotations__)

    def fields(self) -> dict[str, Any]:
        """Return the fields by their names."""
        return {name: getattr(self, name) for name in self.names()}

    def replaced(self, **changes: Any) -> Self:
        """Return the same with other values in some fields."""
        return type(self)(**self.fields() | changes)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{name} cannot be changed: see {type(self).__name__}.replaced")

    def __delattr__(self, name: str) -> NoReturn:
        self.__setattr__(name, None)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.fields() == other.fields()

    def __hash__(self) -> int:
        return hash(tuple(self.fields().values()))

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={value!r}" for name, value in self.fields().items())
        return f"{type(self).__name__}({told})"

"""Which apps stand behind the one that is served: middleware wraps one, or several.

Whatever wraps an app holds it: in an attribute, in the closure of a function, in a `partial`, or in
a table of mounted apps. Nothing of the app's own code is run to find it.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Iterator, Sized
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import cast

MOST_IN_ONE = 100
"""How many objects a container may have that is gone through."""
MOST = 500
"""How many objects are looked at: an app that is no framework's may hold anything."""
_CONTAINERS = (dict, list, tuple, partial, MethodType)
_PLAIN = (str, bytes, int, float, type, ModuleType, type(None))


def apps_behind(served: object, kinds: tuple[type, ...]) -> Iterator[object]:
    """Iterate over the apps of these kinds that are the served one, or wrapped by it.

    What is inside such an app is not looked at.
    """
    waiting, seen, left = deque([served]), {id(served)}, MOST
    while waiting and left:
        one = waiting.popleft()
        left -= 1
        if issubclass(type(one), kinds):
            yield one
            continue
        for held in _held_by(one):
            if not issubclass(type(held), _PLAIN) and id(held) not in seen:
                seen.add(id(held))
                waiting.append(held)


def _held_by(one: object) -> list[object]:
    # By its type: a proxy, such as `flask.request`, would ask the object that it stands for.
    if issubclass(type(one), dict | list | tuple) and len(cast("Sized", one)) > MOST_IN_ONE:
        return []  # of files, say
    if issubclass(type(one), _CONTAINERS):
        return gc.get_referents(one)
    if type(one) is FunctionType:
        return gc.get_referents(*(one.__closure__ or ()))
    try:
        attributes = object.__getattribute__(one, "__dict__")
    except AttributeError:
        return []
    return [*attributes.values()] if type(attributes) is dict else []

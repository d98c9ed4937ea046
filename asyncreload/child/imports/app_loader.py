"""From a target to the WSGI application: import the module, find the callable in it.

What is wrong with the target is a `TargetError`. What is wrong with the user's code stays the
exception that the code raised.
"""

from __future__ import annotations

import importlib
import inspect
import os
import reprlib
import sys
from contextlib import contextmanager
from importlib.machinery import BuiltinImporter, ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, cast

from asyncreload.child.imports.search_path import put_first
from asyncreload.errors import TargetError
from asyncreload.target import USUAL_FACTORIES, USUAL_NAMES, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from wsgiref.types import WSGIApplication

    from asyncreload.target import Target

USUAL_FUNCTIONS = ("wsgi", "wsgi_app", "wsgi_application")
"""A function of such a name is an application whatever it calls its two parameters."""

_short = reprlib.Repr()
_short.maxother = 60


def prepare(target: Target) -> None:
    """Make `sys.path` and `sys.argv` what they are when Python runs the target itself."""
    sys.argv = [target.file or target.name]
    put_first(target.root)


def load(target: Target) -> WSGIApplication:
    """Import the target's module and return the application in it; `prepare` goes before.

    Raises `TargetError` when there is no such file, module, attribute or WSGI callable. An
    exception out of the module or the factory is passed on as it is.
    """
    module = _import_file(target) if target.file else _import_module(target)
    if target.call:
        found = _made(_named(module, target), target)
    elif target.attribute:
        found = _named(module, target)
    else:
        return cast("WSGIApplication", _only(module, target))
    _check(found, target.text)
    return cast("WSGIApplication", found)


# Importing


def _import_module(target: Target) -> ModuleType:
    try:
        module = importlib.import_module(target.name)
    except ModuleNotFoundError as exc:
        # One that the target's module fails to import is the user's to see.
        if not exc.name or not f"{target.name}.".startswith(f"{exc.name}."):
            raise
        raise TargetError(_no_module(exc.name, target)) from None
    if hasattr(module, "__path__") and getattr(module, "__file__", None) is None:
        raise TargetError(
            f'"{target.location}" is a directory without __init__.py: '
            f'name a module in it, as in "{target.location}.app".'
        )
    return module


def _no_module(missing: str, target: Target) -> str:
    parent, _, leaf = missing.rpartition(".")
    if parent in sys.modules and hasattr(sys.modules[parent], leaf):
        return f'There is no module "{missing}": did you mean "{parent}:{leaf}"?'
    siblings = [file.stem for file in Path(target.root, *parent.split(".")).glob("*.py")]
    otherwise = f", neither in {target.root} nor installed: check the name and where you are."
    prefix = f"{parent}." if parent else ""
    return f'There is no module "{missing}"{did_you_mean(leaf, siblings, otherwise, prefix)}'


def _import_file(target: Target) -> ModuleType:
    """Import a file from where it is, whatever else goes by its name."""
    file = cast("str", target.file)
    if not Path(file).is_file():
        raise TargetError(f'There is no file "{target.location}" any more ({file}): restore it.')
    top, dot, below = target.name.partition(".")
    start = str(Path(target.root, top, "__init__.py")) if dot else file
    top = _free_name(top, start)
    name = f"{top}{dot}{below}"
    with _pinned({top: start, name: file}):
        return importlib.import_module(name)


def _free_name(name: str, file: str) -> str:
    """The name, changed if another module has it.

    A user's `queue.py` must not take the place of the standard library's, which threads of ours
    and later imports of anybody's rely on.
    """
    while name in sys.modules and getattr(sys.modules[name], "__file__", None) != file:
        name += "_"
    return name


class _Pins:
    """Finds the given modules in the given files, also those without a suffix of Python's."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        file = self.files.get(fullname)
        if file is None:
            return None
        return spec_from_file_location(fullname, file, loader=SourceFileLoader(fullname, file))


@contextmanager
def _pinned(files: Mapping[str, str]) -> Iterator[None]:
    # Through a finder rather than by hand, so that importlib does what it does for each import
    # (locks, sys.modules, the parent's attribute, the removal after a failure) and so that the
    # hooks in front of the built-in finders see these files too.
    pins = _Pins(files)
    at = sys.meta_path.index(BuiltinImporter) if BuiltinImporter in sys.meta_path else 0
    sys.meta_path.insert(at, pins)
    try:
        yield
    finally:
        sys.meta_path.remove(pins)


# Finding


def _named(module: ModuleType, target: Target) -> object:
    found: object = module
    for part in target.attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            owner = f'module "{target.name}"' if found is module else _describe(found)
            public = [name for name in dir(found) if not name.startswith("_")]
            suggestion = did_you_mean(part, public, ": define it there, or name another.")
            raise TargetError(
                f'"{target.text}": {owner} has no attribute "{part}"{suggestion}'
            ) from None
    return found


def _made(factory: object, target: Target) -> object:
    if not callable(factory):
        raise TargetError(
            f'"{target.text}": {_describe(factory)} cannot be called: name a function there.'
        )
    if _takes(_signature(factory), 0) is False:
        served = f"{target.location}:{target.attribute}"
        remedy = f'write "{served}"' if _fault(factory, served) is None else "give them defaults"
        raise TargetError(
            f'"{target.text}": {_describe(factory)} needs arguments, '
            f"and a factory is called without any: {remedy}."
        )
    return factory()


def _only(module: ModuleType, target: Target) -> object:
    """The application of a module when the target does not name one."""
    own = vars(module)
    usual = {name: own[name] for name in USUAL_NAMES if name in own}
    for name, value in usual.items():
        if _fault(value, name) is None:
            return value
    # By identity: one object with two names is one candidate.
    candidates = {id(own[name]): name for name in reversed(own) if _looks_served(name, module)}
    if len(candidates) > 1:
        several = sorted(candidates.values())
        raise TargetError(
            f'"{target.text}" has several WSGI callables ({", ".join(several)}): '
            f'name one, as in "{target.location}:{several[0]}".'
        )
    if candidates:
        return own[candidates.popitem()[1]]
    if (default := _bottle_default()) is not None:
        return default
    # A name that promised one explains best why there is none.
    for name, value in usual.items():
        _check(value, f"{target.location}:{name}")
    for name in USUAL_FACTORIES:
        if isinstance(factory := own.get(name), FunctionType) and _is_factory(_signature(factory)):
            made = factory()
            _check(made, f"{target.location}:{name}()")
            return cast("object", made)
    raise TargetError(_nothing(module, target))


def _nothing(module: ModuleType, target: Target) -> str:
    file = getattr(module, "__file__", None)
    message = f'"{target.text}" has no WSGI callable in {file or "it"}'
    if file and hasattr(module, "__path__"):
        from asyncreload.discovery import module_with_app  # noqa: PLC0415  for a mistake alone

        if name := module_with_app(os.path.dirname(file)):
            location = target.location.removesuffix("/__init__.py").rstrip("/")
            return (
                f'{message}: write "{location}/{name}.py".'
                if target.file
                else (f'{message}: write "{location}.{name}".')
            )
    return f'{message}: call yours "app", or name it, as in "{target.location}:name".'


def _looks_served(name: str, module: ModuleType) -> bool:
    """Whether a value of the module is meant to be an application: rather no than a wrong yes.

    Only types are looked at: to touch a lazy object such as Django's settings sets it up.
    """
    value = vars(module)[name]
    kind = type(value)
    if name.startswith("_") or issubclass(kind, (type, ModuleType, BuiltinFunctionType)):
        return False
    if issubclass(kind, (FunctionType, MethodType)):
        return _is_own_function(name, value, module)
    call = next((vars(base)["__call__"] for base in kind.__mro__ if "__call__" in vars(base)), None)
    return _needs(call, 3)  # self, environ, start_response


def _is_own_function(name: str, function: object, module: ModuleType) -> bool:
    if getattr(function, "__module__", None) != module.__name__ or not _needs(function, 2):
        return False
    signature = _signature(function)
    parameters = list(signature.parameters) if signature else []
    return parameters == ["environ", "start_response"] or name in USUAL_FUNCTIONS


def _bottle_default() -> object | None:
    """Bottle's default application, which a script fills with `@route` and never names."""
    default_app = getattr(sys.modules.get("bottle"), "default_app", None)
    if default_app is None:
        return None
    application: object = default_app()
    return application if getattr(application, "routes", None) else None


# Judging


def _check(found: object, spelled: str) -> None:
    fault = _fault(found, spelled)
    if fault is not None:
        raise TargetError(fault)


def _fault(found: object, spelled: str) -> str | None:
    """Why this cannot be served, and the remedy; None when it can, or when nobody can tell."""
    remedy = _remedy(found, spelled)
    if remedy is None:
        return None
    return f'"{spelled}" is not a WSGI callable but {_describe(found)}: {remedy}.'


def _remedy(found: object, spelled: str) -> str | None:
    if callable(found):
        declared = _signature(found)
        if _is_async(found):
            return "asyncreload serves WSGI, and this is asynchronous (ASGI)"
        if _is_factory(declared):
            made = spelled.endswith(")")
            return "return the application itself" if made else f'write "{spelled}()"'
        # A decorator's wrapper may take what the function that it shows does not.
        actual = _signature(found, follow_wrapped=False)
        if declared is None or _takes(declared, 2) or _takes(actual, 2):
            return None
    return "name a callable that takes (environ, start_response)"


def _describe(value: object) -> str:
    return f"{type(value).__name__} {_short.repr(value)}"


def _is_async(found: Callable[..., object]) -> bool:
    return any(map(inspect.iscoroutinefunction, (found, type(found).__call__)))


def _signature(found: object, *, follow_wrapped: bool = True) -> inspect.Signature | None:
    if not callable(found):
        return None
    try:
        return inspect.signature(found, follow_wrapped=follow_wrapped)
    except (TypeError, ValueError):
        return None  # some compiled callables have none


def _takes(signature: inspect.Signature | None, count: int) -> bool | None:
    """Whether so many positional arguments fit; None where nobody can tell."""
    if signature is None:
        return None
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _is_factory(signature: inspect.Signature | None) -> bool:
    """Whether it can do without arguments, as an application, which needs its environ, cannot.

    So `create(config=None, debug=False)` is one, though two arguments fit; `*args` tells nothing.
    """
    if signature is None or not _takes(signature, 0):
        return False
    return all(p.kind is not p.VAR_POSITIONAL for p in signature.parameters.values())


def _needs(found: object, count: int) -> bool:
    """Whether so many positional arguments fit and fewer do not, which leaves out `*args`."""
    signature = _signature(found)
    fits = _takes(signature, count) and not _takes(signature, count - 1)
    return bool(fits) and not inspect.iscoroutinefunction(found)

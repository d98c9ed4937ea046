"""From a target to the application: import the module, find the callable in it, WSGI or ASGI.

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

from asyncreload.child.imports.asgi_server import is_installed
from asyncreload.child.imports.interface import AsgiApp, is_asgi, is_async, signature, takes
from asyncreload.child.imports.search_path import put_first
from asyncreload.errors import AbsentTargetError, MissingExtraError, TargetError
from asyncreload.settings import ASGI, AUTO, WSGI
from asyncreload.target import USUAL_FACTORIES, USUAL_NAMES, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from wsgiref.types import WSGIApplication

    from asyncreload.child.imports.interface import AsgiCallable
    from asyncreload.target import Target

    App = WSGIApplication | AsgiApp
    """An app as it is served."""

USUAL_FUNCTIONS = ("wsgi", "wsgi_app", "wsgi_application")
"""A function of such a name is an application whatever it calls its two parameters."""

_COMMANDS = frozenset({"dev", "run", "runserver", "serve", "start"})
"""What is typed to start the servers of frameworks."""

_IS_WSGI = 'it takes (environ, start_response) (WSGI), which interface = "asgi" excludes'
_NAME_ANOTHER = "name a callable that takes (environ, start_response) or (scope, receive, send)"

_short = reprlib.Repr()
_short.maxother = 60


def prepare(target: Target) -> None:
    """Make `sys.path` and `sys.argv` what they are when Python runs the target itself."""
    sys.argv = [target.file or target.name]
    put_first(target.root)


def load(target: Target, interface: str = AUTO) -> App:
    """Import the target's module and return the application in it; `prepare` goes before.

    interface: as in `Settings`.

    Raises `TargetError` when there is no such file, attribute or application, `AbsentTargetError`
    when there is no such module, and `MissingExtraError`. An exception out of the module or the
    factory is passed on as it is.
    """
    module = _import_file(target) if target.file else _import_module(target)
    if not target.attribute:
        return app_of(_only(module, target, interface), interface)
    found = _named(module, target)
    if target.call:
        found = _made(found, target)
    _check(found, target.text, interface)
    return app_of(found, interface)


def app_of(found: object, interface: str = AUTO) -> App:
    """Return an application as what it speaks.

    Raises `MissingExtraError` for one that speaks ASGI, where nothing is installed to serve it.
    """
    if not is_asgi(found, interface):
        return cast("WSGIApplication", found)
    if not is_installed():
        raise MissingExtraError(
            "this is an ASGI app: install what serves it, with pip install uvicorn websockets, "
            "which is what the extra asgi brings"
        )
    return AsgiApp(cast("AsgiCallable", found))


# Importing


def _import_module(target: Target) -> ModuleType:
    try:
        module = importlib.import_module(target.name)
    except ModuleNotFoundError as exc:
        # One that the target's module fails to import is the user's to see.
        if not exc.name or not f"{target.name}.".startswith(f"{exc.name}."):
            raise
        raise AbsentTargetError(_no_module(exc.name, target)) from None
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
    if where := _where_not_looked(missing, target):
        return f'There is no module "{missing}": {where}'
    siblings = [file.stem for file in Path(target.root, *parent.split(".")).glob("*.py")]
    otherwise = f", neither in {target.root} nor installed: check the name and where you are."
    if missing in _COMMANDS:
        otherwise = ', and no command: write "asyncreload" alone, or name the app.'
    prefix = f"{parent}." if parent else ""
    return f'There is no module "{missing}"{did_you_mean(leaf, siblings, otherwise, prefix)}'


def _where_not_looked(missing: str, target: Target) -> str:
    """Return why a module is not found that is there; "" if it is not."""
    top, _, below = missing.partition(".")
    if below:
        return ""
    root = Path(target.root)
    if _is_left_out(target.root) and _holds(root, top):
        return (
            f"Python does not look in {target.root}, as PYTHONSAFEPATH or -P says: "
            "name a file, or leave that out."
        )
    if _holds(root / "src", top):
        parts = target.name.split(".")
        path = Path("src", *parts)
        file = path / "__init__.py" if (root / path).is_dir() else path.with_suffix(".py")
        attribute = target.text.removeprefix(target.location)
        return f'it is in src, where Python does not look by itself: write "{file}{attribute}".'
    return ""


def _is_left_out(root: str) -> bool:
    return sys.flags.safe_path and root not in sys.path


def _holds(directory: Path, name: str) -> bool:
    return (directory / name).is_dir() or (directory / f"{name}.py").is_file()


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
    if takes(signature(factory), 0) is False:
        served = f"{target.location}:{target.attribute}"
        remedy = (
            f'write "{served}"' if _fault(factory, served, AUTO) is None else "give them defaults"
        )
        raise TargetError(
            f'"{target.text}": {_describe(factory)} needs arguments, '
            f"and a factory is called without any: {remedy}."
        )
    return factory()


def _only(module: ModuleType, target: Target, interface: str) -> object:
    """The application of a module when the target does not name one."""
    own = vars(module)
    usual = {name: own[name] for name in USUAL_NAMES if name in own}
    for name, value in usual.items():
        if _fault(value, name, interface) is None:
            return value
    # By identity: one object with two names is one candidate.
    candidates = {id(own[name]): name for name in reversed(own) if _looks_served(name, module)}
    if len(candidates) > 1:
        several = sorted(candidates.values())
        raise TargetError(
            f'"{target.text}" has several applications ({", ".join(several)}): '
            f'name one, as in "{target.location}:{several[0]}".'
        )
    found = own[candidates.popitem()[1]] if candidates else _bottle_default()
    if found is not None:
        _check(found, target.text, interface)
        return found
    # A name that promised one explains best why there is none.
    for name, value in usual.items():
        _check(value, f"{target.location}:{name}", interface)
    for name in USUAL_FACTORIES:
        if isinstance(factory := own.get(name), FunctionType) and _is_factory(signature(factory)):
            made = factory()
            _check(made, f"{target.location}:{name}()", interface)
            return cast("object", made)
    raise TargetError(_nothing(module, target))


def _nothing(module: ModuleType, target: Target) -> str:
    file = getattr(module, "__file__", None)
    message = f'"{target.text}" has no application in {file or "it"}'
    if file and hasattr(module, "__path__"):
        from asyncreload.discovery import module_with_app  # noqa: PLC0415  for a mistake alone

        name = module_with_app(os.path.dirname(file))
        if name in {"wsgi", "asgi"} and os.path.isfile(os.path.join(target.root, "manage.py")):
            return f'{message}: write "manage.py".'
        if name:
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
    # Beside itself: environ and start_response, or scope, receive and send.
    return _needs(call, 3) or _needs(call, 4)


def _is_own_function(name: str, function: object, module: ModuleType) -> bool:
    if getattr(function, "__module__", None) != module.__name__:
        return False
    declared = signature(function)
    parameters = list(declared.parameters) if declared else []
    if parameters == ["scope", "receive", "send"]:
        return True
    is_usual = parameters == ["environ", "start_response"] or name in USUAL_FUNCTIONS
    return is_usual and _needs(function, 2) and not is_asgi(function)


def _bottle_default() -> object | None:
    """Bottle's default application, which a script fills with `@route` and never names."""
    default_app = getattr(sys.modules.get("bottle"), "default_app", None)
    if default_app is None:
        return None
    application: object = default_app()
    return application if getattr(application, "routes", None) else None


# Judging


def _check(found: object, spelled: str, interface: str) -> None:
    fault = _fault(found, spelled, interface)
    if fault is not None:
        raise TargetError(fault)


def _fault(found: object, spelled: str, interface: str) -> str | None:
    """Why this cannot be served, and the remedy; None when it can, or when nobody can tell."""
    if inspect.iscoroutine(found):
        found.close()  # else Python warns, at some line of ours
        return f'"{spelled}" makes a coroutine, which nobody awaits: write "def", without "async".'
    remedy = _remedy(found, spelled, interface)
    if remedy is None:
        return None
    return f'"{spelled}" is no application but {_describe(found)}: {remedy}.'


def _remedy(found: object, spelled: str, interface: str) -> str | None:
    if not callable(found):
        # web.py's way to make one of its own kind of application.
        has_maker = callable(getattr(found, "wsgifunc", None))
        return f'write "{spelled}.wsgifunc()"' if has_maker else _NAME_ANOTHER
    declared = signature(found)
    if _is_factory(declared) and not is_async(found):
        made = spelled.endswith(")")
        return "return the application itself" if made else f'write "{spelled}()"'
    if interface == WSGI and is_async(found):
        return 'it is asynchronous (ASGI), which interface = "wsgi" excludes'
    # A decorator's wrapper may take what the function that it shows does not.
    actual = signature(found, follow_wrapped=False)
    count = 3 if is_asgi(found, interface) else 2
    if declared is None or takes(declared, count) or takes(actual, count):
        return None
    if isinstance(found, type) and "__call__" in vars(found):
        return f'make an instance, as in "app = {found.__name__}(...)"'
    return _IS_WSGI if interface == ASGI and takes(declared, 2) else _NAME_ANOTHER


def _describe(value: object) -> str:
    return f"{type(value).__name__} {_short.repr(value)}"


def _is_factory(declared: inspect.Signature | None) -> bool:
    """Whether it can do without arguments, as an application, which needs its environ, cannot.

    So `create(config=None, debug=False)` is one, though two arguments fit; `*args` tells nothing.
    """
    if declared is None or not takes(declared, 0):
        return False
    return all(p.kind is not p.VAR_POSITIONAL for p in declared.parameters.values())


def _needs(found: object, count: int) -> bool:
    """Whether so many positional arguments fit and fewer do not, which leaves out `*args`."""
    declared = signature(found)
    return bool(takes(declared, count) and not takes(declared, count - 1))

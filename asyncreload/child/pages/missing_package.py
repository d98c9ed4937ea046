"""What to install for an import that finds no module."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib.machinery import PathFinder

from asyncreload.child.pages.django_settings import setting_that_names
from asyncreload.target import closest

DISTRIBUTIONS = {
    "Crypto": "pycryptodome",
    "Cryptodome": "pycryptodomex",
    "IPython": "ipython",
    "Levenshtein": "levenshtein",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyOpenSSL",
    "PIL": "Pillow",
    "allauth": "django-allauth",
    "attr": "attrs",
    "babel": "Babel",
    "bs4": "beautifulsoup4",
    "corsheaders": "django-cors-headers",
    "crispy_forms": "django-crispy-forms",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "debug_toolbar": "django-debug-toolbar",
    "distutils": "setuptools",
    "django_extensions": "django-extensions",
    "django_filters": "django-filter",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "environ": "django-environ",
    "fitz": "PyMuPDF",
    "flask_cors": "Flask-Cors",
    "flask_login": "Flask-Login",
    "flask_migrate": "Flask-Migrate",
    "flask_sqlalchemy": "Flask-SQLAlchemy",
    "flask_wtf": "Flask-WTF",
    "git": "GitPython",
    "github": "PyGithub",
    "grpc": "grpcio",
    "jose": "python-jose",
    "jwt": "PyJWT",
    "ldap": "python-ldap",
    "lxml_html_clean": "lxml-html-clean",
    "magic": "python-magic",
    "markdown_it": "markdown-it-py",
    "multipart": "python-multipart",
    "nacl": "PyNaCl",
    "pkg_resources": "setuptools",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary",
    "pythonjsonlogger": "python-json-logger",
    "rest_framework": "djangorestframework",
    "serial": "pyserial",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "slugify": "python-slugify",
    "snappy": "python-snappy",
    "socks": "PySocks",
    "storages": "django-storages",
    "telegram": "python-telegram-bot",
    "usb": "pyusb",
    "websocket": "websocket-client",
    "yaml": "PyYAML",
    "zmq": "pyzmq",
}
"""The distributions of modules that have other names than these."""


_OF_DJANGO = "ImproperlyConfigured"


def missing_module(exc: BaseException) -> str | None:
    """Return the module that was not found, if that is why an exception was raised.

    It may be its cause, or in its group; a context may have been handled. A submodule is none: its
    package is there, and lacks it.
    """
    family: list[BaseException | None] = [exc]
    seen: set[int] = set()
    for one in family:
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, ModuleNotFoundError):
            # The app may raise it with any name.
            is_module = isinstance(one.name, str) and one.name.isascii() and one.name.isidentifier()
            return one.name if is_module else None
        family.append(one.__cause__)
        if type(one).__name__ == _OF_DJANGO and not one.__suppress_context__:
            family.append(one.__context__)  # it says what it lacks, and not why
        if isinstance(one, BaseExceptionGroup):
            family += one.exceptions
    return None


def missing_distribution(exc: BaseException) -> str | None:
    """Return the distribution whose metadata were not found, if that is what was raised."""
    metadata = sys.modules.get("importlib.metadata")
    if metadata is None or not isinstance(exc, metadata.PackageNotFoundError):
        return None
    return str(exc.args[0]) if exc.args else None


def module_of(path: str) -> str:
    """Return the name of the module, or of the package, that a file is."""
    directory, name = os.path.split(path)
    return os.path.basename(directory) if name == "__init__.py" else name.removesuffix(".py")


def remedy(name: str, near: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """Return what may be done about a module that was not found, and the commands that do it.

    near: files; where one of them lies, the module may be as well.
    """
    if path := _own(name, near):
        return (
            f"there is {path}, but Python does not look for modules in its directory: name the app "
            "by its file, or put the directory into PYTHONPATH"
        ), ()
    if os.path.isdir(name) and _has_sources(name):
        return (
            f"there is the directory {os.path.abspath(name)}, but Python does not look in the one "
            f'above it: name the app by its module, as in "{name}.main:app", or put an '
            "__init__.py into each directory down to it"
        ), ()
    if name in sys.stdlib_module_names and name not in DISTRIBUTIONS:
        return f"{name} is a part of Python that {sys.executable} was built without", ()
    install = "if it is a package from elsewhere, one of these installs it:"
    setting, _ = setting_that_names(name)
    listed = f"{setting} names it; " if setting else ""
    if setting == "INSTALLED_APPS" and (both := _two_in_one(name, near)):
        return f"INSTALLED_APPS has them in one: is a comma missing between {both}?", ()
    if likely := closest(name, _top_names(near)):
        install = f'did you mean "{likely}"? {install[0].upper()}{install[1:]}'
    return f"{listed}{install}", _commands(name)


def remedy_of_distribution(name: str) -> tuple[str, tuple[str, ...]]:
    """Return what may be done about a distribution of which Python knows nothing."""
    if os.path.isfile("pyproject.toml") or os.path.isfile("setup.py"):
        return f"if {name} is this project, one of these installs it:", _commands("-e .")
    return "one of these installs it:", _commands(name)


def _two_in_one(name: str, near: Iterable[str]) -> str:
    """Return the two modules whose names have become one, each with the quotes it should have."""
    near = list(near)

    def is_there(part: str) -> bool:
        return bool(_own(part, near)) or PathFinder.find_spec(part) is not None

    for end in range(len(name) - 1, 0, -1):
        first, second = name[:end], name[end:]
        if is_there(first) and is_there(second):
            return f'"{first}" and "{second}"'
    return ""


def _top_names(near: Iterable[str]) -> set[str]:
    """Return the names of modules and packages that lie where the project's are looked for."""
    names: set[str] = set()
    for directory in _directories(near):
        with suppress(OSError):
            for entry in os.scandir(directory or os.curdir):
                stem, suffix = os.path.splitext(entry.name)
                is_package = os.path.isfile(os.path.join(entry.path, "__init__.py"))
                if suffix == ".py" or is_package:
                    names.add(stem)
    return names


def _directories(near: Iterable[str]) -> Iterable[str]:
    beside = [os.path.dirname(file) for file in near if file[:1] != "<"]
    return dict.fromkeys([os.path.curdir, "src", *beside])


def _own(name: str, near: Iterable[str]) -> str:
    """Return the path of a module of the project's that has this name; "" if none is seen."""
    for directory in _directories(near):
        for path in (f"{name}.py", os.path.join(name, "__init__.py")):
            if os.path.isfile(found := os.path.join(directory, path)):
                return os.path.abspath(found)
    return ""


def _has_sources(directory: str) -> bool:
    with suppress(OSError):
        return any(name.endswith(".py") for name in os.listdir(directory))
    return False


def _commands(name: str) -> tuple[str, ...]:
    """Return the command that people know, and one for the interpreter that runs here."""
    package = DISTRIBUTIONS.get(name, name)
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    if _is_of_uv():
        return f"uv pip install {package}", f"uv pip install --python {python} {package}"
    return f"pip install {package}", f"{python} -m pip install {package}"


def _is_of_uv() -> bool:
    """Tell whether uv has made the virtual environment: there is no pip in it, then."""
    try:
        with open(os.path.join(sys.prefix, "pyvenv.cfg"), encoding="utf-8") as file:
            return any(line.startswith("uv =") for line in file)
    except (OSError, ValueError):
        return False

"""Links that open a file in an editor: which editors are known, and what a link looks like."""

from __future__ import annotations

import re
from urllib.parse import quote

VARIABLE = "EDITOR_URL"
"""The variable of the environment that names an editor where no option does."""

EDITORS = {
    "cursor": "cursor://file{path}:{line}",
    "emacs": "emacs://open?url=file://{path}&line={line}",
    "idea": "idea://open?file={path}&line={line}",
    "macvim": "mvim://open?url=file://{path}&line={line}",
    "nova": "nova://open?path={path}&line={line}",
    "pycharm": "pycharm://open?file={path}&line={line}",
    "sublime": "subl://open?url=file://{path}&line={line}",
    "textmate": "txmt://open?url=file://{path}&line={line}",
    "vscode": "vscode://file{path}:{line}",
    "vscode-insiders": "vscode-insiders://file{path}:{line}",
    "vscodium": "vscodium://file{path}:{line}",
    "windsurf": "windsurf://file{path}:{line}",
    "zed": "zed://file{path}:{line}",
}
"""The templates of their URLs. The path is absolute, and begins with a slash."""

_TEMPLATE = r"([A-Za-z][A-Za-z0-9+.-]*):[!-~]*"
_NO_EDITOR = {"javascript", "data", "vbscript", "blob", "about", "view-source", "file"}
"""Schemes of URLs that show or run what they name, in the browser itself."""


def editor_url(editor: str) -> str:
    """Return the template of an editor's URLs: of one that is known, or the given one.

    Raises ValueError, with what to name instead.
    """
    if template := EDITORS.get(editor.lower()):
        return template
    scheme = re.fullmatch(_TEMPLATE, editor)
    if scheme is None or not {"{path}"} <= {*_placeholders(editor)} <= {"{path}", "{line}"}:
        raise ValueError(
            f"is neither {', '.join(sorted(EDITORS))} nor a URL with {{path}} and {{line}}"
        )
    if scheme[1].lower() in _NO_EDITOR:
        raise ValueError(f"is a URL for the browser itself: {scheme[1]}: opens no editor")
    return editor


def _placeholders(template: str) -> list[str]:
    """Return what stands in braces, and each brace that has no other."""
    return re.findall(r"\{[^{}]*\}|[{}]", template)


def link_to(template: str, path: str, line: int | str) -> str:
    """Return the URL that opens a file at a line.

    template: of `editor_url`.
    path: an absolute path.
    """
    told = {"{path}": quote(path, errors="replace"), "{line}": quote(str(line))}
    return re.sub(r"\{path\}|\{line\}", lambda found: told[found[0]], template)

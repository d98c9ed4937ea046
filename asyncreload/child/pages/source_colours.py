"""The colours of Python source: which parts of lines are keywords, texts, numbers and comments.

One pattern finds them. A tokenizer would refuse the code that pages show most often: code that is
wrong, cut out of a file, and perhaps of another version of Python. Names inside an f-string have
its colour.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from keyword import kwlist  # a child has it already: `collections` needs it

_FURTHEST = 400  # lines before an excerpt that are read to tell whether it begins in a text
# Compiled at the first report: it takes a millisecond, and somebody waits for a child's boot.
_DEFINITION = r"@\w|(?:async )?def \w+[(\[]|class \w+[(:\[]"  # not as prose would have it
_KEYWORDS = frozenset(kwlist)
# Nothing is tried twice (`*+`): of a text of megabytes, Python would remember each letter.
_PART = r"""(?xs)
    (?P<comment> \#[^\n]* )
  | (?P<text> (?: (?<!\w) [rbfutRBFUT]{1,2} )?
        (?: (?P<triple> \"{3}|'{3} )
              (?: [^"'\\]+ | \\. | (?! (?P=triple) ) ["'] )*+ (?P<end> (?P=triple) )?
          | " (?: [^"\\\n]+ | \\. )*+ "?
          | ' (?: [^'\\\n]+ | \\. )*+ '? ) )
  | (?P<number> (?<!\w) (?: 0[xXoObB][\da-fA-F_]+ | \.?\d[\d_.]*(?:[eE][+-]?\d+)?[jJ]? ) )
  | (?: (?<!\w) (?:def|class) [ \t]+ (?P<name> \w+ ) )
  | (?P<word> [^\W\d]\w* )
"""

Part = tuple[str, str]
"""A piece of a line, and what it is: "keyword", "text", "number", "comment", "definition" or ""."""


def is_python(file: str) -> bool:
    """Tell whether a file holds Python; templates and other files have frames as well."""
    return file.endswith((".py", ".pyw"))


def quote_before(lines: Sequence[str], index: int) -> str:
    """Return the three quotes that a line begins within, or ""."""
    first = index
    while first > max(0, index - _FURTHEST) and not re.match(_DEFINITION, lines[first]):
        first -= 1
    return _open_quote("".join(lines[first:index]))


def _open_quote(source: str) -> str:
    for found in re.finditer(_PART, source):
        if found["triple"] and not found["end"]:
            return found["triple"]
    return ""


def colour(lines: Sequence[str], quote: str) -> list[list[Part]]:
    """Return the parts of each line.

    quote: the three quotes that the first line begins within, or "".
    """
    coloured: list[list[Part]] = [[]]
    skipped = len(quote)  # it stands before the lines
    for kind, text in _parts(quote + "\n".join(lines)):
        first, *more = text[skipped:].split("\n")
        skipped -= min(skipped, len(text))
        coloured[-1].append((kind, first))
        coloured += ([(kind, piece)] for piece in more)
    return coloured


def _parts(source: str) -> Iterator[tuple[str, str]]:
    """Iterate over all of a source, in its parts."""
    done = 0
    for found in re.finditer(_PART, source):
        kind = found.lastgroup or ""
        yield "", source[done : found.start()]
        if found["name"]:
            yield "keyword", source[found.start() : found.start("name")]
            yield "definition", found["name"]
        elif found["word"]:
            yield "keyword" if found["word"] in _KEYWORDS else "", found["word"]
        else:
            yield "text" if found["text"] else kind, found[0]
        done = found.end()
    yield "", source[done:]

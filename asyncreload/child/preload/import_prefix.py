"""What a module does before its last import that loads a package: its import prefix.

That is what the packages that it imports may notice: an edit of it may ask for other packages, or
for the same ones under other conditions. What is done below cannot be noticed by a package that is
loaded for the module: the last one has been loaded by then. What it sets up for packages that other
modules import later shows in the conditions after the load.

Which import is the last to load a package, the recorded load tells, and not the source: an import
of what is loaded already loads nothing, nor does one that is not run, such as one below
`if __name__ == "__main__"`. A package may also be loaded by what a module calls or imports of the
project's: then that counts as the import. The standard library's modules are not followed.

So these count of a module:

- All that is done up to there: assignments, calls, imports, what these hang on. The bodies of
  functions do not: they are not run by being defined. Nor does the docstring.
- Every import statement, also below: that it is there, and what it names. A package for one that
  is new is not imported ahead in its place; one for which there is none any more would be.

Of a module that loads no package, the import statements alone count.
"""

from __future__ import annotations

import dis
import marshal
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from types import CodeType
from typing import NamedTuple, cast

from asyncreload.child.imports.import_observer import Code
from asyncreload.child.watch.file_state import digest

_IMPORT = dis.opmap["IMPORT_NAME"]
_STORE = dis.opmap["STORE_NAME"]
_HANDLER = dis.opmap["PUSH_EXC_INFO"]
_EXTENDED = dis.EXTENDED_ARG
_CACHE = dis.opmap["CACHE"]
_CACHED = bytes([_CACHE])
_NAMES = frozenset(dis.hasname)
_CONSTANTS = frozenset(dis.hasconst)
_JUMPS = frozenset(dis.hasjrel)
_BACKWARD = frozenset(code for name, code in dis.opmap.items() if "BACKWARD" in name)
_FLAGS = {
    dis.opmap[name]: bits
    for name, bits, since in (
        ("LOAD_GLOBAL", 1, (3, 11)),
        ("LOAD_ATTR", 1, (3, 12)),
        ("LOAD_SUPER_ATTR", 2, (3, 12)),
        ("IMPORT_NAME", 2, (3, 15)),
    )
    if sys.version_info >= since
}
"""How many of an operand's lowest bits are flags, and not part of the number of a name."""

_HEADER = 16  # bytes before the code in a `.pyc`

_DOCSTRING_SIZE = 4  # bytes of the code that stores one

Span = tuple[int, int]
Instruction = tuple[int, int, int, object]


class ImportPrefix(NamedTuple):
    """What stands for what counts of a module."""

    size: int
    """How many instructions it has up to its last import that loads a package; see below."""
    digest: str
    """"" when the module has no imports at all."""


NO_IMPORTS = ImportPrefix(0, "")


def import_prefix(code: Code, size: int = 0, loads: Iterable[int] = ()) -> ImportPrefix:
    """Return what stands for what counts of a module.

    size: how many of its instructions count at least, in the order of the source.
    loads: where in the code it was when packages were loaded.
    """
    if isinstance(code, bytes):
        code = cast("CodeType", marshal.loads(code[_HEADER:]))  # noqa: S302  it was run as well
    spans = _in_source_order(code)
    size = max([size, *(_size(code, spans, load) for load in loads)])
    kept = list(islice(instructions(code, spans), size))
    places: dict[object, int] = {at: place for place, (at, *_) in enumerate(kept)}
    told = [
        (opcode, operand, places.get(meant) if opcode in _JUMPS else _text(meant))
        for _, opcode, operand, meant in kept
    ]
    imports = [(each[1:3], _text(each[3])) for each in _imports(code, spans)]
    if not told and not imports:
        return NO_IMPORTS
    return ImportPrefix(size, digest(repr((told, imports)).encode("utf-8", "surrogatepass")).hex())


def _in_source_order(code: CodeType) -> list[Span]:
    """Return where the code of each line is, without that which stores the docstring.

    Python places what handles an exception behind all the rest.
    """
    lines: list[tuple[int, int, int]] = []
    for start, end, line in code.co_lines():
        # Python 3.11 tells the parts of a line.
        is_part = lines and (lines[-1][0], lines[-1][2]) == (line, start)
        begin = lines.pop()[1] if is_part else start
        if line is not None:
            lines.append((line, begin, end))
    spans = [(start, end) for _, start, end in sorted(lines)]
    docstring = next((span for span in spans if _is_docstring(code, *span)), None)
    return [span for span in spans if span != docstring]


def _is_docstring(code: CodeType, start: int, end: int) -> bool:
    if end - start != _DOCSTRING_SIZE:
        return False
    load, _, store, name = code.co_code[start:end]
    return load in _CONSTANTS and store == _STORE and code.co_names[name] == "__doc__"


def _size(code: CodeType, spans: list[Span], load: int) -> int:
    """Return how many instructions there are, up to the last one that is run before a load.

    The arguments of a call stand on later lines than the call, what is done in a loop may be done
    before the next load. Not so what stands before the handler of an exception in the code.
    """
    opcodes = code.co_code[::2]
    start = 2 * opcodes.rfind(_HANDLER, 0, load // 2)
    end = 2 * opcodes.find(_HANDLER, load // 2)
    for at, opcode, _, target in instructions(code, [(load, end if end > 0 else 2 * len(opcodes))]):
        if opcode in _BACKWARD and cast("int", target) <= load:
            load = at
    found = enumerate(instructions(code, spans), start=1)
    return max((place for place, (at, *_) in found if start < at <= load), default=0)


def _imports(code: CodeType, spans: list[Span]) -> Iterator[Instruction]:
    """Yield the instructions of all import statements: level, names of attributes, module."""
    opcodes = code.co_code[::2]
    for start, end in spans:
        if opcodes.find(_IMPORT, start // 2, end // 2) >= 0:
            found = list(instructions(code, [(start, end)]))
            for place, (_, opcode, *_) in enumerate(found):
                if opcode == _IMPORT:
                    yield from found[place - 2 : place + 1]


def instructions(code: CodeType, spans: Iterable[Span]) -> Iterator[Instruction]:
    """Yield where each instruction is, its opcode, its operand, and what that means.

    What it means is a name, a constant, or where a jump leads. Of such an operand only the flags
    are left: the number may be another one when something is added far below.
    """
    names, constants = code.co_names, code.co_consts
    code_bytes = code.co_code  # an opcode and its operand, a byte each, again and again
    for start, end in spans:
        first, high = start, 0
        for at in range(start, end, 2):
            opcode, operand = code_bytes[at], high | code_bytes[at + 1]
            if opcode == _EXTENDED:
                high = operand << 8
                continue
            if opcode in _NAMES:
                bits = _FLAGS.get(opcode, 0)
                yield first, opcode, operand & ((1 << bits) - 1), names[operand >> bits]
            elif opcode in _CONSTANTS:
                yield first, opcode, 0, constants[operand]
            elif opcode in _JUMPS:
                yield first, opcode, 0, _target(code_bytes, at, operand)
            elif opcode != _CACHE:
                yield first, opcode, operand, None
            first, high = at + 2, 0


def _target(code_bytes: bytes, at: int, operand: int) -> int:
    """Return where a jump leads."""
    after = at + 2
    while code_bytes[after : after + 1] == _CACHED:  # by the interpreter, for the instruction
        after += 2
    return after + (-2 if code_bytes[at] in _BACKWARD else 2) * operand


def _text(meant: object) -> str:
    """Return what stands for a name or a constant, in every process the same."""
    if isinstance(meant, CodeType):
        return meant.co_name
    if isinstance(meant, frozenset):
        return repr(sorted(map(repr, meant)))
    return repr(meant)

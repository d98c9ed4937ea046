"""What a module does before its last import.

That is what the packages that it imports may notice: an edit of it may ask for other packages, or
for the same ones under other conditions. An edit below it cannot.
"""

from __future__ import annotations

import dis
import marshal
import sys
from collections.abc import Iterable, Iterator
from types import CodeType
from typing import cast

from asyncreload.child.imports.import_observer import Code
from asyncreload.child.watch.file_state import digest

_IMPORT = dis.opmap["IMPORT_NAME"]
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

Instruction = tuple[int, int, int, object]


def import_prefix(code: Code) -> str:
    """Return what stands for the code of a module up to its last import; "" when it has none.

    The bodies of functions do not count: they are not run by being defined. The order is that of
    the source: Python places what handles an exception behind all the rest.
    """
    if isinstance(code, bytes):
        code = cast("CodeType", marshal.loads(code[_HEADER:]))  # noqa: S302  it was run as well
    opcodes = code.co_code[::2]
    lines = [(line, start, end) for start, end, line in code.co_lines() if line is not None]
    imports = [
        (line, 2 * opcodes.rfind(_IMPORT, start // 2, end // 2)) for line, start, end in lines
    ]
    last = max((each for each in imports if each[1] >= 0), default=None)
    if last is None:
        return ""
    spans = [
        (start, min(end, last[1] + 2) if line == last[0] else end)
        for line, start, end in lines
        if (line, start) <= last
    ]
    kept = list(instructions(code, spans))
    places: dict[object, int] = {at: place for place, (at, *_) in enumerate(kept)}
    told = [
        (opcode, operand, places.get(meant) if opcode in _JUMPS else _text(meant))
        for _, opcode, operand, meant in kept
    ]
    return digest(repr(told).encode("utf-8", "surrogatepass")).hex()


def instructions(code: CodeType, spans: Iterable[tuple[int, int]]) -> Iterator[Instruction]:
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

"""What a module does before its last import.

That is what the packages that it imports may notice: an edit of it may ask for other packages, or
for the same ones under other conditions. An edit below it cannot.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator
from types import CodeType

from asyncreload.child.signature import digest

_IMPORT = dis.opmap["IMPORT_NAME"]
_EXTENDED = dis.EXTENDED_ARG
_CACHE = dis.opmap["CACHE"]
_NAMES = frozenset(dis.hasname)
_CONSTANTS = frozenset(dis.hasconst)
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

Instruction = tuple[int, int, object]


def prelude(code: CodeType) -> str:
    """Return what stands for the code of a module up to its last import; "" when it has none.

    The bodies of functions do not count: they are not run by being defined.
    """
    code_bytes = code.co_code  # an opcode and its operand, a byte each, again and again
    end = 2 * (code_bytes[::2].rfind(_IMPORT) + 1)
    if not end:
        return ""
    told = [(opcode, bits, _text(meant)) for opcode, bits, meant in instructions(code, end)]
    return digest(repr(told).encode("utf-8", "surrogatepass")).hex()


def instructions(code: CodeType, end: int) -> Iterator[Instruction]:
    """Yield the first instructions: opcode, operand, and the name or constant that is meant.

    Of an operand that means such a thing, only the flags are left: its number may be another when
    something is added far below.
    """
    code_bytes, names, constants = code.co_code[:end], code.co_names, code.co_consts
    high = 0
    for opcode, low in zip(code_bytes[::2], code_bytes[1::2], strict=True):
        operand = high | low
        high = operand << 8 if opcode == _EXTENDED else 0
        if opcode in _NAMES:
            bits = _FLAGS.get(opcode, 0)
            yield opcode, operand & ((1 << bits) - 1), names[operand >> bits]
        elif opcode in _CONSTANTS:
            yield opcode, 0, constants[operand]
        elif opcode not in {_EXTENDED, _CACHE}:
            yield opcode, operand, None


def _text(meant: object) -> str:
    """Return what stands for a name or a constant, in every process the same."""
    if isinstance(meant, CodeType):
        return meant.co_name
    if isinstance(meant, frozenset):
        return repr(sorted(map(repr, meant)))
    return repr(meant)

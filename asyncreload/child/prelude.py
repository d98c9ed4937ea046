"""What a module does before its last import.

That is what the packages that it imports may notice: an edit of it may ask for other packages, or
for the same ones under other conditions. An edit below it cannot.
"""

from __future__ import annotations

import dis
import sys
from types import CodeType

from asyncreload.child.signature import digest

_IMPORT = dis.opmap["IMPORT_NAME"]
_EXTENDED = dis.EXTENDED_ARG
_NAMES = frozenset(dis.hasname)
_CONSTANTS = frozenset(dis.hasconst)
# From 3.12 on, the lowest bit of this one's operand is a flag.
_FLAGGED = {dis.opmap["LOAD_ATTR"]} if sys.version_info >= (3, 12) else set()


def prelude(code: CodeType) -> str:
    """Return what stands for the code of a module up to its last import; "" when it has none.

    The bodies of functions do not count: they are not run by being defined.
    """
    code_bytes = code.co_code  # an opcode and its operand, a byte each, again and again
    end = 2 * (code_bytes[::2].rfind(_IMPORT) + 1)
    if not end:
        return ""
    names, constants = _used(code_bytes[:end])
    values = [
        each.co_name if isinstance(each, CodeType) else each
        for each in code.co_consts[: constants + 1]
    ]
    told = (code_bytes[:end], code.co_names[: names + 1], values)
    return digest(repr(told).encode("utf-8", "surrogatepass")).hex()


def _used(code: bytes) -> tuple[int, int]:
    """Return the highest numbers of the names and of the constants that are used.

    They are numbered in the order of their first use, so what comes later has higher ones.
    """
    names = constants = high = 0
    for opcode, low in zip(code[::2], code[1::2], strict=True):
        operand = high | low
        high = operand << 8 if opcode == _EXTENDED else 0
        if opcode in _NAMES:
            names = max(names, operand >> (opcode in _FLAGGED))
        elif opcode in _CONSTANTS:
            constants = max(constants, operand)
    return names, constants

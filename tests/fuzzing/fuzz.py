"""Runs a property with what atheris makes up, guided by the code that is reached. By hand only.

    pip install atheris
    python tests/fuzzing/fuzz.py tests.fuzzing.http_requests:is_peeked_at_as_it_is_read
    python tests/fuzzing/fuzz.py tests.unit.http.test_any_request:test_pieces_make_no_difference

A property is a function of bytes, or a test of hypothesis. The arguments behind it are libFuzzer's,
such as `-max_total_time=120`, or a file to run again. What has failed is kept in the current
directory as `crash-...`, what has reached new code in `.fuzzing/`, where the next run goes on.
"""

from __future__ import annotations

import random
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
INSTRUMENTED = ["asyncreload", "configparser", "fnmatch", "h11", "tomllib", "wsgiref"]


def main() -> None:
    name, *arguments = sys.argv[1:]
    sys.path.insert(0, str(ROOT))
    atheris: Any = import_module("atheris")  # it is no part of the extras: few machines have it
    module, _, function = name.partition(":")
    with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
        prop = getattr(import_module(module), function)
    if hasattr(prop, "hypothesis"):
        prop = prop.hypothesis.fuzz_one_input
        arguments.insert(0, "-len_control=0")  # it chooses by bytes: a few of them tell too little
    corpus = ROOT / ".fuzzing" / name
    corpus.mkdir(parents=True, exist_ok=True)
    (corpus / "first").write_bytes(random.Random(0).randbytes(500))
    reruns = any(Path(argument).is_file() for argument in arguments)
    where = [] if reruns else [str(corpus)]  # further directories hold examples to begin with
    atheris.Setup([sys.argv[0], *where, *arguments], prop)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

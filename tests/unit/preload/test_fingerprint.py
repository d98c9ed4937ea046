"""Snapshots: what must be the same after two loads."""

from __future__ import annotations

import pytest

from asyncreload.child.preload.fingerprint import snapshot
from asyncreload.protocol import Preload, decode
from tests.unit.preload.child_runs import ChildRun


def test_a_snapshot_is_the_same_twice(child: ChildRun) -> None:
    assert snapshot(child.root) == snapshot(child.root)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("os.environ['MODE'] = 'fast'", "environ"),
        ("sys.path.append('/elsewhere')", "path"),
        ("sys.meta_path.insert(0, type('Finder', (), {}))", "setting"),
        ("sys.path_hooks.append(lambda path: None)", "setting"),
        ("warnings.filterwarnings('ignore', 'old')", "setting"),
        ("logging.getLogger().setLevel(7)", "setting"),
    ],
)
def test_a_snapshot_tells_what_differs(child: ChildRun, change: str, told: str) -> None:
    before = snapshot(child.root)
    child.run(f"import logging, os, sys, warnings\n{change}")
    after = snapshot(child.root)
    assert told in [name for name in before if before[name] != after[name]]


def test_a_snapshot_tells_that_the_interpreter_is_patched(child: ChildRun) -> None:
    """A replay of an app that did not patch is nothing for one that does."""
    child.package("gevent")
    child.package("gevent/monkey.py")
    before = snapshot(child.root)
    child.run("import gevent.monkey")
    assert snapshot(child.root) != before


def test_a_snapshot_travels(child: ChildRun) -> None:
    found = Preload(child.root, final=snapshot(child.root))
    travelled = decode(found.encode())
    assert isinstance(travelled, Preload)
    assert travelled.final == snapshot(child.root)

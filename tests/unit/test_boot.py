"""What the search for garbage finds at the start of a process of ours."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from asyncreload.boot import count_as_searched, no_search_for_garbage


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def young() -> int:
    """Return how many objects the next searches would look through first."""
    return len(gc.get_objects(generation=0)) + len(gc.get_objects(generation=1))


def test_what_is_there_is_not_searched_again_soon() -> None:
    gc.collect()
    aside = gc.get_freeze_count()  # by Python 3.12 itself
    kept: list[list[int]] = [[] for _ in range(300)]
    before = young()
    count_as_searched()
    assert before > len(kept) > young()
    assert gc.get_freeze_count() == aside, "what becomes garbage later is found"


def test_what_somebody_has_set_aside_stays_aside() -> None:
    gc.freeze()
    aside = gc.get_freeze_count()
    kept: list[list[int]] = [[] for _ in range(300)]
    count_as_searched()
    assert gc.get_freeze_count() == aside
    assert len(kept) > young()


@pytest.mark.parametrize("is_enabled", [True, False])
def test_the_search_is_as_it_was_after_the_imports(*, is_enabled: bool) -> None:
    if not is_enabled:
        gc.disable()
    with no_search_for_garbage():
        assert not gc.isenabled()
    assert gc.isenabled() is is_enabled

"""Random numbers of a process that goes on."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace

import pytest

from asyncreload.child.checkpoint.random_numbers import RandomNumbers


@pytest.fixture
def numbers() -> Iterator[RandomNumbers]:
    plain = random.seed, random.setstate, random.getstate()
    found = RandomNumbers()
    found.install()
    yield found
    random.seed, random.setstate = plain[:2]
    random.setstate(plain[2])


def drawn_behind_a_fork(numbers: RandomNumbers) -> float:
    numbers.before_fork()
    random.Random.seed(random._inst)  # as `random` does in a fork
    numbers.renew()
    return random.random()


def test_those_of_a_seed_are_kept(numbers: RandomNumbers) -> None:
    random.seed(1)
    expected = random.Random(1).random()
    assert drawn_behind_a_fork(numbers) == expected


def test_those_of_a_state_are_kept(numbers: RandomNumbers) -> None:
    random.setstate(random.Random(2).getstate())
    assert drawn_behind_a_fork(numbers) == random.Random(2).random()


def test_others_are_drawn_anew(numbers: RandomNumbers) -> None:
    random.seed(1)
    random.seed()
    numbers.before_fork()
    state = random.getstate()
    assert drawn_behind_a_fork(numbers) != drawn_behind_a_fork(numbers)
    assert random.getstate() != state


class Generator:
    """Stands for a bit generator of numpy."""

    def __init__(self, seed_seq: object = "its own") -> None:
        self.seed_seq = seed_seq
        self.state = "new"


@pytest.mark.parametrize(("seed_seq", "state"), [("its own", "new"), (None, "as it was")])
def test_those_of_numpy(
    numbers: RandomNumbers, monkeypatch: pytest.MonkeyPatch, seed_seq: object, state: str
) -> None:
    """Numpy forgets the sequence that a generator has begun with when it is given a seed."""
    generator = Generator(seed_seq)
    generator.state = "as it was"
    module = ModuleType("numpy.random.mtrand")
    module._rand = SimpleNamespace(_bit_generator=generator)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "numpy.random.mtrand", module)
    numbers.before_fork()
    numbers.renew()
    assert generator.state == state

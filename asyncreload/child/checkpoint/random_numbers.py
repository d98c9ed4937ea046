"""Random numbers: a process that goes on draws others than the one before, unless it has a seed.

Where the load has chosen a seed, a start from nothing draws the same numbers each time. `random`
seeds itself anew in a fork, whatever it was given; numpy does not.
"""

from __future__ import annotations

import random
import sys
from typing import Any


class RandomNumbers:
    """The generators behind the functions of `random` and of `numpy.random`."""

    def __init__(self) -> None:
        self._is_chosen = False
        self._state: Any = None

    def install(self) -> None:
        """Wrap `random.seed` and `random.setstate`, for good."""
        plain_seed, plain_setstate = random.seed, random.setstate

        def seed(a: Any = None, version: int = 2) -> None:
            plain_seed(a, version)
            self._is_chosen = a is not None

        def setstate(state: Any) -> None:
            plain_setstate(state)
            self._is_chosen = True

        random.seed, random.setstate = seed, setstate

    def before_fork(self) -> None:
        """Note the state of what forks forget."""
        self._state = random.getstate()

    def renew(self) -> None:
        """In a process that goes on: draw what a process of its own would."""
        if self._is_chosen:
            random.setstate(self._state)
        numpy_random: Any = sys.modules.get("numpy.random.mtrand")
        if numpy_random is not None:
            generator = numpy_random._rand._bit_generator  # noqa: SLF001
            # Who gives it a seed takes away the sequence that it has begun with.
            if getattr(generator, "seed_seq", getattr(generator, "_seed_seq", None)) is not None:
                generator.state = type(generator)().state

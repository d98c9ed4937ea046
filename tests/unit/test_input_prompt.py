"""Whether the cursor stands behind a prompt, as audit events tell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from asyncreload.input_prompt import InputPrompt, leave_prompt


@pytest.fixture
def prompt() -> Iterator[InputPrompt]:
    with closing(InputPrompt.create()) as created:
        yield created


class Other:
    """An object that is shown as a prompt."""


@pytest.mark.parametrize(
    ("shown", "behind"),
    [("name? ", True), (Other(), True), ("", False), (None, False), ("name:\n", False)],
)
def test_a_prompt_is_open_until_somebody_leaves_it(
    prompt: InputPrompt, shown: object, *, behind: bool
) -> None:
    of_supervisor = InputPrompt(prompt.descriptor)
    assert not of_supervisor.leave()
    prompt.hear("builtins.input", (shown,))
    assert of_supervisor.leave() is behind
    assert not of_supervisor.leave()


def test_a_line_that_is_typed_ends_it(prompt: InputPrompt) -> None:
    prompt.hear("builtins.input", ("name? ",))
    prompt.hear("open", ("/etc/passwd", "r", 0))
    prompt.hear("builtins.input/result", ("Bob",))
    assert not prompt.leave()


def test_what_it_was_is_still_known_when_it_is_closed() -> None:
    prompt = InputPrompt.create()
    prompt.hear("builtins.input", ("name? ",))
    prompt.close()
    assert prompt.leave()


def test_a_process_without_an_app_has_none() -> None:
    assert not leave_prompt()

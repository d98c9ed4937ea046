"""A record is what a dataclass would be, but for its price."""

from __future__ import annotations

from typing import Any

import pytest

from asyncreload.frozen_data import FrozenData

_NOTHING: dict[str, int] = {}


class Point(FrozenData):
    """Two fields, one of them with a default."""

    x: int
    marks: dict[str, int] = _NOTHING

    def far(self) -> int:
        """Return what is no field."""
        return self.x * 2


class Empty(FrozenData):
    """No field at all."""


class Other(FrozenData):
    """The fields of Point."""

    x: int
    marks: dict[str, int] = _NOTHING


def test_fields_are_given_by_position_or_by_name() -> None:
    assert (Point(1).x, Point(1).marks) == (1, {})
    assert Point(1, {"a": 1}).fields() == Point(marks={"a": 1}, x=1).fields()
    assert Point.names() == ("x", "marks")
    assert Empty().fields() == {}


def test_equal_are_those_of_one_kind_whose_fields_are() -> None:
    assert Point(1) == Point(1, {})
    assert Point(1) != Point(2)
    assert Point(1) != Other(1)
    assert Empty() == Empty()
    assert Point(1) != 1


def test_one_that_holds_nothing_that_changes_is_a_key() -> None:
    assert {Empty(): 1}[Empty()] == 1
    with pytest.raises(TypeError):
        hash(Point(1))


def test_a_replaced_field_leaves_the_others_and_the_original() -> None:
    point = Point(1, {"a": 1})
    assert point.replaced(x=2) == Point(2, {"a": 1})
    assert point == Point(1, {"a": 1})


def test_it_shows_its_fields() -> None:
    assert repr(Point(1)) == "Point(x=1, marks={})"
    assert repr(Empty()) == "Empty()"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((), {}),
        ((), {"marks": {}}),
        ((1, {}, 2), {}),
        ((1,), {"x": 1}),
        ((1,), {"y": 1}),
        ((1,), {"far": 1}),
    ],
    ids=["none", "one is absent", "too many", "twice", "unknown", "a method"],
)
def test_fields_that_do_not_fit_are_refused(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"^Point is made of x, marks$"):
        Point(*values, **named)


def test_what_has_no_fields_takes_none() -> None:
    with pytest.raises(TypeError, match=r"^Empty is made of nothing$"):
        Empty(1)

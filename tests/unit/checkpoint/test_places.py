"""Where checkpoints are wanted, by a clock that stands still until a test moves it."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from types import ModuleType

from asyncreload.child.checkpoint.places import END, WORTH, WORTH_AHEAD, Places


class Load:
    """A load, of which a test says how long it takes and what it has loaded."""

    def __init__(
        self,
        *before: str,
        at_end: bool = False,
        keep: tuple[str, ...] = (),
        ahead: float = 0.0,
    ) -> None:
        self.now = 100.0
        self.modules: dict[str, ModuleType | None] = {}
        self.places = Places(
            before,
            at_end=at_end,
            keep=keep,
            ahead=ahead,
            clock=lambda: self.now,
            modules=self.modules,
        )

    def runs(self, seconds: float = WORTH) -> Load:
        self.now += seconds + 1e-9
        return self

    def loads(self, name: str, *, is_loading: bool = False) -> None:
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        vars(module.__spec__)["_initializing"] = is_loading
        self.modules[name] = module


def test_before_a_file_that_is_named_there_is_one_once() -> None:
    load = Load("views.py").runs()
    assert load.places.before("models.py") == ""
    assert load.places.before("views.py") == "views.py"
    assert load.runs().places.before("views.py") == ""
    assert load.places.at_end() == ""


def test_at_the_end_there_is_one_if_that_is_wanted() -> None:
    assert Load(at_end=True).runs().places.at_end() == END


def test_too_little_work_is_not_worth_one() -> None:
    load = Load("views.py", at_end=True).runs(WORTH / 2)
    assert load.places.before("views.py") == ""
    assert load.places.at_end() == ""
    assert load.runs(WORTH / 2).places.at_end() == END


def test_imports_ahead_are_worth_one_if_they_took_long() -> None:
    """Who saves again soon would wait until the next process has made them."""
    for ahead, taken in ((WORTH_AHEAD, "app.py"), (WORTH_AHEAD / 2, "")):
        places = Load("app.py", "views.py", ahead=ahead).places
        assert places.before("app.py") == taken
    places = Load("app.py", "views.py", ahead=WORTH_AHEAD).places
    assert places.before("app.py") == "app.py"
    places.passed()
    assert places.before("views.py") == ""


def test_what_counts_is_the_work_since_the_last_one() -> None:
    load = Load("models.py", "views.py", at_end=True).runs()
    assert load.places.before("models.py") == "models.py"
    load.places.passed()
    assert load.places.before("views.py") == ""
    assert load.runs().places.at_end() == END


def test_a_module_that_is_kept_is_worth_one_in_any_case_and_once() -> None:
    load = Load("views.py", keep=("data",))
    assert load.places.before("views.py") == ""
    load.loads("data")
    assert load.places.before("other.py") == "data"
    assert load.places.before("another.py") == ""


def test_a_module_that_is_kept_must_be_loaded_to_its_end() -> None:
    load = Load(keep=("data",))
    load.loads("data", is_loading=True)
    assert load.places.before("part_of_data.py") == ""
    load.loads("data")
    assert load.places.at_end() == "data"


def test_one_that_was_imported_without_success_is_no_module() -> None:
    load = Load(keep=("data",))
    load.modules["data"] = None
    assert load.places.at_end() == ""


def test_behind_a_module_that_is_kept_the_file_is_still_to_have_its_own() -> None:
    load = Load("views.py", keep=("data",)).runs()
    load.loads("data")
    assert load.places.before("views.py") == "data"
    assert load.places.before("views.py") == "views.py"

"""What a target's text means, and what is said about one that means nothing."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from asyncreload.errors import TargetError
from asyncreload.target import Target

if TYPE_CHECKING:
    from pathlib import Path


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def complaint(text: Any, cwd: Path, **options: Any) -> str:
    with pytest.raises(TargetError) as caught:
        Target.parse(text, str(cwd), **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("text", "file", "root", "name"),
    [
        ("app.py", "app.py", "", "app"),
        ("./app.py", "app.py", "", "app"),
        ("sub/../app.py", "app.py", "", "app"),
        ("plain/run.py", "plain/run.py", "plain", "run"),
        ("pkg/sub/app.py", "pkg/sub/app.py", "", "pkg.sub.app"),
        ("pkg/__init__.py", "pkg/__init__.py", "", "pkg"),
        ("./pkg", "pkg/__init__.py", "", "pkg"),
        ("pkg/sub/", "pkg/sub/__init__.py", "", "pkg.sub"),
        ("my-app.py", "my-app.py", "", "my-app"),
        ("serve", "serve", "", "serve"),
        ("site.wsgi", "site.wsgi", "", "site"),
        ("v1.2/app.py", "v1.2/app.py", "v1.2", "app"),
        ("v1.2/__init__.py", "v1.2/__init__.py", "v1.2", "__init__"),
    ],
)
def test_a_file(tmp_path: Path, text: str, file: str, root: str, name: str) -> None:
    touch(tmp_path, "app.py", "plain/run.py", "sub/x.py", "pkg/__init__.py", "pkg/sub/__init__.py")
    touch(tmp_path, "pkg/sub/app.py", "my-app.py", "serve", "site.wsgi")
    touch(tmp_path, "v1.2/app.py", "v1.2/__init__.py")

    expected = (text, str(tmp_path / file), None, "", False, str(tmp_path / root), name)

    assert Target.parse(text, str(tmp_path)) == Target(*expected)


def test_an_absolute_file_needs_no_cwd(tmp_path: Path) -> None:
    touch(tmp_path, "app.py")

    target = Target.parse(f"{tmp_path}/app.py")

    assert (target.file, target.root) == (str(tmp_path / "app.py"), str(tmp_path))


def test_the_cwd_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "app.py")
    monkeypatch.chdir(tmp_path)

    assert Target.parse("app.py").file == str(tmp_path / "app.py")
    assert Target.parse("app").root == str(tmp_path)


@pytest.mark.parametrize("text", ["app", "pkg", "pkg.sub.app", "nowhere.to.be", "script"])
def test_a_module(tmp_path: Path, text: str) -> None:
    touch(tmp_path, "app.py", "pkg/__init__.py", "script", "script.py")

    expected = (text, None, text, "", False, str(tmp_path), text)

    assert Target.parse(text, str(tmp_path)) == Target(*expected)


@pytest.mark.parametrize("location", ["app.py", "pkg.module", "odd:name.py"])
@pytest.mark.parametrize(
    ("spelled", "attribute", "call"),
    [
        ("", "", False),
        (":app", "app", False),
        (":site.app", "site.app", False),
        (":create()", "create", True),
        (":Site.make()", "Site.make", True),
    ],
)
def test_an_attribute(
    tmp_path: Path, location: str, spelled: str, attribute: str, *, call: bool
) -> None:
    touch(tmp_path, "app.py", "odd:name.py")

    target = Target.parse(location + spelled, str(tmp_path))

    assert (target.location, target.attribute, target.call) == (location, attribute, call)


def test_a_target_survives_json(tmp_path: Path) -> None:
    """The parent sends it to the child as fields: to parse again may find another file."""
    target = Target.parse("pkg.module:create()", str(tmp_path))

    assert Target(**json.loads(json.dumps(target.fields()))) == target


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_text(tmp_path: Path, text: str) -> None:
    assert (
        complaint(text, tmp_path)
        == 'The target is empty: name a file or a module, such as "app.py:app".'
    )


def test_an_application_instead_of_its_name(tmp_path: Path) -> None:
    class App:
        def __call__(self) -> None: ...

        def __repr__(self) -> str:
            return "<App>"

    assert complaint(App(), tmp_path) == (
        'The target must be text such as "app.py:app", not <App>: '
        "name it as text, or serve the object with asyncreload.run(app)."
    )


def test_something_else_instead_of_text(tmp_path: Path) -> None:
    assert complaint(8000, tmp_path) == 'The target must be text such as "app.py:app", not 8000.'


@pytest.mark.parametrize(
    "text", ["app.py:", "app.py:b:c", "app.py:b(1)", "app.py:()", "app.py:b.", "app.py:class"]
)
def test_a_malformed_attribute(tmp_path: Path, text: str) -> None:
    touch(tmp_path, "app.py")

    assert complaint(text, tmp_path) == (
        f'"{text}" is malformed: after the colon goes a name, as in "app.py:app", '
        'or a call without arguments, as in "app.py:create()".'
    )


def test_nothing_before_the_colon(tmp_path: Path) -> None:
    assert complaint(":app", tmp_path) == (
        '":app" has nothing before the colon: name a file or a module, as in "app.py:app".'
    )


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("appp.py", "app.py"),
        ("pkg/modul.py:app", "pkg/module.py"),
        ("pkg/module", "pkg/module.py"),
        ("pkg/a", "pkg/a.py"),
        ("pkg.a.py", "pkg/a.py"),
    ],
)
def test_a_missing_file_with_a_likely_one(tmp_path: Path, text: str, meant: str) -> None:
    touch(tmp_path, "app.py", "pkg/module.py", "pkg/a.py")

    location = text.partition(":")[0]

    assert complaint(text, tmp_path) == f'There is no file "{location}": did you mean "{meant}"?'


def test_a_missing_file_that_is_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "manage.py", "shop/__init__.py", "shop/management.py")
    monkeypatch.chdir(tmp_path / "shop")
    assert complaint("manage.py", tmp_path / "shop") == (
        'There is no file "manage.py": did you mean "../manage.py"?'
    )


@pytest.mark.parametrize("place", ["app/main.py", "src/main.py", "src/app/main.py"])
def test_a_missing_file_that_is_below(tmp_path: Path, place: str) -> None:
    touch(tmp_path, place, f"{os.path.dirname(place)}/__init__.py")
    assert complaint("main.py", tmp_path) == (
        f'There is no file "main.py": did you mean "{place}"?'
    )


def test_a_missing_file_with_others_that_are_not_like_it(tmp_path: Path) -> None:
    touch(tmp_path, "ev.py", "models.py")
    assert complaint("nope.py", tmp_path) == (
        f'There is no file "nope.py" in {tmp_path}: check the name and where you are.'
    )


def test_a_missing_file(tmp_path: Path) -> None:
    assert complaint("app.py", tmp_path) == (
        f'There is no file "app.py" in {tmp_path}: check the name and where you are.'
    )


def test_a_file_that_need_not_exist(tmp_path: Path) -> None:
    """A child may be started while the file is deleted, to wait for its return."""
    target = Target.parse("app.py", str(tmp_path), must_exist=False)

    assert (target.file, target.name) == (str(tmp_path / "app.py"), "app")


def test_a_directory(tmp_path: Path) -> None:
    touch(tmp_path, "src/a.py", "src/wsgi.py", "other/b.py", "empty/.keep")

    for name, file in [("src", "wsgi.py"), ("other", "b.py"), ("empty", "app.py")]:
        assert complaint(f"{name}/", tmp_path) == (
            f'"{name}/" is a directory: name a file in it, such as "{name}/{file}".'
        )


def test_no_name_of_a_module(tmp_path: Path) -> None:
    touch(tmp_path, "my-app.py")

    assert complaint("my-app", tmp_path) == (
        '"my-app" is neither a file nor a module\'s name: did you mean "my-app.py"?'
    )
    assert complaint("pkg..module", tmp_path) == (
        f'"pkg..module" is neither a file nor a module\'s name in {tmp_path}: '
        "check the name and where you are."
    )


@pytest.mark.parametrize("text", ["a" * 5000, "a" * 5000 + ".py", "x/" + "a" * 5000])
def test_a_text_that_the_system_refuses(text: str, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()

    assert complaint(text, tmp_path) == (
        f'"{text}" cannot be looked up (File name too long): name a file that can be read.'
    )


def test_a_notebook(tmp_path: Path) -> None:
    assert complaint("nb/shop.ipynb:app", tmp_path) == (
        '"nb/shop.ipynb" is a notebook: write "jupyter nbconvert --to script nb/shop.ipynb", '
        'then "asyncreload nb/shop.py".'
    )


@pytest.mark.parametrize("text", ["notes.md", "pages/x.html", "pages/x.html:app"])
def test_what_is_no_code(text: str, tmp_path: Path) -> None:
    touch(tmp_path, "notes.md", "pages/x.html", "shop.py", "pages/site.py")
    file = text.removesuffix(":app")
    app = "shop.py" if file == "notes.md" else "pages/site.py"
    assert complaint(text, tmp_path) == (
        f'"{file}" has no Python code in it: name the file in which the app is, such as "{app}".'
    )
    (tmp_path / file).unlink()
    assert complaint(text, tmp_path).startswith(f'There is no file "{file}"')


def test_a_directory_with_a_file_of_pastedeploy(tmp_path: Path) -> None:
    touch(tmp_path, "web/app.py", "web/development.ini")
    told = complaint("web/", tmp_path)
    assert told.endswith('such as "web/development.ini".')


def test_a_directory_of_packages_is_answered_by_a_file_in_one(tmp_path: Path) -> None:
    touch(tmp_path, "src/shop/__init__.py", "src/shop/main.py")
    assert complaint("src/", tmp_path) == (
        '"src/" is a directory: name a file in it, such as "src/shop/main.py".'
    )

"""Where files lie, and when the table of mounts has changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncreload.child.watch import filesystems
from asyncreload.child.watch.filesystems import MountTable, is_local

TABLE = """\
1 0 8:1 / / rw - ext4 /dev/sda rw
2 1 8:2 / {network} rw shared:1 - nfs server:/ rw
"""


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "mountinfo"
    path.write_text(TABLE.format(network=tmp_path / "net"))
    monkeypatch.setattr(filesystems, "_TABLE", str(path))
    forget()
    yield path
    forget()


def forget() -> None:
    is_local.cache_clear()
    filesystems._mounts.cache_clear()


def test_a_network_mount_is_not_local(table: Path, tmp_path: Path) -> None:
    assert is_local(str(tmp_path))
    assert not is_local(str(tmp_path / "net" / "sub"))


def test_a_table_is_read_again_when_it_is_forgotten(table: Path, tmp_path: Path) -> None:
    mounts = MountTable()
    assert mounts.descriptor is not None
    assert is_local(str(tmp_path / "other"))
    table.write_text(TABLE.format(network=tmp_path / "other"))
    assert is_local(str(tmp_path / "other"))
    mounts.forget()
    assert not is_local(str(tmp_path / "other"))
    mounts.close()
    assert mounts.descriptor is None


def test_where_there_is_no_table_nothing_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystems, "_TABLE", "/there/is/none")
    mounts = MountTable()
    assert mounts.descriptor is None
    mounts.close()

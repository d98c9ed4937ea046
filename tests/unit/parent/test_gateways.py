"""The default gateways, from the tables of routes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from asyncreload.parent.gateways import default_gateways

pytestmark = pytest.mark.skipif(
    sys.byteorder != "little", reason="the tables are those of a little-endian machine"
)

IPV4 = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
"""
DEFAULT = "eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"  # by 172.17.0.1
NOWHERE = "0" * 32
IPV6 = f"""\
fd000000000000000000000000000000 40 {NOWHERE} 00 {NOWHERE} 00000100 00000001 00000000 00000001 eth0
{NOWHERE} 00 {NOWHERE} 00 {NOWHERE} ffffffff 00000001 00000000 00200200       lo
"""
DEFAULT6 = (
    f"{NOWHERE} 00 {NOWHERE} 00 fd000000000000000000000000000001"
    " 00000400 00000002 00000000 00000003     eth0\n"
)


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "expected"),
    [
        (IPV4 + DEFAULT, IPV6 + DEFAULT6, ("172.17.0.1", "fd00::1")),
        (IPV4 + DEFAULT, IPV6, ("172.17.0.1",)),
        (IPV4 + DEFAULT, None, ("172.17.0.1",)),
        (IPV4, DEFAULT6 + IPV6, ("fd00::1",)),
        (IPV4, IPV6, ()),
        ("", "", ()),
        (None, None, ()),
    ],
)
def test_each_family_has_its_gateway(
    ipv4: str | None, ipv6: str | None, expected: tuple[str, ...], tmp_path: Path
) -> None:
    for name, text in (("route", ipv4), ("ipv6_route", ipv6)):
        if text is not None:
            (tmp_path / name).write_text(text)
    assert default_gateways(str(tmp_path)) == expected


def test_of_several_the_one_that_is_used_counts(tmp_path: Path) -> None:
    other = DEFAULT.replace("010011AC", "010012AC")
    dear, down = (other.replace("0003\t0\t0\t0", f"{flags}\t0\t0\t9") for flags in ("0003", "0002"))
    (tmp_path / "route").write_text(IPV4 + dear + DEFAULT)
    assert default_gateways(str(tmp_path)) == ("172.17.0.1",)
    (tmp_path / "route").write_text(IPV4 + down)
    assert default_gateways(str(tmp_path)) == ()


def test_a_part_of_all_addresses_is_no_default(tmp_path: Path) -> None:
    half = DEFAULT.replace("\t00000000\t0\t0\t0\n", "\t00000080\t0\t0\t0\n")
    assert half != DEFAULT
    (tmp_path / "route").write_text(half)
    (tmp_path / "ipv6_route").write_text(DEFAULT6.replace(" 00 ", " 01 ", 1))
    assert default_gateways(str(tmp_path)) == ()

"""Which addresses a configured URL may lead to."""

import pytest

from shared.egress import Egress


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.5",
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "169.254.169.254",  # the clouds' metadata
        "100.64.0.1",
        "192.168.1.1",
        "172.16.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "::ffff:10.0.0.5",
        "::ffff:169.254.169.254",
        "64:ff9b::a00:5",  # 10.0.0.5 through NAT64
        "2002:a00:5::",  # and through 6to4
        "64:ff9b:1::a00:5",  # a NAT64 of one's own
        "::10.0.0.5",  # the compatible form of long ago
        "::ffff:0:10.0.0.5",  # translated
        "2606:2800:220:1:0:5efe:a00:5",  # ISATAP in somebody's network
        "2001:0:a00:5::",  # Teredo
        "fec0::1",  # site-local
        "3fff::1",  # documentation
        "5f00::1",  # segment routing
        "ff02::1",
    ],
)
def test_an_address_inside_is_refused_and_the_refusal_says_what_to_do(address: str) -> None:
    assert "TOCSIN_EGRESS_ALLOW" in (Egress().refusal("hooks.example", address) or "")


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"])
def test_an_address_outside_may_be_called(address: str) -> None:
    assert Egress().refusal("hooks.example", address) is None


def test_what_is_inside_may_be_allowed_by_network_or_by_name() -> None:
    egress = Egress("10.1.0.0/16, Hooks.Internal ")
    assert egress.refusal("x.example", "10.1.2.3") is None
    assert egress.refusal("x.example", "::ffff:10.1.2.3") is None
    assert egress.refusal("hooks.internal", "192.168.0.9") is None
    assert egress.refusal("x.example", "10.2.0.1") is not None


def test_a_literal_is_judged_when_it_is_written_and_a_name_when_it_is_called() -> None:
    assert Egress().literal_refusal("169.254.169.254") is not None
    assert Egress().literal_refusal("localhost") is not None
    assert Egress().literal_refusal("hooks.example") is None

"""Where webhooks may lead: public addresses, and what the settings name; anything else would be our own network."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from ledger.application.webhooks.sending import _retry_after, may_talk_to

PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1",
    "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1",
    "2002:7f00:1::", "2002:a00:1::1", "64:ff9b::10.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b:1::10.0.0.1", "::10.0.0.1",
    "::ffff:0:10.0.0.1", "fec0::1", "4000::1", "5f00::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_address_is_not_talked_to(address: str) -> None:
    assert not may_talk_to(ip_address(address), (), encrypted=True)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_is_talked_to_encrypted_only(address: str) -> None:
    assert may_talk_to(ip_address(address), (), encrypted=True)
    assert not may_talk_to(ip_address(address), (ip_network("8.8.8.0/24"),), encrypted=False)


def test_named_network_is_talked_to_and_unencrypted_only_on_this_machine() -> None:
    named = (ip_network("10.0.0.0/8"), ip_network("127.0.0.0/8"))
    assert may_talk_to(ip_address("10.1.2.3"), named, encrypted=True)
    assert may_talk_to(ip_address("::ffff:10.1.2.3"), named, encrypted=True)
    assert not may_talk_to(ip_address("10.1.2.3"), named, encrypted=False)
    assert may_talk_to(ip_address("127.0.0.1"), named, encrypted=False)
    assert not may_talk_to(ip_address("192.168.0.1"), named, encrypted=True)
    assert not may_talk_to(ip_address("127.0.0.1"), (), encrypted=False)


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [("", 0, 0), ("5", 5, 5), ("soon", 0, 0), ("-1", 0, 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
     ("Wed, 21 Oct 2090 07:28:00 GMT", 10**9, 10**10), ("9" * 400, 10**8, 10**9),
     ("Wed, 21 Oct 2015 07:28:00 +99999999999999999999", 0, 0), (f"{'9' * 20} Oct 2015 07:28:00 GMT", 0, 0)],
)  # fmt: skip
def test_wish_to_be_left_alone_is_read_where_it_can_be(value: str, least: float, most: float) -> None:
    assert least <= _retry_after(value) <= most

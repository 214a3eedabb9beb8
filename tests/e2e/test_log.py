"""The log over HTTP: what a stranger, an auditor and whoever recorded something can verify without trusting us."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from ledger.policy.offices import Office
from ledger.seal.checkpoint import SignedCheckpoint, open_checkpoint
from ledger.seal.entry import decode_entry
from ledger.seal.merkle import Frontier, leaf_hash, root, verify_inclusion
from ledger.seal.note import VerifierKey
from ledger.seal.proof import parse_receipt, verify_receipt
from ledger.seal.tiles import ENTRIES, Tile, read_bundle, tile_at, tiled_nodes
from tests.support.waiting import until

if TYPE_CHECKING:
    import httpx

    from tests.support.api import AClass, Api, Served

AT_ONCE = 10


def key_of(client: httpx.Client) -> VerifierKey:
    answer = client.get("/log/key")
    assert answer.status_code == 200
    [line] = answer.text.splitlines()
    return VerifierKey.parse(line)


def checkpoint_of(client: httpx.Client) -> SignedCheckpoint:
    answer = client.get("/log/checkpoint")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    return open_checkpoint(answer.content, key_of(client))


def sealed(api: Api, position: int) -> bytes:
    answer = api.get(f"/v1/events/{position}/receipt", wait=AT_ONCE)
    assert answer.status_code == 200, answer.text
    return answer.content


def entry_at(auditor: Api, position: int, size: int) -> bytes:
    tile = tile_at(ENTRIES, (position - 1) // 256, size)
    answer = auditor.get(f"/log/{tile.path}")
    assert answer.status_code == 200, answer.text
    return read_bundle(answer.content, tile)[(position - 1) % 256]


def test_receipt_of_a_mark_proves_its_entry(served: Served, a_class: AClass, director: Api) -> None:
    recorded = director.records("/v1/marks", a_class.mark(a_class.students[0]))
    receipt = parse_receipt(sealed(director, recorded["position"]))
    auditor = served.acts(Office.AUDITOR)
    entry = entry_at(auditor, recorded["position"], checkpoint_of(served.anonymous()).checkpoint.size)
    signed = verify_receipt(receipt, entry, key_of(served.anonymous()))
    assert signed.checkpoint.size >= recorded["position"]
    assert decode_entry(entry).event_id == UUID(recorded["events"][-1]["event_id"])


def test_stranger_rebuilds_the_tree_from_tiles_and_finds_its_root(
    served: Served, a_class: AClass, director: Api
) -> None:
    sealed(director, a_class.position)
    anyone = served.anonymous()
    checkpoint = checkpoint_of(anyone).checkpoint

    def load(tile: Tile) -> bytes:
        answer = anyone.get(f"/log/{tile.path}")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        return answer.content

    assert root(tiled_nodes(load, checkpoint.size), checkpoint.size) == checkpoint.root


def test_auditor_recomputes_every_leaf_from_the_entries(served: Served, a_class: AClass, director: Api) -> None:
    sealed(director, a_class.position)
    auditor = served.acts(Office.AUDITOR)
    checkpoint = checkpoint_of(served.anonymous()).checkpoint
    frontier = Frontier()
    for number in range((checkpoint.size + 255) // 256):
        tile = tile_at(ENTRIES, number, checkpoint.size)
        for entry in read_bundle(auditor.get(f"/log/{tile.path}").content, tile):
            frontier.append(leaf_hash(entry))
            assert decode_entry(entry).position == frontier.size
    assert frontier.root() == checkpoint.root


def test_receipt_of_one_event_does_not_serve_for_another(served: Served, a_class: AClass, director: Api) -> None:
    receipt = parse_receipt(sealed(director, a_class.position))
    signed = open_checkpoint(receipt.checkpoint, key_of(served.anonymous()))
    auditor = served.acts(Office.AUDITOR)
    other = entry_at(auditor, a_class.position - 1, signed.checkpoint.size)
    with pytest.raises(Exception, match="does not lead"):
        verify_inclusion(leaf_hash(other), receipt.leaf, signed.checkpoint.size, receipt.path, signed.checkpoint.root)


@pytest.mark.parametrize("office", [Office.TEACHER, Office.SECRETARY])
def test_entries_are_for_those_who_may_follow_the_feed(served: Served, a_class: AClass, office: Office) -> None:
    sealed(served.acts(), a_class.position)
    assert served.acts(office).get("/log/tile/entries/000.p/1").status_code == 403
    assert served.anonymous().get("/log/tile/entries/000.p/1").status_code == 401


@pytest.mark.parametrize(
    "path", ["0/999", "0/x001/000", "7/000", "64/000", "0/0", "0/000.p/0", "0/000.p/256", "0/../key", "x", "0/%00"]
)
def test_tile_that_the_log_does_not_have_is_not_found(served: Served, a_class: AClass, path: str) -> None:
    sealed(served.acts(), a_class.position)
    answer = served.anonymous().get(f"/log/tile/{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_event_that_does_not_exist_has_no_receipt(director: Api) -> None:
    assert director.get("/v1/events/999999999/receipt").status_code == 404
    assert director.get("/v1/events/0/receipt").status_code == 422


def test_receipt_needs_a_token(served: Served, a_class: AClass) -> None:
    assert served.anonymous().get(f"/v1/events/{a_class.position}/receipt").status_code == 401


def test_readiness_tells_how_far_the_log_is(served: Served, a_class: AClass) -> None:
    sealed(served.acts(), a_class.position)
    client = served.anonymous()

    def the_seal() -> dict[str, Any]:
        return next(part for part in client.get("/readyz").json()["parts"] if part["name"] == "seal")

    asyncio.run(until(lambda: the_seal()["position"] >= a_class.position))  # an answer serves for half a second
    assert the_seal()["ready"] is True

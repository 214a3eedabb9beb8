"""Changing the key that signs the log: a new one beside the old one, and after a grace the new one alone.

Each step can be repeated after an interruption and goes on where it stopped. A key is announced (recorded) before it
signs; and it is taken out of the file before its retirement is recorded, so that no checkpoint over that event has its
signature.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ledger.application.record.command import Request, content_of, record
from ledger.application.record.log_keys import AddLogKey, RetireLogKey
from ledger.errors import Conflict, NotFound
from ledger.seal.note import parse_note, verified_by
from ledger.store.database import translated
from ledger.store.log_files import SELECT_NEWEST
from ledger.store.log_keys import add_next_key, is_adding, make_next_key, read_log_keys, read_retired, take_out

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ledger.application.ledger import Ledger
    from ledger.policy.offices import Actor
    from ledger.seal.note import SignerKey, VerifierKey

GRACE = timedelta(days=1)
"""How long both keys sign at least, so that whoever looks once a day has seen both."""

_SINCE = "SELECT clock_timestamp() - added_at FROM {schema}.log_keys WHERE verifier = %b"


async def rotate_log_key(ledger: Ledger, path: Path, actor: Actor, reason: str) -> VerifierKey:
    """Adds a new key to the key file and returns what verifies it; from now on both sign.

    Args:
        path: the key file; whoever does this owns it.
        reason: why, as it is recorded.

    Raises:
        Conflict: two keys sign already. NotFound: the ledger has no school yet. Refused: there is no reason.
    """
    if len(read_log_keys(path)) > 1 and not is_adding(path):
        raise Conflict("Two keys sign the log already.", help="Retire the older one first: `ledger log retire`.")
    key = make_next_key(path).verifier
    command = AddLogKey(school=ledger.id, verifier=str(key), reason=reason)
    await record(ledger, command, _request(ledger, actor, "rotate", key))
    add_next_key(path)
    return key


async def retire_log_key(
    ledger: Ledger, path: Path, actor: Actor, key_id: str, reason: str, *, grace: timedelta = GRACE
) -> VerifierKey:
    """Takes a key out of the key file and returns what verified it; from the recorded event on the others sign alone.

    Args:
        key_id: of the key: the eight digits in the middle of its verifier key.
        grace: how long the newest of the others must have signed beside it.

    Raises:
        NotFound: the file has no such key. Conflict: it is the only one, or the others have not signed long enough.
    """
    keys = read_log_keys(path)
    old = next((key for key in keys if key.verifier.id.hex() == key_id.lower()), None)
    retired = old.verifier if old else next((key for key in read_retired(path) if key.id.hex() == key_id.lower()), None)
    if retired is None:
        listed = ", ".join(key.verifier.id.hex() for key in keys)
        raise NotFound("The key file has no key of this id.", help=f"It has these: {listed}.")
    size = await _signed_until(ledger, [key for key in keys if key != old], grace if old else timedelta())
    if old is not None:
        take_out(path, old)
    command = RetireLogKey(school=ledger.id, verifier=str(retired), signed_until=size, reason=reason)
    await record(ledger, command, _request(ledger, actor, "retire", retired))
    return retired


async def _signed_until(ledger: Ledger, others: Sequence[SignerKey], grace: timedelta) -> int:
    """Returns the size of the newest checkpoint, if the other keys have signed it, and have signed for long enough."""
    if not others:
        raise Conflict("This is the only key of the log.", help="Make a new one first: `ledger log rotate`.")
    with translated():
        async with ledger.keys.connection() as connection:
            newest = await (await connection.execute(ledger.database.bind(SELECT_NEWEST), binary=True)).fetchone()
            since = await (
                await connection.execute(ledger.database.bind(_SINCE), (str(others[-1].verifier),))
            ).fetchone()
    if newest is None or not verified_by(parse_note(bytes(newest[2])), [key.verifier for key in others]):
        raise Conflict(
            "The other key has not signed the newest checkpoint.",
            help="Let `ledger serve` run until it has: a log is continued only by a key that has signed it.",
        )
    if since is None or since[0] < grace:
        raise Conflict(
            f"The newest key has signed for less than {grace.total_seconds() / 3600:g} hours.",
            help="Let inspectors and witnesses learn it first. If the old key was stolen: --grace-hours 0.",
        )
    return int(newest[0])


def _request(ledger: Ledger, actor: Actor, what: str, key: VerifierKey) -> Request:
    """Returns a request that is the same one when the step is repeated, by whomever."""
    name = f"log {what} {key.id.hex()}"
    return Request(actor, name, content_of(name, str(key)), client=ledger.id)

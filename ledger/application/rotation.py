"""Changing the key that signs the log: a new one beside the old one, and after a grace the new one alone.

With a key file the commands change the file. Keys in the environment (LEDGER_LOG_KEY) can only be changed by whoever
sets it, so there each command records one half, and checks that the other half was done in the right order.

Each step can be repeated after an interruption and goes on where it stopped. A key is announced (recorded) before it
signs; and it is taken out of the file before its retirement is recorded, so that no checkpoint over that event has its
signature.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ledger.application.record.command import Request, content_of, record
from ledger.application.record.log_keys import AddLogKey, RetireLogKey
from ledger.errors import Conflict, InvalidInput, NotFound, NotProven
from ledger.seal.note import Note, VerifierKey, parse_note, verified_by
from ledger.store.database import translated
from ledger.store.log_files import SELECT_NEWEST
from ledger.store.log_keys import add_next_key, is_adding, make_next_key, read_log_keys, read_retired, take_out

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ledger.application.ledger import Ledger
    from ledger.policy.offices import Actor
    from ledger.store.log_key_source import LogKeyVariable

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


async def announce_log_key(
    ledger: Ledger, source: LogKeyVariable, actor: Actor, verifier: str, reason: str
) -> VerifierKey:
    """Records a key that is to be added to the environment's, and returns it; from the sealer's restart on both sign.

    Args:
        verifier: of the new key, as a vkey; the key itself is not needed here.
        reason: why, as it is recorded.

    Raises:
        InvalidInput: it is no key of this log. Conflict: two others sign already. Refused: there is no reason.
    """
    signing = [key.verifier for key in source.read()]
    try:
        key = VerifierKey.parse(verifier)
    except NotProven as error:
        raise InvalidInput("This is no verifier key.", help=error.help) from error
    if key.name != signing[0].name or key in source.retired():
        raise InvalidInput(
            "This key cannot sign this log.",
            help=f"Make a new one of the same name: `ledger keygen --log --origin {signing[0].name} -`.",
        )
    if len([other for other in signing if other != key]) > 1:
        raise Conflict("Two keys sign the log already.", help="Retire the older one first: `ledger log retire`.")
    if signing == [key]:
        raise Conflict("This key signs the log alone.", help="Give the verifier key of a new one.")
    command = AddLogKey(school=ledger.id, verifier=str(key), reason=reason)
    await record(ledger, command, _request(ledger, actor, "rotate", key))
    return key


async def retire_given_key(
    ledger: Ledger, source: LogKeyVariable, actor: Actor, key_id: str, reason: str, *, grace: timedelta = GRACE
) -> VerifierKey:
    """Records that a key was taken out of the environment, once the log is sealed without it, and returns it.

    Args:
        key_id: of the key: the eight digits in the middle of its verifier key.
        grace: how long the newest of the others must have signed beside it.

    Raises:
        NotFound: there is no such key. Conflict: it still signs, with what is to be done; or see `retire_log_key`.
    """
    signing, gone = [key.verifier for key in source.read()], source.retired()
    old = next((key for key in (*signing, *gone) if key.id.hex() == key_id.lower()), None)
    if old is None:
        listed = ", ".join(key.id.hex() for key in (*signing, *gone))
        raise NotFound("LEDGER_LOG_KEY has no key of this id.", help=f"It has these: {listed}.")
    size, note = await _signed_until(ledger, [key for key in signing if key != old], grace)
    if old in signing:
        raise Conflict(
            "The key is in LEDGER_LOG_KEY, and signs as long as it is.",
            help="It may go now: put its verifier key in its place for every sealer, restart them, and repeat this.",
        )
    if verified_by(note, [old]):
        raise Conflict(
            "The newest checkpoint still has the key's signature.",
            help="Restart every sealer without the key, wait until a further event is sealed, and repeat this.",
        )
    command = RetireLogKey(school=ledger.id, verifier=str(old), signed_until=size, reason=reason)
    await record(ledger, command, _request(ledger, actor, "retire", old))
    return old


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
    others = [key.verifier for key in keys if key != old]
    size, _ = await _signed_until(ledger, others, grace if old else timedelta())
    if old is not None:
        take_out(path, old)
    command = RetireLogKey(school=ledger.id, verifier=str(retired), signed_until=size, reason=reason)
    await record(ledger, command, _request(ledger, actor, "retire", retired))
    return retired


async def _signed_until(ledger: Ledger, others: Sequence[VerifierKey], grace: timedelta) -> tuple[int, Note]:
    """Returns size and note of the newest checkpoint, if the others have signed it, and have signed for long enough."""
    if not others:
        raise Conflict("This is the only key of the log.", help="Make a new one first: `ledger log rotate`.")
    with translated():
        async with ledger.keys.connection() as connection:
            newest = await (await connection.execute(ledger.database.bind(SELECT_NEWEST), binary=True)).fetchone()
            since = await (await connection.execute(ledger.database.bind(_SINCE), (str(others[-1]),))).fetchone()
    if newest is None or not verified_by(parse_note(bytes(newest[2])), others):
        raise Conflict(
            "The other key has not signed the newest checkpoint.",
            help="Let `ledger serve` run until it has: a log is continued only by a key that has signed it.",
        )
    if since is None or since[0] < grace:
        raise Conflict(
            f"The newest key has signed for less than {grace.total_seconds() / 3600:g} hours.",
            help="Let inspectors and witnesses learn it first. If the old key was stolen: --grace-hours 0.",
        )
    return int(newest[0]), parse_note(bytes(newest[2]))


def _request(ledger: Ledger, actor: Actor, what: str, key: VerifierKey) -> Request:
    """Returns a request that is the same one when the step is repeated, by whomever."""
    name = f"log {what} {key.id.hex()}"
    return Request(actor, name, content_of(name, str(key)), client=ledger.id)

"""Asking witnesses to vouch: each new checkpoint goes to every configured witness, and its cosignature is kept.

One thread a witness, so that a slow one holds up neither sealing nor the others. A checkpoint that was overtaken while
a witness did not answer is never sent: the newest one vouches for all before it. What a witness says is verified before
it is stored.

That a witness says that it knows another history (409 with a size that the log has not reached, or 422) proves nothing,
since the protocol has no signature for it: a broken witness could stop the log. So it is that witness's trouble, kept
in the database and shown until the witness vouches again or an operator has looked into it (`store/log_troubles.py`).
"""

from __future__ import annotations

import logging
from functools import lru_cache, partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import httpx

from ledger.errors import NotProven, SettingsError, StoreUnavailable
from ledger.seal.merkle import consistency_proof
from ledger.seal.note import COSIGNATURE, VerifierKey, parse_note
from ledger.seal.strict import read_number
from ledger.seal.witness import SIZE_TYPE, Request, Verdict, read_cosignature
from ledger.store.database import translated
from ledger.store.log_files import load_nodes, newest
from ledger.store.log_troubles import end_trouble, note_trouble
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    import psycopg

    from ledger.store.database import Database, Row
    from ledger.store.log_files import StoredCheckpoint

logger = get_logger(__name__)

LOOK_S = 0.5
"""Between looks for a new checkpoint."""

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
ANSWER_S = 10.0
MAX_ANSWER = 64 * 1024
TRIES = 3
"""Questions in one step: each is another only because the witness named a size that its log does have."""

_KNOWN = "SELECT coalesce(max(size), 0) FROM {schema}.log_cosignatures WHERE witness = %b"
_KEEP = "INSERT INTO {schema}.log_cosignatures (size, witness, line) VALUES (%b, %b, %b) ON CONFLICT DO NOTHING"


class WitnessAddress(NamedTuple):
    """A witness: where it is asked, and the key with which it vouches."""

    url: str
    key: VerifierKey


@lru_cache(maxsize=8)
def read_witnesses(path: Path | None) -> tuple[WitnessAddress, ...]:
    """Returns the witnesses of a file, one a line: its address, a space, its verifier key; `#` begins a comment.

    Read once by a process: a changed list takes effect with its next start.

    Raises:
        SettingsError: the file or a line cannot be used.
    """
    if path is None:
        return ()
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"The list of witnesses {path} cannot be read.", help="Check LEDGER_WITNESS_FILE."
        ) from error
    found = []
    for line in lines:
        if not line or line.startswith("#"):
            continue
        url, _, text = line.partition(" ")
        try:
            key = VerifierKey.parse(text)
        except NotProven as error:
            raise SettingsError(f"The key of the witness {url} is none.", help=error.help) from error
        if key.kind != COSIGNATURE or not _usable(url):
            raise SettingsError(
                f"The witness {url} cannot be used.",
                help="Each line is `https://address key`, with a cosignature/v1 key, as `ledger witness` prints it.",
            )
        found.append(WitnessAddress(url.rstrip("/"), key))
    if min(len({witness.key.name for witness in found}), len({witness.key.public for witness in found})) < len(found):
        raise SettingsError("A witness is listed twice.", help="Each witness vouches once.")
    return tuple(found)


def _usable(url: str) -> bool:
    """Tells whether an address is encrypted, or on this very machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return True
    try:
        return parts.scheme == "http" and ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


class Contradicted(NotProven):
    """A witness says that what it knows of the log is not what the database has, and shows no proof."""


class Unwilling(httpx.ProtocolError):
    """A witness answers that it does not vouch, and why in words of ours; nothing of its answer is repeated."""


class Cosigning:
    """Follows the checkpoints for one witness; belongs to one thread."""

    def __init__(self, database: Database, witness: WitnessAddress) -> None:
        self._database = database
        self._witness = witness
        self._vouched: int | None = None
        """Size of its newest cosignature that we have; None: not looked up yet."""
        self._known = 0
        """Size that the witness is believed to know."""

    def run(self, stop: threading.Event) -> None:
        """Asks for a cosignature whenever there is a new checkpoint, until `stop` is set."""
        pause = FIRST_PAUSE_S
        with httpx.Client(timeout=ANSWER_S, follow_redirects=False) as client:
            while not stop.is_set():
                try:
                    with translated(), self._database.connect("sealer") as connection:
                        while not stop.is_set():
                            if not self.step(connection, client):
                                stop.wait(LOOK_S)
                            pause = FIRST_PAUSE_S
                except (StoreUnavailable, NotProven, httpx.HTTPError) as error:
                    reason = error.detail if isinstance(error, Contradicted) else type(error).__name__
                    if isinstance(error, Unwilling):
                        reason = str(error)
                    level = logging.ERROR if isinstance(error, Contradicted) else logging.WARNING
                    logger.log(level, "A witness does not vouch.", witness=self._witness.key.name, reason=reason)
                    stop.wait(pause)
                    pause = min(pause * 2, LONGEST_PAUSE_S)

    def step(self, connection: psycopg.Connection[Row], client: httpx.Client) -> bool:
        """Asks for the newest checkpoint's cosignature if it is missing; tells whether the witness has vouched.

        Raises:
            Contradicted: it says that it knows another history, or the database now holds less than it has vouched for
                since we ask it; that is noted. NotProven: its answer is not its own.
            httpx.HTTPError: there is no answer, or one that says that it cannot vouch.
        """
        if self._vouched is None:
            row = connection.execute(self._database.bind(_KNOWN), (str(self._witness.key),)).fetchone()
            self._vouched = self._known = int(row[0]) if row else 0
        status = 0
        for _ in range(TRIES):
            stored = newest(connection, self._database)
            size = stored.size if stored else 0
            if size < self._known:
                said, self._vouched = _too_many(self._known), None
                raise self._contradicted(connection, said)
            if stored is None or size == self._vouched:
                return False
            status, kind, body = self._ask(connection, client, stored)
            if status == Verdict.COSIGNED:
                self._keep(connection, stored, body)
                return True
            if status == Verdict.UNPROVEN:
                raise self._contradicted(connection, _another(self._known))
            if status != Verdict.CONFLICT or not kind.startswith(SIZE_TYPE):
                break
            known = read_number(body.decode("ascii", "replace").removesuffix("\n"), "size that the witness knows")
            # While it was asked, the log may have grown and another host's question have come first.
            there = newest(connection, self._database)
            if known > (there.size if there else 0):
                raise self._contradicted(connection, _too_many(known))
            if known == self._known:
                raise self._contradicted(connection, _another(known))
            self._known = known
        raise Unwilling(_unwilling(status))

    def _contradicted(self, connection: psycopg.Connection[Row], said: str) -> Contradicted:
        """Notes what the witness says, for everybody and across restarts, and returns it for raising."""
        told = f"The witness {self._witness.key.name} says: {said}."
        note_trouble(connection, self._database, str(self._witness.key), told)
        return Contradicted(told, help="It shows no proof. Ask for the checkpoint that it signed; see docs/log.md.")

    def _keep(self, connection: psycopg.Connection[Row], stored: StoredCheckpoint, body: bytes) -> None:
        """Keeps a cosignature after verifying it; whatever the witness said before is over with it.

        Raises:
            NotProven: it is not the witness's.
        """
        witness = str(self._witness.key)
        line, _ = read_cosignature(body, parse_note(stored.note).text, self._witness.key)
        with connection.transaction():
            connection.execute(self._database.bind(_KEEP), (stored.size, witness, line.line().encode()))
            over = end_trouble(connection, self._database, witness)
            connection.execute(self._database.bind("NOTIFY {schema}_log"))
        if over:
            logger.info("A witness that contradicted the log vouches for it.", witness=self._witness.key.name)
        self._vouched = self._known = stored.size

    def _ask(
        self, connection: psycopg.Connection[Row], client: httpx.Client, stored: StoredCheckpoint
    ) -> tuple[int, str, bytes]:
        prove = partial(consistency_proof, old=self._known, new=stored.size)
        proof = prove(load_nodes(connection, self._database, stored.size, prove))
        request = Request(self._known, tuple(proof), parse_note(stored.note))
        url, plain = f"{self._witness.url}/add-checkpoint", {"Accept-Encoding": "identity"}
        with client.stream("POST", url, content=bytes(request), headers=plain) as answer:
            body = b""
            for chunk in answer.iter_raw():  # nothing is unpacked: what is sent is what it takes to hold it
                body += chunk
                if len(body) > MAX_ANSWER:
                    message = "The answer is too long."
                    raise httpx.ProtocolError(message)
            return answer.status_code, answer.headers.get("content-type", ""), body


def _unwilling(status: int) -> str:
    why = ""
    if status == Verdict.UNSIGNED:
        why = ": it knows no key that has signed the checkpoint; its operator must add the new one (--log)"
    elif status == Verdict.UNKNOWN:
        why = ": it does not know this log; its operator must add the log's verifier key (--log)"
    return f"HTTP status {status}{why}"


def _too_many(size: int) -> str:
    return f"it has vouched for {size} events; there are not so many"


def _another(size: int) -> str:
    if not size:
        return "it has vouched for nothing, and refuses the log from its beginning"
    return f"the log does not continue the {size} events for which it has vouched"

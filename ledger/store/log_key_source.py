"""Where the log's signing keys come from: their file, or the environment (LEDGER_LOG_KEY). Never the database.

A file can be replaced under a running sealer, and has its neighbours: the mark of a first key, the list of retired
ones. The environment of a process never changes, and nothing can stand beside it. So there keys change with a restart,
retired keys stand among the others as verifier keys, and there is no mark: that such a key has signed nothing an
operator says (`ledger log anchor --accept`), since nothing else could tell it from one whose log was removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ledger.errors import NotProven, SettingsError
from ledger.seal.note import ED25519, SIGNER, SignerKey, VerifierKey, distinct
from ledger.store.log_keys import LogKeyFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ledger.settings import Settings

VARIABLE = "LEDGER_LOG_KEY"

_HELP = (
    f"{VARIABLE} holds keys as `ledger keygen --log --origin NAME -` prints them, several by commas or lines, all of"
    " one name; a key that signs no more stands there as its verifier key."
)


class LogKeySource(Protocol):
    """What a sealer, and whoever looks at a log, asks of the place of its keys."""

    @property
    def place(self) -> str:
        """The place, in words for an operator."""
        ...

    @property
    def there(self) -> bool:
        """Whether there are any keys."""
        ...

    def read(self) -> tuple[SignerKey, ...]:
        """Returns the keys that sign, the oldest first.

        Raises:
            SettingsError: they cannot be read; nothing of them is told.
        """
        ...

    def changed(self) -> tuple[SignerKey, ...] | None:
        """Returns the keys if they are others than last time, else None.

        Raises:
            SettingsError: as `read`.
        """
        ...

    def is_unused(self, keys: Iterable[SignerKey]) -> bool:
        """Tells whether it is sure that the keys have signed nothing."""
        ...

    def mark_used(self, keys: Iterable[SignerKey]) -> None:
        """Keeps that they have signed.

        Raises:
            SettingsError: that cannot be kept.
        """
        ...

    def retired(self) -> tuple[VerifierKey, ...]:
        """Returns the keys that signed once.

        Raises:
            SettingsError: they cannot be read.
        """
        ...


class LogKeyVariable:
    """The keys of the environment.

    Args:
        text: of the variable; a line that begins with `#` is a comment, so that the content of a key file will do.
    """

    place = VARIABLE
    there = True

    def __init__(self, text: str) -> None:
        self._text = text
        self._seen = False

    def __repr__(self) -> str:
        """Returns the name of the variable alone: a key must not get into a log."""
        return f"LogKeyVariable({VARIABLE})"

    def read(self) -> tuple[SignerKey, ...]:
        """See `LogKeySource`."""
        return self._parsed()[0]

    def retired(self) -> tuple[VerifierKey, ...]:
        """See `LogKeySource`."""
        return self._parsed()[1]

    def changed(self) -> tuple[SignerKey, ...] | None:
        """See `LogKeySource`; after the first time there is nothing new."""
        if self._seen:
            return None
        keys = self.read()
        self._seen = True
        return keys

    def is_unused(self, keys: Iterable[SignerKey]) -> bool:  # noqa: ARG002 - of the protocol
        """Tells that it is never sure."""
        return False

    def mark_used(self, keys: Iterable[SignerKey]) -> None:
        """Does nothing: there is no mark."""

    def _parsed(self) -> tuple[tuple[SignerKey, ...], tuple[VerifierKey, ...]]:
        lines = [line for line in self._text.splitlines() if not line.lstrip().startswith("#")]
        parts = [part.strip() for line in lines for part in line.split(",") if part.strip()]
        try:
            signing = tuple(SignerKey.parse(part) for part in parts if part.startswith(SIGNER))
            retired = tuple(VerifierKey.parse(part) for part in parts if not part.startswith(SIGNER))
            keys = distinct([*(key.verifier for key in signing), *retired])
        except NotProven:
            # Not chained: whoever shows a cause must not come near the text.
            raise SettingsError(f"{VARIABLE} holds something that is no key, or one twice.", help=_HELP) from None
        if not signing or len({key.name for key in keys}) != 1 or any(key.kind != ED25519 for key in keys):
            raise SettingsError(f"{VARIABLE} must hold signing keys of one log.", help=_HELP)
        return signing, retired


def log_keys_of(settings: Settings) -> LogKeyFile | LogKeyVariable:
    """Returns where the settings say that the log's keys are; the environment comes before a file."""
    if settings.log_key is not None:
        return LogKeyVariable(settings.log_key.get_secret_value())
    return LogKeyFile(settings.log_key_path)

"""An OpenID Connect provider's keys: fetched from it, or read from a file; kept while it cannot be reached.

Keys are looked up anew at intervals, whether tokens come or not, and at a token that names a key which we do not have,
at most every so many seconds however many such tokens come. Keys that the provider has taken back are gone with the
next look that succeeds, all of them where its set has none left. What it answers is bounded in size and time, no
redirect is followed, and only `https` is spoken, but to this machine.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Self

import httpx

from ledger.addresses import is_safe_url
from ledger.errors import InvalidInput, LedgerError
from ledger.identity.compact import Malformed, read_object
from ledger.identity.keys import read_keys
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ledger.identity.keys import SigningKey

logger = get_logger(__name__)

DISCOVERY = "/.well-known/openid-configuration"
ANSWER_S = 5.0
"""For one look, discovery included."""
MAX_ANSWER = 512 * 1024
RETRY_S = 1.0
"""Pause after a look that failed, before the next one."""


class ProviderAway(LedgerError):
    """The provider does not answer, or what it answers cannot be used; keys that we have go on serving."""

    code = "provider-away"


class Provider:
    """The keys of one provider; belongs to one event loop.

    Args:
        issuer: the provider's name, under which its discovery document lies.
        where: the URL or the file of its key set; None asks the discovery document.
        refetch_s: between two looks that unknown keys cause, and after one that failed.
        refresh_s: after which keys are looked up anew in any case, so that one which was taken back is gone.
    """

    def __init__(self, issuer: str, where: str | None, *, refetch_s: float, refresh_s: float) -> None:
        self.issuer = issuer
        self._where = where
        self._refetch_s, self._refresh_s = refetch_s, refresh_s
        self._keys: Mapping[str, SigningKey] = {}
        self._looked: float | None = None
        self._failed = False
        self._look: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self.generation = 0
        """Goes up with every change of the keys: what was verified with earlier ones is verified again."""

    @property
    def keys(self) -> Mapping[str, SigningKey]:
        """The keys as of the last look that succeeded, by name."""
        return self._keys

    @property
    def failing(self) -> bool:
        """Whether the last look failed."""
        return self._failed

    async def __aenter__(self) -> Self:
        """Begins to look, and waits for nothing: the ledger starts with a provider that is away, too."""
        self._refreshing = asyncio.create_task(self._refresh(), name="provider-refresh")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends looking, and a look under way."""
        for task in (self._refreshing, self._look):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _refresh(self) -> None:
        """Looks at intervals: a key that was taken back must not serve until somebody happens to ask for it."""
        while True:
            await asyncio.wait([self._start()])
            await asyncio.sleep(max(self._refetch_s, RETRY_S) if self._failed else self._refresh_s)

    async def key_for(self, kid: str) -> None:
        """Returns when there is nothing more to wait for: the key is there, or looking now would find none.

        All who wait at the same time wait for one look.
        """
        if kid in self._keys:
            return
        if self._look is None or self._look.done():
            pause = min(RETRY_S, self._refetch_s) if self._failed else self._refetch_s
            if self._age() < pause:
                return
        await asyncio.shield(self._start())  # whoever goes away must not take the answer of the others along

    def _age(self) -> float:
        return float("inf") if self._looked is None else monotonic() - self._looked

    def _start(self) -> asyncio.Task[None]:
        """Returns the look under way, or a new one."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self.look(), name="provider-keys")
        return self._look

    async def look(self) -> None:
        """Looks up the keys; what goes wrong is logged, and the keys that we have stay."""
        try:
            keys = await fetch_keys(self.issuer, self._where)
        except LedgerError as error:
            self._failed = True
            logger.warning("The provider's keys could not be fetched.", why=error.detail, held=len(self._keys))
        else:
            self._failed = False
            if not keys:
                logger.error(
                    "The provider's key set has no usable key: nobody can log in.",
                    forgotten=len(self._keys),
                    usable="named Ed25519, P-256, or RSA from 2048 bits",
                )
            if _what_they_verify(keys) != _what_they_verify(self._keys):
                self._keys = keys
                self.generation += 1
                logger.info("The provider's keys were fetched.", keys=len(keys))
        finally:
            self._looked = monotonic()


def _what_they_verify(keys: Mapping[str, SigningKey]) -> dict[str, tuple[str, frozenset[str]]]:
    return {kid: (key.thumbprint, key.algorithms) for kid, key in keys.items()}


async def fetch_keys(issuer: str, where: str | None) -> dict[str, SigningKey]:
    """Returns the provider's keys as they are now.

    Args:
        issuer: the provider.
        where: the URL or the file of its key set; None asks its discovery document.

    Raises:
        ProviderAway: it does not answer in time, or not with what it should.
    """
    if where is not None and "://" not in where:
        try:
            return read_keys(await asyncio.to_thread(Path(where).read_bytes))
        except OSError as error:
            raise ProviderAway(f"The key set {where} cannot be read.", help="Check LEDGER_OIDC_JWKS.") from error
        except InvalidInput as error:
            raise ProviderAway(error.detail, help=error.help) from None
    try:
        async with (
            asyncio.timeout(ANSWER_S),
            httpx.AsyncClient(
                verify=ssl.create_default_context(),
                follow_redirects=False,
                trust_env=False,
                timeout=ANSWER_S,
                headers={"Accept": "application/json"},
            ) as client,
        ):
            address = where or await _discover(client, issuer)
            return read_keys(await _get(client, address))
    except (httpx.HTTPError, OSError, TimeoutError) as error:
        raise ProviderAway(
            f"The provider does not answer ({type(error).__name__}).", help="Check LEDGER_OIDC_ISSUER and the network."
        ) from error
    except (httpx.InvalidURL, UnicodeError) as error:  # what the client cannot take apart, and a host that is none
        raise ProviderAway(
            f"The address of the provider's keys cannot be used ({type(error).__name__}).", help="Set LEDGER_OIDC_JWKS."
        ) from error
    except InvalidInput as error:
        raise ProviderAway(error.detail, help=error.help) from None


async def _discover(client: httpx.AsyncClient, issuer: str) -> str:
    """Returns where the key set is by the provider's discovery document (OpenID Connect Discovery 1.0, section 4)."""
    try:
        document = read_object(await _get(client, issuer.rstrip("/") + DISCOVERY))
    except Malformed as error:
        raise ProviderAway(f"The provider's discovery document is {error}.", help="Set LEDGER_OIDC_JWKS.") from None
    if document.get("issuer") != issuer:
        raise ProviderAway(
            "The provider's discovery document names another issuer.", help="LEDGER_OIDC_ISSUER is its exact text."
        )
    address = document.get("jwks_uri")
    if not isinstance(address, str) or not is_safe_url(address):
        raise ProviderAway("The provider names no https address of its keys.", help="Set LEDGER_OIDC_JWKS.")
    return address


async def _get(client: httpx.AsyncClient, url: str) -> bytes:
    async with client.stream("GET", url) as answer:
        if answer.status_code != httpx.codes.OK:
            raise ProviderAway(
                f"The provider answers {answer.status_code}.", help="No redirect is followed: give the address itself."
            )
        body = bytearray()
        async for piece in answer.aiter_bytes():
            body += piece
            if len(body) > MAX_ANSWER:
                raise ProviderAway("The provider answers with more than 512 KiB.", help="Check LEDGER_OIDC_JWKS.")
        return bytes(body)

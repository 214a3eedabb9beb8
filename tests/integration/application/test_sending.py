"""Sending a message over a real connection: certificates, redirects, endless and silent receivers."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from datetime import timedelta
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from standardwebhooks.webhooks import Webhook

from ledger.application.webhooks import sending
from ledger.application.webhooks.sending import Outcome, Sender
from ledger.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"


def certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """Writes a certificate for a host and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = utc_now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    paths = folder / f"{host}.pem", folder / f"{host}.key"
    paths[0].write_bytes(made.public_bytes(encoding))
    paths[1].write_bytes(private)
    return paths


@asynccontextmanager
async def listening(serve: Serve, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serves on a free port of this machine."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the sender has gone, as it should
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def send(url: str) -> Outcome:
    async with Sender(url, LOOPBACK) as sender:
        return await sender.send("an-id", b'{"id": "an-id"}', "application/cloudevents+json", [SECRET])


async def test_message_is_encrypted_for_the_host_that_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        body = await reader.readexactly(15)
        headers = dict(line.split(": ", 1) for line in heads[-1].decode().splitlines()[1:] if line)
        assert Webhook(SECRET).verify(body, headers) == {"id": "an-id"}
        writer.write(TAKEN)
        await writer.drain()

    own, other = certificate(tmp_path, "localhost"), certificate(tmp_path, "elsewhere.example")
    for pair, expected in ((own, ""), (other, "The connection failed: ConnectError.")):
        monkeypatch.setenv("SSL_CERT_FILE", str(pair[0]))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*pair)
        async with listening(take, context) as port:
            assert await send(f"https://localhost:{port}/hook?a=1") == Outcome(expected)
            assert await send(f"https://127.0.0.1:{port}/hook") == Outcome("The connection failed: ConnectError.")
    (head,) = heads
    assert head.startswith(b"POST /hook?a=1 HTTP/1.1\r\n")
    assert b"Host: localhost:" in head


async def test_redirect_leads_nowhere_and_endless_answers_are_not_read() -> None:
    asked = []

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with listening(redirect) as port:
        assert await send(f"http://127.0.0.1:{port}/") == Outcome("HTTP 302")
    assert len(asked) == 1
    async with listening(endless) as port:
        assert await send(f"http://127.0.0.1:{port}/") == Outcome()


async def test_receiver_that_says_nothing_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "TIMEOUT_S", 0.2)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        await reader.read()

    async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    for serve in (silent, dripping):
        async with listening(serve) as port:
            assert (await send(f"http://127.0.0.1:{port}/")).failure.startswith("No answer within")


async def test_who_is_not_there_is_a_failure_in_neutral_words() -> None:
    async with listening(lambda *_: asyncio.sleep(0)) as port:
        pass
    assert (await send(f"http://127.0.0.1:{port}/")).failure == "The connection failed: ConnectError."
    assert (await send("https://no-such-host.invalid/")).failure == "The name of the host cannot be resolved."
    assert (await send("http://school.example/")).failure == "The URL is none that a webhook may have."

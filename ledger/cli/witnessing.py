"""`ledger witness`: vouching for other people's logs, alone on a machine of another organisation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from ledger.cli.console import LedgerGroup, example, out
from ledger.errors import Conflict, NotProven, SettingsError
from ledger.seal.note import COSIGNATURE, SignerKey, VerifierKey
from ledger.settings import read_settings
from ledger.store.witness_state import WitnessState
from ledger.telemetry.logs import configure

witness_app = typer.Typer(
    cls=LedgerGroup, no_args_is_help=True, help="Vouch for logs of other organisations.", pretty_exceptions_enable=False
)

KeyFile = Annotated[Path, typer.Option("--key-file", dir_okay=False, help="The witness's own key.")]


@witness_app.command("keygen", epilog=example("ledger witness keygen witness.example/w1 --key-file witness.key"))
def keygen(
    name: Annotated[str, typer.Argument(help="The witness's name for ever, such as `witness.example/w1`.")],
    key_file: KeyFile,
) -> None:
    """Make a witness's key and print what logs need to know of it; never overwrites one."""
    signer = SignerKey(name, COSIGNATURE, os.urandom(32))
    try:
        SignerKey.parse(signer.export())
    except NotProven as error:
        raise SettingsError("A witness's name has neither spaces nor plus signs.", help=error.help) from error
    try:
        descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise Conflict(f"{key_file} exists.", help="A key is never overwritten; name another file.") from error
    except OSError as error:
        raise SettingsError(f"{key_file} cannot be written ({error.strerror}).", help="Name another file.") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(signer.export() + "\n")
        file.flush()
        os.fsync(file.fileno())
    out.print(str(signer.verifier), markup=False)


@witness_app.command(
    "serve",
    epilog=example('ledger witness serve --key-file witness.key --state witness.sqlite --log "$(cat log.vkey)"'),
)
def serve(
    key_file: KeyFile,
    state: Annotated[Path, typer.Option(dir_okay=False, help="SQLite file of what was vouched for: never lose it.")],
    log: Annotated[
        list[str], typer.Option("--log", metavar="VKEY", help="Verifier key of a log to vouch for; may be repeated.")
    ],
    host: Annotated[str, typer.Option(help="Address to listen on; put TLS in front.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8010,
) -> None:
    """Serve add-checkpoint: cosign each checkpoint that continues what was cosigned before. Ctrl-C stops it."""
    from ledger.api.server import listen  # noqa: PLC0415 - the web framework takes longer to load than most commands run
    from ledger.api.witness import Witness, create_witness  # noqa: PLC0415 - likewise

    settings = read_settings()
    configure(settings.log_level, settings.log_format, process="witness")
    signer = _signer(key_file)
    logs: dict[str, list[VerifierKey]] = {}
    for text in log:
        key = VerifierKey.parse(text)
        logs.setdefault(key.name, []).append(key)
    app = create_witness(Witness(signer, logs, WitnessState(state)))
    listening = listen(host, port)
    address = f"http://{host}:{listening.getsockname()[1]}"
    out.print(f"Свидетель / witness {signer.name} on {address}. Line for a log's list of witnesses:", markup=False)
    out.print(f"{address} {signer.verifier}", markup=False)
    config = uvicorn.Config(app, ws="none", access_log=False, log_config=None, server_header=False, proxy_headers=False)
    uvicorn.Server(config).run(sockets=[listening])


def _signer(path: Path) -> SignerKey:
    try:
        signer = SignerKey.parse(path.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"The key file {path} cannot be read.", help="Make one: `ledger witness keygen`."
        ) from error
    if signer.kind != COSIGNATURE:
        raise SettingsError("This is no witness's key.", help="Make one: `ledger witness keygen`.")
    return signer

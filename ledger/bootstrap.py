"""The only place where parts are wired. Everything else is given what it uses.

Opening a ledger starts the embedded PostgreSQL where no database is set, migrates as the owner, and proves that the
key-encryption key is the ledger's. Construct it after forking: connections and the executor belong to one process.
"""

from __future__ import annotations

from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ledger.aggregates.registry import EVENTS
from ledger.application.cosigning import Cosigning, read_witnesses
from ledger.application.ledger import Ledger
from ledger.application.log import watch_seal
from ledger.application.webhooks.dispatcher import Dispatcher
from ledger.clock import school_calendar
from ledger.errors import SettingsError
from ledger.projections.runner import ProjectionRunner
from ledger.projections.views import all_views
from ledger.store.anchor import Anchor
from ledger.store.database import Database, translated
from ledger.store.embedded import EmbeddedPostgres
from ledger.store.executor import CommandExecutor, ExecutorSettings
from ledger.store.keyring import KeyEncryptionKeys, Keyring
from ledger.store.log_files import newest
from ledger.store.log_key_source import log_keys_of
from ledger.store.log_keys import make_log_key
from ledger.store.mapper import EventMapper
from ledger.store.migrate import migrate
from ledger.store.openings import CountedKeyring, Openings, OpeningsLog
from ledger.store.sealer import Sealer
from ledger.store.secrets import ensure_secrets, ledger_id, load_hasher
from ledger.store.tail import Tail
from ledger.telemetry.logs import get_logger
from ledger.telemetry.parts import Telemetry, telemetry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from uuid import UUID

    from ledger.projections.view import View
    from ledger.settings import Settings
    from ledger.store.secrets import Hasher

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Foundation:
    """What a process needs before it opens connections: where the database is, and its secrets."""

    id: UUID
    settings: Settings
    database: Database
    keks: KeyEncryptionKeys
    hasher: Hasher
    mapper: EventMapper
    views: Sequence[View]
    telemetry: Telemetry = field(default_factory=Telemetry)

    def runner(self) -> ProjectionRunner:
        """Returns a projector with a keyring of its own."""
        return ProjectionRunner(self.database, self.mapper, Keyring(self.keks), self.views, self.telemetry)

    def ensure_log_key(self) -> None:
        """Makes the log's key on the first start of an embedded ledger; one that has sealed before must come back.

        Where that one is missing this only says so: the sealer waits for it, and everything else goes on.

        Raises:
            SettingsError: there is none for a ledger on a server, or what is there is no key.
        """
        path, source = self.settings.log_key_path, log_keys_of(self.settings)
        if source.there:
            source.read()
        elif self.settings.database_url is not None:
            raise SettingsError(
                f"The key file of the log {path} does not exist.",
                help="Make one and keep it: `ledger keygen --log --origin <name>`, or set LEDGER_LOG_KEY_FILE or"
                " LEDGER_LOG_KEY.",
            )
        elif self._log_was_begun():
            what = "The key file of the log is missing, and the log was begun with it: nothing is sealed without it."
            logger.critical(what, help=f"Put {path} back from its copy; see docs/log.md.")
        else:
            make_log_key(path, f"ledger/{self.id}")

    def _log_was_begun(self) -> bool:
        """Tells whether the database or the file outside it says so; that neither does may be somebody's doing."""
        with translated(), self.database.connect("sealer") as connection:
            return self.settings.seal_path.exists() or newest(connection, self.database) is not None

    def sealer(self) -> Sealer:
        """Returns the sealer of the log, which waits for its keys where they cannot be read and never makes any."""
        return Sealer(self.database, (), Anchor(self.settings.seal_path), log_keys_of(self.settings))

    def cosigning(self) -> list[Cosigning]:
        """Returns who asks the witnesses to vouch, one for each of them."""
        return [Cosigning(self.database, witness) for witness in read_witnesses(self.settings.witness_file)]

    def dispatcher(self) -> Dispatcher:
        """Returns a dispatcher of webhooks with a keyring of its own."""
        metrics = self.telemetry.metrics.webhooks
        today = school_calendar(self.settings.timezone)
        return Dispatcher(self.id, self.database, self.mapper, self.keks, self.settings.networks, metrics, today)


@contextmanager
def database_of(settings: Settings) -> Iterator[Database]:
    """Yields the database of the settings; an embedded server runs as long as somebody uses it."""
    with ExitStack() as stack:
        if settings.database_url is not None:
            url = settings.database_url.get_secret_value()
        else:
            url = stack.enter_context(EmbeddedPostgres(settings.home)).url
        yield Database(url, settings.db_schema, settings.statement_seconds, settings.pool_seconds)


def read_keks(settings: Settings, database: Database) -> KeyEncryptionKeys:
    """Returns the key-encryption keys; makes them on the very first start of an embedded ledger.

    Raises:
        SettingsError: there are none for a ledger that has data already, or for one on a server.
    """
    path = settings.kek_path
    if settings.kek is None and not path.exists():
        if settings.database_url is not None or _initialised(database):
            raise SettingsError(
                f"The key file {path} does not exist.",
                help="Without it nothing can be read. Put it back, or for a new ledger make one: `ledger keygen`.",
            )
        KeyEncryptionKeys.generate(path)
        logger.info("A new key-encryption key was written; keep a copy of it apart from the database.", path=str(path))
    return read_keys(settings)


def read_keys(settings: Settings) -> KeyEncryptionKeys:
    """Returns the key-encryption keys that are there.

    Raises:
        SettingsError: they cannot be read.
    """
    if settings.kek is not None:
        return KeyEncryptionKeys.parse(settings.kek.get_secret_value())
    path = settings.kek_path
    try:
        return KeyEncryptionKeys.parse(path.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"The key file {path} cannot be read.", help="Check its permissions and content."
        ) from error


def _initialised(database: Database) -> bool:
    with translated(), database.connect("owner") as connection:
        row = connection.execute("SELECT to_regclass(%s)", (f"{database.schema}.secrets",)).fetchone()
        if row is None or row[0] is None:
            return False
        row = connection.execute(database.bind("SELECT count(*) FROM {schema}.secrets")).fetchone()
    return bool(row and row[0])


@contextmanager
def foundation(settings: Settings, *, migrating: bool = True, process: str = "cli") -> Iterator[Foundation]:
    """Yields what every process of the ledger stands on, migrated unless told otherwise.

    Args:
        settings: of the environment.
        migrating: bring the database up to date first; takes its owner.
        process: what this process is called in traces.

    Raises:
        SettingsError: something is missing or does not fit; nothing was started.
    """
    today = school_calendar(settings.timezone)
    del today  # only proves the setting before anything is started
    with telemetry(settings.otlp_endpoint, process) as told, database_of(settings) as database:
        keks = read_keks(settings, database)
        if migrating:
            migrate(database)
            ensure_secrets(database, keks)
        hasher = load_hasher(database, keks)
        views = all_views(hasher.blind_index)
        yield Foundation(ledger_id(database), settings, database, keks, hasher, EventMapper(EVENTS), views, told)


@asynccontextmanager
async def open_ledger(base: Foundation) -> AsyncIterator[Ledger]:
    """Yields a ledger whose executor runs on this event loop."""
    settings, database = base.settings, base.database
    keyring = Keyring(base.keks)
    bounds = ExecutorSettings(
        queue=settings.queue,
        patience_s=settings.patience_seconds,
        standby_required=settings.require_sync_replica,
    )
    executor = CommandExecutor(database, base.mapper, keyring, bounds, base.telemetry)
    async with database.pool("reader", 8) as pool, database.pool("writer", 4) as keys:
        for name, watched in (("reader", pool), ("writer", keys)):
            base.telemetry.metrics.pools.watch(name, watched.get_stats)
        openings = Openings(base.id)
        base.telemetry.metrics.openings.unstored.set_function(openings.unstored_s)
        log = OpeningsLog(database, keys, openings)
        await executor.start()
        await log.start()
        tail, sealed = Tail(database), watch_seal(database, settings)
        try:
            yield Ledger(
                base.id,
                settings,
                database,
                CountedKeyring(keyring, openings),
                base.mapper,
                base.hasher,
                base.views,
                school_calendar(settings.timezone),
                executor,
                pool,
                keys,
                tail,
                sealed,
                base.telemetry,
                base.keks,
            )
        finally:
            await tail.close()
            await sealed.close()
            await executor.stop()
            await log.stop()

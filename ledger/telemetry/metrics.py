"""The metrics of one process, by who measures: nothing global, nothing personal, nothing in a hot loop.

A group comes into being when its part of the service first asks for it, so a projector shows no queue of commands.
Labels are words of our own (routes, offices' policies, views, codes of refusals), never an id or what somebody typed.
What can be read when somebody scrapes (lengths, sizes) is read then; the executor counts once for a whole batch.
docs/operation.md has a row for each metric, and a test compares.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

if TYPE_CHECKING:
    from collections.abc import Callable

_QUICK = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_SLOW = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class HttpMetrics:
    """What an API worker answers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        by = ["method", "route"]
        self._seconds = Histogram(
            "ledger_http_request_seconds", "Time to answer a request.", by, buckets=_QUICK, registry=registry
        )
        self._requests = Counter(
            "ledger_http_requests", "Requests that were answered.", [*by, "status"], registry=registry
        )
        self.under_way = 0
        """Requests being answered."""
        gauge = Gauge("ledger_http_requests_under_way", "Requests being answered.", registry=registry)
        gauge.set_function(lambda: self.under_way)
        self._of: dict[tuple[str, str, int], tuple[Histogram, Counter]] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts a request by its route's template; what matched no route is `-`."""
        of = self._of.get((method, route, status))
        if of is None:
            of = self._seconds.labels(method, route), self._requests.labels(method, route, str(status))
            self._of[method, route, status] = of
        of[0].observe(seconds)
        of[1].inc()


class ExecutorMetrics:
    """What the command executor of a process does; called once for a batch."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.waiting = self._gauge("ledger_commands_waiting", "Commands in the queue.")
        self.recording = self._gauge("ledger_recording", "1 while the executor takes commands, 0 after it stopped.")
        self.alarm = self._gauge("ledger_history_alarm", "1 after the history or the clock went back: an operator!")
        self.position = self._gauge("ledger_writer_position", "Last position that the executor has seen.")
        self.lanes = self._gauge("ledger_lane_cache_lanes", "Lanes kept in memory.")
        self.commands = self._sizes("ledger_batch_commands", "Commands decided in one batch.")
        self.events = self._sizes("ledger_batch_events", "Events written in one batch.")
        self.decide_seconds = self._times("ledger_batch_decide_seconds", "Time to load, decide and seal a batch.")
        self.append_seconds = self._times("ledger_batch_append_seconds", "Time of one append, its flush included.")
        self.recorded = self._counter("ledger_commands_recorded", "Commands that were recorded.")
        self.written = self._counter("ledger_events_recorded", "Events that were recorded.")
        self._refused = self._counter("ledger_commands_refused", "Commands that broke a rule, by its code.", "code")
        self._failed = self._counter("ledger_commands_failed", "Commands that failed as a batch, by code.", "code")
        self._appends = self._counter("ledger_appends", "Appends by what the append function said.", "outcome")
        self.lane_hits = self._counter("ledger_lane_cache_hits", "Lanes that a batch found in memory.")
        self.lane_misses = self._counter("ledger_lane_cache_misses", "Lanes that a batch had to load.")
        self.connects = self._counter("ledger_writer_connects", "Connections that the writer opened.")
        self._by_outcome = {name: self._appends.labels(name) for name in ("appended", "empty", "moved", "repeated")}

    def decided(self, seconds: float, commands: int, hits: int, misses: int) -> None:
        """Counts a batch that was decided; one that is decided again counts again."""
        self.decide_seconds.observe(seconds)
        self.commands.observe(commands)
        self.lane_hits.inc(hits)
        self.lane_misses.inc(misses)

    def appended(self, seconds: float, outcome: str) -> None:
        """Counts one call of the append function; every outcome but appended and empty is a retry."""
        self.append_seconds.observe(seconds)
        known = self._by_outcome.get(outcome)
        (known or self._appends.labels(outcome)).inc()

    def answered(self, commands: int, events: int) -> None:
        """Counts what a committed batch recorded."""
        self.events.observe(events)
        self.recorded.inc(commands)
        self.written.inc(events)

    def refused(self, code: str) -> None:
        """Counts a command that was refused."""
        self._refused.labels(code).inc()

    def failed(self, code: str, commands: int) -> None:
        """Counts commands that nobody could record."""
        self._failed.labels(code).inc(commands)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(name, meaning, registry=self._registry)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, registry=self._registry)

    def _times(self, name: str, meaning: str) -> Histogram:
        return Histogram(name, meaning, buckets=_QUICK, registry=self._registry)

    def _sizes(self, name: str, meaning: str) -> Histogram:
        return Histogram(name, meaning, buckets=_SIZES, registry=self._registry)


class KeyringMetrics:
    """How well the data keys in memory serve."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.keys = Gauge("ledger_keyring_keys", "Data keys kept in memory.", registry=registry)
        self._uses = Counter("ledger_keyring_uses", "Events sealed or opened with a data key.", registry=registry)
        self._loads = Counter(
            "ledger_keyring_loads", "Subjects whose data keys were read from the database.", registry=registry
        )
        self._loaded = 0

    def used(self, events: int, loaded: int) -> None:
        """Counts a batch of events.

        Args:
            events: how many were sealed or opened.
            loaded: subjects that the keyring has loaded since it was made.
        """
        self._uses.inc(events)
        self._loads.inc(max(loaded - self._loaded, 0))
        self._loaded = loaded


class ViewMetrics:
    """What the projector does, by view."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.leads = Gauge("ledger_projector_leads", "Views that this projector leads.", registry=registry)
        self._events = Counter("ledger_view_events", "Events that a view went over.", ["view"], registry=registry)
        self._failures = Counter(
            "ledger_view_failures", "Times that an event stopped a view.", ["view"], registry=registry
        )
        self._seconds = Histogram(
            "ledger_view_batch_seconds",
            "Time to apply a batch of events to a view.",
            ["view"],
            buckets=_QUICK,
            registry=registry,
        )

    def applied(self, view: str, events: int, seconds: float) -> None:
        """Counts a batch that was committed."""
        self._events.labels(view).inc(events)
        self._seconds.labels(view).observe(seconds)

    def failed(self, view: str) -> None:
        """Counts a failure; its position is in the log and in `ledger_view_failed_position`."""
        self._failures.labels(view).inc()


class WebhookMetrics:
    """What the dispatcher sends."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.leads = Gauge("ledger_dispatcher_leads", "1 while this dispatcher leads.", registry=registry)
        self._messages = Counter(
            "ledger_webhook_messages", "Messages that were sent, taken or not.", ["outcome"], registry=registry
        )
        self._seconds = Histogram(
            "ledger_webhook_message_seconds", "Time until a message was answered.", buckets=_SLOW, registry=registry
        )
        for outcome in ("taken", "failed"):
            self._messages.labels(outcome)

    def sent(self, seconds: float, *, taken: bool) -> None:
        """Counts a message; one that is sent again counts again."""
        self._messages.labels("taken" if taken else "failed").inc()
        self._seconds.observe(seconds)


class DisclosureMetrics:
    """Accesses to personal data that were recorded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        by = ["policy", "channel", "resource", "outcome"]
        self._accesses = Counter("ledger_accesses", "Accesses recorded, granted and refused.", by, registry=registry)
        self._disclosed = Counter(
            "ledger_disclosures", "Students' records disclosed.", ["policy", "channel"], registry=registry
        )

    def recorded(self, policy: str, channel: str, resource: str, *, granted: bool, students: int) -> None:
        """Counts an access, and the students whose data it disclosed."""
        self._accesses.labels(policy, channel, resource, "granted" if granted else "refused").inc()
        if granted:
            self._disclosed.labels(policy, channel).inc(students)


class PoolMetrics:
    """The connections of a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._connections = Gauge(
            "ledger_database_pool_connections", "Connections by pool and state.", ["pool", "state"], registry=registry
        )
        self._waiting = Gauge(
            "ledger_database_pool_waiting", "Who waits for a connection.", ["pool"], registry=registry
        )

    def watch(self, pool: str, stats: Callable[[], dict[str, int]]) -> None:
        """Shows a pool's own figures when somebody scrapes."""

        def read(name: str) -> Callable[[], float]:
            return lambda: stats().get(name, 0)

        self._connections.labels(pool, "open").set_function(read("pool_size"))
        self._connections.labels(pool, "idle").set_function(read("pool_available"))
        self._connections.labels(pool, "most").set_function(read("pool_max"))
        self._waiting.labels(pool).set_function(read("requests_waiting"))


class OpeningsMetrics:
    """How far what a process opens for reading is accounted for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.unstored = Gauge(
            "ledger_openings_unstored_seconds", "Since when counts of openings have not been stored.", registry=registry
        )


class SupervisorMetrics:
    """The processes of the service, as the supervisor sees them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._restarts = Counter(
            "ledger_process_restarts", "Times that a process died and was started again.", ["name"], registry=registry
        )

    def watch(self, name: str) -> None:
        """Shows a process from the beginning, so that its first death is an increase."""
        self._restarts.labels(name)

    def restarted(self, name: str) -> None:
        """Counts a death."""
        self._restarts.labels(name).inc()


class Metrics:
    """The metrics of a process; `registry` is what it shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    @cached_property
    def http(self) -> HttpMetrics:
        """Of the API."""
        return HttpMetrics(self.registry)

    @cached_property
    def executor(self) -> ExecutorMetrics:
        """Of the command executor."""
        return ExecutorMetrics(self.registry)

    @cached_property
    def keyring(self) -> KeyringMetrics:
        """Of the data keys."""
        return KeyringMetrics(self.registry)

    @cached_property
    def openings(self) -> OpeningsMetrics:
        """Of the counts of what was opened."""
        return OpeningsMetrics(self.registry)

    @cached_property
    def views(self) -> ViewMetrics:
        """Of the projector."""
        return ViewMetrics(self.registry)

    @cached_property
    def webhooks(self) -> WebhookMetrics:
        """Of the dispatcher."""
        return WebhookMetrics(self.registry)

    @cached_property
    def disclosures(self) -> DisclosureMetrics:
        """Of the gate."""
        return DisclosureMetrics(self.registry)

    @cached_property
    def pools(self) -> PoolMetrics:
        """Of the database's connections."""
        return PoolMetrics(self.registry)

    @cached_property
    def supervisor(self) -> SupervisorMetrics:
        """Of the processes."""
        return SupervisorMetrics(self.registry)

    def show_process(self) -> None:
        """Adds what the operating system and Python know of this process: memory, time, files, collections."""
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

"""How the metrics of several processes come out of one door.

Each child of the supervisor holds a socket in a folder that only this user may enter; who connects is sent the child's
metrics as text, and the connection is closed. The supervisor asks all of them when somebody scrapes, and marks each
sample with the process that it came from. So there is one address for Prometheus, children share no file that a crash
could spoil, and a child that does not answer is seen as down instead of showing old figures.
"""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from ledger.errors import SettingsError
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from ledger.telemetry.metrics import Metrics

PATIENCE_S = 2.0
PROCESS = "process"

logger = get_logger(__name__)


def offer(metrics: Metrics, listening: socket.socket) -> None:
    """Sends this process's metrics to whoever connects, from a thread that ends with the process."""
    metrics.show_process()
    threading.Thread(target=_answer_all, args=(metrics.registry, listening), name="metrics", daemon=True).start()


def _answer_all(registry: CollectorRegistry, listening: socket.socket) -> None:
    while True:
        connection, _ = listening.accept()
        with connection:
            try:
                connection.settimeout(PATIENCE_S)
                connection.sendall(generate_latest(registry))
            except OSError:
                logger.debug("Somebody asked for metrics and went away.")


@contextmanager
def outlets(names: Sequence[str]) -> Iterator[dict[str, tuple[socket.socket, Path]]]:
    """Yields a listening socket and its path for each process; they outlive the processes that answer on them."""
    with tempfile.TemporaryDirectory(prefix="ledger-") as folder, ExitStack() as stack:
        made = {}
        for name in names:
            path = Path(folder) / name
            listening = stack.enter_context(closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)))
            listening.bind(str(path))
            listening.listen(8)
            made[name] = (listening, path)
        yield made


class Gathered(Collector):
    """The metrics of all children, each sample with its process, and which of them answer.

    Args:
        paths: where each child is asked.
        own: what the asking process has to show itself, under `name`.
    """

    def __init__(self, paths: dict[str, Path], own: CollectorRegistry, name: str) -> None:
        self._paths = paths
        self._own = own
        self._name = name

    def describe(self) -> Iterable[Metric]:
        """Tells the one metric that is always there, without asking anybody."""
        return [self._up({})]

    def collect(self) -> Iterable[Metric]:
        """Asks every child."""
        with ThreadPoolExecutor(len(self._paths) or 1) as pool:
            texts = dict(zip(self._paths, pool.map(_ask, self._paths.values()), strict=True))
        families: dict[str, Metric] = {}
        shown = {self._name: generate_latest(self._own).decode(), **texts}
        for name, text in shown.items():
            for family in text_string_to_metric_families(text or ""):
                if family.name.endswith("_created"):
                    continue  # the text format makes metrics of their own of them; nobody needs these
                merged = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    merged.add_sample(sample.name, {**sample.labels, PROCESS: name}, sample.value)
        return [self._up(shown), *families.values()]

    @staticmethod
    def _up(texts: dict[str, str | None]) -> Metric:
        up = GaugeMetricFamily("ledger_process_up", "1 if a process of the service answers.", labels=[PROCESS])
        for name, text in texts.items():
            up.add_metric([name], float(text is not None))
        return up


def _ask(path: Path) -> str | None:
    """Returns a child's metrics, or None where it does not answer in time."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PATIENCE_S)
        try:
            connection.connect(str(path))
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
        except OSError:
            return None
    return b"".join(parts).decode() or None


@contextmanager
def exposed(registry: CollectorRegistry, host: str, port: int) -> Iterator[int]:
    """Serves `/metrics` beside the block and yields the port; 0 takes a free one.

    Raises:
        SettingsError: the address cannot be used, or the port is taken.
    """
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise SettingsError(
            f"The metrics cannot be served on {host}, port {port}.",
            help="Choose another LEDGER_METRICS_PORT, or unset it to serve none.",
        ) from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""IBM Quantum's service on this machine: the real client submits real jobs, and no account is needed.

`LoopbackService` answers the REST API that `qiskit-ibm-runtime` speaks, on 127.0.0.1 only. Devices are the
snapshots that come with the client; jobs run with their noise, in the order in which they were accepted. What
goes wrong with a real service goes wrong here on demand.
"""

from __future__ import annotations

import math
import os
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

from bondwise.backends.loopback.api import INSTANCE, Api
from bondwise.backends.loopback.device import Device
from bondwise.backends.loopback.faults import JOB_FAULTS, Fault, Faults
from bondwise.backends.loopback.replies import Reply, Tokens, error_reply
from bondwise.backends.loopback.store import Job, Store
from bondwise.backends.loopback.worker import Worker
from bondwise.backends.simulators.fake import fake_devices
from bondwise.runs import UsageError, real_number, unknown_name, whole_number

_HOST = "127.0.0.1"
_ROOT = "/experimental"  # the client leaves a URL with this word as it is, and rewrites any other
_ACCESS_LIFE = 3600.0  # seconds, as IBM's

Hook = Callable[[str, str], object]


class Request(NamedTuple):
    """A request to the service: method, path below its URL, and status; None if it was not answered."""

    method: str
    path: str
    status: int | None


class LoopbackService:
    """A server on 127.0.0.1 that speaks IBM Quantum's REST API; use it as a context manager.

    `QiskitRuntimeService()` without arguments finds it if `environment()` is in the environment when the
    service is constructed. The client reads QISKIT_IBM_TOKEN, QISKIT_IBM_URL, QISKIT_IBM_INSTANCE and
    QISKIT_IBM_CHANNEL only if neither `name` nor `token` is passed to it; with `token=`, pass `url=` and
    `instance=` too. IAM_URL (where access tokens come from) and QISKIT_FUNCTIONS_EXPERIMENTAL (which skips
    IBM's catalog of instances) are read from the environment in either case.

    Args:
        devices: Snapshots to offer: `"manila"` becomes the device `ibm_manila`.
        folder: Folder that keeps jobs, sessions and calibrations; a server that is started on the same folder
            later goes on with them. None for a temporary folder.
        port: Port; 0 for any free one.
        token: API key that is accepted; None for a random one.
        delay: Seconds that each job waits in the queue, at least.
        seed: Random seed of the jobs, whose results then depend only on it and on their order.
        token_life: Seconds until an access token expires.

    Attributes:
        url: What the client takes as `url=`.
        token: API key that is accepted.
        instance: Name (CRN) of the only instance.
        before: Function of method and path that is called before a request is handled; None for none.
        after: The same, after it was handled and before it is answered.

    Raises:
        UsageError: If a device is unknown, a number is out of range, the port is in use, or another server
            uses the folder.
        RunError: If the folder cannot be used.

    Example:
        >>> from bondwise.backends import LoopbackService
        >>> with LoopbackService(devices=("manila",)) as server:
        ...     print(server.url.partition(":")[0], sorted(server.environment())[:2], server.jobs)
        http ['IAM_URL', 'NO_PROXY'] ()
    """

    def __init__(
        self,
        devices: Iterable[str] = ("manila",),
        folder: str | os.PathLike[str] | None = None,
        port: int = 0,
        token: str | None = None,
        delay: float = 0.0,
        *,
        seed: int | None = None,
        token_life: float = _ACCESS_LIFE,
    ) -> None:
        self._devices = {f"ibm_{name}": name for name in _known(devices)}
        self._folder = None if folder is None else Path(folder)
        self._port = whole_number("port", port, least=0, most=65535)
        self.token = token or secrets.token_hex(16)
        self.instance = INSTANCE
        self._delay = real_number("delay", delay, zero=True)
        self._seed = secrets.randbits(31) if seed is None else whole_number("seed", seed, least=0)
        self._life = real_number("token_life", token_life)
        self.before: Hook | None = None
        self.after: Hook | None = None
        self._faults = Faults()
        self._requests: list[Request] = []
        self._stopped = threading.Event()
        self._store: Store | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Begin to serve; `with` calls it.

        Raises:
            UsageError: If the port or the folder is in use.
            RunError: If the folder cannot be used.
        """
        self._temporary = None
        if self._folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="bondwise-loopback-")
        store = Store(self._folder or Path(self._temporary.name))  # type: ignore[union-attr]
        try:
            self._http = _Server((_HOST, self._port), _Handler)
        except OSError as error:
            store.close()
            raise UsageError(
                f"port {self._port} cannot be used ({error.strerror}); port=0 finds one."
            ) from None
        self._port = self._http.server_port  # the same one if it is started again
        known = fake_devices()
        made = {name: Device(name, known[short]) for name, short in self._devices.items()}
        self._store = store
        self._api = Api(store, made, Tokens(self.token, self._life))
        self._workers = [Worker(device, store, self._delay, self._seed) for device in made.values()]
        self._http.service = self
        self._stopped.clear()
        for worker in self._workers:
            worker.start()
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop serving, after the job that is running has ended; `with` calls it."""
        if self._store is None:
            return
        self._http.shutdown()
        self._http.close_all()
        for worker in self._workers:
            worker.stop()
        self._store.close()
        self._store = None
        if self._temporary is not None:
            self._temporary.cleanup()
        self._stopped.set()

    def serve_forever(self) -> None:
        """Wait until `close` is called from another thread, or Ctrl-C (KeyboardInterrupt); prints nothing."""
        while not self._stopped.wait(1.0):  # a wait without end would not hear Ctrl-C on every platform
            pass

    @property
    def url(self) -> str:
        """What the client takes as `url=`."""
        return f"http://{_HOST}:{self._port}{_ROOT}"

    @property
    def requests(self) -> tuple[Request, ...]:
        """What was asked so far: method, path below the URL, status."""
        return tuple(self._requests)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All jobs, in the order in which they were accepted."""
        return tuple(sorted(self._opened().jobs.values(), key=lambda job: job.number))

    def environment(self) -> dict[str, str]:
        """The environment variables with which `QiskitRuntimeService()` finds this server.

        Returns:
            Names and values, for `os.environ` or a new process.

        Example:
            >>> from bondwise.backends import LoopbackService
            >>> with LoopbackService(token="key") as server:
            ...     print(server.environment()["QISKIT_IBM_TOKEN"])
            key
        """
        hosts = [*filter(None, [os.environ.get("NO_PROXY") or os.environ.get("no_proxy")]), _HOST]
        direct = ",".join(dict.fromkeys(",".join(hosts).split(",")))
        return {
            "QISKIT_IBM_TOKEN": self.token,
            "QISKIT_IBM_INSTANCE": self.instance,
            "QISKIT_IBM_CHANNEL": "ibm_quantum_platform",
            "QISKIT_IBM_URL": self.url,
            "IAM_URL": self.url.removesuffix(_ROOT),
            "QISKIT_FUNCTIONS_EXPERIMENTAL": "1",
            "NO_PROXY": direct,
            "no_proxy": direct,
        }

    def fail(
        self,
        fault: str,
        method: str = "POST",
        path: str = "/jobs",
        times: int | None = 1,
        *,
        seconds: float = 1.0,
        status: int = 500,
        reason: str = "The loopback service was asked to fail this job.",
    ) -> None:
        """Have something go wrong with the next requests of a kind.

        Args:
            fault: `"error"` (a status, 500 by default), `"error-after"` (the same, after the request was
                fulfilled), `"busy"` (429 with Retry-After), `"drop"` (connection closed, nothing done),
                `"drop-after"` (done, then closed without an answer), `"slow"`, `"expired"` (401),
                `"garbage"` (done, and answered with something that is not JSON), `"shape"` (JSON of another
                shape); and of jobs, with the default method and path: `"failed"`, `"cancelled"` (by the
                service), `"drift"` (the device is calibrated anew before the job runs).
            method: HTTP method.
            path: Path below the URL; `*` stands for one part, as in `"/jobs/*/results"`. The path
                `"/identity/token"` is where access tokens come from.
            times: Number of requests; None for all from now on.
            seconds: Delay of "slow", and Retry-After of "busy", which is rounded up.
            status: Status of "error" and "error-after".
            reason: Reason of "failed" and "cancelled".

        Raises:
            UsageError: If the fault is unknown, or does not apply to this method and path.

        Example:
            >>> from bondwise.backends import LoopbackService
            >>> with LoopbackService() as server:
            ...     server.fail("drop-after")  # the next job is accepted, and the client does not hear of it
        """
        self._faults.add(Fault(fault, method, path, times, seconds, status, reason))

    def heal(self) -> None:
        """Forget the faults that have not struck yet."""
        self._faults.clear()

    def hold(self) -> None:
        """Let jobs wait in the queue until `release`; one that is running ends."""
        self._opened()
        for worker in self._workers:
            worker.hold()

    def release(self) -> None:
        """Let jobs run again."""
        self._opened()
        for worker in self._workers:
            worker.release()

    def recalibrate(self, device: str | None = None) -> None:
        """Calibrate devices anew: other errors and coherence times, which jobs from now on suffer.

        Args:
            device: Name such as `"ibm_manila"`; None for all.

        Raises:
            UsageError: If there is no such device.
        """
        if device is not None and device not in self._devices:
            raise unknown_name("device", device, self._devices)
        for name in self._devices if device is None else (device,):
            self._opened().calibrate(name)

    def _opened(self) -> Store:
        if self._store is None:
            raise UsageError(
                "the loopback service is not running; use it as `with LoopbackService() as server:`."
            )
        return self._store

    def _handle(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> Reply | None:
        """Answer a request; None if the connection is to be closed instead."""
        parts = urlsplit(target)
        path = parts.path.removeprefix(_ROOT)
        if self.before is not None:
            self.before(method, path)
        fault = self._faults.take(method, path)
        reply = self._struck(fault) if fault else None
        if reply is None and (fault is None or fault.kind != "drop"):
            with self._store.changed:  # type: ignore[union-attr] # no job runs before its fate is known
                reply = self._api.answer(method, path, parse_qs(parts.query), body, headers)
                if fault:
                    reply = self._spoiled(fault, reply)
        if self.after is not None:
            self.after(method, path)
        self._requests.append(Request(method, path, reply.status if reply else None))
        return reply

    def _struck(self, fault: Fault) -> Reply | None:
        """What a fault does before the request is handled."""
        if fault.kind == "error":
            return error_reply(fault.status, 9999, "An internal error was asked for.")
        if fault.kind == "busy":
            wait = str(math.ceil(fault.seconds))  # HTTP knows whole seconds only
            return error_reply(429, 1429, "Too many requests.", Retry_After=wait)
        if fault.kind == "expired":
            return error_reply(401, 1212, "Authentication failed: the access token has expired.")
        if fault.kind == "slow":
            time.sleep(fault.seconds)
        return None

    def _spoiled(self, fault: Fault, reply: Reply) -> Reply | None:
        """What a fault does to a request that was fulfilled."""
        if fault.kind == "drop-after":
            return None
        if fault.kind == "error-after":
            return error_reply(fault.status, 9999, "An internal error was asked for.")
        if fault.kind == "garbage":
            return Reply(200, "<html>not JSON</html>")
        if fault.kind == "shape":
            return Reply(200, {"unexpected": [1, 2, 3]})
        if fault.kind not in JOB_FAULTS:
            return reply
        store = self._opened()
        job = store.jobs.get(reply.content.get("id", "")) if reply.status == 200 else None
        if job is not None and fault.kind == "drift":
            store.calibrate(job.device)
        elif job is not None:
            store.update(job, fate=fault.kind.capitalize(), reason=fault.reason, reason_code=9999)
        return reply


def _known(devices: Iterable[str]) -> list[str]:
    """Short names of snapshots, checked."""
    names = [devices] if isinstance(devices, str) else list(devices)
    known = fake_devices()
    for name in names:
        if name not in known:
            raise unknown_name("device", name, known)
    if not names:
        raise UsageError("devices is empty; name at least one snapshot, such as 'manila'.")
    return names


class _Server(ThreadingHTTPServer):
    """A server that can close the connections which its clients keep open."""

    daemon_threads = True
    service: LoopbackService

    def __init__(self, *arguments: Any) -> None:
        self.connections: set[socket.socket] = set()
        super().__init__(*arguments)

    def close_all(self) -> None:
        self.server_close()
        for connection in list(self.connections):
            _shut(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients leave as they like."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # with it, each answer takes 40 ms
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.service._handle(self.command, self.path, body, headers)
        if reply is None:
            self.close_connection = True
            _shut(self.connection)
            return
        content = reply.body()
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 (http.server's names)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is closed already

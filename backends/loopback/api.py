"""IBM Quantum's REST API, as far as `qiskit-ibm-runtime` calls it: what the loopback service answers.

The shapes follow the published API (https://quantum.cloud.ibm.com/docs/api/qiskit-runtime-rest) and what the
client reads of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from bondwise.backends.loopback.device import PROGRAMS, Device
from bondwise.backends.loopback.replies import Refused, Reply, Tokens
from bondwise.backends.loopback.store import PENDING, Job, Session, Store, new_id, now

INSTANCE = "crn:v1:bluemix:public:quantum-computing:us-east:a/0:00000000-0000-4000-8000-000000000000::"
_LIMIT_SECONDS = 600  # of the open plan, in 28 days
_PAGE = 200  # the most jobs in one answer


Route = Callable[..., Reply]


class Api:
    """The endpoints; each answers from the store.

    Args:
        store: What the service remembers.
        devices: Devices by name.
        tokens: API key and access tokens.
    """

    def __init__(self, store: Store, devices: dict[str, Device], tokens: Tokens) -> None:
        self.store, self.devices, self.tokens = store, devices, tokens
        routes: list[tuple[str, str, Route]] = [
            ("GET", "/backends", self._backends),
            ("GET", "/backends/{}/configuration", self._configuration),
            ("GET", "/backends/{}/properties", self._properties),
            ("GET", "/backends/{}/status", self._status),
            ("GET", "/instances/usage", self._usage),
            ("POST", "/jobs", self._submit),
            ("GET", "/jobs", self._jobs),
            ("GET", "/jobs/{}", self._job),
            ("DELETE", "/jobs/{}", self._delete),
            ("GET", "/jobs/{}/results", self._results),
            ("GET", "/jobs/{}/metrics", self._metrics),
            ("GET", "/jobs/{}/logs", self._logs),
            ("POST", "/jobs/{}/cancel", self._cancel),
            ("PUT", "/jobs/{}/tags", self._retag),
            ("POST", "/sessions", self._open),
            ("GET", "/sessions/{}", self._session),
            ("PATCH", "/sessions/{}", self._close),
            ("DELETE", "/sessions/{}/close", self._abandon),
        ]
        self._routes = [
            (method, re.compile(path.replace("{}", "([^/]+)")), route) for method, path, route in routes
        ]

    def answer(
        self, method: str, path: str, query: dict[str, list[str]], body: bytes, headers: dict[str, str]
    ) -> Reply:
        """Answer a request.

        Args:
            method: HTTP method.
            path: Path below the service's URL.
            query: What follows the question mark.
            body: What was sent.
            headers: Headers, with names in lower case.
        """
        if (method, path) == ("POST", "/identity/token"):
            return self.tokens.exchange(body)
        try:
            self.tokens.check(headers.get("authorization", ""))
            if headers.get("service-crn", INSTANCE) != INSTANCE:
                raise Refused(403, 1211, "The instance is unknown, or the API key has no access to it.")
            for allowed, pattern, route in self._routes:
                if allowed == method and (match := pattern.fullmatch(path)):
                    return route(*match.groups(), query=query, content=_read(body))
            raise Refused(404, 1000, f"The loopback service has no {method} {path}.")
        except Refused as refused:
            return refused.reply

    # devices

    def _backends(self, **_: Any) -> Reply:
        def entry(device: Device) -> dict[str, Any]:
            conf = device.configuration
            return {
                "name": device.name,
                "status": {"name": "online", "reason": "available"},
                "queue_length": len(self.store.queue(device.name)),
                "qubits": conf["n_qubits"],
                "is_simulator": False,
                "processor_type": conf.get("processor_type"),
            }

        return Reply(200, {"devices": [entry(device) for device in self.devices.values()]})

    def _configuration(self, name: str, **_: Any) -> Reply:
        return Reply(200, self._device(name, 404).configuration)

    def _properties(self, name: str, query: dict[str, list[str]], **_: Any) -> Reply:
        device = self._device(name, 404)
        number = self.store.calibration(name, _time(query, "updated_before"))
        when = self.store.calibrations[name][number - 1] if number else ""
        return Reply(200, device.properties(number, when))

    def _status(self, name: str, **_: Any) -> Reply:
        version = self._device(name, 404).configuration["backend_version"]
        waiting = len(self.store.queue(name))
        content = {"state": True, "status": "active", "length_queue": waiting, "backend_version": version}
        return Reply(200, content)

    def _usage(self, **_: Any) -> Reply:
        spent = sum(job.quantum_seconds for job in self.store.jobs.values())
        content = {
            "instance_id": INSTANCE,
            "usage_consumed_seconds": round(spent),
            "usage_remaining_seconds": max(_LIMIT_SECONDS - round(spent), 0),
            "usage_limit_seconds": _LIMIT_SECONDS,
            "usage_limit_reached": spent >= _LIMIT_SECONDS,
        }
        return Reply(200, content)

    # jobs

    def _submit(self, content: Any, **_: Any) -> Reply:
        if not isinstance(content, dict) or not isinstance(content.get("params"), dict):
            raise Refused(400, 8029, "A job needs program_id, backend and params.")
        program, name = content.get("program_id"), content.get("backend")
        if program not in PROGRAMS:
            raise Refused(404, 1232, f"Program not found: {program!r}. Known: {', '.join(PROGRAMS)}.")
        device = self._device(str(name), 400)
        session = self.store.sessions.get(str(content.get("session_id")))
        if content.get("session_id") and (session is None or not session.accepting):
            raise Refused(400, 1217, f"Session {content['session_id']} is closed or unknown.")
        with self.store.changed:
            job = Job(
                id=new_id(),
                program=program,
                device=device.name,
                tags=tuple(content.get("tags") or ()),
                session=content.get("session_id"),
                created=now(),
                number=self.store.next_number(),
                private=bool(content.get("private")),
            )
            self.store.add(job, content["params"])
        return Reply(200, {"id": job.id, "backend": job.device})

    def _jobs(self, query: dict[str, list[str]], **_: Any) -> Reply:
        after, before = _time(query, "created_after"), _time(query, "created_before")
        tags = set(query.get("tags", ()))
        wanted = {
            key: query[key][0] for key in ("backend", "program", "session_id", "pending") if key in query
        }

        def fits(job: Job) -> bool:
            created = datetime.fromisoformat(job.created)
            known = {"backend": job.device, "program": job.program, "session_id": job.session}
            known["pending"] = "true" if job.status in PENDING else "false"
            return (
                tags <= set(job.tags)
                and all(known[key] == value for key, value in wanted.items())
                and (after is None or created >= after)
                and (before is None or created <= before)
            )

        with self.store.changed:
            found = sorted(filter(fits, self.store.jobs.values()), key=lambda job: job.number)
        if query.get("sort") != ["ASC"]:
            found.reverse()
        offset = _whole(query, "offset", 0)
        limit = min(_whole(query, "limit", _PAGE), _PAGE)
        page = [self._described(job) for job in found[offset : offset + limit]]
        return Reply(200, {"jobs": page, "count": len(found), "offset": offset, "limit": limit})

    def _job(self, name: str, query: dict[str, list[str]], **_: Any) -> Reply:
        job = self._known(name)
        described = self._described(job)
        if query.get("exclude_params") != ["true"]:
            described["params"] = {} if job.private else self.store.params(job)
        return Reply(200, described)

    def _delete(self, name: str, **_: Any) -> Reply:
        job = self._known(name)
        if job.status in PENDING:
            raise Refused(409, 1293, "The job has not ended; cancel it first.")
        self.store.delete(job)
        return Reply(204)

    def _results(self, name: str, **_: Any) -> Reply:
        job = self._known(name)
        if job.status != "Completed":
            return Reply(200, job.reason)
        return Reply(200, self.store.result(job))

    def _metrics(self, name: str, **_: Any) -> Reply:
        job = self._known(name)
        waiting = [other.id for other in self.store.queue(job.device)]
        place = waiting.index(job.id) + 1 if job.id in waiting else None
        seconds = job.quantum_seconds
        content = {
            "timestamps": {
                "created": job.created,
                "running": job.running or None,
                "finished": job.finished or None,
            },
            "bss": {"seconds": seconds},
            "usage": {
                "quantum_seconds": seconds,
                "seconds": seconds,
                "qpu_charge_time_seconds": seconds,
                "status": "pending" if job.status in PENDING else "complete",
            },
            "position_in_queue": place,
            "position_in_provider": place,
        }
        return Reply(200, content)

    def _logs(self, name: str, **_: Any) -> Reply:
        return Reply(200, self._known(name).reason)

    def _cancel(self, name: str, **_: Any) -> Reply:
        with self.store.changed:
            job = self._known(name)
            if job.status not in PENDING:
                raise Refused(409, 1292, f"The job cannot be canceled: it is {job.status.lower()}.")
            self.store.update(job, status="Cancelled", finished=now())
        return Reply(204)

    def _retag(self, name: str, content: Any, **_: Any) -> Reply:
        self.store.update(self._known(name), tags=tuple((content or {}).get("tags") or ()))
        return Reply(204)

    # sessions

    def _open(self, content: Any, **_: Any) -> Reply:
        content = content or {}
        session = Session(
            id=new_id(),
            device=self._device(str(content.get("backend")), 400).name,
            mode=content.get("mode") or "dedicated",
            created=now(),
            max_ttl=content.get("max_ttl"),
        )
        self.store.put(session)
        return Reply(200, self._details(session))

    def _session(self, name: str, **_: Any) -> Reply:
        return Reply(200, self._details(self._known_session(name)))

    def _close(self, name: str, content: Any, **_: Any) -> Reply:
        accepting = bool((content or {}).get("accepting_jobs", False))
        self.store.put(replace(self._known_session(name), accepting=accepting))
        return Reply(204)

    def _abandon(self, name: str, **_: Any) -> Reply:
        with self.store.changed:
            self.store.put(replace(self._known_session(name), accepting=False))
            for job in self._jobs_of(name):
                if job.status == "Queued":
                    self.store.update(job, status="Cancelled", finished=now())
        return Reply(204)

    def _details(self, session: Session) -> dict[str, Any]:
        jobs = self._jobs_of(session.id)
        pending = any(job.status in PENDING for job in jobs)
        started = [job.running for job in jobs if job.running]
        ended = [job.finished for job in jobs if job.finished]
        state = "active" if pending else ("inactive" if jobs else "open") if session.accepting else "closed"
        return {
            "id": session.id,
            "backend_name": session.device,
            "mode": session.mode,
            "state": state,
            "accepting_jobs": session.accepting,
            "max_ttl": session.max_ttl,
            "active_ttl": session.max_ttl,
            "interactive_ttl": 60,
            "started_at": min(started, default=None),
            "activated_at": min(started, default=None),
            "closed_at": max(ended, default=session.created) if state == "closed" else None,
            "last_job_started": max(started, default=None),
            "last_job_completed": max(ended, default=None),
            "elapsed_time": sum(job.quantum_seconds for job in jobs),
            "timestamps": [{"status": "open", "timestamp": session.created}],
        }

    def _jobs_of(self, session: str) -> list[Job]:
        with self.store.changed:
            return [job for job in self.store.jobs.values() if job.session == session]

    # what is known

    def _device(self, name: str, status: int) -> Device:
        if name not in self.devices:
            raise Refused(status, 1225, f"Backend {name!r} not found. Known: {', '.join(self.devices)}.")
        return self.devices[name]

    def _known(self, name: str) -> Job:
        if name not in self.store.jobs:
            raise Refused(404, 1291, f"Job not found. Job ID: {name}")
        return self.store.jobs[name]

    def _known_session(self, name: str) -> Session:
        if name not in self.store.sessions:
            raise Refused(404, 1218, f"Session not found. Session ID: {name}")
        return self.store.sessions[name]

    def _described(self, job: Job) -> dict[str, Any]:
        state: dict[str, Any] = {"status": job.status}
        if job.reason:
            state |= {"reason": job.reason, "reason_code": job.reason_code}
        return {
            "id": job.id,
            "backend": job.device,
            "program": {"id": job.program},
            "state": state,
            "status": job.status,
            "created": job.created,
            "ended": job.finished or None,
            "tags": list(job.tags),
            "session_id": job.session,
            "private": job.private,
            "usage": {"seconds": job.quantum_seconds},
            "estimated_running_time_seconds": job.quantum_seconds,
        }


def _read(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        raise Refused(400, 8000, "The body is not JSON.") from None


def _time(query: dict[str, list[str]], key: str) -> datetime | None:
    if key not in query:
        return None
    try:
        return datetime.fromisoformat(query[key][0].replace(" ", "+")).astimezone()
    except ValueError:
        raise Refused(400, 8001, f"{key} is {query[key][0]!r}; give a time in ISO 8601.") from None


def _whole(query: dict[str, list[str]], key: str, default: int) -> int:
    text = query.get(key, [str(default)])[0]
    if not text.isdecimal():
        raise Refused(400, 8002, f"{key} is {text!r}; give a whole number of at least 0.")
    return int(text)

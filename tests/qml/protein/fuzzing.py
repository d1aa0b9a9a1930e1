"""Mutated protein files read in a process of its own: `python fuzzing.py READERS SEED COUNT FOLDER`.

Every reading must give a value or raise a UsageError or RunError of one line, within 5 CPU seconds and 2 GB,
start nothing and leave nothing behind. Prints what went otherwise, as JSON.
"""

import gzip
import json
import random
import resource
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bondwise.qml.protein import ProteinClassifier, WindowQTN, fetch_uniprot, read_proteins, uniprot_answers
from bondwise.runs import RunError, UsageError

CPU_SECONDS, MEMORY = 5, 2 << 30
FASTA = (
    b">sp|P12345|NAME_HUMAN OS=Homo sapiens label=in split=train\nMKTAYIAK\nQRQISF\n"
    b">P2\tlabel=out split=test\nMW\n"
)
CSV = b'accession,label,split,sequence\nP1,"in, or out",train,MKTA\nP2,\'=out,test,MWWCH*\n'
TSV = b"Entry\tSequence\tlabel\nP1\tMKTA\tin\nP2\tMWWCH\tout\n"
ANSWER = b"Entry\tSequence\nP00001\tMKTAYIAK\nP00002\tMKTAYIAKQR\n"
TOKENS = [
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n", b"\t", b",", b'"', b"'", b">", b"|", b"=", b"*", b"-",
    b"[", b"{", b"\x1b[2J", b"\x0b", b"\x0c", b"\x1c", b"\xc2\x85", b"\xe2\x80\xa8", b"\xc3\x9f", b"NaN",
    b"1e999", b"-1", b"9" * 30, b"9" * 5000, b"null", b"true", b"label=", b"sequence", b"[" * 3000,
    b"A" * 200_000, b"\x1f\x8b", b"\xf0\x9f\xa7\xac",
]  # fmt: skip
FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "pickle.find_class")


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The content after one to six changes: bytes, tokens, deletions, repetitions, cuts."""
    for _ in range(rng.randint(1, 6)):
        a, b = sorted(rng.randrange(len(content) + 1) for _ in range(2))
        content = rng.choice([
            lambda a=a, c=content: c[:a] + bytes([rng.randrange(256)]) + c[a + 1 :],
            lambda a=a, c=content: c[:a] + rng.choice(TOKENS) + c[a:],
            lambda a=a, b=b, c=content: c[:a] + rng.choice(TOKENS) + c[b:],
            lambda a=a, b=b, c=content: c[:a] + c[min(b, a + 20) :],
            lambda a=a, b=b, c=content: c[:b] + c[a:b] * rng.choice([1, 2, 50]) + c[b:],
            lambda a=a, c=content: c[: max(a, len(c) // 2)],
        ])()  # fmt: skip
    return content


def proteins(content: bytes) -> Callable[[bytes, Path], object]:
    def make(rng: random.Random, folder: Path) -> Callable[[], object]:
        changed = mutated(content, rng)
        if rng.random() < 0.2:
            changed = gzip.compress(changed)
            changed = mutated(changed, rng) if rng.random() < 0.5 else changed
        (folder / "data").write_bytes(changed)
        return lambda: read_proteins(folder / "data", labelled=rng.random() < 0.5)

    return make


def models(folder: Path) -> Callable[..., Callable[[], object]]:
    trained = WindowQTN(epochs=1, window=5, start="angles").fit(
        ["MKTAYIAKQR", "LLVVIIAAFF"] * 3, ["a", "b"] * 3
    )
    held = {path.name: path.read_bytes() for path in trained.save(folder).iterdir()}

    def make(rng: random.Random, folder: Path) -> Callable[[], object]:
        name = rng.choice(["model.json", "model.json", "weights.safetensors"])
        files = held | {name: mutated(held[name], rng)}
        if name == "weights.safetensors" and rng.random() < 0.5:  # by someone who knows the checksum
            was, new = (sha256(some[name]).hexdigest().encode() for some in (held, files))
            files["model.json"] = files["model.json"].replace(was, new)
        for other, content in files.items():
            (folder / other).write_bytes(content)
        return lambda: ProteinClassifier.load(folder).predict(["MKTAYIAK"])

    return make


class _Server(BaseHTTPRequestHandler):
    body, headers_sent = b"", {}

    def do_GET(self) -> None:
        self.send_response(200)
        for key, value in {"Content-Length": str(len(self.body)), **self.headers_sent}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client may hang up on an answer that it refuses."""


def answers() -> Callable[..., Callable[[], object]]:
    uniprot_answers._FIRST_WAIT = 0.0
    server = _Quiet(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"

    def make(rng: random.Random, folder: Path) -> Callable[[], object]:
        headers = {"X-Total-Results": b"2", "X-UniProt-Release": b"2026_03"}
        body = ANSWER
        if rng.random() < 0.3:
            name = rng.choice([*headers, "Link"])
            value = mutated(headers.get(name, b'<http://127.0.0.1/x?cursor=abc>; rel="next"'), rng)
            headers[name] = value.replace(b"\r", b"").replace(b"\n", b"")[:5000]
        else:
            body = mutated(body, rng)
        _Server.headers_sent = {key: value.decode("latin-1") for key, value in headers.items()}
        if rng.random() < 0.3:
            body = gzip.compress(body)
            _Server.headers_sent["Content-Encoding"] = "gzip"
            body = mutated(body, rng) if rng.random() < 0.5 else body
        _Server.body = body

        def read() -> object:
            try:
                return fetch_uniprot(
                    {"a": "SL-0086", "b": "SL-0039"}, folder / "p.csv", url=url, progress=False
                )
            finally:  # pages that are kept on purpose, for the call to go on
                shutil.rmtree(folder / "p.csv.pages", ignore_errors=True)
                (folder / "p.csv").unlink(missing_ok=True)

        return read

    return make


def limit_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))


def stop(*_: object) -> None:
    raise TimeoutError("more than 5 CPU seconds")


def fuzz(make: Callable[..., Callable[[], object]], seed: int, count: int, folder: Path) -> dict[str, object]:
    rng, wrong, parsed = random.Random(seed), [], 0
    started: list[str] = []
    sys.addaudithook(lambda event, _: started.append(event) if event.startswith(FORBIDDEN) else None)

    signal.signal(signal.SIGPROF, stop)
    for number in range(count):
        read = make(rng, folder)
        before = sorted(folder.rglob("*"))
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        began, fault = time.process_time(), ""
        try:
            read()
            parsed += 1
        except (UsageError, RunError) as error:
            text = str(error)
            if not text or "\n" in text or len(text) > 2000:
                fault = f"message {text[:300]!r}"
        except BaseException as error:
            fault = f"{type(error).__name__}: {str(error)[:300]}"
        signal.setitimer(signal.ITIMER_PROF, 0)
        if started:
            fault = f"started {started}"
        if sorted(folder.rglob("*")) != before:
            fault = "left something behind"
        if fault:
            wrong.append(f"{number}: {fault} ({time.process_time() - began:.1f} s)")
            started.clear()
    return {"wrong": wrong, "parsed": parsed, "refused": count - parsed - len(wrong)}


def main(readers: str, seed: int, count: int, folder: Path) -> None:
    makers = {
        "fasta": lambda: proteins(FASTA),
        "csv": lambda: proteins(CSV),
        "tsv": lambda: proteins(TSV),
        "model": lambda: models(folder / "trained"),
        "uniprot": answers,
    }
    ready = {reader: makers[reader]() for reader in readers.split(",")}
    limit_memory()
    found = {}
    for reader, make in ready.items():
        (folder / reader).mkdir()
        found[reader] = fuzz(make, seed, count, folder / reader)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))

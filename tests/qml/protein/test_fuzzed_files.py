"""Files and answers changed at random are read or refused in one line; nothing runs, hangs or is left."""

import gzip
import hashlib
import shutil
import threading
from contextlib import suppress
from socketserver import StreamRequestHandler, ThreadingTCPServer

import pytest

from bondwise.qml.protein import ProteinClassifier, WindowQTN, fetch_uniprot, read_proteins

FASTA = (
    b">sp|P12345|NAME_HUMAN OS=Homo sapiens label=in split=train\nMKTAYIAK\nQRQISF\n"
    b">P2\tlabel=out split=test\nMW\n"
)
CSV = b'accession,label,split,sequence\nP1,"in, or out",train,MKTA\nP2,\'=out,test,MWWCH*\n'
TSV = b"Entry\tSequence\tlabel\nP1\tMKTA\tin\nP2\tMWWCH\tout\n"
TABLE = b"Entry\tSequence\nP00001\tMKTAYIAK\nP00002\tMKTAYIAKQR\n"
PACKED = gzip.compress(TABLE, mtime=0)
ANSWERS = [
    b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\nX-Total-Results: 2\r\nX-UniProt-Release: 2026_03\r\n%s\r\n%s"
    % (len(body), header, body)
    for header, body in [
        (b"", TABLE),
        (b"Content-Encoding: gzip\r\n", PACKED),
        (b'Link: <http://127.0.0.1/x?cursor=abc>; rel="last"\r\n', TABLE),
    ]
]
counts = pytest.mark.parametrize(("count", "seed"), [(50, 0), pytest.param(2000, 1, marks=pytest.mark.slow)])


@counts
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("labeled", [False, True])
def test_proteins(assert_robust, labeled, packed, count, seed):
    samples = [gzip.compress(text, mtime=0) if packed else text for text in (FASTA, CSV, TSV)]
    name = "p.gz" if packed else "p.txt"
    assert_robust(
        lambda path: read_proteins(path, labeled=labeled), samples, name, count=count // 2, seed=seed
    )


@counts
@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_models(assert_robust, tmp_path, name, count, seed):
    model = WindowQTN(epochs=1, window=5, start="angles").fit(
        ["MKTAYIAKQR", "LLVVIIAAFF"] * 3, ["a", "b"] * 3
    )
    held = {path.name: path.read_bytes() for path in model.save(tmp_path / "good").iterdir()}
    was = hashlib.sha256(held["weights.safetensors"]).hexdigest().encode()

    def lay(path):
        if name == "model.json":
            path.with_name("weights.safetensors").write_bytes(held["weights.safetensors"])
        else:  # by someone who knows the checksum
            new = hashlib.sha256(path.read_bytes()).hexdigest().encode()
            path.with_name("model.json").write_bytes(held["model.json"].replace(was, new))

    assert_robust(
        lambda path: ProteinClassifier.load(path.parent).predict(["MKTAYIAK"]),
        [held[name]],
        name,
        count=count,
        seed=seed,
        prepare=lay,
        named="mutated",  # the folder
    )


@pytest.fixture
def serve(monkeypatch):
    """A server that answers with what is in a file."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # before the next attempt
    started = []

    def start(path):
        class Handler(StreamRequestHandler):
            def handle(self):
                with suppress(OSError):  # a client may hang up on an answer that it refuses
                    while self.rfile.readline().strip():
                        pass
                    self.wfile.write(path.read_bytes())

        server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


@counts
def test_answers_of_uniprot(assert_robust, serve, tmp_path, count, seed):
    url = serve(tmp_path / "mutated" / "answer")

    def fetch(path):
        out = path.with_name("p.csv")
        try:
            fetch_uniprot({"a": "SL-0086", "b": "SL-0039"}, out, url=url, progress=False)
        finally:  # pages that are kept on purpose, for the call to go on
            shutil.rmtree(out.with_name("p.csv.pages"), ignore_errors=True)
            out.unlink(missing_ok=True)

    assert_robust(fetch, ANSWERS, "answer", count=count, seed=seed, named=" ")

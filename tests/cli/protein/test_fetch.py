"""`bondwise protein fetch` from a server of our own."""

import functools
import http.server
import json
import threading

import pytest
from helpers import read_csv

from bondwise.qml import protein

SEQUENCE = "MKTAYIAKQRQISFVKSHFSRQ"


class _UniProt(http.server.BaseHTTPRequestHandler):
    """Two proteins for each location, on one page."""

    def do_GET(self):
        first = (
            "P"
            if "term:SL-0086) AND" in self.path.replace("%3A", ":").replace("%29", ")").replace("+", " ")
            else "Q"
        )
        page = f"Entry\tSequence\n{first}00001\t{SEQUENCE}\n{first}00002\t{SEQUENCE}K\n".encode()
        self.send_response(200)
        for name, value in (
            ("X-Total-Results", 2),
            ("X-UniProt-Release", "2026_04"),
            ("Content-Length", len(page)),
        ):
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *arguments):
        pass


def test_fetch(bondwise, tmp_path, monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _UniProt) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(protein, "fetch_uniprot", functools.partial(protein.fetch_uniprot, url=url))
        words = ("protein", "fetch", "--location", "cytosol=SL-0086", "--location", "membrane=SL-0039")
        done = bondwise(*words, "--min-length", 10, "--out", "p.csv", "--json", "--quiet")
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"] == {"cytosol": 2, "membrane": 2}
    assert [row["label"] for row in read_csv(tmp_path / "p.csv")] == ["cytosol"] * 2 + ["membrane"] * 2
    assert bondwise(*words, "--out", "p.csv").returncode == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--location", "cytosol"), "LABEL=TERM"),
        (("--location", "cytosol=SL-0086"), "two or more labels"),
        (("--location", "a=SL-0086", "--location", "b=membrane"), "'membrane'"),
        (("--location", "a=SL-0086", "--location", "a=SL-0039"), "LABEL=TERM"),
    ],
)
def test_wrong_fetch(bondwise, tmp_path, words, message):
    done = bondwise("protein", "fetch", *words, "--out", "p.csv")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
    assert not list(tmp_path.iterdir())

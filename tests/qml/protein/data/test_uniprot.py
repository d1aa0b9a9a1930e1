"""Downloads from a server on this machine that speaks UniProt's REST format: paging, faults, resuming."""

import csv
import gzip
import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bondwise.qml.protein.data.dataset import read_proteins
from bondwise.qml.protein.data.uniprot import fetch_uniprot
from bondwise.runs import RunError, UsageError

LOCATIONS = {"cytoplasm": "SL-0086", "membrane": "SL-0039"}


class Server(ThreadingHTTPServer):
    """Serves `entries`, location → accessions; `faults`, (location, page) → what to do, are used once.

    `asked` lists (location, page) in the order of the requests.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.entries = {"SL-0086": names("C", 1203), "SL-0039": names("M", 500)}
        self.faults, self.asked, self.queries, self.release = {}, [], [], "2026_03"
        self.url = f"http://127.0.0.1:{self.server_port}"


def names(letter, count):
    return [f"{letter}{number:05d}" for number in range(count)]


def sequence_of(accession):
    return "MK" + "ACDEFGHIKL"[int(accession[-1])] * 90


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        address = urllib.parse.urlsplit(self.path)
        given = {key: values[0] for key, values in urllib.parse.parse_qs(address.query).items()}
        assert address.path == "/uniprotkb/search"
        assert given["fields"] == "accession,sequence"
        assert given["format"] == "tsv"
        assert self.headers["Accept-Encoding"] == "gzip"
        self.server.queries.append(given["query"])
        if given["size"] == "1":
            return self.answer(200, "Entry\tSequence\n", {"X-Total-Results": "7"})
        location = given["query"][len("(cc_scl_term:") :].partition(")")[0]
        start, size = int(given.get("cursor", "at0")[2:]), int(given["size"])
        page = (location, start // size)
        self.server.asked.append(page)
        held = self.server.entries[location]
        body = "".join(f"{name}\t{sequence_of(name)}\n" for name in held[start : start + size])
        headers = {"X-Total-Results": str(len(held)), "X-UniProt-Release": self.server.release}
        if start + size < len(held):
            query = urllib.parse.urlencode(given | {"cursor": f"at{start + size}"})
            headers["Link"] = f'<{self.server.url}/uniprotkb/search?{query}>; rel="next"'
        fault = self.server.faults.pop(page, None)
        if fault is None:
            return self.answer(200, "Entry\tSequence\n" + body, headers)
        return fault(self, "Entry\tSequence\n" + body, headers)

    def answer(self, status, body, headers, keep=None):
        content = gzip.compress(body.encode())
        self.send_response(status)
        for key, value in {
            "Content-Encoding": "gzip",
            "Content-Length": str(len(content)),
            **headers,
        }.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content[:keep])

    def log_message(self, *_):
        pass


def status(code, **headers):
    given = {key.replace("_", "-"): value for key, value in headers.items()}
    return lambda handler, body, _: handler.answer(code, '{"messages": ["no such field"]}', given)


def cut(handler, body, headers):
    handler.answer(200, body, headers, keep=100)
    handler.close_connection = True


def rewritten(change):
    """The page with its text changed, its headers with what is given."""
    return lambda handler, body, headers: handler.answer(200, *change(body, headers))


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def fetch(server, path, **options):
    return fetch_uniprot(LOCATIONS, path, url=server.url, progress=False, **options)


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def expected(server):
    return [
        {"accession": name, "label": label, "sequence": sequence_of(name)}
        for label, location in LOCATIONS.items()
        for name in server.entries[location]
    ]


def test_all_pages_become_one_file(server, tmp_path):
    done = fetch(server, tmp_path / "p.csv")
    assert rows_of(done.path) == expected(server)
    assert server.asked == [("SL-0086", 0), ("SL-0086", 1), ("SL-0086", 2), ("SL-0039", 0)]
    assert done.counts == {"cytoplasm": 1203, "membrane": 500}
    assert (done.shared, done.release) == (7, "2026_03")
    assert "cytoplasm: 1,203, membrane: 500; 7 with more than one of the locations" in str(done)
    assert [file.name for file in tmp_path.iterdir()] == ["p.csv"]
    assert len(read_proteins(done.path)) == 1703


def test_queries(server, tmp_path):
    fetch(server, tmp_path / "p.csv", organism=9606, min_length=30, max_length=90)
    common = "(length:[30 TO 90]) AND (reviewed:true) AND (organism_id:9606)"
    assert server.queries[0] == f"(cc_scl_term:SL-0086) AND {common} NOT ((cc_scl_term:SL-0039))"
    assert server.queries[-1] == f"(((cc_scl_term:SL-0039) AND (cc_scl_term:SL-0086))) AND {common}"
    server.queries.clear()
    fetch(server, tmp_path / "p.csv", reviewed=False)
    assert "reviewed" not in server.queries[0]


def test_limit_stops_paging(server, tmp_path):
    done = fetch(server, tmp_path / "p.csv", limit=600)
    assert done.counts == {"cytoplasm": 600, "membrane": 500}
    assert server.asked == [("SL-0086", 0), ("SL-0086", 1), ("SL-0039", 0)]
    assert [row["accession"] for row in rows_of(done.path)[:600]] == names("C", 600)


@pytest.mark.parametrize(
    "fault", [status(503), status(503, Retry_After="0"), status(429, Retry_After="0"), status(500), cut]
)
def test_a_fault_in_the_middle_is_tried_again(server, tmp_path, fault):
    server.faults["SL-0086", 1] = fault
    assert rows_of(fetch(server, tmp_path / "p.csv").path) == expected(server)
    assert server.asked.count(("SL-0086", 1)) == 2


def test_retry_after_is_waited_for(server, tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr("time.sleep", waited.append)
    server.faults["SL-0086", 1] = status(429, Retry_After="17")
    fetch(server, tmp_path / "p.csv")
    assert waited == [17.0]


def test_too_long_a_wait_is_left_to_the_user(server, tmp_path):
    server.faults["SL-0086", 1] = status(429, Retry_After="9999")
    with pytest.raises(RunError, match="failed 1 times, last: 429 Too Many Requests; repeat the call later"):
        fetch(server, tmp_path / "p.csv")


def always(server, page, fault):
    """A fault that comes back."""

    def again(handler, body, headers):
        server.faults[page] = again
        fault(handler, body, headers)

    server.faults[page] = again


@pytest.mark.parametrize("fault", [cut, status(502)])
def test_an_interrupted_download_goes_on_where_it_stopped(server, tmp_path, fault):
    always(server, ("SL-0086", 2), fault)
    with pytest.raises(RunError, match="failed 5 times, last: .*; repeat the call later") as caught:
        fetch(server, tmp_path / "p.csv")
    assert "\n" not in str(caught.value)
    assert server.asked == [("SL-0086", 0), ("SL-0086", 1)] + [("SL-0086", 2)] * 5
    assert [file.name for file in tmp_path.iterdir()] == ["p.csv.pages"]
    held = sorted(file.name for file in (tmp_path / "p.csv.pages").iterdir())
    assert held == ["0-000000.json", "0-000001.json", "request.json"]

    server.faults.clear()
    server.asked.clear()
    assert rows_of(fetch(server, tmp_path / "p.csv").path) == expected(server)
    assert server.asked == [("SL-0086", 2), ("SL-0039", 0)]


def test_no_server_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with Server() as closed:
        url = closed.url
    with pytest.raises(RunError, match="failed 5 times, last: .*refused"):
        fetch_uniprot(LOCATIONS, tmp_path / "p.csv", url=url, progress=False)


def test_pages_of_another_request_are_refused(server, tmp_path):
    always(server, ("SL-0086", 1), status(503, Retry_After="0"))
    with pytest.raises(RunError):
        fetch(server, tmp_path / "p.csv")
    server.asked.clear()
    with pytest.raises(UsageError, match="holds pages of another request"):
        fetch(server, tmp_path / "p.csv", organism=9606)
    assert server.asked == []


def test_a_refused_request_can_be_mended(server, tmp_path):
    server.faults["SL-0086", 0] = status(400)
    with pytest.raises(RunError, match=r"refused the request \(400 Bad Request\): .*") as caught:
        fetch(server, tmp_path / "p.csv", organism=1)
    assert "\n" not in str(caught.value)
    assert len(server.asked) == 1
    assert len(rows_of(fetch(server, tmp_path / "p.csv").path)) == 1703


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda body, headers: ("<html>busy</html>", headers), "page 2 starts with '<html>busy</html>', not"),
        (lambda body, headers: ("", headers), "page 2 starts with '', not"),
        (
            lambda body, headers: (body + "P1\n", headers),
            "page 2, line 502: 'P1' is not an accession and a sequence",
        ),
        (
            lambda body, headers: (body.replace("\tMK", "\tM4", 1), headers),
            "page 2, line 2: .* is not an accession",
        ),
        (lambda body, headers: (body, headers | {"X-Total-Results": "many"}), "X-Total-Results 'many'"),
        (lambda body, headers: (body, headers | {"Link": '<http://x/y?z=1>; rel="next"'}), "has no cursor"),
        (lambda body, headers: (body, headers | {"X-UniProt-Release": "2026_04"}), "from release 2026_03 to"),
    ],
)
def test_a_malformed_page_is_not_kept(server, tmp_path, change, message):
    server.faults["SL-0086", 1] = rewritten(change)
    with pytest.raises(RunError, match=message) as caught:
        fetch(server, tmp_path / "p.csv")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "p.csv").exists()
    assert not (tmp_path / "p.csv.pages" / "0-000001.json").exists()
    assert rows_of(fetch(server, tmp_path / "p.csv").path) == expected(server)


def redirect(target):
    return lambda handler, body, headers: handler.answer(302, body, {"Location": target})


@pytest.mark.parametrize(
    "target", ["http://localhost:{port}/x", "http://127.0.0.1:1/x", "https://127.0.0.1/x"]
)
def test_no_other_host_is_followed(server, tmp_path, target):
    server.faults["SL-0086", 1] = redirect(target.format(port=server.server_port))
    with pytest.raises(RunError, match="redirects to another address, .*, which is not followed"):
        fetch(server, tmp_path / "p.csv")
    assert server.asked == [("SL-0086", 0), ("SL-0086", 1)]


def test_the_same_host_is_followed(server, tmp_path):
    server.faults["SL-0086", 1] = lambda handler, body, headers: handler.answer(
        302, "", {"Location": handler.path}
    )
    assert rows_of(fetch(server, tmp_path / "p.csv").path) == expected(server)
    assert server.asked.count(("SL-0086", 1)) == 2


def test_what_a_server_says_cannot_reach_the_terminal(server, tmp_path):
    server.faults["SL-0086", 0] = lambda handler, body, headers: handler.answer(
        400, "bad \x1b]0;owned\x07 \x1b[2J\u202e query\x9b" + "x" * 5000, {}
    )
    with pytest.raises(RunError, match="bad .*query") as caught:
        fetch(server, tmp_path / "p.csv")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1500

    def loud(handler, body, headers):
        handler.send_response(404, "no \x1b[31m such page")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.faults["SL-0086", 0] = loud
    with pytest.raises(RunError, match=r"404 no .*31m such page") as caught:
        fetch(server, tmp_path / "p.csv")
    assert str(caught.value).isprintable()
    server.release = "2026_03\x1b[31m"
    assert str(fetch(server, tmp_path / "p.csv")).isprintable()


def test_an_answer_that_is_too_long_is_dropped(server, tmp_path, monkeypatch):
    monkeypatch.setenv("BONDWISE_MAX_TEXT_BYTES", "1000000")
    server.faults["SL-0086", 1] = rewritten(lambda body, headers: (body + "M" * 30_000_000, headers))
    with pytest.raises(UsageError, match="the limit is 1,000,000, .*BONDWISE_MAX_TEXT_BYTES"):
        fetch(server, tmp_path / "p.csv")
    assert not (tmp_path / "p.csv").exists()


def test_more_proteins_than_the_limit_are_refused_after_one_page(server, tmp_path, monkeypatch):
    monkeypatch.setenv("BONDWISE_MAX_PROTEINS", "700")
    with pytest.raises(UsageError, match=r"1,203 proteins; the limit is 700, .*BONDWISE_MAX_PROTEINS"):
        fetch(server, tmp_path / "p.csv")
    assert server.asked == [("SL-0086", 0)]
    assert fetch(server, tmp_path / "p.csv", limit=600).counts == {"cytoplasm": 600, "membrane": 500}


@pytest.mark.parametrize(
    "content",
    ["[]", "{}", "1", "null", "[" * 100_000, '{"rows": 1, "total": 1, "cursor": null, "release": ""}'],
)
def test_a_page_that_was_changed_is_named(server, tmp_path, content):
    always(server, ("SL-0086", 1), status(503, Retry_After="0"))
    with pytest.raises(RunError):
        fetch(server, tmp_path / "p.csv")
    (tmp_path / "p.csv.pages" / "0-000000.json").write_text(content)
    with pytest.raises(RunError, match="0-000000.json is damaged: .*; delete it") as caught:
        fetch(server, tmp_path / "p.csv")
    assert "\n" not in str(caught.value)


def test_a_label_that_is_a_formula_is_written_as_text(server, tmp_path):
    path = tmp_path / "p.csv"
    fetch_uniprot({"=cmd()": "SL-0086", "-1": "SL-0039"}, path, url=server.url, progress=False)
    assert {row["label"] for row in rows_of(path)} == {"'=cmd()", "'-1"}
    assert set(read_proteins(path).labels) == {"=cmd()", "-1"}


def test_a_new_release_between_two_locations_is_noticed(server, tmp_path):
    server.faults["SL-0039", 0] = rewritten(
        lambda body, headers: (body, headers | {"X-UniProt-Release": "2026_04"})
    )
    with pytest.raises(RunError, match="from release 2026_03 to 2026_04"):
        fetch(server, tmp_path / "p.csv")


def test_missing_entries_are_noticed(server, tmp_path):
    server.faults["SL-0086", 2] = rewritten(lambda body, headers: (body.rpartition("C")[0], headers))
    with pytest.raises(RunError, match="announced 1203 proteins and sent 1202"):
        fetch(server, tmp_path / "p.csv")
    assert not (tmp_path / "p.csv").exists()


def test_a_damaged_page_on_the_disk_is_named(server, tmp_path):
    always(server, ("SL-0086", 1), status(503, Retry_After="0"))
    with pytest.raises(RunError):
        fetch(server, tmp_path / "p.csv")
    page = tmp_path / "p.csv.pages" / "0-000000.json"
    assert set(json.loads(page.read_text())) == {"rows", "total", "cursor", "release"}
    page.write_text(page.read_text()[:50])
    with pytest.raises(RunError, match="0-000000.json is damaged: .*; delete it"):
        fetch(server, tmp_path / "p.csv")


def test_a_location_without_proteins(server, tmp_path):
    server.entries["SL-0039"] = []
    with pytest.raises(UsageError, match="no protein of 'membrane' matches"):
        fetch(server, tmp_path / "p.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("locations", "options", "message"),
    [
        ({"a": "SL-0086"}, {}, "are not two or more labels"),
        ({"a": "SL-0086", "b": "SL-0086"}, {}, "are not two or more labels"),
        ({"a": "SL-0086", "b": "membrane"}, {}, "the location 'membrane' of 'b' is not a term of UniProt"),
        (LOCATIONS, {"organism": "human"}, "organism is 'human'; give a whole number"),
        (
            LOCATIONS,
            {"min_length": 90, "max_length": 80},
            "max_length is 80; give a whole number of at least 90",
        ),
        (LOCATIONS, {"limit": 0}, "limit is 0; give a whole number of at least 1, or None"),
        (LOCATIONS, {"url": "rest.uniprot.org"}, "url='rest.uniprot.org' is not an https address"),
        (LOCATIONS, {"url": "http://rest.uniprot.org"}, "is not an https address"),
        (LOCATIONS, {"url": "http://127.0.0.1@example.org"}, "is not an https address"),
        (LOCATIONS, {"url": "https://name:word@example.org"}, "is not an https address"),
        (LOCATIONS, {"url": "ftp://127.0.0.1"}, "is not an https address"),
        (LOCATIONS, {"url": "https://[::1"}, "is not an https address"),
        ({"a\x1b[2J": "SL-0086", "b": "SL-0039"}, {}, "holds a control character"),
        (LOCATIONS, {"path": "."}, "cannot be written; give a file"),
        (LOCATIONS, {"path": "absent/p.csv"}, "cannot be written; give a file"),
    ],
)
def test_wrong_arguments(tmp_path, locations, options, message):
    path = tmp_path / options.pop("path", "p.csv")
    with pytest.raises(UsageError, match=message):
        fetch_uniprot(locations, path, progress=False, **{"url": "http://127.0.0.1:9", **options})
    assert list(tmp_path.iterdir()) == []

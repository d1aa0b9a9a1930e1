"""Labeled proteins from UniProt: one query per subcellular location, page by page, resumable.

The service is UniProt's REST interface, `/uniprotkb/search`: tab-separated pages of up to 500 entries, the
cursor of the next page in a `Link` header, the total number of entries in `X-Total-Results`. Its content is
licensed under CC BY 4.0; name the UniProt Consortium when you use it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bondwise.qml.protein.data.tables import csv_text
from bondwise.qml.protein.data.uniprot_answers import check_address, get, in_letters
from bondwise.runs import (
    RunError,
    UsageError,
    kind_of,
    progress_bar,
    read_json,
    require_within,
    whole_number,
    write_atomically,
)

if TYPE_CHECKING:
    from tqdm.auto import tqdm

_PAGE = 500  # the largest page of the service
_FORM = {"fields": "accession,sequence", "format": "tsv"}
_TERM = re.compile(r"SL-[0-9]{4}")


@dataclass(frozen=True)
class UniProtDownload:
    """Result of `fetch_uniprot`.

    Attributes:
        path: The CSV file.
        counts: Number of proteins by label.
        shared: Number of proteins left out because they have more than one of the locations.
        release: UniProt's release, such as "2026_03"; "" if the server does not name it.

    Example:
        >>> from pathlib import Path
        >>> from bondwise.qml.protein import UniProtDownload
        >>> print(UniProtDownload(Path("p.csv"), {"cytoplasm": 1203, "membrane": 500}, 7, "2026_03"))
        p.csv: cytoplasm: 1,203, membrane: 500; 7 with more than one of the locations left out; UniProt
        2026_03
    """

    path: Path
    counts: dict[str, int]
    shared: int
    release: str

    def __str__(self) -> str:
        held = ", ".join(f"{label}: {count:,}" for label, count in self.counts.items())
        release = f"UniProt {self.release}" if self.release else "UniProt"
        return f"{self.path}: {held}; {self.shared:,} with more than one of the locations left out; {release}"


def fetch_uniprot(
    locations: Mapping[str, str],
    path: str | os.PathLike[str],
    *,
    reviewed: bool = True,
    organism: int | None = None,
    min_length: int = 80,
    max_length: int = 500,
    limit: int | None = None,
    url: str = "https://rest.uniprot.org",
    progress: bool = True,
) -> UniProtDownload:
    """Download proteins by location into a CSV with the columns accession, label, sequence.

    Until the file is written, pages are kept in the folder `<path>.pages` next to it: after an interruption
    the same call continues where it stopped.

    Args:
        locations: UniProt's location term by label, such as `{"cytoplasm": "SL-0086", "membrane": "SL-0039"}`
            (SL-0039 is the cell membrane). A protein with more than one of the locations is left out.
        path: CSV file, written at the end; its folder must exist.
        reviewed: Whether to download only entries of Swiss-Prot.
        organism: NCBI taxonomy number, such as 9606 for human; None for all organisms.
        min_length: Minimum number of residues.
        max_length: Maximum number of residues.
        limit: Maximum number of proteins per label, those that the service ranks first; None for all.
        url: Address of the service.
        progress: Whether to show progress bars.

    Raises:
        UsageError: If an argument is invalid, a location has no protein, or the folder of pages belongs to
            another request.
        RunError: If the service fails five times in a row or gives an unexpected answer, or the disk fails.
            The pages fetched so far are kept.

    Example:
        >>> from bondwise.qml.protein import fetch_uniprot
        >>> locations = {"cytoplasm": "SL-0086", "membrane": "SL-0039"}
        >>> print(fetch_uniprot(locations, "p.csv", limit=100))  # doctest: +SKIP
        p.csv: cytoplasm: 100, membrane: 100; ... with more than one of the locations left out; UniProt
        2026_03
    """
    path = Path(path)
    _check(locations, path, organism, min_length, max_length, limit, url)
    common = f"(length:[{min_length} TO {max_length}])"
    common += " AND (reviewed:true)" if reviewed else ""
    common += "" if organism is None else f" AND (organism_id:{organism})"
    terms = {label: f"(cc_scl_term:{term})" for label, term in locations.items()}
    queries = {}
    for label, term in terms.items():
        others = " OR ".join(other for name, other in terms.items() if name != label)
        queries[label] = f"{term} AND {common} NOT ({others})"
    pairs = [f"({a} AND {b})" for i, a in enumerate(terms.values()) for b in list(terms.values())[:i]]
    cache = _Cache(path, {"url": url, "queries": queries})
    table = [["accession", "label", "sequence"]]
    counts: dict[str, int] = {}
    for number, (label, query) in enumerate(queries.items()):
        with progress_bar(None, label, progress) as bar:
            rows = [row for page in _pages(cache, number, query, limit, url, bar) for row in page["rows"]]
        if not rows:
            cache.remove()
            raise UsageError(f"no protein of {label!r} matches {query}; widen the lengths or the organism.")
        table += [[accession, label, sequence] for accession, sequence in rows[:limit]]
        counts[label] = len(rows[:limit])
    headers, _ = get(url, {"query": f"({' OR '.join(pairs)}) AND {common}", **_FORM, "size": 1})
    write_atomically(path, csv_text(table))
    cache.remove()
    return UniProtDownload(path, counts, _total(headers), cache.release or "")


def _check(
    locations: Mapping[str, str],
    path: Path,
    organism: int | None,
    min_length: int,
    max_length: int,
    limit: int | None,
    url: str,
) -> None:
    example = '{"cytoplasm": "SL-0086", "membrane": "SL-0039"}'
    if len(locations) < 2 or len(set(locations.values())) < len(locations) or not all(locations):
        raise UsageError(
            f"locations={dict(locations)} are not two or more labels and terms; write {example}."
        )
    for label, term in locations.items():
        if not label.isprintable():
            raise UsageError(f"the label {label!r} holds a control character; remove it.")
        if not _TERM.fullmatch(str(term)):
            raise UsageError(f"the location {term!r} of {label!r} is not a term of UniProt; write {example}.")
    if organism is not None:
        whole_number("organism", organism, otherwise="None for all; 9606 is human")
    whole_number("min_length", min_length)
    whole_number("max_length", max_length, least=min_length)
    if limit is not None:
        whole_number("limit", limit, otherwise="None for all proteins")
    check_address(url)
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"{path} cannot be written; give a file in a folder that exists, such as p.csv.")


class _Cache:
    """Pages of one request, each a complete JSON file."""

    def __init__(self, path: Path, request: dict[str, Any]) -> None:
        self.folder = path.with_name(path.name + ".pages")
        self.release: str | None = None  # of the pages read or written so far
        record = self.folder / "request.json"
        try:
            self.folder.mkdir(exist_ok=True)
            held = read_json(record) if record.exists() else None
        except (OSError, UsageError) as error:
            raise RunError(f"cannot use the pages in {self.folder}: {error}; delete the folder.") from error
        if not any(self.folder.glob("*-*.json")):
            write_atomically(record, json.dumps(request))
        elif held != request:
            raise UsageError(
                f"{self.folder} holds pages of another request; repeat that request, delete the folder, or "
                "write to another file."
            )

    def _file(self, query: int, page: int) -> Path:
        return self.folder / f"{query}-{page:06d}.json"

    def read(self, query: int, page: int) -> dict[str, Any] | None:
        file = self._file(query, page)
        if not file.exists():
            return None
        try:
            content: dict[str, Any] = read_json(file)
            _check_page(content)
            return content
        except ValueError as error:
            raise RunError(f"the page {file} is damaged: {error}; delete it and repeat the call.") from error

    def write(self, query: int, page: int, content: dict[str, Any]) -> None:
        write_atomically(self._file(query, page), json.dumps(content))

    def remove(self) -> None:
        with contextlib.suppress(OSError):  # everything is written; a folder left behind does no harm
            for file in self.folder.glob("*.json"):
                file.unlink()
            self.folder.rmdir()


def _pages(
    cache: _Cache, number: int, query: str, limit: int | None, url: str, bar: tqdm[Any]
) -> Iterator[dict[str, Any]]:
    parameters = {"query": query, **_FORM, "size": _PAGE}
    index, count, size = 0, 0, 0
    while True:
        page = cache.read(number, index)
        if page is None:
            headers, content = get(url, parameters)
            page = {
                "rows": _rows(content, index),
                "total": _total(headers),
                "cursor": _cursor(headers.get("Link")),
                "release": in_letters(headers.get("X-UniProt-Release") or ""),
            }
            if cache.release not in (None, page["release"]):
                raise RunError(
                    f"UniProt changed from release {cache.release} to {page['release']} during the download; "
                    f"delete {cache.folder} and start again."
                )
            cache.write(number, index, page)
        wanted = page["total"] if limit is None else min(limit, page["total"])
        require_within("proteins", wanted, f"{query}, with limit={limit} (--limit),")
        size += sum(len(sequence) for _, sequence in page["rows"])
        require_within("protein_bytes", size, f"the answer to {query}")
        cache.release = page["release"]
        index, count = index + 1, count + len(page["rows"])
        bar.total = wanted
        bar.update(min(count, bar.total) - bar.n)
        yield page
        if limit is not None and count >= limit:
            return
        done = page["cursor"] is None
        if count > page["total"] or done != (count == page["total"]) or not (done or page["rows"]):
            raise RunError(
                f"UniProt announced {page['total']} proteins and sent {count}; delete {cache.folder} and "
                "start again."
            )
        if done:
            return
        parameters["cursor"] = page["cursor"]


def _check_page(page: Any) -> None:
    """Raise a ValueError unless a page from the disk has the form that `_pages` writes."""
    kinds = {"rows": list, "total": int, "cursor": str | None, "release": str}
    if not isinstance(page, dict) or page.keys() != kinds.keys():
        raise ValueError(f"it does not hold {', '.join(kinds)}")
    for key, kind in kinds.items():
        if not isinstance(page[key], kind):
            raise ValueError(f"{key} is {kind_of(page[key])}")
    if not all(_is_entry(row) for row in page["rows"]):
        raise ValueError("a row is not an accession and a sequence")


def _is_entry(row: Any) -> bool:
    return (
        isinstance(row, list)
        and len(row) == 2
        and all(isinstance(value, str) for value in row)
        and re.fullmatch(r"[A-Z0-9]{1,20}", row[0]) is not None
        and re.fullmatch(r"[A-Z]+", row[1]) is not None
    )


def _total(headers: Mapping[str, str]) -> int:
    total = headers.get("X-Total-Results") or ""
    if not re.fullmatch(r"[0-9]{1,12}", total):
        raise RunError(
            f"the answer has X-Total-Results {total[:40]!r}, not a number; is this a server of UniProt?"
        )
    return int(total)


def _cursor(link: str | None) -> str | None:
    following = re.search(r'<([^>]*)>\s*;\s*rel="next"', link or "")
    if following is None:
        return None
    cursor = urllib.parse.parse_qs(urllib.parse.urlsplit(following[1]).query).get("cursor")
    if not cursor:
        raise RunError(
            f"the next page's address {following[1][:80]!r} has no cursor; is this a server of UniProt?"
        )
    return cursor[0]


def _rows(content: str, index: int) -> list[list[str]]:
    """Accession and sequence of every entry."""
    lines = [line.split("\t") for line in re.split(r"\r\n|\r|\n", content.removesuffix("\n"))]
    if not lines or lines[0] != ["Entry", "Sequence"]:
        raise RunError(
            f"page {index + 1} starts with {content[:60]!r}, not with the columns Entry, Sequence."
        )
    for number, row in enumerate(lines[1:], 2):
        if not _is_entry(row):
            shown = "\t".join(row)[:60]
            raise RunError(f"page {index + 1}, line {number}: {shown!r} is not an accession and a sequence.")
    return lines[1:]

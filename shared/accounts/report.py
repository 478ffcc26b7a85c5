"""An account as text, JSON and HTML; names of the configuration and ids of parts only, no patient data.

No I/O, no clock, no globals.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from shared.accounts.counting import WORDS
from shared.accounts.reading import Account, Doubt

Row = dict[str, Any]
OF_SOURCES = (
    "source",
    "parts",
    "received",
    "routed",
    "waiting",
    "held",
    "discarded",
    "unexplained",
    "receiving",
    "duplicates",
)
OF_DESTINATIONS = ("source", "destination", "ordered", *WORDS)
_STYLE = (
    "body{font-family:sans-serif}table{border-collapse:collapse;margin:1em 0}"
    "td,th{border:1px solid #999;padding:.2em .6em;text-align:right}td:first-child,th:first-child{text-align:left}"
)


def facts(account: Account, title: str) -> Row:
    """An account for machines."""
    return {
        "title": title,
        "explained": is_explained(account),
        "sources": source_rows(account),
        "destinations": destination_rows(account),
        "unexplained": [vars(doubt) for doubt in account.doubts],
    }


def is_explained(account: Account) -> bool:
    """Whether there is nothing that the records do not explain."""
    return not account.doubts


def source_rows(account: Account) -> list[Row]:
    """One row per source, with the columns of OF_SOURCES."""
    return [_row(OF_SOURCES, {"source": name}, counts) for name, counts in sorted(account.sources.items())]


def destination_rows(account: Account) -> list[Row]:
    """One row per source and destination, with the columns of OF_DESTINATIONS."""
    return [
        _row(OF_DESTINATIONS, {"source": source, "destination": destination}, counts)
        for (source, destination), counts in sorted(account.destinations.items())
    ]


def sentence(doubt: Doubt) -> str:
    """A doubt for a person, with the command that helps."""
    whom = f", for {doubt.destination}" if doubt.destination else ""
    what = "1 instance" if doubt.instances == 1 else f"{doubt.instances} instances"
    return f"part {doubt.part[:10]}{whom}: {what}: {doubt.why}: `dcmrelay show {doubt.part[:10]}`"


def as_text(account: Account, title: str) -> str:
    """An account for a person, in lines."""
    lines = [title, "", *_aligned(OF_SOURCES, source_rows(account)), ""]
    lines += [*_aligned(OF_DESTINATIONS, destination_rows(account)), ""]
    lines += [f"! {sentence(doubt)}" for doubt in account.doubts] or ["Everything is explained."]
    return "\n".join(lines) + "\n"


def as_html(account: Account, title: str) -> str:
    """An account as a page of its own."""
    doubts = "".join(f"<li>{escape(sentence(doubt))}</li>" for doubt in account.doubts)
    verdict = f"<ul>{doubts}</ul>" if doubts else "<p>Everything is explained.</p>"
    tables = _table(OF_SOURCES, source_rows(account)) + _table(OF_DESTINATIONS, destination_rows(account))
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    body = f"<h1>{escape(title)}</h1>{verdict}{tables}"
    return f"<!DOCTYPE html><html lang=en><head>{head}</head><body>{body}</body></html>\n"


def _row(columns: Sequence[str], names: Mapping[str, str], counts: Counter[str]) -> Row:
    return {column: names.get(column, counts[column]) for column in columns}


def _aligned(columns: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    table = [list(columns), *([str(row[column]) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        padded = [
            cell.ljust(width) if name in ("source", "destination") else cell.rjust(width)
            for name, cell, width in zip(columns, cells, widths, strict=True)
        ]
        yield "  ".join(padded).rstrip()


def _table(columns: Sequence[str], rows: Sequence[Row]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(row[it]))}</td>" for it in columns) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"

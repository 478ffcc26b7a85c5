"""`--no-phi`: what a screenshot must not show is in no command's output, and without it it is."""

import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog

from consumers.ledger.database import database_of
from consumers.ledger.feeding import Feeder
from consumers.router.handler import Router
from dcmrelay.hiding import HIDDEN, Hider, words_of
from shared.config import parse
from shared.outcomes import Held
from shared.spool.commitments import Asked, create_commitment
from shared.spool.knocks import Knock, remember
from shared.spool.parts import decided_deliveries
from tests.consumers.bench import ALL, RELAY, STUDY, Bench, bench, data_set
from tests.dcmrelay.relays import Command, commander

PATIENT, ACCESSION, WORDS, STRANGER, HOST = (
    "PAT-CANARY",
    "ACC-CANARY",
    "the CANARY family called",
    "STRANGE_CT",
    "pacs.canary.example",
)
CANARIES = (STUDY, PATIENT, ACCESSION, WORDS, STRANGER, HOST, "10.7.8.9", "CT1", "DCMRELAY")
EDITED = """
[edit.corrected]
set = { InstitutionName = "of {PatientID}" }
[[route]]
name = "strangers"
match = { PatientID = "X*" }
to = ["reading"]
[[route]]
name = "corrected"
match = { AccessionNumber = "ACC*" }
edit = "corrected"
to = ["reading"]
"""
LISTINGS: tuple[tuple[str, ...], ...] = (
    ("status",),
    ("studies",),
    ("studies", "--with-patient"),
    ("studies", "--accession", ACCESSION),
    ("show", ACCESSION),
    ("show", "1.2.3.4.5.6"),
    ("dead", "list"),
    ("dead", "show", "d"),
    ("dead", "replay", "--all", "--dry-run"),
    ("explain", ACCESSION),
    ("explain", ACCESSION, "--values"),
    ("diff", "OLD", "NEW"),
    ("duty",),
    ("knocked",),
    ("reconcile",),
    ("ledger", "log"),
    ("ledger", "log", "--kind", "searched"),
)
ACTS = (("pause", "reading", "--why", WORDS), ("urgent", ACCESSION, "--why", WORDS))
DISCARD = ("dead", "discard", "--all", "--why", WORDS)
CSV = ("studies", "--csv", "--with-patient")


@pytest.fixture
def relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr("dcmrelay.person.socket.gethostname", lambda: HOST)
    text = RELAY.replace('host = "127.0.0.1"', f'host = "{HOST}"') + ALL + EDITED
    monkeypatch.chdir(tmp_path)
    for name in ("dcmrelay.toml", "OLD", "NEW"):
        (tmp_path / name).write_text(text if name != "NEW" else text.replace(ALL, ""), encoding="utf-8")
    found = bench(tmp_path, text)
    found.now = datetime.now(UTC) - timedelta(hours=1)
    _filled(found)
    return found


@pytest.fixture
def run(relay: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    yield commander(monkeypatch, capsys, relay.folder / "dcmrelay.toml")
    structlog.reset_defaults()


def _filled(relay: Bench) -> None:
    """A study that is a dead letter, one that waits, a request for commitment, a refused caller, a ledger."""
    for number in (1, 2):
        part = relay.part(data_set(number, PatientID=PATIENT, AccessionNumber=ACCESSION))
        relay.look(part, Router(relay.spool).handle)
        delivery, *_ = decided_deliveries(relay.spool, part) or ()
        if number == 1:
            relay.look(delivery, lambda _: Held(f"cannot connect to {HOST}:104", "unreachable"))
    references = (("1.2.840.10008.5.1.4.1.1.2", f"{STUDY}.1.1"),)
    create_commitment(
        relay.spool,
        Asked(
            source="ct-1",
            transaction_uid=f"{STUDY}.9",
            references=references,
            calling_ae_title="CT1",
            called_ae_title="DCMRELAY",
            host="10.7.8.9",
        ),
    )
    at = datetime.now(UTC)
    knock = Knock(
        calling_ae_title=STRANGER, called_ae_title="DCMRELAY", host="10.7.8.9", fingerprint="", why="calling",
        first=at, last=at, times=3,
    )  # fmt: skip
    remember(relay.spool, knock)
    fed(relay)


def fed(relay: Bench) -> None:
    database = database_of(relay.config)
    Feeder(relay.spool, relay.config, database).catch_up(full=True)
    database.close()


def said(run: Command, *options: str, of: Iterable[tuple[str, ...]] = LISTINGS) -> list[tuple[str, str]]:
    """Every line of the commands, in words and as JSON, with the command that said it."""
    commands = [(*one, *form, *options) for one in of for form in ((), ("--json",))] + [(*CSV, *options)]
    printed = ((command, run(*command)) for command in commands)
    return [(" ".join(command), line) for command, it in printed for line in (it.out + it.err).splitlines()]


def leaks(lines: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(command, line) for command, line in lines if any(canary in line for canary in CANARIES)]


def test_no_command_shows_what_no_phi_hides_and_each_of_it_is_shown_without(relay: Bench, run: Command) -> None:
    shown = [*said(run, of=ACTS), *said(run)]
    assert [canary for canary in CANARIES if not any(canary in line for _, line in shown)] == []
    assert any("--values" in command and f"of {PATIENT}" in line for command, line in shown)
    assert leaks(said(run, "--no-phi", of=ACTS)) == []
    assert leaks(said(run, "--no-phi")) == []
    assert leaks(said(run, "--no-phi", of=[DISCARD])) == []
    fed(relay)
    of_the_ledger = [listing for listing in LISTINGS if listing[0] in ("studies", "ledger", "show")]
    assert leaks(said(run, "--no-phi", of=of_the_ledger)) == []
    assert WORDS in run(*CSV).out


def test_what_helps_is_still_shown(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCMRELAY_NO_PHI", "1")
    status = run("status")
    assert status.code == 1
    assert f"1 dead letter, class unreachable, for archive (cannot connect to {HIDDEN}:104)" in status.out
    assert "`dcmrelay dead list --class unreachable --destination archive`" in status.out
    assert "ct-1" in run("studies").out


@pytest.mark.parametrize(
    ("line", "hidden"),
    [
        ("study 1.2.840.113619.2.55: 3 instances, 1.5 MB", "study ***: 3 instances, 1.5 MB"),
        (
            "since 2026-03-04 12:30:00, 2026-03-04T12:30:00+00:00",
            "since 2026-03-04 12:30:00, 2026-03-04T12:30:00+00:00",
        ),
        ("at 10.0.0.7:104 and fe80::1 and [::1]", "at ***:104 and *** and [***]"),
        ("replayed by ann@pacs-1 (Mr Smith (junior) asked)", "replayed by ***"),
        ("ARCHIVE at archive, OLD PACS or ARCHIVE2", "*** at archive, *** or ARCHIVE2"),
        ("mail to a.b@h.example.", "mail to ***"),
        ("RabbitMQ 3.10.8, 50.0 GB", "RabbitMQ 3.10.8, 50.0 GB"),
    ],
)
def test_a_line_is_hidden_by_what_it_looks_like(line: str, hidden: str) -> None:
    assert Hider(("ARCHIVE", "OLD PACS", "PACS", "*", "")).text(line) == hidden


def test_what_a_person_wrote_is_hidden_where_a_person_did_it_and_nowhere_else() -> None:
    rows = [
        {"by": "ann@x", "reason": "Smith"},
        {"by": "", "reason": "no answer"},
        {"what": "replayed by ann@x", "detail": "S"},
    ]
    assert Hider().value(rows) == [
        {"by": HIDDEN, "reason": HIDDEN},
        {"by": "", "reason": "no answer"},
        {"what": f"replayed by {HIDDEN}", "detail": HIDDEN},
    ]


def test_the_name_of_a_mail_server_is_hidden(tmp_path: Path) -> None:
    table = 'kind = "smtp"\non = ["late"]\nhost = "mail.h.example"\nfrom = "r@h.example"\nto = ["p@h.example"]\n'
    hider = Hider(words_of(parse(f"[[notify]]\n{table}", tmp_path)))
    assert hider.text("the mail server mail.h.example:587: was silent") == "the mail server ***:587: was silent"

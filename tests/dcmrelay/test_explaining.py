"""Where would this go? What is said is what the router does; nothing is sent, and nothing written."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.router.handler import Router
from dcmrelay.reading import parts
from shared.spool.parts import decided_deliveries
from tests.consumers.bench import NOW, RELAY, STUDY, Bench, bench, data_set, write
from tests.dcmrelay.relays import Command

TEXT = RELAY.replace("[ingress]", 'timezone = "Europe/Lisbon"\n[ingress]')
TEXT += """
[[destination]]
name = "night"
ae_title = "NIGHT"
host = "127.0.0.1"
port = 106
[[destination]]
name = "research"
ae_title = "RESEARCH"
host = "127.0.0.1"
port = 107
send_during = "evening"
exclude = [{ sop_class = "CTImageStorage" }]
[calendar.office]
open = ["mon-fri 08:00-20:00"]
closed_on = ["2026-12-25"]
[calendar.evening]
open = ["mon-sun 20:00-23:00"]
[[check]]
name = "patient"
match = { source = "ct-1" }
pattern = { PatientID = "^[0-9]+$" }
[[route]]
name = "outside"
match = { source = "ct-1", Modality = "CT" }
profile = "basic"
one_of = [{ destination = "reading", during = "office" }, { destination = "night", as_backup = "always" }]
[[route]]
name = "archive"
match = { source = "ct-1", Modality = ["CT", "MR"] }
to = ["archive"]
optional = ["research"]
last = true
[[route]]
name = "rest"
match = { source = "ct-1" }
to = ["archive"]
"""


@pytest.fixture
def relay(tmp_path: Path) -> Bench:
    (tmp_path / "dcmrelay.toml").write_text(TEXT, encoding="utf-8")
    return bench(tmp_path, TEXT)


@pytest.fixture
def run(relay: Bench, command: Command) -> Command:
    return command


def file(relay: Bench, **elements: Any) -> Path:
    """A file of one instance."""
    return write(relay.folder / "image.dcm", data_set(**elements))


def everything(relay: Bench) -> dict[Path, bytes]:
    """All files of the data folder."""
    return {path: path.read_bytes() for path in relay.config.relay.data_dir.rglob("*") if path.is_file()}


def routes(said: str) -> dict[str, dict[str, Any]]:
    """What is said of each route."""
    return {row["route"]: row for row in json.loads(said)["routes"]}


def test_files_are_explained_route_by_route_and_nothing_is_written(relay: Bench, run: Command) -> None:
    before = everything(relay)
    said = run("explain", file(relay), "--source", "ct-1", "--at", "2026-12-23T12:00", "--json")
    found = routes(said.out)
    assert said.code == 0
    assert {name: row["chosen"] for name, row in found.items()} == {
        "outside": ["reading"],
        "archive": ["archive", "research"],
        "rest": [],
    }
    assert [row["form"] for row in found.values()] == ["de-identified (basic)", "as received", None]
    assert [row["matched"] for row in found.values()] == [True, True, False]
    assert found["rest"]["why_not"] == "route 'archive' above it matches and says last = true"
    assert found["outside"]["others"] == [{"destination": "night", "why": "open, but another one comes first"}]
    _, research = found["archive"]["targets"]
    assert (research["excluded"], research["optional"]) == (1, True)
    assert datetime.fromisoformat(research["waits_until"]) == datetime.fromisoformat("2026-12-23T20:00+00:00")
    assert everything(relay) == before


def test_a_holiday_gives_the_study_to_who_is_there_then(relay: Bench, run: Command) -> None:
    said = run("explain", file(relay), "--source", "ct-1", "--at", "2026-12-25T12:00").out
    assert "to night, de-identified (basic), at once, open: no calendar limits it" in said
    assert "not to reading: closed: 2026-12-25 is in closed_on" in said


def test_what_a_check_would_hold_is_said_without_the_value(relay: Bench, run: Command) -> None:
    said = run("explain", file(relay, PatientID="CANARY-4711"), "--source", "ct-1", "--json")
    assert said.code == 1, "a person would be needed"
    row = routes(said.out)["outside"]
    assert (row["matched"], row["chosen"]) == (True, [])
    assert "check 'patient': PatientID does not fit its pattern" in row["why_not"]
    assert "CANARY" not in said.out


def test_what_no_route_takes_says_for_each_route_which_condition_failed(relay: Bench, run: Command) -> None:
    said = run("explain", file(relay), "--source", "mr-1")
    assert said.code == 1
    assert "! a person is needed: no route wants it" in said.out
    assert said.out.count("no: source is mr-1; it asks ct-1") == 3


def test_without_a_source_each_route_is_explained_for_one_that_it_takes(relay: Bench, run: Command) -> None:
    said = run("explain", file(relay), "--json")
    assert said.code == 0
    assert {name: row["source"] for name, row in routes(said.out).items()} == dict.fromkeys(
        ("outside", "archive", "rest"), "ct-1"
    )


@pytest.mark.parametrize("hours", [0, 9, 24 * 3])
@pytest.mark.parametrize("modality", ["CT", "MR", "US"])
def test_a_past_study_is_explained_as_it_was_decided(relay: Bench, run: Command, hours: int, modality: str) -> None:
    relay.now = NOW + timedelta(hours=hours)
    part = relay.part(data_set(Modality=modality))
    relay.look(part, Router(relay.spool).handle)
    decision = relay.spool.read_json(f"parts/{part}/decision.json")
    assert decision is not None
    before = everything(relay)
    for asked in (part, STUDY, decided_deliveries(relay.spool, part)[0][:12]):  # type: ignore[index]
        found = routes(run("explain", asked, "--json").out)
        assert not any(row["follows"] for row in found.values()), "its own choice is not a reason for it"
        assert sorted(name for name, row in found.items() if row["chosen"]) == decision["routes"]
        chosen = {name for row in found.values() for name in row["chosen"]}
        assert chosen == {it["destination"] for it in decision["deliveries"]}
    assert everything(relay) == before


def test_a_later_part_follows_and_a_past_study_can_be_asked_for_another_time(relay: Bench, run: Command) -> None:
    relay.look(relay.part(data_set()), Router(relay.spool).handle)
    (first,) = parts(relay.spool)
    late = routes(run("explain", file(relay), "--source", "ct-1", "--at", "2026-03-04T22:00", "--json").out)
    assert (late["outside"]["follows"], late["outside"]["chosen"]) == (True, ["reading"])
    anew = routes(run("explain", first.id, "--at", "2026-03-04T22:00", "--json").out)
    assert (anew["outside"]["follows"], anew["outside"]["chosen"]) == (False, ["night"])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["nobody"], "is neither a file nor a study"),
        (["missing.dcm"], "there is no file"),
        (["image.dcm", "--source", "us-1"], "no source 'us-1' is configured; known: ct-1, mr-1"),
        (["image.dcm", "--source", "ct-1", "--called", "OTHER"], "may not call 'OTHER'"),
        (["image.dcm", "--at", "noon"], "is no moment such as"),
        ([], "name files, folders, or one study"),
    ],
)
def test_what_cannot_be_explained_says_what_to_do(
    relay: Bench, run: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[str], why: str
) -> None:
    file(relay)
    monkeypatch.chdir(relay.folder)
    said = run("explain", *arguments)
    assert said.code in (1, 2)
    assert why in " ".join(said.err.replace("│", " ").split())


def test_a_data_folder_that_is_not_there_is_not_made(tmp_path: Path, run: Command, relay: Bench) -> None:
    path = file(relay)
    elsewhere = (tmp_path / "dcmrelay.toml").read_text().replace('data_dir = "var"', 'data_dir = "none"')
    (tmp_path / "dcmrelay.toml").write_text(elsewhere)
    assert run("explain", path, "--source", "ct-1").code == 0
    assert not (tmp_path / "none").exists()


EDITS = """
[edit.console]
set = { InstitutionName = "Hospital", AccessionNumber = "{AccessionNumber}-{source}" }
remove = ["PatientComments", { private = "ACME 1.0" }]
[[route]]
name = "console"
match = { source = "mr-1" }
edit = "console"
to = ["archive"]
"""


def test_what_an_edit_changes_is_told_element_by_element_and_with_values_only_when_asked(
    relay: Bench, run: Command
) -> None:
    (relay.folder / "dcmrelay.toml").write_text(TEXT + EDITS, encoding="utf-8")
    path = file(relay, AccessionNumber="A1", PatientComments="CANARY comment")
    said = run("explain", path, "--source", "mr-1").out
    assert "to archive, edited (console), at once" in said
    for line in (
        "AccessionNumber changes in 1 instances",
        "InstitutionName comes in 1 instances",
        "PatientComments goes in 1 instances",
        "private ACME 1.0 goes, where it is, in 1 instances",
        "SOPInstanceUID is new in 1 instances",
    ):
        assert line in said
    assert "CANARY" not in said
    asked = routes(run("explain", path, "--source", "mr-1", "--values", "--json").out)["console"]
    edits = {it["element"]: (it["old"], it["new"]) for it in asked["targets"][0]["edits"]}
    assert edits["AccessionNumber"] == ("A1", "A1-mr-1")
    assert edits["PatientComments"] == ("CANARY comment", None)


def test_an_edit_that_cannot_be_made_is_said_before_it_holds_something(relay: Bench, run: Command) -> None:
    (relay.folder / "dcmrelay.toml").write_text(TEXT + EDITS, encoding="utf-8")
    ended = run("explain", file(relay, AccessionNumber="A" * 15), "--source", "mr-1")
    said = ended.out
    assert ended.code == 1
    assert "! would be held: " in said
    assert "AccessionNumber" in said.partition("would be held")[2]
    assert "AAAA" not in said

"""`status`, `studies` and `show` on prepared spools."""

import json
import time
from datetime import UTC, datetime, timedelta

from shared.forms import RECEIVED, edited
from shared.outcomes import Done, Next
from shared.spool.epochs import take_over
from tests.dcmrelay.relays import NOW, STUDY, Command, Prepared


def test_status_says_first_that_nothing_is_accepted_and_how_to_start(relay: Prepared, command: Command) -> None:
    said = command("status")
    assert said.code == 1
    assert said.out.startswith("! nothing is accepted, the ingress does not run: `dcmrelay up`\n")
    assert "! RabbitMQ does not answer" in said.out


def test_an_ingress_that_runs_elsewhere_needs_nobody(relay: Prepared, command: Command) -> None:
    until = datetime.now(UTC) + timedelta(minutes=1)
    relay.spool.put_json("runs/i1/00000000.json", {"owner": "other.host/7/1", "until": until.isoformat()})
    said = command("status")
    assert "ingress does not run" not in said.out
    assert "ingress: elsewhere" in said.out


def test_status_groups_dead_letters_and_names_the_next_command(relay: Prepared, command: Command) -> None:
    for _ in range(3):
        relay.held(relay.part(), "no route wants it")
    delivery = relay.routed(relay.part(), "archive")[0]
    relay.held(delivery, "1 of 1 instances refused (0122 SOP class not supported); 0 delivered", "refused")

    said = command("status")

    assert "3 dead letters, class policy (no route wants it): `dcmrelay dead list --class policy`" in said.out
    assert "1 dead letter, class refused, for archive" in said.out
    assert "`dcmrelay dead list --class refused --destination archive`" in said.out


def test_status_tells_what_waits_for_each_destination_and_why(relay: Prepared, command: Command) -> None:
    first, second = (relay.routed(relay.part(minutes=minutes), "archive")[0] for minutes in (90, 5))
    relay.failed(first, "cannot connect to 127.0.0.1:104: Connection refused")
    take_over(relay.spool, "archive")

    facts = json.loads(command("status", "--json").out)

    archive, reading = facts["destinations"]
    assert (archive["destination"], archive["waiting"], archive["owner"]) == ("archive", 2, "here")
    assert archive["last_reason"] == "cannot connect to 127.0.0.1:104: Connection refused"
    assert (reading["waiting"], reading["oldest"], reading["owner"]) == (0, None, "none")
    assert second
    assert not any("no sender" in problem for problem in facts["problems"])


def test_status_asks_for_a_person_when_no_sender_runs_for_what_waits(relay: Prepared, command: Command) -> None:
    relay.routed(relay.part(), "archive")
    assert "! 1 delivery waits for archive and no sender runs for it: `dcmrelay up`" in command("status").out


def test_status_answers_when_ten_thousand_deliveries_wait(relay: Prepared, command: Command) -> None:
    part = relay.part()
    delivery = relay.routed(part, "archive")[0]
    _copy_delivery(relay, delivery, 9_999)

    begun = time.perf_counter()
    facts = json.loads(command("status", "--json").out)
    took = time.perf_counter() - begun

    assert facts["destinations"][0]["waiting"] == 10_000
    assert took < 20, f"took {took:.1f} s: a second or so on a quiet machine"


def test_studies_lists_parts_newest_first_with_where_they_are(relay: Prepared, command: Command) -> None:
    older, newer = relay.part(minutes=90, instances=7), relay.part("1.2.3.5", minutes=5)
    archive, reading = relay.routed(older, "archive", "reading")
    relay.settle(archive, Done(outcome="delivered"))
    relay.failed(reading, "cannot connect")

    listed = json.loads(command("studies", "--json").out)
    assert [part["part"] for part in listed] == [newer, older]
    assert listed[1]["instances"] == 7
    assert [delivery["outcome"] for delivery in listed[1]["deliveries"]] == ["delivered", ""]

    table = command("studies", "--to", "reading").out
    assert older[:10] in table
    assert newer[:10] not in table
    assert "archive: delivered; reading: waiting, tried 1 times" in table


def test_studies_are_narrowed_by_source_and_time(relay: Prepared, command: Command) -> None:
    relay.part(minutes=90)
    newer = relay.part(minutes=5)
    since = (NOW - timedelta(minutes=10)).astimezone().strftime("%Y-%m-%dT%H:%M:%S")
    assert [part["part"] for part in json.loads(command("studies", "--since", since, "--json").out)] == [newer]
    assert json.loads(command("studies", "--source", "mr-1", "--json").out) == []


def test_show_tells_a_study_by_any_of_its_names(relay: Prepared, command: Command) -> None:
    part = relay.part(instances=2)
    delivery = relay.routed(part, "archive")[0]
    relay.failed(delivery, "cannot connect to 127.0.0.1:104")
    relay.settle(delivery, Done(outcome="delivered", facts={"delivered": {"0": "0000", "1": "B000"}}))

    stories = [command("show", name).out for name in (part, part[:8], delivery, delivery[:8], STUDY)]

    assert len(set(stories)) == 1
    for words in ("received", "closed", "2 instances", "routed", "by all to archive (as received)", "try 1 failed"):
        assert words in stories[0]
    assert "2 delivered (0000 × 1, B000 × 1)" in stories[0]


def test_show_tells_all_parts_of_a_study_oldest_first(relay: Prepared, command: Command) -> None:
    newer, older = relay.part(minutes=5), relay.part(minutes=90)
    assert [part["part"] for part in json.loads(command("show", STUDY, "--json").out)] == [older, newer]


def test_show_of_something_unknown_is_one_line_with_the_next_command(relay: Prepared, command: Command) -> None:
    said = command("show", "9.9.9")
    assert (said.code, said.out) == (1, "")
    assert said.err == "dcmrelay: nothing is known by '9.9.9'; `dcmrelay studies` lists what is\n"


def test_a_relay_that_never_ran_is_said_to_be_so(relay: Prepared, command: Command) -> None:
    (relay.config.relay.data_dir / "dcmrelay-volume.json").unlink()
    said = command("status")
    assert said.code == 1
    assert "dcmrelay up" in said.err
    assert said.err.count("\n") == 1


def _copy_delivery(relay: Prepared, delivery: str, count: int) -> None:
    """More deliveries like one, written without the spool's syncs, which would take minutes."""
    root = relay.spool.store.root
    record = (root / f"deliveries/{delivery}/00000000.json").read_bytes()
    for number in range(count):
        name = f"d{number:032x}"
        (root / "deliveries" / name).mkdir()
        (root / "deliveries" / name / "00000000.json").write_bytes(record)
        (root / "active/deliveries" / name).touch()


def test_tries_that_failed_alike_are_one_line_of_the_story(relay: Prepared, command: Command) -> None:
    (delivery,) = relay.routed(relay.part(), "archive")
    for reason in ("away", "away", "away", "busy", "away"):
        relay.failed(delivery, reason)
    said = command("show", delivery).out
    assert [line.split("archive: ")[1].split("  ")[0] for line in said.splitlines() if "failed" in line] == [
        "tries 1 to 3 failed",
        "try 4 failed",
        "try 5 failed",
    ]
    assert "away; the last at " in said


def test_an_edited_delivery_is_not_told_as_de_identified(relay: Prepared, command: Command) -> None:
    form = edited(RECEIVED, edit="console", edit_hash="e" * 64, edit_key_id=lambda: "k", correction=False)
    (delivery,) = relay.routed(relay.part(), "archive", form=form)
    relay.settle(delivery, Next("send"))
    said = command("show", delivery).out
    assert "archive: edited" in said
    assert "identif" not in said


def test_tries_that_are_counted_anew_after_a_replay_are_not_a_range(relay: Prepared, command: Command) -> None:
    (delivery,) = relay.routed(relay.part(), "archive")
    relay.failed(delivery, "away")
    relay.held(delivery, "given up", "unreachable")
    command("dead", "replay", "--all")
    relay.failed(delivery, "away")
    assert "tries 1 to 1" not in command("show", delivery).out

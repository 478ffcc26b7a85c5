"""The configuration changes under a running relay: nothing is lost, nothing goes to the wrong place."""

import itertools
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from consumers.router.choice import orders_of
from shared.config import Config, load
from shared.spool.deliveries import order_from_json
from shared.spool.parts import read_part
from shared.spool.pins import Pin, live_pins, study_pins
from shared.spool.spool import Spool
from tests.peers import StoreScp, free_port, store_scp
from tests.support import eventually
from tests.system.images import ct_study, hashes
from tests.system.relay import Relay, destination, relay_in, route

STUDIES = 50
FAILED = "dcmrelay_config_reload_failed"
SWAP_SECONDS = 0.2


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[StoreScp]:
    with store_scp(tmp_path, "--unique-filenames", ae_title="ARCHIVE") as scp:
        yield scp


@pytest.fixture
def backup(tmp_path: Path) -> Iterator[StoreScp]:
    with store_scp(tmp_path, "--unique-filenames", ae_title="BACKUP") as scp:
        yield scp


@pytest.fixture
def relay(tmp_path: Path, module_broker: str) -> Iterator[Relay]:
    with relay_in(tmp_path / "relay", module_broker) as relay:
        yield relay


def in_force(relay: Relay) -> str:
    """Hash of what `up` accepted."""
    return Config.from_snapshot((relay.data / "run/accepted.json").read_bytes()).hash


def comes_into_force(relay: Relay) -> None:
    """Waits until every worker that runs goes by what the file says."""
    asked = load(relay.config).hash
    eventually(lambda: in_force(relay) == asked, 20)
    eventually(lambda: all(said_by(relay, worker)[-1] == asked[:12] for worker in workers(relay)), 20)


def workers(relay: Relay) -> list[str]:
    """Kinds of worker of which there is one; senders speak with one voice."""
    return ["ingress", "router", "janitor"]


def failed(relay: Relay) -> str:
    """What the metric of `up` says; empty while not every worker answers."""
    try:
        text = relay.metrics()["up"]
    except OSError:
        return ""
    return next((line.split()[-1] for line in text.splitlines() if line.startswith(FAILED + " ")), "")


def said_by(relay: Relay, worker: str) -> list[str]:
    """Configurations that a worker said it goes by, oldest first."""
    lines = [line for line in relay.log.splitlines() if f"worker={worker} " in f"{line} "]
    return [
        word.removeprefix("config=")
        for line in lines
        if "event=started" in line or "event=config_reloaded" in line
        for word in line.split()
        if word.startswith("config=")
    ]


@contextmanager
def storm(relay: Relay, texts: list[str]) -> Iterator[None]:
    """Swaps the configuration every 200 ms, in place and by renaming, also with SIGHUP, until the block ends."""
    stopping, n, up = threading.Event(), itertools.count(), relay.pids("up")[0]

    def rage() -> None:
        for text in itertools.cycle(texts):
            if stopping.wait(SWAP_SECONDS):
                return
            if next(n) % 2:
                relay.config.write_text(text, encoding="utf-8")
            else:
                aside = relay.config.with_suffix(".aside")
                aside.write_text(text, encoding="utf-8")
                aside.replace(relay.config)
                os.kill(up, signal.SIGHUP)

    raging = threading.Thread(target=rage)
    raging.start()
    try:
        yield
    finally:
        stopping.set()
        raging.join()


def decisions(relay: Relay) -> dict[str, dict[str, Any]]:
    """What was decided of each part."""
    found = (relay.data / "spool/parts").glob("*/decision.json")
    return {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in found}


def decided_anew(spool: Spool, part_id: str, decision: dict[str, Any]) -> set[str]:
    """The deliveries that the decision's configuration gives by itself, from its snapshot and the study's pins."""
    part, snapshot = read_part(spool, part_id), spool.config(decision["config"])
    assert part is not None
    assert snapshot is not None, "the configuration of every decision is kept"
    config = Config.from_snapshot(snapshot)
    pins = live_pins(spool, study_pins(part.study_instance_uid, part.called_ae_title), config.relay.follow)
    assert set(pins) == {it.name for it in config.routes}
    assert all(set(names(pin)) == set(it.to) for it in config.routes for pin in [pins[it.name]])
    source = config.source(part.source)
    assert source is not None
    return {order.id for order in orders_of(part, pins, config, source.ae_title)}


def names(pin: Pin) -> list[str]:
    """Destinations of a pin."""
    return [choice.destination for choice in pin.choices]


def test_a_storm_of_configurations_loses_nothing_and_sends_nothing_to_the_wrong_place(
    relay: Relay, archive: StoreScp, backup: StoreScp, tmp_path: Path
) -> None:
    texts = []
    for more in (("archive",), ("archive", "backup")):
        peers = {"archive": archive.port, "backup": backup.port}
        relay.configure("".join(destination(name, peers[name]) for name in more), route("all", *more))
        texts.append(relay.config.read_text(encoding="utf-8"))
    plain, both = texts
    relay.start()
    files: list[list[Path]] = []
    with storm(relay, [plain, both, "spoilt [", both, "", plain, both[: len(both) // 2]]):
        while len(files) < STUDIES or len({it["config"] for it in decisions(relay).values()}) < len((plain, both)):
            assert len(files) < STUDIES * 4, "the storm changed nothing"
            files.append(ct_study(tmp_path / "studies" / str(len(files)), 2, size=16))
            relay.send(files[-1])
    relay.config.write_text(both, encoding="utf-8")
    comes_into_force(relay)
    relay.comes_to_rest(seconds=40)

    sent = hashes(file for study in files for file in study)
    spool = Spool(relay.data / "spool")
    decided = decisions(relay)
    assert len(decided) == len(files)
    for part, decision in decided.items():
        assert {it["id"] for it in decision["deliveries"]} == decided_anew(spool, part, decision)
    orders = [order_from_json(it) for decision in decided.values() for it in decision["deliveries"]]
    expected = {"archive": 0, "backup": 0}
    for order in orders:
        state = spool.deliveries.newest(order.id)
        assert state is not None
        # A destination that was taken out while work waited for it holds that work for a person.
        gone = (state.status, state.dead_letter_class, order.destination) == ("held", "policy", "backup")
        assert gone or state.outcome == "delivered", state
        expected[order.destination] += 0 if gone else 2
    assert hashes(archive.files()) == sent
    assert len(hashes(backup.files())) == expected["backup"]
    assert hashes(backup.files()).items() <= sent.items()
    assert "config_refused" in relay.log


def test_a_storm_while_a_route_hands_over_gives_each_study_to_the_stand_in_of_the_version_that_decided_it(
    relay: Relay, archive: StoreScp, backup: StoreScp, tmp_path: Path
) -> None:
    peers = {"day": free_port(), "archive": archive.port, "backup": backup.port}  # nothing listens for `day`
    texts = {}
    for stand_in in ("archive", "backup"):
        them = ", ".join(f'{{ destination = "{name}", as_backup = "always" }}' for name in ("day", stand_in))
        only = f'[[route]]\nname = "outside"\none_of = [{them}]\nhand_over_after = "1s"\n'
        relay.configure("".join(destination(*it) for it in peers.items()), only)
        text = relay.config.read_text(encoding="utf-8")
        texts[load(relay.config).hash] = (stand_in, text)
    (_, one), (_, other) = texts.values()
    relay.start()
    files: dict[str, list[Path]] = {}
    with storm(relay, [one, other, "spoilt [", other, "", one, other[: len(other) // 2]]):
        while len(files) < 12 or len({it["config"] for it in decisions(relay).values()}) < len(texts):
            assert len(files) < STUDIES, "the storm changed nothing"
            study = ct_study(tmp_path / "studies" / str(len(files)), 2, size=16)
            relay.send(study)
            files[str(dcmread(study[0]).StudyInstanceUID)] = study
    relay.config.write_text(one, encoding="utf-8")
    comes_into_force(relay)
    relay.comes_to_rest(seconds=60)

    spool = Spool(relay.data / "spool")
    expected: dict[str, list[Path]] = {"archive": [], "backup": []}
    for part_id, decision in decisions(relay).items():
        part = read_part(spool, part_id)
        assert part is not None
        expected[texts[decision["config"]][0]] += files[part.study_instance_uid]
    assert hashes(archive.files()) == hashes(expected["archive"])
    assert hashes(backup.files()) == hashes(expected["backup"])
    assert {(it["destination"], it["outcome"]) for row in relay.studies() for it in row["deliveries"]} == {
        ("day", "handed_over"), ("archive", "delivered"), ("backup", "delivered"),
    }  # fmt: skip


def test_two_destinations_swap_their_ports_with_work_pending_and_not_one_instance_goes_to_the_wrong_peer(
    relay: Relay, archive: StoreScp, backup: StoreScp, tmp_path: Path
) -> None:
    ports = {"archive": archive.port, "backup": backup.port}
    only_archive = '[route.match]\nModality = "CT"\nsource = "ct-1"\n'
    only_backup = '[route.match]\nModality = "MR"\nsource = "ct-1"\n'

    def configure(ports: dict[str, int]) -> None:
        routes = "".join(
            f'[[route]]\nname = "{name}"\nto = ["{name}"]\n{match}'
            for name, match in (("archive", only_archive), ("backup", only_backup))
        )
        relay.configure("".join(destination(*it) for it in ports.items()), routes)

    configure(ports)
    relay.start()
    os.kill(archive.pid, signal.SIGSTOP)
    os.kill(backup.pid, signal.SIGSTOP)
    ct, mr = (
        [ct_study(tmp_path / f"{modality}{n}", 2, size=16, modality=modality) for n in range(3)]
        for modality in ("CT", "MR")
    )
    for study in (*ct, *mr):
        relay.send(study)
    eventually(lambda: len(relay.deliveries("archive")) == len(relay.deliveries("backup")) == 3, 20)
    configure({"archive": backup.port, "backup": archive.port})
    comes_into_force(relay)
    os.kill(archive.pid, signal.SIGCONT)
    os.kill(backup.pid, signal.SIGCONT)
    relay.comes_to_rest(seconds=60)

    held = [it for name in ports for it in relay.deliveries(name) if it["state"] == "held"]
    assert held, "the swap came when everything had been sent"
    assert hashes(archive.files()).items() <= hashes(file for study in ct for file in study).items()
    assert hashes(backup.files()).items() <= hashes(file for study in mr for file in study).items()
    later = ct_study(tmp_path / "later", 1, size=16)
    relay.send(later)
    eventually(lambda: hashes(later).items() <= hashes(backup.files()).items(), 20)


def test_status_and_metric_say_that_the_file_is_refused_and_what_is_in_force_goes_on(
    relay: Relay, archive: StoreScp, tmp_path: Path
) -> None:
    relay.configure(destination("archive", archive.port), route("all", "archive"))
    relay.start()
    good = relay.config.read_text(encoding="utf-8")
    relay.config.write_text(good.replace('name = "archive"', 'name = "archive"\nprot = 104', 1), encoding="utf-8")
    eventually(lambda: failed(relay) == "1.0", 20)
    said = relay.run("status")
    assert said.returncode == 1
    assert "! the configuration file is refused, the one before is in force" in said.stdout
    assert "prot" in said.stdout
    files = ct_study(tmp_path / "study", 2)
    relay.send(files)
    eventually(lambda: hashes(archive.files()) == hashes(files), 20)
    relay.kill("router")  # one that starts while the file is refused goes by what is in force too
    relay.send(more := ct_study(tmp_path / "more", 2))
    eventually(lambda: hashes(archive.files()) == hashes([*files, *more]), 30)

    port = free_port()
    listen = f'listen = ["127.0.0.1:{relay.port}"]'
    relay.config.write_text(good.replace(listen, f'listen = ["127.0.0.1:{port}"]'), encoding="utf-8")
    eventually(lambda: failed(relay) == "0.0", 20)
    assert "[ingress] listen: changed, in force after a restart of `dcmrelay up`" in relay.run("status").stdout
    up = relay.pids("up")[0]
    relay.config.write_text(good, encoding="utf-8")
    os.kill(up, signal.SIGHUP)
    comes_into_force(relay)
    assert relay.pids("up") == [up]

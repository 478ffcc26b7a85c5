"""The faults of each kind: a function that does its worst to a running site and returns how many of what it did."""

import os
import random
import signal
import subprocess
import time
import urllib.error
import urllib.parse
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from json import dumps, loads

from tests.brokers import management
from tests.campaign.crew import WORKERS
from tests.campaign.network import random_cut
from tests.campaign.power import power, restarts
from tests.campaign.rest import unfinished
from tests.campaign.site import Site
from tests.campaign.volume import full
from tests.peers import run_tool, tool
from tests.support import eventually

Fault = Callable[[Site, random.Random, int], dict[str, int]]
CALLS = (
    "openat",
    "write",
    "fsync",
    "linkat",
    "unlink",
    "sendmsg,sendto",
    "close",
    "mkdir",
    "getdents64",
    "read,recvfrom",
)


def kills(site: Site, rng: random.Random, many: int) -> dict[str, int]:
    """kill -9 of whoever is at work, those killed least first, a moment after it was seen to be."""
    return _kills(site, rng, many, WORKERS)


def bystanders(site: Site, rng: random.Random, many: int) -> dict[str, int]:
    """kill -9 of janitor and ledger, each in the midst of unfinished work."""
    return _kills(site, rng, many, ("janitor", "ledger"))


def _kills(site: Site, rng: random.Random, many: int, workers: tuple[str, ...]) -> dict[str, int]:
    killed, at_work = Counter(dict.fromkeys(workers, 0)), 0
    for _ in range(many):
        found = _at_work(site, workers, 5)
        victim = min(found or workers, key=lambda it: (killed[it], rng.random()))
        time.sleep(rng.uniform(0, 0.03))
        site.crew.kill(victim)
        killed[victim] += 1
        at_work += victim in found
    return {"kills": many, "kills_of_who_was_at_work": at_work}


def _at_work(site: Site, workers: tuple[str, ...], seconds: float) -> list[str]:
    """Who holds a unit, or receives an instance; janitor and ledger, once they are up, while anything is unfinished."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        left = unfinished(site.relay)
        pids = {it.owner.split("/")[1] for it in left if it and it.status == "working"}
        busy = {worker for worker in workers if str(site.crew.pid(worker)) in pids}
        busy |= {"ingress"} if site.load.open else set()
        busy |= {it for it in ("janitor", "ledger") if left and time.monotonic() - site.crew.since[it] > 2}
        if found := [worker for worker in workers if worker in busy]:
            return found
        time.sleep(0.01)
    return []


def all_at_once(site: Site, rng: random.Random, many: int) -> dict[str, int]:
    """kill -9 of every worker in one moment."""
    for _ in range(many):
        time.sleep(rng.uniform(1.5, 3))
        site.crew.signal_all(signal.SIGKILL)
    return {"kills": many * len(WORKERS)}


def syscalls(site: Site, rng: random.Random, many: int) -> dict[str, int]:
    """kill -9 at a system call: the k-th of its kind in one thread of a worker (strace)."""
    done = 0
    for _ in range(many):
        worker, call, k = rng.choice(WORKERS), rng.choice(CALLS), rng.randrange(1, 12)
        ended = site.crew.ended[worker]
        strace = subprocess.Popen(
            [tool("strace"), "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e",
             f"inject={call}:signal=SIGKILL:when={k}", "-p", str(site.crew.pid(worker))],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 2.5
        while site.crew.ended[worker] == ended and time.monotonic() < deadline:
            time.sleep(0.02)
        done += site.crew.ended[worker] > ended
        strace.kill()
        strace.wait()
    return {"kills_at_a_system_call": done}


def broker_killed(site: Site, rng: random.Random, many: int) -> dict[str, int]:
    """kill -9 of the broker's node, which is then started again with its data."""
    return {"broker_kills": _broker_down(site, rng, many, erased=False)}


def broker_erased(site: Site, rng: random.Random, many: int) -> dict[str, int]:
    """The broker's node comes back with nothing: no queue, no message."""
    return {"broker_erasures": _broker_down(site, rng, many, erased=True)}


def _broker_down(site: Site, rng: random.Random, many: int, *, erased: bool) -> int:
    for number in range(many):
        time.sleep(rng.uniform(0.5, 3))
        os.kill(site.broker.pid, signal.SIGKILL)
        eventually(lambda: not site.broker.alive())  # or its port would seem to be taken
        _goes_on(site, rng.uniform(0.5, 2))
        data = site.broker.directory / "data"
        if erased:
            data.rename(data.with_name(f"erased-{time.monotonic_ns()}-{number}"))
        site.broker.start()
    return many


def _goes_on(site: Site, seconds: float) -> None:
    """C-STORE is answered with success meanwhile."""
    before, until = len(site.load.acknowledged), time.monotonic() + seconds
    while time.monotonic() < until or len(site.load.acknowledged) == before:
        assert time.monotonic() < until + 15, "no C-STORE is taken while the broker is in trouble"
        time.sleep(0.05)


def connections(site: Site, rng: random.Random, many: int) -> dict[str, int]:
    """Every connection to the broker is closed, every two seconds."""
    closed = 0
    for _ in range(many):
        _goes_on(site, 2)
        for it in loads(management(site.broker, "GET", "/api/connections")):
            with suppress(urllib.error.HTTPError):
                management(site.broker, "DELETE", f"/api/connections/{urllib.parse.quote(it['name'], safe='')}")
                closed += 1
    return {"connections_closed": closed}


def queues(site: Site, rng: random.Random, many: int) -> dict[str, int]:
    """Queues, some of which somebody declares again at once, then bindings, are deleted under the workers."""
    done = 0
    for number in range(many):
        _goes_on(site, rng.uniform(0.5, 1.5))
        found = {q["name"]: q["arguments"] for q in loads(management(site.broker, "GET", "/api/queues/%2F"))}
        victim = rng.choice([name for name in found if ".dead" not in name])
        if number % 2:
            for it in loads(management(site.broker, "GET", f"/api/queues/%2F/{victim}/bindings")):
                if it["source"]:
                    path = f"/api/bindings/%2F/e/{it['source']}/q/{victim}/{it['properties_key']}"
                    with suppress(urllib.error.HTTPError):
                        management(site.broker, "DELETE", path)
                        done += 1
        else:
            with suppress(urllib.error.HTTPError):
                management(site.broker, "DELETE", f"/api/queues/%2F/{victim}")
                done += 1
                if rng.random() < 0.5:
                    again = dumps({"durable": True, "arguments": found[victim]}).encode()
                    management(site.broker, "PUT", f"/api/queues/%2F/{victim}", again)
    return {"queues_and_bindings_deleted": done}


def queues_full(site: Site, rng: random.Random, many: int) -> dict[str, int]:
    """Every queue is full and refuses what is published, for a while."""
    rule = {"pattern": "^dcmrelay", "apply-to": "queues", "definition": {"max-length": 0, "overflow": "reject-publish"}}
    for number in range(many):
        if number:
            time.sleep(rng.uniform(0.5, 2))
        management(site.broker, "PUT", "/api/policies/%2F/full", dumps(rule).encode())
        try:
            _goes_on(site, rng.uniform(2, 4))
        finally:
            management(site.broker, "DELETE", "/api/policies/%2F/full")
    return {"queues_full": many}


def network_cuts(site: Site, rng: random.Random, many: int) -> dict[str, int]:
    """A cable is pulled, or loses what goes one way, in the midst of a C-STORE or of a publish."""
    done: Counter[str] = Counter()
    for number in range(many):
        if number:
            time.sleep(rng.uniform(0.2, 1))
        cable, way, seconds = random_cut(rng)
        midst = bool(_at_work(site, WORKERS[:3] + WORKERS[6:], 5))
        with site.host.cut(cable, way):
            time.sleep(seconds)
        done.update({"network_cuts": 1, f"{cable.name}_{way}": 1, "cuts_in_the_midst": midst})
    return dict(done)


def medley(site: Site, rng: random.Random, many: int) -> dict[str, int]:
    """A little of most kinds on one relay."""
    done: Counter[str] = Counter()
    for kind, number in SHORT.items():
        done.update(KINDS[kind](site, rng, number * many))
    return dict(done)


def alarms(site: Site, rng: random.Random, many: int) -> dict[str, int]:
    """RabbitMQ raises its memory alarm, then its disk alarm, and blocks whoever publishes."""
    for number in range(many):
        memory = number % 2 == 0
        _ctl(
            site,
            *(("set_vm_memory_high_watermark", "0.000001") if memory else ("set_disk_free_limit", "900000000000000")),
        )
        try:
            _goes_on(site, rng.uniform(3, 5))
        finally:
            _ctl(site, *(("set_vm_memory_high_watermark", "0.4") if memory else ("set_disk_free_limit", "50MB")))
    return {"broker_alarms": many}


def _ctl(site: Site, *words: str) -> None:
    settings = site.broker.settings
    environment = {
        "HOME": str(site.broker.directory / "home"), "RABBITMQ_NODENAME": "dcmrelay@localhost",
        "RABBITMQ_CTL_ERL_ARGS": f"-dist_listen false -start_epmd false -erl_epmd_port {settings.distribution_port}",
    }  # fmt: skip
    old = {key: os.environ.get(key) for key in environment}
    os.environ.update(environment)
    try:
        done = run_tool("rabbitmqctl", *words)
        assert done.returncode == 0, done.stderr
    finally:
        for key, value in old.items():
            os.environ.pop(key) if value is None else os.environ.__setitem__(key, value)


def disk_full(site: Site, rng: random.Random, many: int) -> dict[str, int]:
    """No block, or no inode, is left; a while later there is."""
    done = {"disk_full_blocks": 0, "disk_full_inodes": 0}
    for number in range(many):
        what = "blocks" if number % 2 == 0 else "inodes"
        if number:
            time.sleep(rng.uniform(1, 2))
        before, taken = site.load.not_taken, len(site.load.acknowledged)
        with full(site.relay.data, what):
            until = time.monotonic() + 20
            while site.load.not_taken == before:
                more = len(site.load.acknowledged) - taken
                assert time.monotonic() < until, f"no store was refused with no {what} left, {more} were taken"
                time.sleep(0.05)
            time.sleep(rng.uniform(0.5, 2))
        done[f"disk_full_{what}"] += 1
    return done


def destinations(site: Site, rng: random.Random, many: int) -> dict[str, int]:
    """Destinations that are gone, hang, refuse, abort, or answer late."""
    ways = ("gone", "hangs", "--refuse", "--abort-after", "--abort-during", "late")
    done = dict.fromkeys((f"peer_{way.strip('-')}" for way in ways), 0)
    for number in range(many):
        way, peer = ways[number % len(ways)], rng.choice(list(site.peers.values()))
        if way == "hangs":
            os.kill(peer.pid, signal.SIGSTOP)
            time.sleep(rng.uniform(1, 4))
            os.kill(peer.pid, signal.SIGCONT)
        else:
            usual = peer.options
            peer.stop()
            if way != "gone":
                peer.options = (*usual, *(("--sleep-after", "4") if way == "late" else (way,)))
                peer.start()
            time.sleep(rng.uniform(1, 3))
            peer.stop()
            peer.options = usual
            peer.start()
        done[f"peer_{way.strip('-')}"] += 1
    return done


def clock_jumps(site: Site, rng: random.Random, many: int) -> dict[str, int]:
    """The wall clock jumps by hours and days, forwards and back, and in the end is right."""
    clock = site.folder / "clock"
    for _ in range(many):
        new = clock.with_name("clock.new")
        new.write_text(str(rng.choice((-7200, -3600, -60, 60, 3600, 86400, 9 * 86400))))
        new.replace(clock)
        time.sleep(rng.uniform(0.5, 2))
    clock.write_text("0")
    return {"clock_jumps": many}


def zombies(site: Site, rng: random.Random, many: int) -> dict[str, int]:
    """A worker stops for three heartbeats while another takes its place, and then goes on."""
    for _ in range(many):
        worker = rng.choice(("sender archive neuro", "sender reading backup", "router", "anonymizer"))
        second = site.crew.start(worker)
        time.sleep(1.5)
        pid = site.crew.pid(worker)
        os.kill(pid, signal.SIGSTOP)
        time.sleep(13)
        os.kill(pid, signal.SIGCONT)
        time.sleep(2)
        second.terminate()
        second.wait(20)
    return {"zombies": many}


KINDS: dict[str, Fault] = {
    "kills": kills,
    "all-at-once": all_at_once,
    "syscalls": syscalls,
    "broker-killed": broker_killed,
    "broker-erased": broker_erased,
    "connections": connections,
    "queues": queues,
    "queues-full": queues_full,
    "network": network_cuts,
    "bystanders": bystanders,
    "alarms": alarms,
    "power": power,
    "power-control": power,
    "power-cut": restarts,
    "medley": medley,
    "disk-full": disk_full,
    "destinations": destinations,
    "clock": clock_jumps,
    "zombies": zombies,
}

# The short form: so many faults of each kind. What the janitor may remove when the disk is full, or when the clock has
# made it old, is in no image: both come after `power`.
SHORT = {
    "network": 2, "kills": 5, "connections": 1, "queues": 2, "queues-full": 1, "alarms": 1, "power": 1, "disk-full": 1,
    "power-cut": 1, "clock": 1,
}  # fmt: skip

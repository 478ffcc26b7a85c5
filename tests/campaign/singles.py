"""Trials with a relay of their own kind: `up` with its private broker, and an instance of two gigabytes."""

import hashlib
import mmap
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from shared.dimse import request
from tests.campaign.accounts import account
from tests.campaign.crew import Crew
from tests.campaign.load import ROOT, Load, data_set_of
from tests.campaign.network import BROKER, PEERS, Network
from tests.campaign.rest import arrived, held, rests, unexplained
from tests.campaign.site import NAMES, apart, campaign_broker, configuration
from tests.peers import StoreScp, store_scp
from tests.support import eventually
from tests.system.images import ct_instance, hash_of
from tests.system.relay import Relay, relay_in

Row = dict[str, Any]
ROWS, MBIT = 32_000, 40
TIMEOUT_SECONDS, HEARTBEAT_SECONDS = 60, 10


def up_killed(host: Network, rng: random.Random, many: int) -> Row:
    """`up` itself is killed, also while it starts, and started again at once; no worker of the old one may be left."""
    with _folder("/dev/shm") as folder, relay_in(folder / "relay") as relay, ExitStack() as stack:
        peers = _peers(stack, folder)
        relay.configure(*configuration({name: peer.port for name, peer in peers.items()}))
        relay.start()
        load = stack.enter_context(Load("127.0.0.1", relay.port, 0.25))
        for number in range(many):
            time.sleep(rng.uniform(1, 3))
            relay.kill_up()
            if number % 2:
                relay.launch()
                time.sleep(rng.uniform(0.3, 4))
                relay.kill_up()
            relay.start()
        calm = time.monotonic()
        load.__exit__(None, None, None)
        slow = rests(relay)
        row = {"faults": {"kills_of_up": many + many // 2}, "slow": slow}
        row["recovery_seconds"] = round(time.monotonic() - calm, 1)
        letters = held(relay)
        row |= account(load.acknowledged.values(), arrived(peers)).row() | {"held": letters, "manual": len(letters)}
        row["unexplained"] = unexplained(relay, row["again"])
        eventually(lambda: len(relay.pids()) == 1 + 5 + len(NAMES), 30)  # one of an older `up` may be ending still
        relay.stop()
        return row | {"exits": []}


def long_send(host: Network, rng: random.Random, many: int) -> Row:
    """An instance of 2 GB to a destination behind a line of 5 MB/s, which outlasts heartbeat and consumer_timeout."""
    patience = f", {{consumer_timeout, {TIMEOUT_SECONDS * 1000}}}, {{channel_tick_interval, 1000}}"
    with campaign_broker(patience) as broker, _folder(None) as folder, ExitStack() as stack:
        url = broker.url.replace("127.0.0.1", BROKER.ours) + f"?heartbeat={HEARTBEAT_SECONDS}"
        relay = stack.enter_context(relay_in(folder / "relay", url))
        peers = _peers(stack, folder)
        relay.configure(*configuration({name: peer.port for name, peer in peers.items()}))
        apart(relay)
        (folder / "clock").write_text("0")
        stack.enter_context(Crew(relay, folder / "clock", host.enter))
        host.slow(MBIT)
        uid, sha256 = _sent(folder / "instance", relay)
        begun = time.monotonic()
        rests(relay, 900)
        took = round(time.monotonic() - begun, 1)
        files = peers["neuro"].files()
        elections = (relay.folder / "crew.log").read_text(encoding="utf-8").count("owns_destination destination=neuro")
        letters = held(relay)
        row = {
            "faults": {"long_sends": 1, "elections_meanwhile": elections - 1}, "send_seconds": took,
            "acknowledged": 1, "arrived": len(files), "lost": int(not files), "duplicated": max(0, len(files) - 1),
            "corrupt": sum(hash_of(file) != sha256 for file in files), "wrong_form": 0,
            "wrong_place": sum(len(peers[name].files()) for name in NAMES if name != "neuro"),
            "held": letters, "manual": len(letters), "recovery_seconds": 0.0, "exits": [],
        }  # fmt: skip
        assert took > TIMEOUT_SECONDS, f"it took {took} s: the line is too fast"
        assert uid
        return row


SINGLES: dict[str, Callable[[Network, random.Random, int], Row]] = {"up": up_killed, "long-send": long_send}


def _sent(file: Path, relay: Relay) -> tuple[str, str]:
    """Makes the instance and sends it to the relay; its UID, and the SHA-256 of its data set."""
    ds = ct_instance(f"{ROOT}1.1", f"{ROOT}2.1", 1, 2)
    pixels, small = 2 * ROWS * ROWS, len(ds.PixelData)
    ds.Rows = ds.Columns = ROWS
    written = BytesIO()
    ds.save_as(written, enforce_file_format=True)
    digest, block = hashlib.sha256(), os.urandom(1_000_000)
    with file.open("w+b") as out:
        head = data_set_of(written.getvalue())[: -small - 4] + pixels.to_bytes(4, "little")
        for piece in (head, *(block for _ in range(pixels // len(block)))):
            digest.update(piece)
            out.write(piece)
        out.flush()
        eventually(lambda: _stored(relay, out.fileno(), str(ds.SOPInstanceUID)), 60)
    return str(ds.SOPInstanceUID), digest.hexdigest()


def _stored(relay: Relay, fileno: int, uid: str) -> bool:
    try:
        with mmap.mmap(fileno, 0, access=mmap.ACCESS_READ) as content, request(
            PEERS.theirs, relay.port, calling_ae_title="MR1", called_ae_title="DCMRELAY",
            contexts=[(CTImageStorage, [ExplicitVRLittleEndian])],
        ) as association:  # fmt: skip
            context = association.accepted_context(CTImageStorage, ExplicitVRLittleEndian)
            assert context is not None
            with memoryview(content) as view:
                status = association.store(
                    view, 0, len(view), context_id=context, sop_class_uid=CTImageStorage, sop_instance_uid=uid
                )
        assert not status, f"the relay answered {status:04X}"
    except ConnectionError:
        return False
    return True


def _peers(stack: ExitStack, folder: Path) -> dict[str, StoreScp]:
    return {name: stack.enter_context(store_scp(folder, "--unique-filenames", ae_title=name.upper())) for name in NAMES}


@contextmanager
def _folder(place: str | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="dcmrelay-campaign-", dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

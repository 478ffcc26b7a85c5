"""One relay of the campaign with its broker, its volume, its workers, its load and its destinations."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dcmrelay.private_broker import PrivateBroker
from shared.spool.deliveries import active_deliveries
from shared.spool.parts import active_parts
from shared.spool.spool import Spool
from tests.campaign.crew import Crew
from tests.campaign.load import Load
from tests.campaign.volume import can_mount, make_image, mounted
from tests.peers import StoreScp, store_scp, tool
from tests.system.relay import PROFILE, Relay, destination, relay_in, route

NAMES = ("archive", "neuro", "reading", "backup")
_MORE = '[[source]]\nname = "mr-1"\nae_title = "MR1"\nhosts = ["127.0.0.0/8"]\n'


@dataclass
class Site:
    """What a trial works on."""

    folder: Path
    relay: Relay
    broker: PrivateBroker
    crew: Crew
    load: Load
    peers: dict[str, StoreScp]
    image: Path | None

    def unfinished(self) -> int:
        """Parts and deliveries that wait or are worked on."""
        return len(self.relay.unfinished())

    def rests(self, seconds: float = 150) -> None:
        """Waits until nothing is unfinished."""
        deadline = time.monotonic() + seconds
        while left := self.relay.unfinished():
            if time.monotonic() > deadline:
                shown = [(it.stage, it.status, it.reason, it.faults) if it else "open part" for it in left[:5]]
                raise AssertionError(f"{len(left)} unfinished after {seconds} s: {shown}")
            time.sleep(0.1)

    def held(self) -> list[str]:
        """Class and reason of each dead letter."""
        spool = Spool(self.relay.data / "spool")
        states = [spool.parts.newest(part) for part in active_parts(spool)]
        states += [spool.deliveries.newest(id_) for id_ in active_deliveries(spool)]
        return [f"{it.dead_letter_class}: {it.reason}" for it in states if it and it.status == "held"]

    def arrived(self) -> Iterator[tuple[str, bytes]]:
        """Every file that a destination wrote, with the destination's name."""
        for name, peer in self.peers.items():
            for path in peer.files():
                yield name, path.read_bytes()


@contextmanager
def site(broker: PrivateBroker, *, synced: bool = True, heartbeat: int = 4) -> Iterator[Site]:
    """A running relay under load; everything of it is gone afterwards.

    Args:
        broker: a running node whose management interface is on.
        synced: False for the control of the power cut.
        heartbeat: of the workers' connections to the broker, seconds.
    """
    place = "/dev/shm" if can_mount() else None
    folder = Path(tempfile.mkdtemp(prefix="dcmrelay-campaign-", dir=place))
    try:
        with ExitStack() as stack:
            image = folder / "volume.img" if can_mount() else None
            relay = stack.enter_context(relay_in(folder / "relay", f"{broker.url}?heartbeat={heartbeat}"))
            if image:
                make_image(image)
                stack.enter_context(mounted(image, relay.data))
            peers = {
                name: stack.enter_context(store_scp(folder, "--unique-filenames", ae_title=name.upper()))
                for name in NAMES
            }
            relay.configure(*configuration({name: peer.port for name, peer in peers.items()}))
            (folder / "clock").write_text("0")
            crew = stack.enter_context(Crew(relay, folder / "clock", synced=synced))
            load = stack.enter_context(Load(relay.port))
            yield Site(folder, relay, broker, crew, load, peers, image)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def configuration(ports: dict[str, int]) -> tuple[str, str]:
    """Destinations, and routes: plain with an optional copy, de-identifying, and one of another source."""
    texts = [destination(n, p, "deidentified_only = true" if n == "reading" else "") for n, p in ports.items()]
    routes = (
        route("plain", "archive", more='optional = ["backup"]'),
        route("clean", "reading", more='profile = "reading"'),
        route("neuro", "neuro", more='match = { source = "mr-1" }'),
    )
    return "".join(texts), _MORE + PROFILE + "".join(routes)


@contextmanager
def campaign_broker() -> Iterator[PrivateBroker]:
    """A node that a campaign may kill, erase and alarm."""
    tool("rabbitmq-server")
    folder = Path(tempfile.mkdtemp(prefix="dcmrelay-broker-"))
    node = PrivateBroker(folder, management=True)
    node.start()
    try:
        yield node
    finally:
        node.stop(0)
        shutil.rmtree(folder, ignore_errors=True)

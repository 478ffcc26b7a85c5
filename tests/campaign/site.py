"""One relay of the campaign with its broker, its volume, its workers, its load and its destinations."""

import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dcmrelay.broker_settings import load_settings
from dcmrelay.private_broker import PrivateBroker
from tests.campaign.crew import Crew
from tests.campaign.load import Load
from tests.campaign.network import BROKER, PEERS, Network
from tests.campaign.volume import make_image, mounted
from tests.peers import StoreScp, store_scp, tool
from tests.support import eventually
from tests.system.relay import PROFILE, Relay, destination, relay_in, route

NAMES = ("archive", "neuro", "reading", "backup")
_MORE = '[[source]]\nname = "mr-1"\nae_title = "MR1"\nhosts = ["127.0.0.0/8"]\n'


@dataclass
class Site:
    """What a trial works on."""

    folder: Path
    relay: Relay
    broker: PrivateBroker
    host: Network
    crew: Crew
    load: Load
    peers: dict[str, StoreScp]
    image: Path


@contextmanager
def site(broker: PrivateBroker, host: Network, *, synced: bool = True, pause: float = 0.25) -> Iterator[Site]:
    """A running relay under load; everything of it is gone afterwards.

    Args:
        broker: a running node whose management interface is on.
        host: where the workers run.
        synced: False for the control of the power cut.
        pause: of the modalities between studies, seconds.
    """
    url = broker.url.replace("127.0.0.1", BROKER.ours) + "?heartbeat=4"
    with _ground(url) as (folder, relay, image), ExitStack() as stack:
        peers = {
            name: stack.enter_context(store_scp(folder, "--unique-filenames", ae_title=name.upper())) for name in NAMES
        }
        relay.configure(*configuration({name: peer.port for name, peer in peers.items()}))
        apart(relay)
        (folder / "clock").write_text("0")
        crew = stack.enter_context(Crew(relay, folder / "clock", host.enter, synced=synced))
        load = stack.enter_context(Load(PEERS.theirs, relay.port, pause))
        yield Site(folder, relay, broker, host, crew, load, peers, image)


@contextmanager
def _ground(url: str) -> Iterator[tuple[Path, Relay, Path]]:
    """A folder, a relay whose data folder is a volume of its own, and the volume's image."""
    folder = Path(tempfile.mkdtemp(prefix="dcmrelay-campaign-", dir="/dev/shm"))
    try:
        with relay_in(folder / "relay", url) as relay:
            make_image(folder / "volume.img")
            with mounted(folder / "volume.img", relay.data):
                yield folder, relay, folder / "volume.img"
                relay.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def apart(relay: Relay) -> None:
    """Workers and peers are hosts of one network."""
    text = relay.config.read_text(encoding="utf-8")
    text = text.replace('listen = ["127.0.0.1:', f'plain = "vpn"\nlisten = ["{PEERS.theirs}:')
    text = text.replace('host = "127.0.0.1"', f'host = "{PEERS.ours}"').replace("127.0.0.0/8", f"{PEERS.ours}/32")
    relay.config.write_text(text, encoding="utf-8")


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
def campaign_broker(more: str = "") -> Iterator[PrivateBroker]:
    """A node that a campaign may kill, erase and alarm; it listens to the workers' host, too.

    It may still be starting, as the workers then are; the first thing that arrives says that it has started.

    Args:
        more: of RabbitMQ's settings, in Erlang's notation.
    """
    tool("rabbitmq-server")
    folder = Path(tempfile.mkdtemp(prefix="dcmrelay-broker-"))
    port = load_settings(folder / "node.json").amqp_port
    listeners = f'{{tcp_listeners, [{{"127.0.0.1", {port}}}, {{"{BROKER.ours}", {port}}}]}}'
    (folder / "advanced.config").write_text(f"[{{rabbit, [{listeners}{more}]}}].\n", encoding="ascii")
    node = PrivateBroker(folder, management=True)
    try:
        with starting(node):
            yield node
    finally:
        node.stop(0)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def starting(node: PrivateBroker) -> Iterator[None]:
    """The node is launched at the beginning, and has started at the end."""
    with ThreadPoolExecutor(1) as starter:
        started = starter.submit(node.start)
        eventually(lambda: started.done() or node.alive())
        yield
        started.result()

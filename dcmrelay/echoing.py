"""The command `echo`: is a destination there, and does it know us?"""

from time import perf_counter

from pydicom.uid import ImplicitVRLittleEndian

from dcmrelay.output import complain, one_line, say
from shared import tls
from shared.config import Config, Destination
from shared.dimse import VERIFICATION, Timeouts, request
from shared.errors import PeerError, PeerRejectedError, PeerUnreachableError, StartError


def echo(config: Config, name: str) -> int:
    """Ask a destination for C-ECHO and print the answer; 0 when it is success.

    Raises:
        StartError: there is no such destination, or a file of its [destination.tls] cannot be used.
    """
    destination = config.destination(name)
    if destination is None:
        known = ", ".join(known.name for known in config.destinations) or "none"
        raise StartError(f"there is no destination {one_line(name)!r} in the configuration; it has: {known}")
    calling = calling_ae_title(config, destination)
    who = f"{name}: {destination.ae_title} at {destination.host}:{destination.port}"
    begun = perf_counter()
    try:
        status = _asked(destination, calling)
    except PeerError as error:
        complain(f"{who}: {error}; {_remedy(error, calling, with_tls=destination.tls is not None)}")
        return 1
    took = f"{(perf_counter() - begun) * 1000:.0f} ms"
    if status:
        complain(f"{who}: answered C-ECHO with status {status:04X} after {took}; ask the people there why")
        return 1
    say(f"{who}: answered C-ECHO as {calling} in {took}" + (" over TLS" if destination.tls else ""))
    return 0


def calling_ae_title(config: Config, destination: Destination) -> str:
    """How we call ourselves there; where that is the source's AE title, the first source's that may come there."""
    title = destination.calling_ae_title or config.relay.ae_title
    first = config.sources[0].ae_title if config.sources else config.relay.ae_title
    return title.replace("{source}", first)


def _asked(destination: Destination, calling: str) -> int:
    with request(
        destination.host,
        destination.port,
        calling_ae_title=calling,
        called_ae_title=destination.ae_title,
        contexts=[(VERIFICATION, (ImplicitVRLittleEndian,))],
        timeouts=Timeouts(connect=5, response=10),
        tls=tls.of_destination(destination),
    ) as association:
        return association.echo()


def _remedy(error: PeerError, calling: str, *, with_tls: bool) -> str:
    if with_tls and "TLS" in str(error):
        return "check name, ca, certificate and key in its [destination.tls], and whom the people there trust"
    if isinstance(error, PeerUnreachableError):
        return "check host and port, that it runs, and the firewalls in between"
    if isinstance(error, PeerRejectedError):
        return f"check its AE title, and that it knows {calling} from this machine's address"
    return "check that a DICOM application listens there and accepts Verification"

"""[ingress.tls] and [destination.tls] as what a listener and an association need."""

from ssl import SSLContext

from shared.config.peers import Destination
from shared.config.problems import at, within
from shared.config.relay import Ingress
from shared.dimse import TlsFiles, TlsPeer, tls


def of_ingress(ingress: Ingress) -> tuple[list[tuple[str, int]], SSLContext] | None:
    """Addresses where callers must speak TLS, and the context for them; None without [ingress.tls].

    Raises:
        StartError: a file cannot be used; says which key of the configuration names it.
    """
    if ingress.tls is None:
        return None
    files = TlsFiles(ca=ingress.tls.ca, certificate=ingress.tls.certificate, key=ingress.tls.key)
    addresses = [(address.host, address.port) for address in ingress.tls.listen]
    return addresses, tls.accepting(files, within("ingress", "tls", "").place)


def of_destination(destination: Destination) -> TlsPeer | None:
    """How to ask a destination for TLS; None where there is to be none.

    Raises:
        StartError: a file cannot be used; says which key of the configuration names it.
    """
    ours = destination.tls
    if ours is None:
        return None
    files = TlsFiles(ca=ours.ca, certificate=ours.certificate, key=ours.key)
    return tls.requesting(files, ours.name, at("destination", destination.name, "tls", "").place)

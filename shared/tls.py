"""[ingress.tls] and [destination.tls] as what a listener and an association need."""

from pathlib import Path
from ssl import SSLContext

from shared.config.peers import Destination, DestinationTls, Source
from shared.config.relay import Ingress, IngressTls
from shared.dimse import TlsFiles, TlsPeer, tls

_INGRESS = "[ingress] key tls."


def of_ingress(ingress: Ingress) -> tuple[list[tuple[str, int]], SSLContext] | None:
    """Addresses where callers must speak TLS, and the context for them; None without [ingress.tls].

    Raises:
        StartError: a file cannot be used; says which key of the configuration names it.
    """
    if ingress.tls is None:
        return None
    files = TlsFiles(ca=ingress.tls.ca, certificate=ingress.tls.certificate, key=ingress.tls.key)
    addresses = [(address.host, address.port) for address in ingress.tls.listen]
    return addresses, tls.accepting(files, _INGRESS)


def of_destination(destination: Destination) -> TlsPeer | None:
    """How to ask a destination for TLS; None where there is to be none.

    Raises:
        StartError: a file cannot be used; says which key of the configuration names it.
    """
    return _of_peer(destination.tls, f"destination {destination.name!r} key tls.")


def of_commitment(source: Source) -> TlsPeer | None:
    """How to ask a source for TLS when it is answered; None where there is to be none. Raises as `of_destination`."""
    ours = source.commitment.tls if source.commitment else None
    return _of_peer(ours, f"source {source.name!r} key commitment.tls.")


def _of_peer(ours: DestinationTls | None, label: str) -> TlsPeer | None:
    if ours is None:
        return None
    files = TlsFiles(ca=ours.ca, certificate=ours.certificate, key=ours.key)
    return tls.requesting(files, ours.name, label)


def of_this_relay(ingress_tls: IngressTls, certificate: Path, key: Path) -> TlsPeer:
    """How a caller with a certificate of its own asks the relay of this configuration for TLS.

    Args:
        ingress_tls: names the relay's certificate, which pins it.
        certificate: the caller's, given as an option of a command.
        key: of it, likewise.

    Raises:
        StartError: a file cannot be used.
    """
    pinned = tls.fingerprint_in(ingress_tls.certificate, _INGRESS)
    return tls.requesting(TlsFiles(ca=ingress_tls.certificate, certificate=certificate, key=key), pinned, "--")

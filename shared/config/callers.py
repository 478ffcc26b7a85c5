"""Which source a caller is, and why it is none.

No I/O, no clock, no globals.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal

from shared.config.peers import Source

Mismatch = Literal["calling", "host", "called", "certificate"]

_ANY_HOST = -1


def source_of(
    sources: Iterable[Source],
    calling_ae_title: str,
    host: str,
    called_ae_title: str,
    certificate: frozenset[str] | None = None,
) -> Source | Mismatch:
    """Return the most specific source a caller is, or what about the caller fits none.

    The narrowest network wins, then a called AE title by name over "*"; loading made sure that there is no tie. The
    winner's certificate must fit: no other source stands in for it.

    Args:
        sources: the configured ones, with `called` resolved.
        calling_ae_title: as received; spaces at its ends are not significant (PS3.8 Table 9-11).
        host: the peer's IP address.
        called_ae_title: as received.
        certificate: names, in lower case, and fingerprint of the caller's; None when it did not come by TLS.

    Returns:
        The source; or "calling" when no source has that AE title, "host" when none of those may call from there,
        "called" when none of those may use that called AE title, "certificate" when the source has another one.
    """
    calling, called = calling_ae_title.strip(" "), called_ae_title.strip(" ")
    named = [source for source in sources if source.ae_title == calling]
    placed = [(width, source) for source in named if (width := _width(source, host)) is not None]
    allowed = [(width, called in source.called, source) for width, source in placed if _may_call(source, called)]
    if allowed:
        source = max(allowed, key=lambda ranked: ranked[:2])[2]
        return source if _is_shown(source, certificate) else "certificate"
    return "called" if placed else "host" if named else "calling"


def _is_shown(source: Source, certificate: frozenset[str] | None) -> bool:
    if not source.certificate:
        return True
    return not (certificate or frozenset()).isdisjoint(name.casefold() for name in source.certificate)


def _may_call(source: Source, called: str) -> bool:
    return called in source.called or "*" in source.called


def _width(source: Source, host: str) -> int | None:
    """Return the prefix length of the narrowest network the host is in; None when it is in none."""
    if not source.hosts:
        return _ANY_HOST
    address = _address(host)
    inside = [n.prefixlen for n in source.hosts if address is not None and address in n]
    return max(inside, default=None)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def are_alike(one: Source, other: Source) -> bool:
    """Whether a caller exists for which neither of two sources is more specific."""
    same_host = bool(set(one.hosts) & set(other.hosts)) or (not one.hosts and not other.hosts)
    return one.ae_title == other.ae_title and same_host and bool(set(one.called) & set(other.called))

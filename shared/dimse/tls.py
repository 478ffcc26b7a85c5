"""TLS for associations, in and out: contexts from files, who a certificate says its owner is, why there is no TLS.

TLS 1.2 with forward secrecy and authenticated encryption at least, 1.3 where the peer can; no compression, no
renegotiation, no resumption (each association shows its certificate anew). A file of CAs may hold a peer's own
certificate: then that one is trusted and nothing else.
Source: BCP 195 (RFC 8996, RFC 9325), PS3.15 B.12 (BCP 195 RFC 8996, 9325 TLS Profile), ADR 0009.
"""

import hashlib
import select
import ssl
import stat
import time
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import chain
from pathlib import Path
from socket import socket
from typing import Any

from shared.errors import PeerUnreachableError, StartError

FINGERPRINT = "sha256:"
"""What the fingerprint of a certificate begins with, before 64 lower-case hexadecimal digits."""

# TLS 1.2 only; those of 1.3 are all sound. Security level 2: keys of 112 bits strength or more, no SHA-1.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"
_NAMES = ("DNS", "IP Address", "email", "URI")


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """Files of one side, PEM.

    Args:
        ca: who is trusted: CAs, or peers' own certificates.
        certificate: ours and what is between it and its CA; None to show none.
        key: of it, not encrypted, readable by its owner only.
    """

    ca: Path
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, kw_only=True)
class TlsPeer:
    """How to ask a peer for TLS.

    Args:
        context: whom we trust and who we are.
        name: host name or IP address its certificate must have, or `FINGERPRINT` and that of the certificate.
    """

    context: ssl.SSLContext
    name: str

    def secured(self, sock: socket, seconds: float) -> ssl.SSLSocket:
        """Shake hands on a connected socket, which is taken over.

        Args:
            sock: a plain one.
            seconds: for the whole handshake.

        Raises:
            PeerUnreachableError: the peer is not the one meant, accepts no certificate of ours, speaks no TLS that we
                do, is silent, or went away; the socket is closed.
        """
        pins = self.name.startswith(FINGERPRINT)
        wrapped = self.context.wrap_socket(
            sock, server_hostname=None if pins else self.name.removesuffix("."), do_handshake_on_connect=False
        )
        try:
            _shake_hands(wrapped, time.monotonic() + seconds)
            if pins and self.name not in identities_of(wrapped):
                raise PeerUnreachableError("the peer's certificate has another fingerprint")
        except OSError as error:
            wrapped.close()
            raise PeerUnreachableError(why(error)) from None
        except BaseException:
            wrapped.close()
            raise
        return wrapped


def accepting(files: TlsFiles, place: str) -> ssl.SSLContext:
    """A context that demands a certificate of every caller.

    Args:
        files: all three.
        place: what errors begin with, before `ca`, `certificate` or `key`, such as `[ingress] key tls.`.

    Raises:
        StartError: a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET | ssl.OP_CIPHER_SERVER_PREFERENCE
    return _filled(context, files, place)


def requesting(files: TlsFiles, name: str, place: str) -> TlsPeer:
    """How to ask a peer; arguments and errors as for `TlsPeer` and `accepting`; a certificate of ours is optional."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = not name.startswith(FINGERPRINT)
    return TlsPeer(context=_filled(context, files, place), name=name)


def identities_of(sock: ssl.SSLSocket) -> frozenset[str]:
    """Who the peer's accepted certificate says it is: common and alternative names in lower case, its fingerprint."""
    der = sock.getpeercert(binary_form=True)
    if der is None:
        return frozenset()
    found: dict[str, Any] = sock.getpeercert() or {}
    common = (value for key, value in chain.from_iterable(found.get("subject", ())) if key == "commonName")
    alternative = (value for kind, value in found.get("subjectAltName", ()) if kind in _NAMES)
    names = {identity(value) for value in chain(common, alternative)}
    # A name that poses as a fingerprint is none.
    return frozenset(name for name in names if not name.startswith(FINGERPRINT)) | {fingerprint(der)}


def identity(name: str) -> str:
    """A name as it is compared: lower case, IP addresses in their shortest form."""
    text = name.strip().casefold()
    try:
        return str(ip_address(text))
    except ValueError:
        return text


def fingerprint(der: bytes) -> str:
    """Fingerprint of a certificate in DER."""
    return FINGERPRINT + hashlib.sha256(der).hexdigest()


def fingerprint_in(certificate: Path, place: str) -> str:
    """Fingerprint of the first certificate of a PEM file; `place` and errors as for `accepting`."""
    _readable(certificate, f"{place}certificate")
    _, begin, rest = certificate.read_text(encoding="ascii", errors="replace").partition(ssl.PEM_HEADER)
    pem, end, _ = rest.partition(ssl.PEM_FOOTER)
    try:
        return fingerprint(ssl.PEM_cert_to_DER_cert(begin + pem + end))
    except ValueError:
        raise StartError(f"{place}certificate: {certificate} holds no certificate; name a file in PEM") from None


def why(error: OSError) -> str:
    """What broke TLS or the connection under it, from the TLS library's list of reasons; never a peer's own words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason and not isinstance(error, ssl.SSLEOFError):
        return error.reason.lower().replace("_", " ")
    return "the peer closed the connection"


def is_closed(error: OSError) -> bool:
    """Whether the peer only went away, as a health check does."""
    return not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)


def _shake_hands(sock: ssl.SSLSocket, deadline: float) -> None:
    sock.setblocking(False)
    while True:
        poll = select.poll()
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            poll.register(sock, select.POLLIN)
        except ssl.SSLWantWriteError:
            poll.register(sock, select.POLLOUT)
        else:
            return
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise PeerUnreachableError("the peer was silent or too slow")


def _filled(context: ssl.SSLContext, files: TlsFiles, place: str) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.set_ciphers(_CIPHERS)
    _trust(context, files.ca, place)
    if files.certificate is not None and files.key is not None:
        _show(context, files.certificate, files.key, place)
    return context


def _trust(context: ssl.SSLContext, ca: Path, place: str) -> None:
    _readable(ca, f"{place}ca")
    try:
        context.load_verify_locations(ca)
    except (ssl.SSLError, ValueError):
        raise StartError(f"{place}ca: {ca} holds no certificate that can be read; name a file in PEM") from None


def _show(context: ssl.SSLContext, certificate: Path, key: Path, place: str) -> None:
    _readable(certificate, f"{place}certificate")
    if stat.S_IMODE(_readable(key, f"{place}key")) & 0o077:
        raise StartError(f"{place}key: {key} can be read by others: chmod 600 {key}")

    def no_password() -> str:
        raise StartError(f"{place}key: {key} is encrypted; remove its pass phrase: openssl pkey -in {key} -out NEW")

    try:
        context.load_cert_chain(certificate, key, no_password)
    except (ssl.SSLError, ValueError) as error:
        raise StartError(_unusable(error, certificate, key, place)) from None


def _unusable(error: ssl.SSLError | ValueError, certificate: Path, key: Path, place: str) -> str:
    reason = getattr(error, "reason", "") or ""
    if reason == "KEY_VALUES_MISMATCH":
        return f"{place}key: {key} is not the key of the certificate {certificate}; name the two that belong together"
    if reason in ("EE_KEY_TOO_SMALL", "CA_MD_TOO_WEAK", "CA_KEY_TOO_SMALL"):
        return f"{place}certificate: {certificate} is too weak; use RSA of 2048 bits or more, or an elliptic curve"
    return f"{place}certificate: {certificate} and its key {key} cannot be used; both must be PEM files"


def _readable(path: Path, place: str) -> int:
    """The mode of a file that can be read."""
    try:
        with path.open("rb") as file:
            file.read(1)
        return path.stat().st_mode
    except OSError as error:
        raise StartError(f"{place}: {path} cannot be read ({error.strerror}); check its name and mode") from None

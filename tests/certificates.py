"""Certificate authorities and certificates for tests, made with openssl where they are used; none is kept."""

from dataclasses import dataclass
from pathlib import Path

from tests.peers import run_tool

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, in PEM."""

    certificate: Path
    key: Path

    @property
    def fingerprint(self) -> str:
        """As openssl writes it, with colons, after `sha256:`."""
        said = _openssl("x509", "-in", self.certificate, "-noout", "-fingerprint", "-sha256")
        return "sha256:" + said.partition("=")[2].strip()


@dataclass(frozen=True)
class Authority:
    """A CA in a folder of its own, which issues certificates there."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def issue(self, name: str, *alternative: str, days: int = 2, key: tuple[str, ...] = _KEY) -> Certificate:
        """A certificate for a common name and alternative names such as `DNS:ct-1`; of 0 days: it has expired."""
        made = _paths(self.folder, name)
        more = ("-addext", f"subjectAltName={','.join(alternative)}") if alternative else ()
        request = made.key.with_suffix(".csr")
        _openssl("req", *key, "-keyout", made.key, "-out", request, "-subj", f"/CN={name}", *more)
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.folder / "ca.key", "-CAcreateserial",
            "-copy_extensions", "copy", "-days", str(days), "-out", made.certificate,
        )  # fmt: skip
        return made


def authority(folder: Path) -> Authority:
    """A new CA whose files lie in a folder that is made for it."""
    folder.mkdir(parents=True)
    signed_by_itself(folder, "ca")
    return Authority(folder)


def ingress_tls(ca: Authority, relay: Certificate) -> str:
    """A configuration's `[ingress.tls]` on a free port of loopback."""
    return f"""
[ingress.tls]
listen = ["127.0.0.1:0"]
certificate = "{relay.certificate}"
key = "{relay.key}"
ca = "{ca.ca}"
"""


def destination_tls(ca: Authority, relay: Certificate) -> str:
    """A configuration's `[destination.tls]` for a destination on loopback."""
    return f"""
[destination.tls]
name = "127.0.0.1"
certificate = "{relay.certificate}"
key = "{relay.key}"
ca = "{ca.ca}"
"""


def dcmtk_tls(ca: Authority, shown: Certificate) -> tuple[str, ...]:
    """DCMTK's options, to call and to be called."""
    return ("--enable-tls", str(shown.key), str(shown.certificate), "--add-cert-file", str(ca.ca))


def orthanc_tls(ca: Authority, shown: Certificate) -> dict[str, object]:
    """Orthanc's settings, to call and to be called."""
    return {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(shown.certificate),
        "DicomTlsPrivateKey": str(shown.key),
        "DicomTlsTrustedCertificates": str(ca.ca),
    }


def signed_by_itself(folder: Path, name: str, *alternative: str) -> Certificate:
    """A certificate that nobody vouches for."""
    made = _paths(folder, name)
    more = ("-addext", f"subjectAltName={','.join(alternative)}") if alternative else ()
    _openssl(
        "req",
        "-x509",
        *_KEY,
        "-keyout",
        made.key,
        "-out",
        made.certificate,
        "-days",
        "2",
        "-subj",
        f"/CN={name}",
        *more,
    )
    return made


def _paths(folder: Path, name: str) -> Certificate:
    return Certificate(folder / f"{name}.pem", folder / f"{name}.key")


def _openssl(*arguments: str | Path) -> str:
    made = run_tool("openssl", *arguments)
    assert made.returncode == 0, made.stderr
    return made.stdout

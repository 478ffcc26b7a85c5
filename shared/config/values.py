"""Parsers for the values of the configuration file: text in, a checked value out.

No I/O, no clock, no globals. Each raises ValueError, and nothing else, with a sentence that says what to write instead.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

_NUMBER = r"(?P<number>[0-9]{1,15}(\.[0-9]{1,6})?)"
_DURATION = re.compile(_NUMBER + r"(?P<unit>ms|s|m|h|d)")
_SIZE = re.compile(_NUMBER + r"(?P<unit>B|kB|KB|MB|GB|TB)")
_RATE = re.compile(_NUMBER + r"(?P<unit>[kKMG]?(bit|B)/s)")
_FINGERPRINT = re.compile(r"sha256:(?P<digits>[0-9a-f]{2}(:?[0-9a-f]{2}){31})", re.IGNORECASE)
_PERCENT = re.compile(_NUMBER + r"%")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_BYTES = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SCALE = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9}
_LONGEST = timedelta(days=36_500)
_LARGEST = 10**15


def shown(value: object) -> str:
    """Return a value as a problem line quotes it: on one line, at most 60 characters, no list or table."""
    if isinstance(value, list | tuple | dict):
        return "a table" if isinstance(value, dict) else "a list"
    text = repr(value) if isinstance(value, str) else _literal(value)
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= 60 else text[:57] + "..."


def _literal(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the known word nearest to `word` (case aside), or "" when none is near."""
    by_fold = {name.casefold(): name for name in known}
    near = get_close_matches(word.casefold(), by_fold, n=1, cutoff=0.6)
    return f"; did you mean {by_fold[near[0]]!r}?" if near else ""


def parse_duration(text: str) -> timedelta:
    """Return "500ms", "30s", "10m", "12h" or "7d" as a duration longer than zero and at most 100 years."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f'{shown(text)} is not a duration; write a number and ms, s, m, h or d, such as "30s"')
    milliseconds = Decimal(found["number"]) * _MILLISECONDS[found["unit"]]
    if milliseconds > _LONGEST / timedelta(milliseconds=1):
        raise ValueError(f"{shown(text)} is too long; at most 36500d")
    duration = timedelta(microseconds=int(milliseconds * 1000))
    if not duration:
        raise ValueError(f'{shown(text)} must be longer than zero, such as "1s"')
    return duration


def parse_pause(text: str) -> timedelta:
    """Return a duration as `parse_duration` does, or zero for "0s"."""
    return timedelta(0) if text == "0s" else parse_duration(text)


def write_duration(duration: timedelta) -> str:
    """Return the canonical text of a duration; `parse_duration` reads it back."""
    microseconds = duration // timedelta(microseconds=1)
    if microseconds % 1_000_000:
        return f"{Decimal(microseconds) / 1000:f}ms"
    seconds = microseconds // 1_000_000
    if not seconds:
        return "0s"
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def parse_size(text: str) -> int:
    """Return "10GB" as bytes; the units are decimal, 1 GB = 10^9 bytes."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f'{shown(text)} is not a size; write a number and B, kB, MB, GB or TB, such as "10GB"')
    size = int(Decimal(found["number"]) * _BYTES[found["unit"]])
    if size >= _LARGEST:
        raise ValueError(f"{shown(text)} is too large; at most 999TB")
    return size


def write_size(size: int) -> str:
    """Return the canonical text of a size in bytes."""
    return f"{size}B"


def parse_rate(text: str) -> float:
    """Return "160Mbit/s" or "20MB/s" as whole bytes per second, at least one."""
    found = _RATE.fullmatch(text)
    if found is None:
        raise ValueError(f'{shown(text)} is not a rate; write it as "160Mbit/s" or "20MB/s"')
    unit = found["unit"].removesuffix("/s")
    scale = _SCALE[unit.removesuffix("bit").removesuffix("B")]
    rate = int(Decimal(found["number"]) * scale / (8 if unit.endswith("bit") else 1))
    if rate >= _LARGEST:
        raise ValueError(f"{shown(text)} is too large; leave the key out for no limit")
    if rate < 1:
        raise ValueError(f"{shown(text)} is less than one byte per second; leave the key out for no limit")
    return float(rate)


def write_rate(rate: float) -> str:
    """Return the canonical text of a rate in bytes per second."""
    return f"{rate:.0f}B/s"


def parse_percentage(text: str) -> float:
    """Return "20%" as the fraction 0.2; 0% to 100%."""
    found = _PERCENT.fullmatch(text)
    if found is None or Decimal(found["number"]) > 100:
        raise ValueError(f'{shown(text)} is not a percentage; write 0% to 100%, such as "20%"')
    return float(Decimal(found["number"]) / 100)


def write_percentage(fraction: float) -> str:
    """Return the canonical text of a fraction."""
    return f"{(Decimal(repr(fraction)) * 100).normalize():f}%"


def parse_name(text: str) -> str:
    """Return a name of ours; it becomes a metric label and part of a queue's name, hence the narrow alphabet."""
    if not _NAME.fullmatch(text):
        raise ValueError(f'{shown(text)} is not a name; use 1 to 63 of a-z, 0-9 and "-", not beginning with "-"')
    return text


def parse_ae_title(text: str) -> str:
    """Return an AE title: 1 to 16 characters of the default repertoire, case kept.

    Source: PS3.5 6.2, value representation AE; spaces at either end carry no meaning there, so they are refused here.
    """
    if not text.strip(" "):
        raise ValueError("an AE title needs 1 to 16 characters that are not all spaces")
    if len(text) > 16:
        raise ValueError(f"{shown(text)} has {len(text)} characters; an AE title has at most 16")
    if any(not " " <= c <= "~" or c == "\\" for c in text):
        raise ValueError(f"{shown(text)} is not an AE title; use printable ASCII without backslash")
    if text != text.strip(" "):
        raise ValueError(f"{shown(text)} begins or ends with a space, which means nothing in an AE title; remove it")
    return text


@dataclass(frozen=True)
class Address:
    """Where to listen: a host name or IP address, and a TCP port (0: any free one)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_host(text: str) -> str:
    """Return a host name or an IP address (an IPv6 address without brackets)."""
    try:
        return str(ip_address(text))
    except ValueError:
        pass
    labels = text.removesuffix(".").split(".")
    if len(text) > 253 or not all(re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})", label) for label in labels):
        raise ValueError(f'{shown(text)} is not a host name or an IP address, such as "10.1.2.3" or "pacs.example"')
    if re.fullmatch(r"[0-9.]+", text):
        raise ValueError(f"{shown(text)} is not an IP address; write four numbers from 0 to 255")
    return text


def parse_fingerprint(text: str) -> str | None:
    """Return "sha256:" and 64 hexadecimal digits, with or without colons, as one lower-case text; None for a name."""
    if not text.lower().startswith("sha256:"):
        return None
    found = _FINGERPRINT.fullmatch(text)
    if found is None:
        raise ValueError(f'{shown(text)} is not a fingerprint; write "sha256:" and 64 hexadecimal digits')
    return "sha256:" + found["digits"].replace(":", "").lower()


def parse_certificate(text: str) -> str:
    """Return who a certificate must say it is: one of its names (common or alternative), or its fingerprint."""
    if not text.strip() or not text.isprintable() or len(text) > 255:
        raise ValueError(f'{shown(text)} names no certificate; write a name it holds, such as "ct-1.example"')
    try:
        return str(ip_address(text.strip()))
    except ValueError:
        return parse_fingerprint(text) or text.strip()


def parse_peer(text: str) -> str:
    """Return what a server's certificate must say: a host name, an IP address, or its fingerprint."""
    return parse_fingerprint(text) or parse_host(text)


def parse_address(text: str) -> Address:
    """Return "127.0.0.1:11112" or "[::1]:104" as an address to listen on."""
    found = re.fullmatch(r"(\[(?P<six>[^\[\]]+)\]|(?P<host>[^:\[\]]+)):(?P<port>[0-9]{1,5})", text)
    if found is None:
        raise ValueError(f'{shown(text)} is not an address; write host:port, such as "127.0.0.1:11112" or "[::1]:104"')
    if int(found["port"]) > 65535:
        raise ValueError(f"{shown(text)}: a port is at most 65535")
    return Address(parse_host(found["six"] or found["host"]), int(found["port"]))


def parse_network(text: str) -> Network:
    """Return "10.1.2.3" or "10.1.0.0/16" as an IP network."""
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f'{shown(text)} is not an IP address or network; write "10.1.2.3" or "10.1.0.0/16"') from None
    raise ValueError(f'{shown(text)} has bits set after its /{network.prefixlen}; write "{network}"')


def parse_date(text: str) -> date:
    """Return "2026-12-25" as a date of the years 1900 to 2199."""
    try:
        if re.fullmatch(r"(19|20|21)[0-9]{2}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError(f'{shown(text)} is not a date; write year-month-day, such as "2026-12-25"')

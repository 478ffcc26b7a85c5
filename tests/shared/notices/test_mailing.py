"""Mail over TLS: to whom it goes and with which login; to whom it does not, in which words; no password leaks."""

from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.config import Notify, parse
from shared.errors import NotifyError
from shared.notices import reaching
from shared.notices.sending import send, trial_message
from tests.certificates import Authority, Certificate, authority
from tests.shared.notices.mail_servers import PASSWORD, USER, Line, server
from tests.shared.notices.servers import mail_server

MESSAGE = trial_message("DCMRELAY", "page", datetime(2026, 3, 4, 12, 0, tzinfo=UTC))
OUR_WORDS = (PASSWORD, *(b64encode(it.encode()).decode() for it in (PASSWORD, f"\0{USER}\0{PASSWORD}")))


@dataclass(frozen=True)
class World:
    """A CA with a mail server's certificate, one for another host, and one that has expired; and a second CA."""

    ca: Authority
    other: Authority
    shown: Certificate
    elsewhere: Certificate
    old: Certificate


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("mail")
    ca, other = authority(folder / "ca"), authority(folder / "other")
    return World(
        ca, other, ca.issue("mail", "IP:127.0.0.1"), ca.issue("elsewhere", "DNS:mail.example", "IP:127.0.0.9"),
        ca.issue("old", "IP:127.0.0.1", days=0),
    )  # fmt: skip


def notifier(folder: Path, line: Line, security: str, ca: Authority | None, password: str = "") -> Notify:
    """One that tells the server at the end of a line.

    Args:
        folder: for its password file.
        line: with the port.
        security: as configured.
        ca: whom it trusts; None: whom the system does.
        password: it logs in with it; empty: it does not.
    """
    (folder / "password").write_text(f"{password}\n", encoding="utf-8")
    more = "" if ca is None else f'ca = "{ca.ca}"\n'
    more += f'user = "{USER}"\npassword_file = "password"\n' if password else ""
    return parse(
        '[[notify]]\nname = "page"\nkind = "smtp"\non = ["dead_letter"]\nfrom = "r@h.example"\nto = ["p@h.example"]\n'
        f'host = "127.0.0.1"\nport = {line.port}\nsecurity = "{security}"\n{more}',
        folder,
    ).notify[0]


def refusal(notify: Notify, line: Line) -> str:
    """Why a mail is not taken, without the beginning that names notifier and place."""
    with pytest.raises(NotifyError) as refused:
        send(notify, MESSAGE)
    beginning = f"notifier page: the mail server 127.0.0.1:{line.port}: "
    said = str(refused.value)
    assert said.startswith(beginning)
    assert not [word for word in (*OUR_WORDS, USER, "Nothing is wrong") if word in said.removeprefix(beginning)]
    return said.removeprefix(beginning)


def leaked(line: Line) -> list[str]:
    """In which forms the password went over the line for everybody to read."""
    return [word for word in OUR_WORDS if word.encode() in line.said]


@pytest.mark.parametrize("login", ["", "PLAIN", "LOGIN"])
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_mail_goes_over_tls_with_any_login_and_nothing_of_it_can_be_read_on_the_way(
    world: World, tmp_path: Path, security: str, login: str
) -> None:
    with server(world.shown, at_once=security == "tls", login=login) as line:
        send(notifier(tmp_path, line, security, world.ca, PASSWORD if login else ""), MESSAGE)
    assert [mail["Subject"] for mail in line.mails] == [MESSAGE.subject]
    assert line.logins == ([login] if login else [])
    assert leaked(line) == []
    assert (b"STARTTLS" in line.said, b"AUTH" in line.said, b"p@h.example" in line.said) == (
        security == "starttls",
        False,
        False,
    )


@pytest.mark.parametrize("login", ["PLAIN", "LOGIN"])
def test_what_is_looked_for_on_the_line_would_be_found(tmp_path: Path, login: str) -> None:
    with server(login=login, in_the_clear=True) as line:
        send(notifier(tmp_path, line, "none", None, PASSWORD), MESSAGE)
    assert leaked(line) != []
    assert line.logins == [login]


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize(
    ("shown", "trusted", "remedy"),
    [
        ("shown", "", "its certificate is not trusted; name in ca a PEM file with the certificate of who issued it"),
        ("shown", "other", "its certificate is not trusted; put the certificate of who issued it into ca "),
        ("elsewhere", "ca", "its certificate is for another name; write in host a name that the certificate has"),
        ("old", "ca", "its certificate has expired or is not valid yet; have it renewed there, and check"),
    ],
)
def test_a_server_that_may_be_somebody_else_gets_neither_mail_nor_password(
    world: World, tmp_path: Path, security: str, shown: str, trusted: str, remedy: str
) -> None:
    with server(getattr(world, shown), at_once=security == "tls", login="PLAIN") as line:
        ca = getattr(world, trusted) if trusted else None
        assert refusal(notifier(tmp_path, line, security, ca, PASSWORD), line).startswith(remedy)
    assert (line.mails, line.logins, leaked(line), b"AUTH" in line.said) == ([], [], [], False)


@pytest.mark.parametrize("password", ["", PASSWORD])
def test_a_server_that_offers_no_starttls_gets_neither_mail_nor_password(tmp_path: Path, password: str) -> None:
    with server(login="PLAIN" if password else "", in_the_clear=True) as line:
        said = refusal(notifier(tmp_path, line, "starttls", None, password), line)
    assert said.startswith("offers no STARTTLS now, so nothing was sent; have it switched on there, or write security")
    assert (line.mails, line.logins, leaked(line), b"MAIL" in line.said) == ([], [], [], False)


def test_tls_from_the_first_byte_is_not_spoken_with_who_does_not_know_it(world: World, tmp_path: Path) -> None:
    with server(world.shown) as line:
        said = refusal(notifier(tmp_path, line, "tls", world.ca, PASSWORD), line)
    assert said == "no TLS with it; check security, host and port"
    assert leaked(line) == []


def test_starttls_is_not_waited_for_where_tls_is_spoken_from_the_first_byte(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaching, "SECONDS", 0.3)
    with server(world.shown, at_once=True) as line:
        said = refusal(notifier(tmp_path, line, "starttls", world.ca), line)
    assert said == "was silent or hung up; check security, host and port"


@pytest.mark.parametrize(("security", "login"), [("starttls", "PLAIN"), ("starttls", "LOGIN"), ("tls", "LOGIN")])
def test_a_wrong_password_is_said_so_without_user_or_password(
    world: World, tmp_path: Path, security: str, login: str
) -> None:
    with server(world.shown, at_once=security == "tls", login=login) as line:
        said = refusal(notifier(tmp_path, line, security, world.ca, "wr0ng"), line)
    assert said == "answered 535 to the login; check user and password_file"
    assert line.mails == []


def test_a_login_that_is_not_possible_is_said_so(world: World, tmp_path: Path) -> None:
    with server(world.shown) as line:
        none = refusal(notifier(tmp_path, line, "starttls", world.ca, PASSWORD), line)
    with server(world.shown, login="PLAIN") as line:
        beyond = refusal(notifier(tmp_path, line, "starttls", world.ca, "Schlüssel"), line)
    assert none.startswith("offers no login that is known here (PLAIN, LOGIN, CRAM-MD5); check security and port, or ")
    assert beyond == "takes ASCII letters only to log in; change user, or what password_file holds"


def test_a_server_that_wants_a_login_gets_no_mail_without(world: World, tmp_path: Path) -> None:
    with server(world.shown, login="PLAIN") as line:
        said = refusal(notifier(tmp_path, line, "starttls", world.ca), line)
    assert said == "answered 530; check from, to, user and password_file"
    assert line.mails == []


def test_a_ca_that_is_no_certificate_is_named_and_nothing_is_sent(world: World, tmp_path: Path) -> None:
    with server(world.shown) as line:
        notify = notifier(tmp_path, line, "starttls", Authority(tmp_path))
        assert refusal(notify, line).startswith(f"ca {tmp_path}/ca.pem cannot be used; it must be a PEM file")
    assert line.mails == []


def test_a_mail_that_was_taken_stays_taken_whatever_the_server_says_at_the_end(tmp_path: Path) -> None:
    with mail_server(farewell="421 busy") as got:
        send(notifier(tmp_path, Line(port=got.port), "none", None), MESSAGE)
    assert len(got.bodies) == 1

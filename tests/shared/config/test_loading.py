import json
from datetime import date, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from shared.config import Address, Config, find, load, parse
from shared.config.peers import RateDuring
from shared.errors import ConfigError
from tests.shared.config.examples import FOLDER, FULL, ROUTE, SMALL, small

REFERENCE = Path(__file__).parents[4] / "shared" / "reference.toml"


@pytest.fixture(scope="module")
def full() -> Config:
    return load(FULL)


def test_every_section_of_the_full_example_arrives(full: Config) -> None:
    assert full.relay.ae_title == "TOWNRELAY"
    assert full.relay.follow == timedelta(days=3)
    assert full.ingress.listen == (Address("127.0.0.1", 11112), Address("::1", 104))
    assert (full.ingress.max_instance, full.ingress.min_free) == (2_500_000_000, 750_000_000)
    assert (full.spool.optional_max, full.spool.scrub_rate) == (0.125, 5e6)
    assert full.metrics.listen == Address("127.0.0.1", 9400)
    assert full.notify[0].on == ("dead_letter", "disk_low")
    assert full.sources[0].hosts == (ip_network("10.20.0.0/16"), ip_network("fd00:20::/32"))
    assert full.calendars["weekdays"].closed_on == (date(2026, 12, 25), date(2027, 12, 25))
    assert full.edits["old-console"].remove[1].private == "ACME 1.0"
    assert full.checks[0].on_failure == "warn"


def test_a_destination_arrives_with_its_limits(full: Config) -> None:
    reader = full.destination("reader")
    assert reader is not None
    assert (reader.host, reader.port, reader.max_rate) == (
        "fd00:20::7",
        11112,
        (RateDuring.model_validate({"rate": "8Mbit/s"}),),
    )
    assert (reader.max_associations, reader.keep_open) == (3, timedelta(seconds=30))
    assert reader.retry.give_up == timedelta(days=10)
    assert reader.tls is not None
    assert reader.tls.ca == FULL.parent / "tls/ca.pem"


def test_a_route_arrives_with_its_conditions_as_lists_of_patterns(full: Config) -> None:
    screening = full.route("screening")
    assert screening is not None
    assert screening.match == {"source": ("any-*",), "Modality": ("MG",)}
    assert screening.last
    assert full.routes[2].destinations == ("pacs", "reader")


def test_the_reference_configuration_loads_as_it_stands() -> None:
    if not REFERENCE.exists():
        pytest.skip("the reference configuration is not beside this checkout")
    config = load(REFERENCE)
    assert [route.name for route in config.routes] == ["outside-reading", "mr-archive", "console"]
    assert Config.from_snapshot(config.snapshot()) == config


def test_absent_ae_titles_are_the_relays_own() -> None:
    config = parse('[relay]\nae_title = "OURS"\n' + SMALL + ROUTE, FOLDER)
    assert config.sources[0].called == ("OURS",)
    assert config.destinations[0].calling_ae_title == "OURS"


def test_relative_paths_start_at_the_folder_of_the_file() -> None:
    assert small().relay.data_dir == FOLDER / "var"
    assert parse(SMALL + '[relay]\ndata_dir = "/var/lib/relay"', FOLDER).relay.data_dir == Path("/var/lib/relay")


def test_a_key_lies_in_the_data_folder(full: Config) -> None:
    assert full.key_path(full.profiles["outside"]) == FULL.parent / "state/keys/outside.key"


def test_a_source_without_its_own_quiet_times_has_those_of_ingress(full: Config) -> None:
    times = [full.quiet_of(source) for source in full.sources]
    assert times[0] == (timedelta(minutes=2), timedelta(milliseconds=500))
    assert times[1] == (timedelta(seconds=45), timedelta(seconds=1.5))


def test_what_is_not_configured_is_none(full: Config) -> None:
    assert full.source("nobody") is None
    assert full.destination("nobody") is None
    assert full.profile("nobody") is None
    assert full.route("nobody") is None


def test_a_configuration_cannot_be_changed(full: Config) -> None:
    with pytest.raises(ValueError, match="frozen"):
        full.relay.ae_title = "OTHER"


def test_a_snapshot_rebuilds_an_equal_configuration(full: Config) -> None:
    again = Config.from_snapshot(full.snapshot())
    assert again == full
    assert again.snapshot() == full.snapshot()
    assert again.hash == full.hash


def test_the_hash_does_not_change_with_comments_or_order() -> None:
    one = parse('[spool]\nretention = "7d"\n' + SMALL + ROUTE, FOLDER)
    other = parse(SMALL + ROUTE + '# a comment\n[spool]\nretention = "168h"\n', FOLDER)
    assert one.hash == other.hash
    assert len(one.hash) == 64


@pytest.mark.parametrize("change", ['[spool]\nretention = "8d"', '[edit.x]\nremove = ["PatientComments"]'])
def test_the_hash_changes_with_the_content(change: str) -> None:
    assert small().hash != small(ROUTE + change).hash


def test_a_destinations_identity_is_who_it_is_and_not_how_it_is_treated() -> None:
    before = small().destinations[0]
    faster = small(ROUTE.replace('name = "plain"', 'name = "other"')).destinations[0]
    moved = before.model_copy(update={"port": 4242})
    limited = before.model_copy(update={"max_rate": (RateDuring.model_validate({"rate": "1B/s"}),)})
    assert len(before.identity) == 16
    assert before.identity == faster.identity == limited.identity != moved.identity


def test_a_profiles_hash_is_what_it_does_and_not_where_its_key_lies() -> None:
    profile = small().profiles["reading"]
    assert profile.hash == profile.model_copy(update={"key_file": "other.key"}).hash
    assert profile.hash != profile.model_copy(update={"options": ("retain-uids",)}).hash


def test_the_resolved_lines_name_every_setting_and_no_secret(full: Config) -> None:
    lines = full.resolved_lines()
    assert 'source.ultrasound.ae_title = "US-ROOM2"' in lines
    assert 'destination.reader.retry.give_up = "10d"' in lines
    assert 'ingress.quiet_after_release = "500ms"' in lines
    assert not any(line.startswith("source.any-name.hosts") for line in lines)


def test_the_snapshot_is_canonical_json(full: Config) -> None:
    tables = json.loads(full.snapshot())
    assert json.dumps(tables, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() == full.snapshot()


def test_the_configuration_is_found_by_option_then_environment_then_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCMRELAY_CONFIG", "/etc/relay.toml")
    assert find(Path("mine.toml")) == Path("mine.toml")
    assert find(None) == Path("/etc/relay.toml")
    monkeypatch.delenv("DCMRELAY_CONFIG")
    assert find(None) == Path("dcmrelay.toml")


def _refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        load(path)
    (line,) = refused.value.problems
    return line


def test_a_file_that_is_not_there_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "dcmrelay.toml"
    assert _refusal(path) == f"{path}: does not exist; write one with `dcmrelay init`, or name another with --config"


def test_a_folder_in_place_of_a_file_is_one_line(tmp_path: Path) -> None:
    assert "is a folder; name the file in it" in _refusal(tmp_path)


def test_a_file_that_is_not_utf_8_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes('[relay]\n# configuração\n\nae_title = "A"'.encode("latin-1"))
    assert _refusal(path) == f"{path}: is not UTF-8 (line 2); save it as UTF-8 text"


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "windows.toml"
    path.write_bytes(b"\xef\xbb\xbf" + (SMALL + ROUTE).replace("\n", "\r\n").encode())
    assert load(path).routes[0].name == "plain"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[relay]\nae_title = CT1\n", "line 2, column 12: not TOML: invalid value; text stands in double quotes"),
        ("[relay]\nae_title\n", "line 2, column 9: not TOML: expected '=' after a key"),
        ("[relay]\nae_title\n", "; write key = value"),
        ('[relay]\nae_title = "A"\nae_title = "B"\n', "line 3, column 15: not TOML: cannot overwrite a value; the key"),
        ("a = { b = 1, b = 2 }", "; the key stands twice: keep one of them"),
        ("[relay]\n[spool]\n[relay]\n", "line 3, column 7: not TOML: cannot declare ('relay',) twice; the heading"),
        ("a = { b = 1 }\na.c = 2\n", "; a table or list in braces or brackets is whole"),
        ('a = "b', "; text ends with the quote that it begins with"),
        ('a = "b\n"', "; text ends with the quote that it begins with"),
        ('a = "C:\\dicom"', "; write \\\\ for a backslash in double quotes, or use single quotes"),
        ('a = "b" c = 1', "; one key = value stands on a line"),
        ("[relay", "at its end: not TOML: expected ']' at the end of a table declaration; a heading is [name]"),
        ('to = ["archive", ', "at its end: not TOML: invalid value; text stands in double quotes"),
        ('to = ["archive"', "; a list ends with ]; was the file cut short?"),
        ('tls = { ca = "a"', "; a table in braces ends with } on the same line; was the file cut short?"),
        ("= 5", "; write key = value, or a heading [name]"),
        ("a.= 5", "; a key is letters, digits, - and _, or stands in quotes"),
        ("a = " + "[" * 5000, "is not TOML that can be read"),
        ("a = " + "9" * 5000, "is not TOML that can be read"),
    ],
)
def test_what_is_not_toml_is_one_line_with_its_place(text: str, line: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(text, FOLDER)
    assert len(refused.value.problems) == 1
    assert line in refused.value.problems[0]

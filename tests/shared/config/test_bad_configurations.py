import pytest

from shared.config import load, parse
from shared.errors import ConfigError
from tests.shared.config.bad import BAD, R
from tests.shared.config.examples import FOLDER, FULL, SMALL


def _problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as refused:
        parse(text, FOLDER)
    return refused.value.problems


@pytest.mark.parametrize(("more", "line"), BAD, ids=[line[:60] for _, line in BAD])
def test_a_bad_configuration_is_refused_with_one_line_that_says_what_to_write(more: str, line: str) -> None:
    assert _problems(SMALL + more) == (line,)


def test_every_problem_is_reported_at_once() -> None:
    text = """
    [relay]
    timezone = "Mars/Olympus"
    [ingress]
    listen = ["0.0.0.0:104"]
    quiet = 30
    [[source]]
    name = "ct"
    ae_title = "CT1\\\\"
    [[destination]]
    name = "archive"
    ae_title = "ARCHIVE"
    port = "104"
    [profile.reading]
    pseudonyms = { PatientID = "x", PatientNme = "{key:8}", StudyDate = "{key:8}" }
    [[route]]
    name = "one"
    match = { source = "mr", Modalty = "CT" }
    to = ["archive", "research"]
    priority = "high"
    [[route]]
    name = "one"
    match = { source = "ct" }
    to = ["archive"]
    profile = "reading"
    """
    begins = [problem.split(": ")[0] for problem in _problems(text)]
    assert begins == [
        "[relay] key timezone",
        "[ingress] key quiet",
        "source 'ct' key ae_title",
        "destination 'archive' key host",
        "destination 'archive' key port",
        "profile 'reading' key pseudonyms",
        "profile 'reading' key pseudonyms",
        "profile 'reading' key pseudonyms",
        "route 'one' key match.Modalty",
        "route 'one' key priority",
        "route 'one' key name",
        "route 'one' key match.source",
        "route 'one' key to",
    ]


def test_a_list_written_as_one_table_is_told_how_to_write_it() -> None:
    assert _problems('[source]\nname = "ct"\nae_title = "CT1"') == (
        "[source]: is a list of tables; write its heading with two brackets on each side",
    )


def test_a_section_that_is_no_table_is_refused() -> None:
    assert _problems("source = [1]\nroute = 7\nrelay = 5\nprofile = { a = 1 }\ncalendar = 3") == (
        "key relay: must be one table, [relay]",
        "source number 1: 1 must be a table of keys and values",
        "key calendar: must be written as tables [calendar.NAME]",
        "profile 'a': 1 must be a table of keys and values",
        "key route: is a list of tables; write its heading with two brackets on each side",
    )


def test_every_line_begins_with_the_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("site") / "dcmrelay.toml"
    path.write_text(SMALL + R + 'to = ["archve"]\nprofile = "x"')
    with pytest.raises(ConfigError) as refused:
        load(path)
    assert [line.startswith(f"{path}: route 'r' key ") for line in refused.value.problems] == [True, True]


def test_no_secret_comes_back_in_a_problem() -> None:
    lines = [line for more, _ in BAD if "s3cret" in more for line in _problems(SMALL + more)]
    assert len(lines) == 6
    assert not any("s3cret" in line for line in lines)


@pytest.mark.parametrize("key", [line for line in FULL.read_text().splitlines() if line[:1].isalpha()])
def test_whatever_key_of_the_full_example_is_replaced_the_refusal_names_it(key: str) -> None:
    name = key.split(" ")[0]
    for wrong in ("-1", '"\\u0000"', "[[]]", "{ x = 1 }", "1979-05-27"):
        problems = _problems(FULL.read_text().replace(key, f"{name} = {wrong}", 1))
        assert any(name in problem for problem in problems)
        assert not any("cannot be used here" in problem or "\0" in problem for problem in problems)

"""Value lists from CSV files, read when the configuration is loaded."""

from pathlib import Path

import pytest

from shared.config import Config, parse
from shared.errors import ConfigError
from tests.shared.config.examples import SMALL

CHECK = SMALL + '[[check]]\nname = "c"\nvalues = { StationName = "stations.csv" }\n'


def listed(folder: Path, content: bytes) -> tuple[str, ...]:
    (folder / "stations.csv").write_bytes(content)
    config = parse(CHECK, folder)
    (folder / "stations.csv").unlink()
    assert Config.from_snapshot(config.snapshot()) == config  # decided under what was read
    return config.checks[0].values["StationName"]


@pytest.mark.parametrize(
    "content",
    [
        b"StationName\nCT-A\nCT-B\n",
        b"\xef\xbb\xbfRoom;StationName\r\n1;CT-A\r\n2;CT-B\r\n3\r\n",
        b'StationName,Room\n"CT-A",1\n CT-B ,2\nCT-A,3\n,4\n',
    ],
)
def test_the_column_that_is_named_after_the_element_lists_its_values(tmp_path: Path, content: bytes) -> None:
    assert listed(tmp_path, content) == ("CT-A", "CT-B")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read (No such file or directory); name a file that is there"),
        (b"", "'stations.csv' has no column StationName; its first line names nothing"),
        (b"Room,Stationname\n", "'stations.csv' has no column StationName; did you mean 'Stationname'?"),
        (b"StationName\n \n", "'stations.csv' lists nothing under StationName; write its values there"),
        (b"StationName\nCT-\xc4\n", "'stations.csv' is not UTF-8; save it as CSV in UTF-8"),
        (b'StationName\n"CT', "'stations.csv' is not CSV; close its quotes, or export the table again"),
        (b"StationName\n" + b"x" * (1 << 20), "'stations.csv' is longer than 1 MB; write a pattern instead"),
        (b"StationName\n" + b"".join(b"%d\n" % n for n in range(20_001)), "lists more than 20000 values"),
    ],
)
def test_a_file_that_lists_nothing_is_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / "stations.csv").write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        parse(CHECK, tmp_path)
    (problem,) = refused.value.problems
    assert words in problem
    assert problem.startswith("check 'c' key values: ")

"""What becomes of a configuration file that changes while the relay runs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shared import metrics
from shared.config import Config, load
from shared.errors import ConfigError, StorageError
from shared.reload import Origin, Watch, check_usable, needs_restart
from tests.dcmrelay.relays import write_config
from tests.peers import free_port

FAILED = "dcmrelay_config_reload_failed"


class Watched:
    """A file that is watched, and what came into force of it."""

    def __init__(self, folder: Path) -> None:
        self.path = write_config(folder)
        self.text = self.path.read_text()
        self.first = load(self.path)
        self.adopted: list[Config] = []
        self.meanwhile: Callable[[], object] = lambda: None
        self.watch = Watch(
            Origin(self.path),
            self.path.read_bytes(),
            judge=lambda config: check_usable(config, self.first),
            adopt=self.adopt,
            settle=lambda _: self.meanwhile(),
        )

    def adopt(self, config: Config) -> None:
        """Takes a configuration."""
        self.adopted.append(config)

    def write(self, text: str) -> None:
        """Writes the file in place."""
        self.path.write_text(text, encoding="utf-8")


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """A file that is watched."""
    return Watched(tmp_path)


def test_a_file_that_did_not_change_is_not_judged_again(watched: Watched) -> None:
    watched.path.touch()
    assert watched.watch.look()
    assert watched.adopted == []


def test_what_changed_comes_into_force_whole(watched: Watched) -> None:
    watched.write(watched.text.replace('name = "all"', 'name = "everything"'))
    assert watched.watch.look()
    assert [config.routes[0].name for config in watched.adopted] == ["everything"]
    assert watched.watch.look()
    assert len(watched.adopted) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: "",
        lambda text: text[: len(text) // 2],
        lambda text: text[: text.index("[[route]]")],
        lambda text: text.replace("port = 104", "port = 0"),
        lambda text: text.replace('data_dir = "var"', 'data_dir = "elsewhere"'),
        lambda text: text + '[broker]\nurl = "amqp://other@host.example/x"\n',
        lambda text: text + '[profile.new]\nkey_file = "there-is-none.key"\n',
    ],
    ids=[
        "empty",
        "half written",
        "cut short",
        "invalid",
        "another data folder",
        "another broker",
        "a profile without its key",
    ],
)
def test_what_cannot_be_used_leaves_the_old_one_in_force_and_raises_the_metric(
    watched: Watched, spoil: Callable[[str], str]
) -> None:
    watched.write(spoil(watched.text))
    assert not watched.watch.look()
    assert not watched.watch.look(), "it is said as long as the file stands so"
    assert watched.adopted == []
    assert watched.watch.refused
    assert metrics.value(FAILED) == 1
    watched.write(watched.text)
    assert watched.watch.look()
    assert watched.watch.refused == ()
    assert metrics.value(FAILED) == 0


def test_a_file_that_is_missing_for_a_moment_is_refused_and_taken_when_it_is_back(watched: Watched) -> None:
    watched.path.unlink()
    assert not watched.watch.look()
    assert "does not exist" in watched.watch.refused[0]
    watched.write(watched.text)
    assert watched.watch.look()


def test_a_file_that_is_being_written_is_left_for_the_next_look(watched: Watched) -> None:
    whole = watched.text.replace('name = "all"', 'name = "everything"')
    watched.write(whole[: whole.index("[[route]]")])  # by itself it would be valid, and want nothing
    watched.meanwhile = lambda: watched.write(whole)
    assert not watched.watch.look()
    assert (watched.adopted, watched.watch.refused) == ([], ())
    assert watched.watch.look()
    assert watched.adopted[0].routes[0].name == "everything"


def test_a_link_that_points_to_another_file_is_a_change(watched: Watched, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(watched.text.replace('name = "all"', 'name = "linked"'), encoding="utf-8")
    watched.path.unlink()
    watched.path.symlink_to(other)
    assert watched.watch.look()
    assert watched.adopted[0].routes[0].name == "linked"


def test_what_a_person_asks_for_is_judged_again_with_the_files_it_names(watched: Watched) -> None:
    assert watched.watch.look(asked=True)
    assert len(watched.adopted) == 1


def test_a_disk_that_refuses_the_snapshot_is_tried_again(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Config) -> None:
        raise StorageError("full")

    watched.write(watched.text.replace('name = "all"', 'name = "everything"'))
    with monkeypatch.context() as patch:
        patch.setattr(watched.watch, "_adopt", full)
        assert not watched.watch.look()
    assert watched.watch.look()
    assert len(watched.adopted) == 1


def test_what_up_accepted_is_what_its_workers_go_by(watched: Watched, tmp_path: Path) -> None:
    accepted = tmp_path / "accepted.json"
    accepted.write_bytes(watched.first.snapshot())
    watched.write("spoilt [")
    origin = Origin(watched.path, accepted)
    assert origin.config(origin.content()) == watched.first


def test_what_needs_a_new_start_is_named(watched: Watched) -> None:
    port = free_port()
    watched.write(watched.text.replace('listen = ["127.0.0.1:0"]', f'listen = ["127.0.0.1:{port}"]'))
    changed = load(watched.path)
    check_usable(changed, watched.first)
    assert needs_restart(watched.first, changed) == ("[ingress] listen",)


def test_another_data_folder_is_refused_with_what_to_do(watched: Watched) -> None:
    watched.write(watched.text.replace('data_dir = "var"', 'data_dir = "elsewhere"'))
    with pytest.raises(ConfigError, match="put it back, or stop the relay and start it again"):
        check_usable(load(watched.path), watched.first)

"""What a session's cookie says, and who can make one."""

import time
from pathlib import Path

import pytest

from service.domain.errors import StoreBroken
from service.store import sessions
from service.store.identity import SECRET_BYTES, FolderIdentity
from service.store.sessions import LIFETIME_SECONDS, SessionSeal

KEY_ID = "abcdefgh12"


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = time.time()

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(sessions, "time", made)
    return made


def test_a_value_opens_to_the_key_and_the_end_it_was_made_for(tmp_path: Path, clock: Clock) -> None:
    seal = SessionSeal(FolderIdentity(tmp_path))
    session = seal.opened(seal.new(KEY_ID))
    assert session
    assert (session.key_id, session.ends_at) == (KEY_ID, int(clock.now) + LIFETIME_SECONDS)


def test_a_server_that_starts_again_knows_the_session(tmp_path: Path) -> None:
    value = SessionSeal(FolderIdentity(tmp_path)).new(KEY_ID)
    assert SessionSeal(FolderIdentity(tmp_path)).opened(value)


def test_it_ends_after_twelve_hours_and_is_past_half_after_six(
    tmp_path: Path, clock: Clock
) -> None:
    seal = SessionSeal(FolderIdentity(tmp_path))
    value = seal.new(KEY_ID)
    session = seal.opened(value)
    assert session
    past = []
    for seconds in (6 * 3600 - 2, 4):
        clock.now += seconds
        past.append(session.is_past_half)
    assert past == [False, True]
    clock.now += 6 * 3600 - 4
    assert seal.opened(value)
    clock.now += 2
    assert seal.opened(value) is None
    assert session.has_ended


def test_another_data_directory_neither_opens_it_nor_names_it_alike(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    value = SessionSeal(FolderIdentity(one)).new(KEY_ID)
    assert SessionSeal(FolderIdentity(other)).opened(value) is None
    assert (
        SessionSeal(FolderIdentity(one)).cookie_name
        != SessionSeal(FolderIdentity(other)).cookie_name
    )
    assert (
        SessionSeal(FolderIdentity(one)).cookie_name == SessionSeal(FolderIdentity(one)).cookie_name
    )


def test_any_change_of_a_value_closes_it(tmp_path: Path) -> None:
    seal = SessionSeal(FolderIdentity(tmp_path))
    value = seal.new(KEY_ID)
    letters = "aA0_-."
    for at, old in enumerate(value):
        for letter in letters.replace(old, ""):
            changed = value[:at] + letter + value[at + 1 :]
            assert seal.opened(changed) is None, changed
        assert seal.opened(value[:at]) is None
        assert seal.opened(value[:at] + value[at + 1 :]) is None
    for longer in (value + "A", " " + value, value + "\n", value + value):
        assert seal.opened(longer) is None
    assert seal.opened("") is None
    assert seal.opened(value)


def test_the_digest_of_another_key_or_another_end_does_not_fit(tmp_path: Path) -> None:
    seal = SessionSeal(FolderIdentity(tmp_path))
    key, end, digest = seal.new(KEY_ID).split(".")
    assert seal.opened(f"{key}.{int(end) + 1}.{digest}") is None
    assert seal.opened(f"abcdefgh13.{end}.{digest}") is None
    assert seal.opened(f"{key}.0{end}.{digest}") is None


def test_only_the_owner_of_the_directory_may_read_the_secret(tmp_path: Path) -> None:
    SessionSeal(FolderIdentity(tmp_path)).new(KEY_ID)
    secret = tmp_path / "session.key"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert len(secret.read_bytes()) == SECRET_BYTES


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_a_damaged_secret_is_named_with_the_way_out(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "session.key").write_bytes(content)
    with pytest.raises(StoreBroken, match=r"session\.key is damaged; delete it"):
        SessionSeal(FolderIdentity(tmp_path)).new(KEY_ID)


def test_a_directory_that_is_not_there_is_an_error_of_the_store(tmp_path: Path) -> None:
    with pytest.raises(StoreBroken, match="No such file"):
        SessionSeal(FolderIdentity(tmp_path / "missing")).new(KEY_ID)

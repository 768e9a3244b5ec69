"""Keys: how they are read, that they are never told, and that the service does not run without."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from forecast.access import EVERYTHING, Access, Scope
from forecast.errors import OutputError, UsageError
from forecast.service.keys import KEYS_FILE, ROWS_PER_MINUTE, SINGLE_KEY, Keys, create_key_file

KEY = "canary-7731-key"
DIGEST = hashlib.sha256(KEY.encode()).hexdigest()


def test_a_file_holds_keys_or_their_digests(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# CRM\n\nplain-key\n  sha256:{DIGEST.upper()}  \n")
    keys = Keys.from_environment({KEYS_FILE: str(file)})
    assert keys.find(f"Bearer {KEY}".encode()) == Access(DIGEST[:8], "admin", EVERYTHING, 600_000)
    assert keys.find(b"Bearer plain-key") is not None
    assert keys.find(b"Bearer # CRM") is None
    assert keys.find(f"Bearer sha256:{DIGEST}".encode()) is None


@pytest.mark.parametrize(
    ("more", "role", "scope"),
    [
        ("score", "score", EVERYTHING),
        ("user  own:U-3", "user", Scope("own", "U-3")),
        ("manager team:North East", "manager", Scope("team", "North East")),
        ("admin all", "admin", EVERYTHING),
    ],
)
def test_a_line_may_say_what_the_key_may_do(more: str, role: str, scope: Scope) -> None:
    access = Keys.of([f"{KEY} {more}"], "test").find(f"Bearer {KEY}".encode())
    assert access is not None
    assert (access.role, access.scope) == (role, scope)


@pytest.mark.parametrize("more", ["boss", "user mine", "user own:", "user team", "Admin", "admin all all"])
def test_a_role_or_scope_that_is_none_stops_the_start(more: str) -> None:
    with pytest.raises(UsageError, match=r"keys, line 1") as caught:
        Keys.of([f"{KEY} {more}"], "keys")
    assert KEY not in caught.value.message


def test_one_key_with_two_roles_is_refused() -> None:
    with pytest.raises(UsageError, match="another role"):
        Keys.of([KEY, f"sha256:{DIGEST} score"], "keys")


@pytest.mark.parametrize(("text", "rows"), [("1000", 1000), ("0", None), ("", 600_000)])
def test_the_rate_of_keys_is_a_setting(text: str, rows: int | None) -> None:
    keys = Keys.from_environment({SINGLE_KEY: KEY, ROWS_PER_MINUTE: text})
    access = keys.find(f"Bearer {KEY}".encode())
    assert access is not None
    assert access.rows_per_minute == rows


@pytest.mark.parametrize("text", ["-1", "1e3", "many", "٣"])
def test_a_rate_that_is_no_number_stops_the_start(text: str) -> None:
    with pytest.raises(UsageError, match=ROWS_PER_MINUTE):
        Keys.from_environment({SINGLE_KEY: KEY, ROWS_PER_MINUTE: text})


def test_file_and_variable_count_both(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("one\n")
    keys = Keys.from_environment({KEYS_FILE: str(file), SINGLE_KEY: "two"})
    assert keys.find(b"Bearer one")
    assert keys.find(b"Bearer two")
    assert not keys.find(b"Bearer three")


def test_the_text_of_a_key_is_not_kept() -> None:
    assert KEY not in repr(Keys.of([KEY], "test"))


@pytest.mark.parametrize("line", ["two words", "ümlaut", "x" * 513, "sha256:abc", 'quo"te', "tab\tin"])
def test_a_line_that_is_no_key_is_named_by_number_only(line: str) -> None:
    with pytest.raises(UsageError, match=r"keys\.txt, line 2") as caught:
        Keys.of(["good", line], "keys.txt")
    assert line not in caught.value.message


@pytest.mark.parametrize("environment", [{}, {KEYS_FILE: ""}, {SINGLE_KEY: ""}])
def test_without_a_key_there_is_no_service(environment: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="no key is set") as caught:
        Keys.from_environment(environment)
    assert caught.value.exit_code == 2


def test_a_file_without_a_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# none yet\n")
    with pytest.raises(UsageError, match="holds no key"):
        Keys.from_environment({KEYS_FILE: str(file)})


def test_a_missing_or_unreadable_file_is_refused_even_beside_a_key(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for file in (tmp_path / "missing", tmp_path, binary):
        with pytest.raises(UsageError, match=KEYS_FILE):
            Keys.from_environment({KEYS_FILE: str(file), SINGLE_KEY: "good"})


def test_a_made_key_file_is_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / ".serve-key"
    before = os.umask(0)  # even where the umask hides nothing
    try:
        assert create_key_file(file)
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text().strip()
    assert len(text) >= 43
    assert Keys.of([text], "test").find(f"Bearer {text}".encode())


def test_a_made_key_is_kept_for_the_next_start(tmp_path: Path) -> None:
    file = tmp_path / ".serve-key"
    create_key_file(file)
    text = file.read_text()
    assert not create_key_file(file)
    assert file.read_text() == text


def test_a_key_file_others_can_read_is_not_trusted(tmp_path: Path) -> None:
    file = tmp_path / ".serve-key"
    create_key_file(file)
    file.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        create_key_file(file)


def test_nowhere_to_write_a_key_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file"):
        create_key_file(tmp_path / "missing" / ".serve-key")

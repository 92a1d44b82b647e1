"""Who may use the console: addresses, names, origins, the token and its file."""

from __future__ import annotations

import os
import stat

import pytest

from il_cli.console.auth import Guard, Knock, read_or_make_token
from il_cli.console.config import ConsoleConfig, load_console_config
from il_core.errors import ConfigError

TOKEN = "a-token-of-more-than-32-characters-in-all"
HERE = Knock("127.0.0.1", "127.0.0.1", "localhost:8088", "http://localhost:8088")
TABLET = Knock("192.168.1.77", "192.168.1.5", "192.168.1.5:8088", "http://192.168.1.5:8088")


def knock(base: Knock, **changes: object) -> Knock:
    values = {name: getattr(base, name) for name in base.__slots__}
    return Knock(**{**values, **changes})


@pytest.fixture
def guard() -> Guard:
    return Guard(TOKEN, "http", ("robot-pc.local",))


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_this_machine_needs_no_token(guard, peer):
    assert guard.knows(knock(HERE, peer=peer))


@pytest.mark.parametrize("peer", ["192.168.1.77", "10.0.0.1", "fe80::1%eth0", "::ffff:192.168.1.77", "", "unix:"])
def test_everybody_else_needs_it(guard, peer):
    asked = knock(TABLET, peer=peer)
    assert not guard.knows(asked)
    assert not guard.knows(knock(asked, bearer=TOKEN[:-1]))
    assert not guard.knows(knock(asked, bearer=TOKEN + "x"))
    assert not guard.knows(knock(asked, cookie="ä" + guard.cookie))
    assert guard.knows(knock(asked, bearer=TOKEN))
    assert guard.knows(knock(asked, cookie=guard.cookie))


def test_a_proxy_on_this_machine_speaks_for_somebody_else(guard):
    assert not guard.knows(knock(HERE, is_forwarded=True))
    assert guard.knows(knock(HERE, is_forwarded=True, bearer=TOKEN))


def test_where_others_have_accounts_loopback_needs_the_token_too():
    strict = Guard(TOKEN, "http", is_always_asked=True)
    assert not strict.knows(HERE)
    assert strict.knows(knock(HERE, cookie=strict.cookie))


def test_without_a_token_nothing_passes_for_one():
    guard = Guard("", "http")
    assert guard.cookie == ""
    assert not guard.knows(TABLET)
    assert not guard.knows(knock(TABLET, bearer="", cookie=""))


def test_the_cookie_is_not_the_token(guard):
    assert TOKEN not in guard.cookie
    assert guard.cookie != Guard(TOKEN + "2", "http").cookie
    assert not guard.knows(knock(TABLET, bearer=guard.cookie))


@pytest.mark.parametrize("host", ["localhost:8088", "127.0.0.1:9000", "[::1]:8088", "LOCALHOST", "robot-pc.local:8088"])
def test_own_names_are_answered(guard, host):
    assert guard.stranger(knock(HERE, host=host, origin=None), needs_origin=False) == ""
    assert guard.stranger(knock(HERE, host=host, origin=f"http://{host}"), needs_origin=True) == ""


def test_the_address_that_was_reached_is_a_name(guard):
    assert guard.stranger(TABLET, needs_origin=True) == ""
    elsewhere = knock(TABLET, local="10.0.0.5")
    assert "Host '192.168.1.5:8088' is no name" in guard.stranger(elsewhere, needs_origin=True)
    mapped = knock(TABLET, local="::ffff:192.168.1.5")
    assert guard.stranger(mapped, needs_origin=True) == ""


@pytest.mark.parametrize(
    "host", ["evil.example:8088", "localhost.evil.example", "", "localhost:8088; img-src *", "localhost:8088:1", "[::1"]
)
def test_a_name_of_somebody_else_is_refused_even_from_this_machine(guard, host):
    """DNS rebinding: the browser believes that our address belongs to another site."""
    asked = knock(HERE, host=host, origin=f"http://{host}")
    assert "is no name of this console" in guard.stranger(asked, needs_origin=True)
    assert "is no name of this console" in guard.stranger(knock(asked, origin=None), needs_origin=False)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://localhost:8089", "https://localhost:8088", "null", "", "http://localhost"]
)
def test_another_sites_page_is_refused_even_from_this_machine(guard, origin):
    assert "is another site" in guard.stranger(knock(HERE, origin=origin), needs_origin=True)
    assert "is another site" in guard.stranger(knock(HERE, origin=origin), needs_origin=False)


def test_what_changes_something_names_its_origin_or_shows_the_token(guard):
    silent = knock(HERE, origin=None)
    assert "no Origin" in guard.stranger(silent, needs_origin=True)
    assert "no Origin" in guard.stranger(knock(silent, cookie=guard.cookie), needs_origin=True)
    assert guard.stranger(knock(silent, bearer=TOKEN), needs_origin=True) == ""
    assert guard.stranger(silent, needs_origin=False) == ""


def test_the_token_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    path = tmp_path / "state" / "token"
    before = os.umask(0)
    try:
        token = read_or_make_token(path)
    finally:
        os.umask(before)
    assert len(token) >= 43  # 256 bits
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert read_or_make_token(path) == token
    path.unlink()
    assert read_or_make_token(path) != token


def test_a_token_others_can_read_or_set_is_refused(tmp_path):
    path = tmp_path / "token"
    read_or_make_token(path)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match=r"only you can read.*got -rw-r-----; delete it"):
        read_or_make_token(path)
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(ConfigError, match="cannot be read as the console's token"):
        read_or_make_token(link)
    short = tmp_path / "short"
    short.touch(0o600)
    short.write_text("guess me")
    with pytest.raises(ConfigError, match="holds no token of 32 or more characters"):
        read_or_make_token(short)


def test_settings_have_ranges_and_defaults_stay_on_this_machine():
    config = load_console_config("default")
    assert config == ConsoleConfig()
    assert config.is_local
    assert (config.preview_hz, config.preview_width_px) == (5.0, 320)
    assert not ConsoleConfig(host="0.0.0.0").is_local
    for wrong, text in (
        ({"host": "localhost"}, "host 'localhost' is no address"),
        ({"preview_hz": 30.0}, "preview_hz must be from 0.2 to 15, got 30"),
        ({"tls_key": "key.pem"}, "come together"),
    ):
        with pytest.raises(ConfigError, match=text):
            ConsoleConfig(**wrong)

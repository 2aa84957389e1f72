"""Nobody reaches the page from beyond the machine without a password, unless that was said aloud."""

from __future__ import annotations

import socket

import pytest

from pipeline.errors import SettingError
from ui.access import PASSWORD_VARIABLE, ServeOptions, announce, check_port, choose_login


def said(options: ServeOptions, environment: dict[str, str] | None = None) -> str:
    lines: list[str] = []
    announce(options, choose_login(options, environment or {}), lines.append)
    return "\n".join(lines)


def test_the_page_is_for_this_machine_alone_unless_asked_otherwise() -> None:
    assert ServeOptions().host == "127.0.0.1"
    assert choose_login(ServeOptions(), {}) is None
    assert ServeOptions(share=True).host == "127.0.0.1"
    assert ServeOptions(listen=True).host == "0.0.0.0"


@pytest.mark.parametrize("options", [ServeOptions(listen=True), ServeOptions(share=True)])
def test_beyond_the_machine_a_password_is_made_up_and_shown_once(options: ServeOptions) -> None:
    login = choose_login(options, {})
    assert login is not None
    assert login.made_up
    assert len(login.password) >= 16
    assert login.password != choose_login(options, {}).password  # type: ignore[union-attr]
    assert login.check(login.user, login.password)
    lines: list[str] = []
    announce(options, login, lines.append)
    assert "\n".join(lines).count(login.password) == 1


def test_a_login_that_was_given_is_kept_secret() -> None:
    options = ServeOptions(listen=True, auth="anna:öffne:dich")
    login = choose_login(options, {})
    assert login is not None
    assert (login.user, login.password) == ("anna", "öffne:dich")
    assert login.check("anna", "öffne:dich")
    assert not login.check("anna", "offne:dich")
    assert not login.check("bert", "öffne:dich")
    assert not login.check("", "")
    assert "öffne" not in repr(login) + repr(options) + said(options)


def test_the_environment_gives_the_login_too_and_the_option_wins() -> None:
    environment = {PASSWORD_VARIABLE: "env:secret"}
    assert choose_login(ServeOptions(), environment).user == "env"  # type: ignore[union-attr]
    assert choose_login(ServeOptions(auth="anna:secret"), environment).user == "anna"  # type: ignore[union-attr]


@pytest.mark.parametrize("auth", ["anna", ":secret", "anna:", ":"])
def test_a_malformed_login_is_refused_in_words(auth: str) -> None:
    with pytest.raises(SettingError, match="user:password"):
        choose_login(ServeOptions(listen=True, auth=auth), {})


def test_no_password_must_be_said_aloud_and_is_warned_of() -> None:
    options = ServeOptions(listen=True, no_auth=True)
    assert choose_login(options, {}) is None
    assert "NO PASSWORD" in said(options)
    assert "NO PASSWORD" not in said(ServeOptions())


def test_a_public_link_never_goes_without_a_password() -> None:
    with pytest.raises(SettingError, match="public link"):
        ServeOptions(share=True, no_auth=True)


def test_contradictions_and_impossible_ports_are_refused() -> None:
    with pytest.raises(SettingError, match="one of them"):
        ServeOptions(auth="anna:secret", no_auth=True)
    with pytest.raises(SettingError, match="between 1 and 65535"):
        ServeOptions(port=70_000)


def test_a_taken_port_is_told_with_another_to_try() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingError, match=rf"Port {port}.*--port"):
            check_port(ServeOptions(port=port))
    check_port(ServeOptions(port=port))

"""Who may reach the page: this machine alone, or others with a password."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pipeline.errors import SettingError

DEFAULT_PORT = 7052
HERE = "127.0.0.1"
EVERYWHERE = "0.0.0.0"
PASSWORD_VARIABLE = "XTTS_FINETUNE_AUTH"  # user:password


@dataclass(frozen=True)
class ServeOptions:
    """How the interface is served."""

    port: int = DEFAULT_PORT
    listen: bool = False  # share it on the local network
    share: bool = False  # ask Gradio for a public link
    auth: str = field(default="", repr=False)  # user:password
    no_auth: bool = False  # let everybody in who can reach it
    open_browser: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 65535:
            raise SettingError(f"The port is {self.port}; it must be between 1 and 65535.")
        if self.no_auth and self.auth:
            raise SettingError(f"A login is given (--auth or {PASSWORD_VARIABLE}) and --no-auth too: give one of them.")
        if self.no_auth and self.share:
            raise SettingError("A public link always needs a password: leave out --no-auth, or leave out --share.")

    @property
    def host(self) -> str:
        """The address that is listened on."""
        return EVERYWHERE if self.listen else HERE


@dataclass(frozen=True)
class Login:
    """A user's name and password."""

    user: str
    password: str = field(repr=False)
    made_up: bool = False  # by this program: to be shown once

    def check(self, user: str, password: str) -> bool:
        """Tell whether these are right, in a time that doesn't depend on how wrong they are."""
        right_user = secrets.compare_digest(user.encode(), self.user.encode())
        right_password = secrets.compare_digest(password.encode(), self.password.encode())
        return right_user and right_password


def choose_login(options: ServeOptions, environment: Mapping[str, str] | None = None) -> Login | None:
    """Return the login that is required, None where none is. Raises SettingError for one that isn't user:password."""
    given = options.auth or (environment if environment is not None else os.environ).get(PASSWORD_VARIABLE, "")
    if options.no_auth:
        return None
    if given:
        user, colon, password = given.partition(":")
        if not (user and colon and password):
            where = "--auth" if options.auth else PASSWORD_VARIABLE
            raise SettingError(f"{where} isn't of the form user:password.")
        return Login(user, password)
    if options.listen or options.share:
        return Login("finetune", secrets.token_urlsafe(12), made_up=True)
    return None


def check_port(options: ServeOptions) -> None:
    """Raise SettingError where the port can't be listened on."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just left is free
        try:
            probe.bind((options.host, options.port))
        except OSError as fault:
            raise SettingError(
                f"Port {options.port} can't be used ({fault.strerror or fault}): another program, perhaps this one, "
                f"is using it. Close that, or choose another with --port {options.port + 1}."
            ) from fault


def lan_address() -> str | None:
    """Return this machine's address on the local network; None where there is none. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for documentation (RFC 5737): picks the outgoing interface
            address = str(probe.getsockname()[0])
        except OSError:
            return None
    return None if address.startswith(("127.", "0.")) else address


def announce(options: ServeOptions, login: Login | None, say: Callable[[str], None]) -> None:
    """Say where the page is, who may enter, and what is dangerous about it."""
    say(f"XTTS Finetune is at http://{HERE}:{options.port}")
    if options.listen:
        address = lan_address()
        say(f"On the local network: http://{address}:{options.port}" if address else "No local network was found.")
    if login and login.made_up:
        say(f"User: {login.user}   Password: {login.password}   (made for this start; --auth user:password sets one)")
    elif login:
        say(f"A password is needed; the user is “{login.user}”.")
    if options.no_auth and options.listen:
        say(
            "WARNING: NO PASSWORD. Everybody who can reach this machine can use the page, read the recordings and "
            "delete projects. Leave out --no-auth to require one."
        )

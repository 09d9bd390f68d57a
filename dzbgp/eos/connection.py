"""A Nornir connection to one EOS device, through NAPALM's driver.

nornir-napalm's own is not used: it opens a connection that knows no deadline, and keeps what it is given by reference.
"""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from nornir.core.configuration import Config
from nornir.core.inventory import Host

from dzbgp.eos.deadline import Deadline, DeadlineError

if TYPE_CHECKING:
    from dzbgp.eos.tap import Take
    from dzbgp.eos.trust import Proof

CONNECTION = "napalm"
"""The name of the connection options in an inventory."""

ENABLE = "enable"


class OddAnswerError(Exception):
    """An answer cannot be parsed. The message says which, in one line, without a word of the answer."""


class EosConnection:
    """A connection plugin of Nornir. `connection` is NAPALM's driver."""

    def __init__(self, deadline: Deadline | None = None) -> None:
        self.connection: Any = None
        self.deadline = deadline
        self.has_getter = True
        """Whether the device answers all that NAPALM's get_bgp_neighbors asks, as far as this connection knows."""
        self._line: Any = None
        self._limit: Any = None
        self._enable: list[Any] = []

    def open(
        self,
        hostname: str | None,
        username: str | None,
        password: str | None,
        port: int | None,
        platform: str | None,
        extras: dict[str, Any] | None = None,
        configuration: Config | None = None,
    ) -> None:
        """Log in and read the version, as NAPALM does. `extras` are arguments of NAPALM's driver.

        Raises OddAnswerError, what `Eapi.ask` raises, and what NAPALM and netmiko raise.
        """
        from napalm import get_network_driver  # noqa: PLC0415 - slow, and a run may end before it asks

        from dzbgp.eos.eapi import PORTS, Eapi, Line  # noqa: PLC0415
        from dzbgp.eos.tls import transport_of_options  # noqa: PLC0415
        from dzbgp.eos.trust import EXPECTED, KNOWN, Proof  # noqa: PLC0415

        arguments = dict(extras or {})
        options = dict(arguments.pop("optional_args", None) or {})
        if configuration is not None:
            options.setdefault("ssh_config_file", configuration.ssh.config_file)
        if port:
            options.setdefault("port", port)
        transport = transport_of_options(options)
        expected = options.pop(EXPECTED, None)
        known = configuration.user_defined.get(KNOWN) if configuration is not None else None
        proof = None if expected is None else Proof(expected, known)
        if transport in PORTS:
            self._line = Line(transport, self.deadline, proof)
            options |= {"transport": Eapi, "line": self._line}
        is_enabled = not options.get("force_no_enable")
        secret = options.get("enable_password")
        self._enable = [{"cmd": ENABLE, "input": secret} if secret else ENABLE] if is_enabled else []
        driver = get_network_driver(platform)(
            hostname, username, password, optional_args=options, **arguments
        )
        # The driver for EOS takes the option away before its base class, which asks for it over SSH, sees it.
        driver.force_no_enable = not is_enabled
        self.connection = driver
        try:
            if transport == "ssh":
                self._limit = _open_terminal(driver, proof)
            else:
                driver.open()
        except Exception as error:
            meant = _meant(error)
            if meant is error:
                raise
            raise meant from error
        if proof is not None:
            proof.accept()
        if self.connection is None:
            _close(driver)
            raise DeadlineError("closed while it was being opened")

    @property
    def is_eapi(self) -> bool:
        """Whether one request asks several commands."""
        return self._line is not None

    def get_bgp_neighbors(self, take: "Take") -> dict[str, Any]:
        """Return what NAPALM's getter makes of what `take` leaves of the device's answers.

        Over eAPI that is one request. Raises GetterError where NAPALM cannot read them, and what `ask` and `take` do.
        """
        from dzbgp.eos.tap import GetterError, Tap  # noqa: PLC0415

        driver, tap = self.connection, Tap(take)
        try:
            if not self.is_eapi:
                with tap.on_terminal(driver.device, self._json_of):
                    found: dict[str, Any] = driver.get_bgp_neighbors()
            else:
                self._line.tap = tap
                found = driver.get_bgp_neighbors()
        except Exception as error:
            if tap.is_waiting:
                raise
            raise GetterError from error
        finally:
            if self._line is not None:
                self._line.tap = None
        return found

    def ask(self, commands: list[str]) -> list[msgspec.Raw]:
        """Return the JSON that each `show` command is answered with.

        Over eAPI that is one request. Raises OddAnswerError and what `Eapi.ask` raises.
        """
        from dzbgp.eos.eapi import Eapi  # noqa: PLC0415

        line = getattr(self.connection.device, "connection", None)
        if isinstance(line, Eapi):
            return line.ask([*self._enable, *commands])[len(self._enable) :]
        return [self._ask_terminal(command) for command in commands]

    def _ask_terminal(self, command: str) -> msgspec.Raw:
        answer = self._json_of(lambda shown: str(self.connection.cli([shown])[shown]), command)
        if answer is None:
            raise OddAnswerError(
                f"the answer to `{command}` is not JSON: it was refused, or BGP is not ready"
            )
        return answer

    def _json_of(self, send: Callable[[str], str], command: str) -> msgspec.Raw | None:
        """Return what a terminal answers to a command, None where that is not JSON."""
        from dzbgp.eos.decoding import check_values, read  # noqa: PLC0415

        if self.deadline is not None:
            self.deadline.left()
        if self._limit is not None:
            self._limit.begin()
        answer = send(f"{command} | json").encode()
        check_values(answer)
        return read(answer, msgspec.Raw)

    def renew(self, deadline: Deadline) -> None:
        """Put the next requests under another deadline."""
        self.deadline = deadline
        if self._line is not None:
            self._line.deadline = deadline

    def close(self) -> None:
        """Close the connection. May be called from another thread, whose wait for an answer that ends."""
        driver, self.connection = self.connection, None
        if driver is not None:
            _close(driver)


def _open_terminal(driver: Any, proof: "Proof | None") -> Any:
    """Open NAPALM's driver over SSH, only to a device that shows the host key that is expected.

    Return the limit under which its answers are read.
    """
    from dzbgp.eos.terminal import Limit  # noqa: PLC0415

    options = driver.netmiko_optional_args
    # In place of one that the inventory names: its file would hold the whole session, and passwords with it.
    limit = options["session_log"] = Limit()
    if proof is None:
        driver.open()
        return limit
    with proof.host_key(options, driver.hostname, options.get("port") or 22):
        driver.open()
    proof.see_host_key(driver.device.remote_conn_pre.get_transport().get_remote_server_key())
    return limit


def _meant(error: Exception) -> Exception:
    """Return what went wrong in NAPALM's open(), which its development version wraps and says in its own words."""
    from napalm.base.exceptions import ConnectionException  # noqa: PLC0415

    inner = error.__context__
    if isinstance(error, ConnectionException) and isinstance(inner, Exception):
        error = inner
    # Some of an OSError are ValueErrors too, such as a refused certificate.
    is_form = isinstance(error, KeyError | IndexError | TypeError | AttributeError | ValueError)
    if is_form and not isinstance(error, OSError | UnicodeError):
        return OddAnswerError("the answer to `show version` holds no version that can be read")
    return error


def _close(driver: Any) -> None:
    """Close the connection that a driver of NAPALM has, however far it came with it."""
    device: Any = getattr(driver, "device", None)
    line: Any = getattr(device, "connection", None)
    with contextlib.suppress(Exception):
        if hasattr(line, "close"):
            line.close()
        elif getattr(device, "remote_conn_pre", None) is not None:
            # netmiko's own way says goodbye first, and waits for an answer.
            device.remote_conn_pre.close()


def connect(host: Host, configuration: Config, deadline: Deadline) -> EosConnection:
    """Return the host's connection, which is opened if there is none. Raises what `EosConnection.open` raises."""
    known = host.connections.get(CONNECTION)
    if isinstance(known, EosConnection) and known.connection is not None:
        known.renew(deadline)
        return known
    options = host.get_connection_parameters(CONNECTION)
    made = EosConnection(deadline)
    # Before it is open, so that another thread can give it up.
    host.connections[CONNECTION] = made
    try:
        made.open(
            options.hostname,
            options.username,
            options.password,
            options.port,
            options.platform,
            options.extras,
            configuration,
        )
        deadline.left()
    except BaseException:
        made.close()
        if host.connections.get(CONNECTION) is made:
            del host.connections[CONNECTION]
        raise
    return made


def disconnect(host: Host) -> None:
    """Close the host's connection, if there is one: the next question opens another."""
    known = host.connections.pop(CONNECTION, None)
    if known is not None:
        known.close()

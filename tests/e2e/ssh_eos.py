"""A real SSH server that answers as EOS's command line does, for a device of the lab."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import paramiko

from dzbgp.lab.eos.fleet import EosFleet

GARBLED = "% BGP is restarting"
DENIED = "% Authorization denied for command"
READ_ONLY = r"show version|show ip bgp .*|terminal (width|length) .*"
"""The role of docs/eos.md: what a user of it may run."""


class _Login(paramiko.ServerInterface):  # type: ignore[misc] # paramiko has no types
    def __init__(self, username: str, password: str) -> None:
        self._login = (username, password)

    def check_auth_password(self, username: str, password: str) -> int:
        right = (username, password) == self._login
        return int(paramiko.AUTH_SUCCESSFUL if right else paramiko.AUTH_FAILED)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return int(paramiko.OPEN_SUCCEEDED)

    def check_channel_pty_request(self, *_: object) -> bool:
        return True

    def check_channel_shell_request(self, *_: object) -> bool:
        return True


class SshEos:
    """One device's command line. `garble` names a command that is answered with what is not JSON, `flood` one
    whose answer never ends.

    `role` is what the user may run, as in a rule of EOS's `role`; nothing else is.
    """

    def __init__(self, fleet: EosFleet, code: str) -> None:
        self._fleet = fleet
        self._device = fleet.device(code)
        self._code = code
        self.key = paramiko.RSAKey.generate(2048)
        self.garble = ""
        self.flood = ""
        self.role = ".*"
        self.commands: list[str] = []
        self._listening = socket.create_server((self._device.address, 0))
        self.port: int = self._listening.getsockname()[1]
        self._transports: list[paramiko.Transport] = []
        threading.Thread(target=self._accept, name="ssh-eos", daemon=True).start()

    @property
    def known_host(self) -> str:
        """The device's line of a known_hosts file."""
        return f"[{self._device.address}]:{self.port} {self.key.get_name()} {self.key.get_base64()}\n"

    def close(self) -> None:
        self._listening.close()
        for transport in self._transports:
            transport.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        transport = paramiko.Transport(client)
        self._transports.append(transport)
        transport.add_server_key(self.key)
        with suppress(EOFError, OSError, paramiko.SSHException):
            transport.start_server(server=_Login(self._device.username, self._device.password))
            channel = transport.accept(20)
            if channel is not None:
                self._shell(channel)

    def _shell(self, channel: paramiko.Channel) -> None:
        # A user of privilege 1 stays in EXEC mode.
        prompt = f"{self._code}{'#' if self.role == '.*' else '>'}"
        channel.sendall(prompt.encode())
        line = ""
        while read := channel.recv(4096):
            for character in read.decode():
                if character not in "\r\n":
                    line += character
                    channel.sendall(character.encode())
                elif character == "\n" or line:
                    while self.flood and line.startswith(self.flood):
                        channel.sendall(b"x" * 30_000 + b"\r\n")
                    answer = self._answer(line.strip()).replace("\n", "\r\n")
                    channel.sendall(f"\r\n{answer}{prompt}".encode())
                    line = ""

    def _answer(self, command: str) -> str:
        self.commands.append(command)
        if command and not re.fullmatch(self.role, command.partition(" | ")[0]):
            return f"{DENIED} '{command}'\n"
        if command.startswith("terminal width"):
            return "Width set to 511 columns.\n"
        if command.startswith("terminal length"):
            return "Pagination disabled.\n"
        shown, pipe, form = command.partition(" | ")
        if not pipe or form != "json":
            return "" if command in {"", "enable"} else "% Invalid input\n"
        if shown == self.garble:
            return f"{GARBLED}\n"
        answer = self._of_device(shown)
        return f"{answer}\n" if answer is not None else "% Invalid input\n"

    def _of_device(self, command: str) -> str | None:
        async def ask() -> str | None:
            return self._fleet._devices[self._code]._answer(command, text=False)

        return self._fleet._thread.call(ask())


@contextmanager
def ssh_servers(fleet: EosFleet, codes: list[str]) -> Iterator[dict[str, SshEos]]:
    """An SSH server for each of these devices, by code."""
    servers = {code: SshEos(fleet, code) for code in codes}
    try:
        yield servers
    finally:
        for server in servers.values():
            server.close()

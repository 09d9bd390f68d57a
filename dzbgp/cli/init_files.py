"""The files of a scheduled job beside its inventory: the configuration, and what starts the passes.

Units and cron line are those of contrib/, with this machine's paths.
"""

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import dzbgp
from dzbgp.errors import UsageError
from dzbgp.state.place import SYSTEM

_PACKAGE = Path(dzbgp.__file__).parent
_CONTRIB = next(
    (path for path in (_PACKAGE / "contrib", _PACKAGE.parent / "contrib") if path.exists()), _PACKAGE
)
"""In the package where it is installed, beside it in a checkout."""
_PROGRAM, _DIRECTORY = "/opt/dzbgp/bin/dzbgp", "/etc/dzbgp"
_ACCOUNT = "dzbgp"
"""Whose job the cron line is."""


_ODD = re.compile(r"[^\w./@:+,=-]")
"""What in a path a unit or a cron line takes for something else: blanks separate, % begins a specifier or a line."""


class Schedule(StrEnum):
    """What starts the passes."""

    WATCH = "watch"
    TIMER = "timer"
    CRON = "cron"
    NONE = "none"


_SOURCES = {
    Schedule.WATCH: ("systemd/dzbgp-watch.service",),
    Schedule.TIMER: ("systemd/dzbgp-run.service", "systemd/dzbgp-run.timer"),
    Schedule.CRON: ("cron/dzbgp",),
    Schedule.NONE: (),
}


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What the files say."""

    directory: Path
    env: str
    rpc_urls: Sequence[str] = ()
    program_id: str | None = None
    keypairs: Sequence[Path] = ()
    eos_username: str | None = None
    eos_password_file: Path | None = None
    eos_password_command: str | None = None
    tls_ca_file: Path | None = None
    schedule: Schedule = Schedule.WATCH

    @property
    def inventory(self) -> Path:
        """The directory of the inventory."""
        return self.directory / "inventory"

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.directory / "config.toml"

    @property
    def steps(self) -> list[str]:
        """The commands that start the schedule, for root."""
        sources = shlex.join(str(self.directory / _target(source)) for source in _SOURCES[self.schedule])
        if self.schedule is Schedule.NONE:
            return []
        if self.schedule is Schedule.CRON:
            return [*self._steps_of_account(), f"cp {sources} /etc/cron.d/dzbgp"]
        unit = "dzbgp-watch" if self.schedule is Schedule.WATCH else "dzbgp-run.timer"
        start = f"systemctl daemon-reload && systemctl enable --now {unit}"
        return [*self._steps_of_reading(), f"cp {sources} /etc/systemd/system/", start]

    def _steps_of_reading(self) -> list[str]:
        """The command that lets the job's account read the inventory, where the umask of this shell forbids it."""
        files = self.inventory.iterdir() if self.inventory.is_dir() else ()
        needed = {self.directory: 0o5, self.inventory: 0o5, **dict.fromkeys(files, 0o4)}
        if all(not path.exists() or path.stat().st_mode & bits == bits for path, bits in needed.items()):
            return []
        directory, inventory = shlex.quote(str(self.directory)), shlex.quote(str(self.inventory))
        return [f"chmod o+rX {directory} && chmod -R o+rX {inventory}"]

    def _steps_of_account(self) -> list[str]:
        """The commands that make the account of the cron line, let it read and write what it needs, and check that."""
        config = shlex.quote(str(self.config))
        return [
            f"useradd --system --user-group {_ACCOUNT}",
            f"install -d -m 0755 {SYSTEM}",
            # What root's own runs have left in the state directory too.
            f"chown -R {_ACCOUNT}: {shlex.join(map(str, [SYSTEM, *self._secrets()]))}",
            f"chown root:{_ACCOUNT} {config} && chmod 0640 {config}",
            *self._steps_of_reading(),
            f"sudo -H -u {_ACCOUNT} {shlex.quote(_program())} check --config {config}",
        ]

    def _secrets(self) -> list[Path]:
        """What only the job may read: directories below that of the job as a whole, else the files themselves."""
        files = [*self.keypairs, *([self.eos_password_file] if self.eos_password_file else [])]
        absolute = [file.absolute() for file in files]
        whole = [file.parent if self.directory in file.parent.parents else file for file in absolute]
        return list(dict.fromkeys(whole))

    def check(self) -> None:
        """Raise UsageError for what could not be written."""
        self._check_paths()
        for file in (self.config, *(self.directory / _target(source) for source in _SOURCES[self.schedule])):
            # A link to nowhere is there too.
            if os.path.lexists(file):
                raise UsageError(f"{file}: it exists already; edit it, or remove it first")
        if self.schedule in {Schedule.WATCH, Schedule.TIMER}:
            for keypair in self.keypairs:
                if keypair.is_dir():
                    raise UsageError(
                        f"--keypair {keypair}: it is a directory; expected single files, which a systemd unit needs"
                    )

    def _check_paths(self) -> None:
        credentials = self.schedule in {Schedule.WATCH, Schedule.TIMER}
        named = [
            ("--output", self.directory, self.schedule is not Schedule.NONE),
            ("this program", _program(), self.schedule is not Schedule.NONE),
            *(("--keypair", path, credentials) for path in self.keypairs),
            ("--eos-password-file", self.eos_password_file, credentials),
            ("--tls-ca-file", self.tls_ca_file, False),
        ]
        for option, path, is_in_line in named:
            text = str(path or "")
            if not text.isprintable():
                raise UsageError(
                    f"{option}: {text!r} cannot be written into a file; expected a printable path"
                )
            if is_in_line and (odd := _ODD.search(text)):
                raise UsageError(
                    f"{option} {text}: it has {odd[0]!r}, which systemd and cron read as something else; "
                    "expected a path without it, or --schedule none"
                )

    def write(self) -> Iterator[Path]:
        """Write the files, and give the path of each. Raises UsageError."""
        texts = {self.config: self._configuration()}
        for source in _SOURCES[self.schedule]:
            text = (_CONTRIB / source).read_text(encoding="utf-8")
            texts[self.directory / _target(source)] = self._adapted(text)
        for file, text in texts.items():
            # The RPC's URL is a secret.
            mode = 0o600 if file == self.config else 0o644
            try:
                _write_new(file, text.encode(), mode)
            except OSError as error:
                raise UsageError(
                    f"{file}: {error.strerror}; expected a directory that can be written to"
                ) from None
            yield file

    def _configuration(self) -> str:
        said = {
            "env": self.env,
            "rpc-url": list(self.rpc_urls),
            "program-id": self.program_id,
            "inventory": str(self.inventory),
            "keypair": [str(path.absolute()) for path in self.keypairs],
            "eos-username": self.eos_username,
            "eos-password-file": self.eos_password_file and str(self.eos_password_file.absolute()),
            "eos-password-command": self.eos_password_command,
            "tls-ca-file": self.tls_ca_file and str(self.tls_ca_file.absolute()),
        }
        # Texts of JSON are texts of TOML.
        lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in said.items() if value]
        if self.schedule is Schedule.WATCH:
            lines += ["", "[watch]", 'interval = "60s"', 'metrics-addr = "127.0.0.1:9473"']
        head = (
            "# Made by `dzbgp init`. `dzbgp config show` prints every key, its value and where it comes from."
        )
        return "\n".join([head, *lines, ""])

    def _adapted(self, text: str) -> str:
        """Return a file of contrib/ with the paths of this job."""
        keypairs = [path.absolute() for path in self.keypairs]
        names = [f"publisher{number or ''}.json" for number in range(len(keypairs))]
        lines = []
        for line in text.splitlines():
            if line.startswith("LoadCredential=publisher.json:"):
                lines += [f"LoadCredential={name}:{path}" for name, path in zip(names, keypairs, strict=True)]
            elif line.startswith("LoadCredential=eos-password:"):
                if self.eos_password_file is not None:
                    lines.append(f"LoadCredential=eos-password:{self.eos_password_file.absolute()}")
            elif line.startswith("Environment=DZBGP_KEYPAIR="):
                held = ":".join(f"%d/{name}" for name in names)
                said = [f"DZBGP_KEYPAIR={held}"] if held else []
                if self.eos_password_file is not None:
                    said.append("DZBGP_EOS_PASSWORD_FILE=%d/eos-password")
                if said:
                    lines.append(f"Environment={' '.join(said)}")
            else:
                lines.append(line.replace(_PROGRAM, _program()).replace(_DIRECTORY, str(self.directory)))
        return "\n".join([*lines, ""])


def _write_new(file: Path, content: bytes, mode: int) -> None:
    """Write a file that is not there yet. Raises OSError, and leaves no half of it: the next attempt would find it."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as opened:
        try:
            opened.write(content)
            opened.flush()
        except OSError:
            file.unlink()
            raise


def _target(source: str) -> str:
    """Return the name of what is made of a file of contrib/."""
    return "dzbgp.cron" if source.startswith("cron/") else Path(source).name


def _program() -> str:
    """Return the path of this program, as a unit has to name it."""
    beside = Path(sys.executable).with_name("dzbgp")
    return str(beside) if beside.exists() else shutil.which("dzbgp") or _PROGRAM

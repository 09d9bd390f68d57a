"""What must hold, checked against the truth: the history of every session, every look, every account, every signature.

An invariant has a name; what broke it is a Finding. Which invariants a session of tests holds the program to is for
its caller to say (`NOT_YET` in simulate.py names those that are known to be broken).
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from dzbgp.ledger.program.accounts import decode_user
from dzbgp.models.ledger import BgpStatus, User, UserStatus
from simulation.chain import BLOCKHASH_LIFE, SLOT_S, Chain, Landed, Report
from simulation.devices import Look
from simulation.kernel import Kernel, Process
from simulation.rpc import Seen
from simulation.schedule import CONFIRM_DOWN_S

MAX_AGE_S = 60.0
SIGNING_S = 5.0
"""How long it may take from the last check of a decision's age to its signature."""
MAX_LAG_S = 60.0
NEW_USER_S = 60.0
LEAST_MASS, GUARD_S = 3, 115.0
"""Three passes at least 60 s apart let a mass through; the first may come at once."""
REFRESH_S = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Finding:
    """An invariant that was broken."""

    name: str
    at: float
    words: str

    def __str__(self) -> str:
        return f"{self.name} at {self.at:.2f} s: {self.words}"


@dataclass(slots=True)
class Signed:
    """A transaction that the program signed."""

    signature: str
    process: Process
    at: float
    slot: int
    made_at: int
    """The slot of its blockhash."""
    reports: tuple[Report, ...]


@dataclass
class Oracle:
    """Checks the invariants, and keeps the data that they need."""

    kernel: Kernel
    chain: Chain
    mode: str
    names: dict[Pubkey, str] = field(default_factory=dict)
    """What users are called in findings."""
    addresses: dict[Pubkey, str] = field(default_factory=dict)
    """The neighbor's address of each user."""
    device_of: dict[Pubkey, int] = field(default_factory=dict)
    """Numbers of devices by key."""
    is_refused: Callable[[str], bool] = lambda _: False
    """Whether no node took a transaction, and the program was told so at each send."""
    down_since: Callable[[Pubkey], float] = lambda _: 0.0
    """Since when a user's session is really not Established."""
    findings: list[Finding] = field(default_factory=list)
    late_landings: int = 0
    """Writes that landed when the session was no longer as they say."""
    signatures: int = 0
    landings: int = 0
    looks: dict[tuple[Process, int], list[Look]] = field(default_factory=lambda: defaultdict(list))
    reads: dict[tuple[Process, Pubkey], list[Seen]] = field(default_factory=lambda: defaultdict(list))
    signed: dict[str, Signed] = field(default_factory=dict)
    undone: set[str] = field(default_factory=set)
    last_own: dict[Pubkey, tuple[str, int, BgpStatus]] = field(default_factory=dict)
    begun_at: float = -1e6
    """When the ledger last restarted."""
    left_at: float = -1e6
    """When a user last left its device: after it was counted, the others may be all that are left."""
    remembered_at: float = -1e6
    """When a process first ended otherwise than in vain: before that, no store knew of any user."""

    def find(self, name: str, words: str) -> None:
        """Note that an invariant was broken."""
        self.findings.append(Finding(name, self.kernel.now, words))

    def looked(self, look: Look) -> None:
        """Note what a device answered to a process."""
        process = self.kernel.current.process
        if process is not None:
            self.looks[process, look.device].append(look)

    def was_read(self, process: Process, key: Pubkey, seen: Seen) -> None:
        """Note what a node answered about an account."""
        if key in self.names:
            self.reads[process, key].append(seen)

    # At a signature

    def was_signed(
        self, process: Process, signature: str, reports: tuple[Report, ...], raw: VersionedTransaction
    ) -> None:
        """Check a transaction when it leaves the program for the first time."""
        self.signatures += 1
        if process.name.startswith("dry"):
            self.find("dry-run-signs", f"{process.name} signs {len(reports)} writes")
        made_at = self.chain.slot_of(raw.message.recent_blockhash) or 0
        for report in reports:
            self._check(process, report)
        self._check_mass(process, reports)
        self.signed[signature] = Signed(
            signature, process, self.kernel.now, self.chain.slot, made_at, reports
        )

    def _check(self, process: Process, report: Report) -> None:
        now, name = self.kernel.now, f"{report.status.label} of {self.names[report.user]}"
        looks = self.looks[process, self.device_of[report.device]]
        supporting = [
            look
            for look in looks
            if look.at >= now - MAX_AGE_S - SIGNING_S and self._supports(process, look, report)
        ]
        if not supporting:
            shown = (look.at for look in looks if self._supports(process, look, report))
            newest = max(shown, default=None)
            age = "never" if newest is None else f"{now - newest:.0f} s ago"
            self.find("unsupported", f"{name} is signed; a look last showed that {age}")
        elif report.status is BgpStatus.DOWN and not any(
            supporting[-1].at - look.at >= CONFIRM_DOWN_S - 0.5 and not self._shows_up(look, report)
            for look in looks
        ):
            self.find("one-look-down", f"{name} is signed after one look")
        address = self.addresses[report.user]
        credible = [look for look in looks if look.is_credible and address not in look.hidden]
        if self.mode == "run" and supporting and credible and credible[-1].at > supporting[-1].at:
            self.find(
                "contradicted",
                f"{name} is signed; the newest look, {now - credible[-1].at:.1f} s ago, says otherwise",
            )
        self._check_read(process, report, name, supporting)
        self._check_in_flight(report, name)

    def _check_mass(self, process: Process, reports: tuple[Report, ...]) -> None:
        """Find a device that loses all its Up users sooner than the guard could let that through."""
        downs: dict[Pubkey, dict[Pubkey, Report]] = defaultdict(dict)
        for report in reports:
            user = self.chain.user(report.user)
            if report.status is BgpStatus.DOWN and user is not None and user.bgp_status is BgpStatus.UP:
                downs[report.device][report.user] = report
        for device, users in downs.items():
            ups = {
                user.pubkey
                for user in self.chain.users()
                if user.device_pk == device
                and user.bgp_status is BgpStatus.UP
                and user.status is UserStatus.ACTIVATED
            }
            since = max(self._seen_down_since(process, report) for report in users.values())
            if self.kernel.now - self.left_at < MAX_AGE_S:
                continue
            if len(ups) >= LEAST_MASS and users.keys() >= ups and self.kernel.now - since < GUARD_S:
                self.find(
                    "mass",
                    f"all {len(ups)} Up users of device {self.device_of[device]} are signed Down, the last of "
                    f"which has been down for {self.kernel.now - since:.0f} s",
                )

    def _seen_down_since(self, process: Process, report: Report) -> float:
        """Return since when a session is down, or every look that a process can know of has shown it down.

        A run that goes on beside it, which a lock file that was removed makes possible, may not have saved what it saw,
        for example on a full disk: its looks are left out, also those that it has saved.
        """
        device = self.device_of[report.device]
        looks = [
            look
            for (other, number), some in self.looks.items()
            if number == device and (other is process or other.ended_at <= process.began_at)
            for look in some
        ]
        last_up = max((look.at for look in looks if self._shows_up(look, report)), default=-1e6)
        down = (look.at for look in looks if look.is_credible and look.at > last_up)
        return min([self.down_since(report.user), *down])

    def _shows_up(self, look: Look, report: Report) -> bool:
        return look.peers.get(self.addresses[report.user], (False, report.user))[0]

    def _supports(self, process: Process, look: Look, report: Report) -> bool:
        address = self.addresses[report.user]
        if look.is_credible and address in look.emptied and report.status is BgpStatus.DOWN:
            return self.kernel.now - self._seen_down_since(process, report) >= GUARD_S
        if not look.is_credible or address in look.hidden:
            return False
        is_up, owner = look.peers.get(address, (False, report.user))
        if is_up and owner != report.user:
            # Its predecessor's session: evidence of nothing. A store that is itself new cannot know that it is one.
            is_new = self.remembered_at <= self.begun_at
            return is_new or self.kernel.now - self.remembered_at < NEW_USER_S + SIGNING_S
        return is_up == (report.status is BgpStatus.UP)

    def _check_read(self, process: Process, report: Report, name: str, looks: Sequence[Look]) -> None:
        """Check what the process read last; `looks`: those that support the write, any of which it may rest on."""
        if self.kernel.now - self.begun_at < MAX_AGE_S:
            # What was read of the ledger before says nothing about this one.
            return
        reads = self.reads[process, report.user]
        if not reads:
            self.find("unread", f"{name} is signed without ever having been read")
            return
        read = reads[-1]
        if looks and read.asked_at < looks[0].at:
            self.find(
                "unread",
                f"{name} is signed; read {self.kernel.now - read.asked_at:.1f} s ago, before the look at its device",
            )
        lag_s = (self.chain.slot - read.slot) * SLOT_S - (self.kernel.now - read.answered_at)
        # A machine whose own clock is as far off cannot tell.
        if lag_s > MAX_LAG_S + SIGNING_S + abs(self.kernel.wall_offset):
            self.find(
                "stale-ledger", f"{name} is signed after a read that was {lag_s:.0f} s old when it came"
            )
        if read.data is None:
            self.find("not-activated", f"{name} is signed; its account was gone at the last read")
            return
        user = decode_user(report.user, read.data)
        if user.status is not UserStatus.ACTIVATED or user.device_pk != report.device:
            self.find("not-activated", f"{name} is signed; at the last read it was {user.status.label}")
        if not looks:
            return
        looked_slot = self.chain.slot_at(looks[-1].at)
        if user.last_bgp_reported_at > looked_slot:
            self.find(
                "over-newer-report",
                f"{name} is signed for a look in slot {looked_slot}; the last read, of slot {read.slot}, shows "
                f"a report of slot {user.last_bgp_reported_at}",
            )

    def _check_in_flight(self, report: Report, name: str) -> None:
        for other in self.signed.values():
            if other.signature in self.chain.landed or self.chain.slot - other.made_at > BLOCKHASH_LIFE + 1:
                continue
            if self.is_refused(other.signature):
                # No node took it: a request that a node does not know, or that failed its preflight.
                continue
            if any(one.user == report.user for one in other.reports):
                old = "undone by a fork" if other.signature in self.undone else "not landed"
                self.find(
                    "second-in-flight",
                    f"{name} is signed while one signed {self.kernel.now - other.at:.1f} s ago may still land ({old})",
                )

    # At a landing

    def has_landed(self, landed: Landed, changes: dict[Pubkey, tuple[User, User]]) -> None:
        """Check what a block did to the users."""
        signed = self.signed.get(landed.signature)
        for key, (before, after) in changes.items():
            if key not in self.names:
                continue
            if signed is None:
                self.last_own.pop(key, None)
                continue
            self.landings += 1
            self._check_landing(landed, signed, key, before, after)

    def _check_landing(self, landed: Landed, signed: Signed, key: Pubkey, before: User, after: User) -> None:
        late = landed.slot - signed.slot
        if late > BLOCKHASH_LIFE:
            self.find("late-beyond-life", f"{self.names[key]} landed {late} slots after it was signed")
        if before.last_bgp_reported_at > signed.slot or before.status is not UserStatus.ACTIVATED:
            self.late_landings += 1
        last = self.last_own.get(key)
        if (
            last is not None
            and last[0] != landed.signature
            and last[2] is after.bgp_status
            and before.bgp_status is after.bgp_status
            and before.last_bgp_reported_at == last[1]
            and (landed.slot - last[1]) * SLOT_S < REFRESH_S / 4
        ):
            later = landed.slot - last[1]
            name = self.names[key]
            self.find(
                "written-twice", f"{after.bgp_status.label} of {name} landed again, {later} slots later"
            )
        self.last_own[key] = (landed.signature, landed.slot, after.bgp_status)

    def begin_anew(self) -> None:
        """Forget what was signed for and landed on a ledger that is no more."""
        self.signed.clear()
        self.last_own.clear()
        self.reads.clear()
        self.begun_at = self.kernel.now

    def has_forked(self, signatures: Sequence[str]) -> None:
        """Note what a fork has undone."""
        self.undone.update(signatures)
        gone = set(signatures)
        for key, (signature, _, _) in list(self.last_own.items()):
            if signature in gone:
                del self.last_own[key]

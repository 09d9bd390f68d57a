"""`dzbgp users`: users as the ledger has them."""

from collections.abc import Iterable, Sequence

from solders.pubkey import Pubkey

from dzbgp.console.filters import Filter, contributor_filter, word_filter
from dzbgp.console.words import may_mean
from dzbgp.ledger.program.snapshot import Snapshot
from dzbgp.listing.model import (
    Ages,
    DeviceCounts,
    Listing,
    ages_of,
    arranged,
    sorting,
    source_of,
)
from dzbgp.listing.query import UserQuery
from dzbgp.listing.user_rows import USER_FIELDS, UserRow
from dzbgp.models.ledger import BgpStatus, Contributor, User, UserStatus, UserType

_NO_KEY = Pubkey.default()


def list_users(snapshot: Snapshot, query: UserQuery) -> Listing[UserRow]:
    """Return the users that `query` chooses, by default in the order of device and tunnel. Raises UsageError."""
    ages = ages_of(snapshot, query.stale_after_s)
    everyone = [_row(user, snapshot, ages) for user in snapshot.data.users.values()]
    order = sorting(query.sort) or [("device", False), ("tunnel_id", False)]
    rows = everyone
    for one in _filters(snapshot, query, everyone):
        rows = one.choose(rows)
    rows = arranged(rows, USER_FIELDS, order)
    return Listing(
        noun="user",
        source=source_of(snapshot, query.stale_after_s),
        fields=USER_FIELDS,
        rows=tuple(rows),
        total=len(everyone),
        counts=ages.count(row.user for row in rows),
        devices=_by_device(rows, ages),
        columns=query.columns,
    )


def _row(user: User, snapshot: Snapshot, ages: Ages) -> UserRow:
    data, names = snapshot.data, snapshot.names
    device = data.devices.get(user.device_pk)
    tenant = data.tenants.get(user.tenant_pk)
    joined = dict.fromkeys((*user.publishers, *user.subscribers))
    return UserRow(
        user=user,
        device=device,
        location=names.locations.get(device.location_pk) if device else None,
        contributor=names.contributor(device.contributor_pk) if device else None,
        tenant=None if user.tenant_pk == _NO_KEY else (tenant.code if tenant else "") or str(user.tenant_pk),
        groups=tuple(_role(user, key) + names.group(key) for key in joined),
        reported_age_s=ages.since(user.last_bgp_reported_at),
        up_age_s=ages.since(user.last_bgp_up_at),
        stale=ages.is_stale(user),
    )


def _whole(start: str, keys: Iterable[str]) -> str:
    """Return the only key that `start` may mean; else what was given, which then names nobody."""
    found = [key for key in keys if may_mean(start, key)]
    return found[0] if len(found) == 1 else start


def _role(user: User, group: Pubkey) -> str:
    """Return a user's role in a multicast group as upstream's command line shows it: `S:`, `P:` or `S:P:`."""
    return "S:" * (group in user.subscribers) + "P:" * (group in user.publishers)


def _filters(snapshot: Snapshot, query: UserQuery, rows: Sequence[UserRow]) -> list[Filter[UserRow]]:
    data, locations = snapshot.data, snapshot.names.locations.values()
    keys = [str(row.user.pubkey) for row in rows]
    owners = {
        key: Contributor(device.contributor_pk, snapshot.names.contributor(device.contributor_pk))
        for key, device in data.devices.items()
    }
    return [
        Filter(
            "--device",
            query.device,
            lambda row: (row.device_code, str(row.user.device_pk)),
            [
                *(name for item in data.devices.values() for name in (item.code, str(item.pubkey))),
                *(str(row.user.device_pk) for row in rows),
            ],
            "the code or the key of a device",
        ),
        Filter(
            "--location",
            query.location,
            lambda row: (
                (row.location.code, row.location.name) if row.location else (row.location_code or "",)
            ),
            [name for item in locations for name in (item.code, item.name)],
            "the code or the name of a location",
        ),
        Filter(
            "--user",
            [_whole(start, keys) for start in query.user],
            lambda row: (str(row.user.pubkey),),
            keys,
            "the key of a user, or first characters that no other key has",
            fold=str,
        ),
        contributor_filter(
            "--contributor",
            query.contributor,
            lambda row: owners.get(row.user.device_pk),
            owners.values(),
        ),
        Filter(
            "--client-ip", query.client_ip, lambda row: (row.user.client_ip,), query.client_ip, "an address"
        ),
        Filter(
            "--tenant",
            query.tenant,
            lambda row: (row.tenant or "none", str(row.user.tenant_pk)),
            ["none", *(name for item in data.tenants.values() for name in (item.code, str(item.pubkey)))],
            "the code or the key of a tenant, or none",
        ),
        word_filter("--status", query.status, lambda row: row.user.status, UserStatus, rows),
        word_filter("--bgp-status", query.bgp_status, lambda row: row.user.bgp_status, BgpStatus, rows),
        word_filter("--user-type", query.user_type, lambda row: row.user.user_type, UserType, rows),
    ]


def _by_device(rows: Iterable[UserRow], ages: Ages) -> tuple[DeviceCounts, ...]:
    users: dict[tuple[str, str], list[User]] = {}
    for row in rows:
        users.setdefault((row.device_code, str(row.user.device_pk)), []).append(row.user)
    return tuple(DeviceCounts(code, key, ages.count(group)) for (code, key), group in sorted(users.items()))

"""The report as a document for machines: schema_version 1. Report.to_dict() returns it.

Every key is always there; a key without a value is null, 0, false or an empty list. Within a schema_version keys
are added, and never removed or renamed.
"""

from collections import Counter
from datetime import UTC
from typing import Any

from solders.pubkey import Pubkey

from dzbgp.models.decision import Decision
from dzbgp.models.exit import exit_code_of, exit_reasons
from dzbgp.models.pass_result import PassResult
from dzbgp.models.session import DeviceReading
from dzbgp.models.submission import Submission
from dzbgp.models.summary import summary

SCHEMA_VERSION = 1


def document(report: PassResult) -> dict[str, Any]:
    """Return the report as what JSON can hold.

    - `started_at` is UTC in whole seconds, `2026-03-01T12:00:00Z`, which jq's `fromdate` reads.
    - `devices`: `sessions` counts all BGP neighbors of the host, users' and others; `established` those that
      are up; `users` the decisions about that device.
    - `users`: `status` is what was decided, null where the state is unknown. `result`, `signature` and `error` are
      the outcome of the write; all are null where nothing was sent. The writes of a pass of `dzbgp watch` are queued:
      its report has the outcomes of those that ended since the one before, with the users that are still decided so.
    - `exit`: the exit code, and all reasons that apply.
    - `notes`: sentences for a person. `skipped_accounts`: accounts that could not be decoded.
    - `summary`: `up` and `down` count the users by `status`, whatever the `action`; `to_submit` and `held`
      count by `action`; `submitted` is what was confirmed or finalized, while a write that is pending is in
      neither `submitted` nor `failed`; `devices_failed` counts the failed and the suspect.
    """
    users_of = Counter(
        (decision.observation.host, decision.observation.device.pubkey) for decision in report.decisions
    )
    return {
        "schema_version": SCHEMA_VERSION,
        "dry_run": report.dry_run,
        "env": report.env,
        "program_id": report.program_id,
        "slot": report.slot,
        "started_at": report.started_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "duration_s": round(float(report.duration_s), 3),
        "exit": {
            "code": int(exit_code_of(report)),
            "reasons": [reason.value for reason in exit_reasons(report)],
        },
        "notes": list(report.notes),
        "devices": [_device(reading, users_of) for reading in report.devices],
        "users": [user_object(decision, report.submission_of(decision)) for decision in report.decisions],
        "skipped_accounts": [
            {"pubkey": str(account.pubkey), "why": f"{account.kind}: {account.why}"}
            for account in report.skipped_accounts
        ],
        "summary": summary(report),
    }


def _device(reading: DeviceReading, users_of: Counter[tuple[str, Pubkey]]) -> dict[str, Any]:
    device = reading.device
    return {
        "host": reading.host,
        "code": device.code if device else None,
        "pubkey": str(device.pubkey) if device else None,
        "result": reading.result.value,
        "error": reading.error,
        "sessions": len(reading.neighbors),
        "established": sum(neighbor.is_up for neighbor in reading.neighbors),
        "users": users_of[reading.host, device.pubkey] if device else 0,
    }


def user_object(decision: Decision, submission: Submission | None) -> dict[str, Any]:
    """Return one of the document's `users`."""
    seen = decision.observation
    user = seen.user
    return {
        "user": str(user.pubkey),
        "device": seen.device.code,
        "host": seen.host,
        "client_ip": user.client_ip,
        "tunnel_net": str(user.tunnel_net),
        "user_type": user.user_type.label,
        "vrf": seen.vrf,
        "peer_ip": seen.peer_ip,
        "observed": seen.observed.value,
        "onchain": user.bgp_status.label,
        "status": None if decision.status is None else decision.status.label,
        "action": decision.action.value,
        "reason": decision.reason,
        "detail": decision.detail,
        "rtt_ns": decision.rtt_ns,
        "result": submission.outcome.value if submission else None,
        "signature": submission.signature if submission else None,
        "error": submission.error if submission else None,
    }

"""The options that every command which does passes has in common, declared once.

Typer reads a command's options off its signature; `takes_pass_options` writes these into it.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from dzbgp.cli import options

_PARAMETERS: dict[str, tuple[Any, Any]] = {
    "inventory": (options.Inventory, None),
    "limit": (options.Limit, ""),
    "filter": (options.Filter, None),
    "group": (options.GroupNames, ""),
    "shard": (options.ShardOption, ""),
    "workers": (options.Workers, None),
    "runner": (options.RunnerOption, None),
    "scheduler": (options.Scheduler, None),
    "identity_check": (options.IdentityCheck, True),
    "tls_verify": (options.TlsVerify, None),
    "tls_ca_file": (options.TlsCaFile, None),
    "lab": (options.Lab, False),
    "env": (options.PassEnv, ""),
    "rpc_url": (options.RpcUrl, None),
    "program_id": (options.ProgramId, None),
    "genesis_hash": (options.GenesisHash, None),
    "keypair": (options.Keypair, None),
    "commitment": (options.CommitmentLevel, options.Commitment.CONFIRMED),
    "priority_fee": (options.PriorityFee, 0),
    "low_balance": (options.LowBalance, 0.5),
    "verify": (options.Verify, True),
    "submit_timeout": (options.SubmitTimeout, "3m"),
    "dry_run": (options.DryRun, False),
    "refresh_interval": (options.RefreshInterval, "6h"),
    "refresh_spread": (options.RefreshSpread, "0%"),
    "down_grace_period": (options.DownGracePeriod, "0s"),
    "confirm_down": (options.ConfirmDown, "5s"),
    "max_down": (options.MaxDown, "30%"),
    "max_down_min": (options.MaxDownMin, 10),
    "guard_passes": (options.GuardPasses, 3),
    "guard_window": (options.GuardWindow, "1h"),
    "force": (options.Force, False),
    "flap_limit": (options.FlapLimit, 0),
    "flap_window": (options.FlapWindow, "1h"),
    "cooldown": (options.Cooldown, "30m"),
    "state": (options.State, None),
    "verbose": (options.Verbose, 0),
    "quiet": (options.Quiet, False),
    "log_format": (options.LogFormatOption, options.LogFormat.TEXT),
}


class PassValues:
    """The values of the common options, by their names, as Typer has parsed them."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(name) from None


def takes_pass_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives `command` the common options: it gets their values as its first argument, a PassValues."""
    own = list(inspect.signature(command).parameters.values())[1:]

    @functools.wraps(command)
    def wrapper(**given: Any) -> None:
        common = PassValues({name: given.pop(name) for name in _PARAMETERS})
        command(common, **given)

    common = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in _PARAMETERS.items()
    ]
    merged = [*common, *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own)]
    wrapper.__signature__ = inspect.Signature(merged)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in merged}
    return wrapper

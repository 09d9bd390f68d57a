"""Turns declared options into Typer's, and what was given into requests.

Options are declared where they are used: NetworkRequest and FleetRequest (fleet/options.py), SetupRequest and
RunRequest (run/request.py), Rules (decision/rules.py), AuditRequest (diagnostics/audit/request.py), UserQuery and
DeviceQuery (listing/query.py), and what only the command line has (own_options.py). Light: it is read for `--help` too.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from dzbgp.cli.commands import ENTRIES, registered
from dzbgp.cli.own_options import Logging
from dzbgp.cli.places import PLACES, VARIABLE
from dzbgp.console.option import DAILY, PANELS, Declared, Option, declared, made, option
from dzbgp.errors import UsageError

if TYPE_CHECKING:
    from dzbgp.cli.config_file import ConfigFile

_CONFIG = "config"


@dataclass(frozen=True, kw_only=True)
class _ConfigChoice:
    config: Path | None = option(
        None,
        DAILY,
        "Configuration file (TOML); /dev/null: none.",
        metavar="PATH",
        shown_default=" or ".join(PLACES),
    )


CONFIG = next(declared(_ConfigChoice))
"""The option that names the configuration file: of every command, and no key of the file."""
_DECLARED: dict[str, list[Declared]] = {}


def declared_by(command: str) -> list[Declared]:
    """Return the options of a command that has been imported, in the order of its help."""
    return _DECLARED.get(command, [])


@functools.cache
def every_command() -> dict[str, list[Declared]]:
    """Return the options of each command, which a configuration file may say. Imports them all."""
    for name in ENTRIES:
        registered(name)
    return _DECLARED


def takes(*carriers: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options that these dataclasses declare to a command.

    It is called with one of each of them, in this order, and then with the options of its own signature.
    """

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        every = [one for carrier in carriers for one in declared(carrier)]
        every.sort(key=lambda one: PANELS.index(one.option.panel))
        name = command.__name__.removesuffix("_command")
        _DECLARED[name] = every
        path = name if name in ENTRIES else f"{command.__module__.rpartition('.')[2]} {name}"

        @functools.wraps(command)
        def wrapper(**given: Any) -> None:
            given.pop(_CONFIG)
            values = {one.field: given.pop(one.field) for one in every}
            for one in every:
                _check_filled(one, values[one.field])
            for name, value in given.items():
                if value == "" or (isinstance(value, list) and "" in value):
                    noun = name.upper()
                    raise UsageError(f"{noun}: it is empty; expected a value, or no {noun} at all")
            values |= {one.field: _paths(values[one.field]) for one in every if one.is_path}
            values |= {one.field: _items(one, values[one.field]) for one in every if one.default == ()}
            requests = [made(carrier, values) for carrier in carriers]
            command(
                *(replace(one, command=path) if isinstance(one, Logging) else one for one in requests),
                **given,
            )

        own = list(inspect.signature(command).parameters.values())[len(carriers) :]
        parameters = [
            inspect.Parameter(
                one.field, inspect.Parameter.KEYWORD_ONLY, default=_default(one), annotation=annotation(one)
            )
            for one in every
        ]
        parameters += [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own]
        parameters.append(
            inspect.Parameter(
                _CONFIG, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_config_annotation(name)
            )
        )
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {one.name: one.annotation for one in parameters}
        return wrapper

    return decorated


def configured(ctx: typer.Context, command: str, given: Path | None) -> "ConfigFile":
    """Read the configuration file and make what it says the defaults of `command`. Raises UsageError."""
    from dzbgp.cli import config_file  # noqa: PLC0415 - slow
    from dzbgp.eos import credentials  # noqa: PLC0415 - slow

    every = declared_by(command)
    source = ctx.get_parameter_source(_CONFIG)
    is_named = source is not None and source.name == "COMMANDLINE"
    is_replaced = any(one.option.replaces_file and ctx.params.get(one.field) for one in every)
    path = None if is_replaced and not is_named else config_file.find(given)
    found = config_file.read(path, every_command() if path else {})
    credentials.configure({key: setting.value for key, setting in found.login.items()})
    settings = {one.field: found.setting(command, one.key) for one in every}
    said = {field: setting.value for field, setting in settings.items() if setting is not None}
    ctx.default_map = said | dict(ctx.default_map or {})
    return found


def _config_annotation(command: str) -> Any:
    def read(ctx: typer.Context, text: str | None) -> Path | None:
        given = None if text is None else Path(text)
        _split_variables(ctx, command)
        if not ctx.resilient_parsing:
            _check_filled(CONFIG, text)
            configured(ctx, command, given)
        return given

    return Annotated[
        Path | None,
        typer.Option(
            "--config",
            # A Path no longer tells an empty text from the working directory.
            path_type=str,
            envvar=VARIABLE,
            metavar="PATH",
            is_eager=True,
            callback=read,
            help=CONFIG.option.help,
            show_default=CONFIG.option.shown_default or False,
        ),
    ]


def _split_variables(ctx: typer.Context, command: str) -> None:
    """Have a repeatable option's variable split as the option is declared: Typer would split it at blanks."""
    splits = {one.field: one.option.split for one in declared_by(command) if one.option.split}
    for parameter in ctx.command.params:
        if parameter.name in splits:
            parameter.split_envvar_value = splits[parameter.name]  # type: ignore[assignment,method-assign]


def annotation(one: Declared) -> Any:
    """Return the option as Typer's own type of a parameter."""
    what, flag = one.option, f"--{one.name}"
    more: dict[str, Any] = {"metavar": what.metavar, "count": what.is_counted}
    # Read before the configuration file is.
    more["is_eager"] = what.replaces_file
    if what.parse is not None:
        more["parser"] = functools.partial(_parsed, what.parse)
    if what.shown_default is not None:
        more["show_default"] = what.shown_default
    if what.is_counted:
        more["show_default"] = False
    if what.completion is not None:
        more["autocompletion"] = _completer(what)
    if one.is_path:
        # A Path no longer tells an empty text from the working directory.
        more["path_type"] = str
    if bool in (one.kind, *get_args(one.kind)) and one.default is not False:
        flag = f"{flag}/--no-{one.name}"
    names = [flag, what.short] if what.short else [flag]
    names += [f"--{what.alias}"] * bool(what.alias)
    return Annotated[
        _typer_type(one),
        typer.Option(*names, envvar=one.variable, help=what.help, **more),
    ]


def _completer(what: Option) -> Callable[[typer.Context, str], list[str]]:
    """Return what completes the value of an option; in a list of names, the last of them."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",") if what.is_listed else ("", "", incomplete)
        known = what.completion(_said(ctx)) if what.completion else ()
        return [before + comma + name for name in known if name.startswith(last)]

    return complete


def _said(ctx: typer.Context) -> dict[str, Any]:
    """Return what the line and the configuration file say, by field, for completion."""
    from dzbgp.cli import config_file  # noqa: PLC0415 - slow

    given = {field: value for field, value in ctx.params.items() if value}
    path = config_file.find(Path(given[_CONFIG]) if _CONFIG in given else None)
    return config_file.unchecked(path, ctx.command.name or "") | given


def _items(one: Declared, given: Any) -> tuple[Any, ...]:
    """Return what the mentions of an option say."""
    mentions = tuple(given or ())
    return tuple(item for several in mentions for item in several) if one.option.is_listed else mentions


def _check_filled(one: Declared, given: Any) -> None:
    """Raise UsageError if what was given is empty, or one of several values is."""
    try:
        for text in given if isinstance(given, list | tuple) else [given]:
            one.check_filled(text)
    except ValueError as error:
        raise UsageError(f"--{one.name}: {error}") from None


def _paths(given: Any) -> Any:
    """Return the paths that an option's texts name."""
    if isinstance(given, list | tuple):
        return tuple(Path(text) for text in given)
    return given if given is None else Path(given)


def _typer_type(one: Declared) -> Any:
    if one.option.is_repeatable:
        item = str if one.option.parse else get_args(one.kind)[0]
        return list[item] | None  # type: ignore[valid-type]
    return str if one.option.parse else one.kind


def _default(one: Declared) -> Any:
    if one.default == ():
        return None
    if one.option.parse is None or one.default is None:
        return one.default
    return one.option.spell(one.default)


def _parsed(parse: Callable[[str], Any], text: Any) -> Any:
    # Typer passes a default to the parser, and sometimes the parsed result too.
    if not isinstance(text, str):
        return text
    try:
        return parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None

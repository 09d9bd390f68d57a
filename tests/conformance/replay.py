"""Devices that answer what was recorded, over HTTPS, to an unmodified NAPALM."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ruamel.yaml

from dzbgp.fleet.fleet import Fleet
from dzbgp.fleet.load import load_inventory
from dzbgp.lab.eos.tls import make_tls
from dzbgp.lab.http import Handler, LoopThread, Request, Response, serve

ADDRESS = "127.0.0.1"
Json = dict[str, Any]


def answering(answers: Mapping[str, Json]) -> Handler:
    """A device that knows these commands, and refuses all others as EOS does."""

    async def handle(request: Request) -> Response:
        call = json.loads(request.body)
        commands = [one["cmd"] if isinstance(one, dict) else one for one in call["params"]["cmds"]]
        known = {"enable": {}, **answers}
        reply: Json = {"jsonrpc": "2.0", "id": call["id"]}
        refused = [number for number, command in enumerate(commands, 1) if command not in known]
        if refused:
            number = refused[0]
            message = (
                f"CLI command {number} of {len(commands)} '{commands[number - 1]}' failed: invalid command"
            )
            done: list[Json] = [known[command] for command in commands[: number - 1]]
            reply["error"] = {
                "code": 1002,
                "message": message,
                "data": [*done, {"errors": ["Invalid input"]}],
            }
        else:
            reply["result"] = [known[command] for command in commands]
        return Response(200, json.dumps(reply).encode(), {"content-type": "application/json"})

    return handle


@contextmanager
def replaying(handlers: Mapping[str, Handler], directory: Path, timeout_s: float = 20) -> Iterator[Fleet]:
    """The devices as a fleet, each a host of its name."""
    tls = make_tls([ADDRESS])
    thread = LoopThread("replay")
    try:
        servers = {
            name: thread.call(serve(handler, ADDRESS, 0, tls.contexts[ADDRESS]))
            for name, handler in handlers.items()
        }
        hosts = {
            name: {"hostname": ADDRESS, "port": server.sockets[0].getsockname()[1]}
            for name, server in servers.items()
        }
        extras = {"timeout": timeout_s, "optional_args": {"transport": "https"}}
        defaults = {
            "platform": "eos",
            "username": "dzbgp",
            "password": "lab-only",
            "connection_options": {"napalm": {"extras": extras}},
        }
        for file, content in (("hosts", hosts), ("groups", {}), ("defaults", defaults)):
            with (directory / f"{file}.yaml").open("w", encoding="utf-8") as stream:
                ruamel.yaml.YAML(typ="safe").dump(content, stream)
        with Fleet(load_inventory(directory)) as fleet:
            yield fleet

        async def close() -> None:
            for server in servers.values():
                server.close()

        thread.call(close())
    finally:
        thread.close()

"""`akashi store`: the embedded store's start, stop and state; a copy of all objects on disk."""

from __future__ import annotations

from pathlib import Path

import click

from console.output import emit, human_size, json_option, say
from evidence.errors import UsageError
from storage.archive import Archive
from storage.embedded import EmbeddedStore
from storage.folder import copy_to_folder
from storage.settings import Settings


@click.group("store")
def command() -> None:
    """The object store.

    \b
    akashi store status
    akashi store copy --to DIR      every object, for a second place or an audit of a copy
    """


def _embedded() -> EmbeddedStore:
    settings = Settings.load()
    if settings.store_endpoint:
        raise UsageError(
            f"the store is {settings.store_endpoint}, not the embedded one", next="see akashi doctor"
        )
    settings.home.make()
    return EmbeddedStore(settings.home)


@command.command()
@json_option
def start(*, as_json: bool) -> int:
    """Start the embedded store. It stays up until stopped, or 15 idle minutes."""
    endpoint = _embedded().start()
    emit({"running": True, "endpoint": endpoint.url}) if as_json else say(f"the store runs at {endpoint.url}")
    return 0


@command.command()
@json_option
def stop(*, as_json: bool) -> int:
    """Stop the embedded store; what it keeps stays on disk."""
    stopped = _embedded().stop()
    emit({"running": False, "stopped": stopped}) if as_json else say(
        "stopped" if stopped else "was not running"
    )
    return 0


@command.command()
@json_option
def status(*, as_json: bool) -> int:
    """Whether the embedded store runs, where, and how much it keeps."""
    state = _embedded().status()
    if as_json:
        emit(state)
    else:
        where = (
            f"runs at {state['endpoint']}"
            if state["running"]
            else "is stopped (starts by itself when needed)"
        )
        say(f"the store {where}\ndata {state['data']}, {human_size(int(state['bytes'] or 0))}")
    return 0


@command.command()
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(path_type=Path),
    help="An empty folder, or one not there yet.",
)
@json_option
def copy(target: Path, *, as_json: bool) -> int:
    """Copy every object to a folder. Each is compared with the store's digest."""
    if target.exists() and any(target.iterdir()):
        raise UsageError(f"{target} is not empty", next="give another --to")
    count, size = copy_to_folder(Archive.open().store, target)
    if as_json:
        emit({"objects": count, "bytes": size, "path": str(target)})
    else:
        say(f"{count} objects, {human_size(size)} in {target}\nnext: akashi audit --copy {target}")
    return 0

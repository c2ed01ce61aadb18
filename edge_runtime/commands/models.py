"""``edge-runtime models``: what there is, fetching it, checking it, deleting it."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from edge_runtime.bundles import Catalogue, ModelEntry, ModelStore, Pulled, pull
from edge_runtime.commands.console import err, error_object, out, print_json, reported
from edge_runtime.config import load_settings
from edge_runtime.errors import ConfigError, ModelError, ModelMissingError

app = typer.Typer(help="List, fetch, check and delete models.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
ProfileOption = Annotated[
    str | None, typer.Option("--profile", metavar="lite|standard|full", help="Models of a profile.")
]


class Bars:
    """Progress bars on a terminal, one plain line a step elsewhere; always on standard error."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TimeElapsedColumn(),
            console=err,
            transient=True,
            disable=not err.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def start(self, label: str, total: int) -> None:
        if err.is_terminal:
            self._task = self._progress.add_task(label, total=total or None)
        else:
            self.note(f"{label} ({_megabytes(total)})" if total else label)

    def advance(self, count: int) -> None:
        if self._task is not None:
            self._progress.advance(self._task, count)

    def finish(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None

    def note(self, text: str) -> None:
        err.print(text, markup=False, soft_wrap=True)


@app.command("list", epilog="Example: edge-runtime models list --profile lite")
def list_models(profile: ProfileOption = None, as_json: Json = False) -> None:
    """Show every model: what it is for, its size, and whether it is here."""
    with reported(as_json=as_json):
        store = _store()
        entries = _of_profile(store.catalogue, profile) if profile else _all(store.catalogue)
        rows = [_describe(store, entry) for entry in entries]
        if as_json:
            print_json(rows)
            return
        out.print(_table(rows))


@app.command(
    "pull",
    epilog="Examples: edge-runtime models pull · edge-runtime models pull --profile lite · "
    "edge-runtime models pull whisper-base --from /media/usb",
)
def pull_models(
    ids: Annotated[list[str] | None, typer.Argument(help="Models, by id.")] = None,
    profile: ProfileOption = None,
    from_dir: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="Take everything from a folder or USB stick."),
    ] = None,
    sha256: Annotated[
        list[str] | None,
        typer.Option(metavar="ID=HASH", help="Vouch for a model the catalogue cannot pin."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Fetch models; complete ones are only checked. Without ids: those of your profile."""
    with reported(as_json=as_json):
        store = _store()
        wanted = list(ids or [])
        if profile or not wanted:
            entries = _of_profile(store.catalogue, load_settings(profile=profile).profile)
            wanted += [entry.id for entry in entries if not entry.install]
        with Bars() as bars:
            done = pull(store, wanted, from_dir=from_dir, progress=bars, pins=_pins(sha256 or []))
        if as_json:
            print_json([_pulled_object(model) for model in done])
            return
        for model in done:
            what = "already complete" if model.status == "present" else f"from {model.source}"
            out.print(f"{model.id}  {_megabytes(model.size)}  {what}", markup=False, soft_wrap=True)


@app.command(
    "verify",
    epilog="Examples: edge-runtime models verify · edge-runtime models verify whisper-base --json",
)
def verify_models(
    ids: Annotated[list[str] | None, typer.Argument(help="Models, by id.")] = None,
    as_json: Json = False,
) -> None:
    """Check every byte of the installed models, or of the named ones."""
    with reported(as_json=as_json):
        results = _store().verify(tuple(ids or ()))
        if as_json:
            print_json(
                [
                    {
                        "id": result.id,
                        "ok": result.error is None,
                        "size": result.size,
                        "error": error_object(result.error) if result.error else None,
                    }
                    for result in results
                ]
            )
        else:
            for result in results:
                said = f"ok  {_megabytes(result.size)}" if not result.error else str(result.error)
                out.print(f"{result.id}  {said}", markup=False, soft_wrap=True)
        if any(result.error for result in results):
            raise typer.Exit(ModelError.exit_code)


@app.command("remove", epilog="Example: edge-runtime models remove qwen2.5-coder-1.5b-q4_k_m")
def remove_models(
    ids: Annotated[list[str], typer.Argument(help="Models, by id.")],
    as_json: Json = False,
) -> None:
    """Delete models from this device. Files that another model shares stay."""
    with reported(as_json=as_json):
        store = _store()
        freed = {model_id: store.remove(model_id) for model_id in dict.fromkeys(ids)}
        if as_json:
            print_json([{"id": model_id, "freed": count} for model_id, count in freed.items()])
            return
        for model_id, count in freed.items():
            out.print(f"{model_id}  removed, {_megabytes(count)} freed", markup=False)


def _store() -> ModelStore:
    return ModelStore(load_settings().models_dir)


def _all(catalogue: Catalogue) -> tuple[ModelEntry, ...]:
    return tuple(catalogue.entries.values())


def _of_profile(catalogue: Catalogue, profile: str) -> tuple[ModelEntry, ...]:
    return catalogue.for_profile(load_settings(profile=profile).profile)


def _pins(given: list[str]) -> dict[str, str]:
    pins = {}
    for item in given:
        model_id, separator, value = item.partition("=")
        if not separator:
            raise ConfigError(
                f"--sha256 {item} is not understood.",
                hint="Write it as --sha256 MODEL=HASH.",
            )
        pins[model_id] = value.lower()
    return pins


def _describe(store: ModelStore, entry: ModelEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "title": entry.title,
        "task": entry.task,
        "languages": list(entry.languages),
        "licence": entry.licence,
        "memory_mb": entry.memory_mb,
        "profiles": list(entry.profiles),
        "size": entry.size,
        "sources": [source.name for variant in entry.variants for source in variant.sources],
        "note": entry.note,
        "install": entry.install,
        "status": _status(store, entry),
    }


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for header in ("model", "for"):
        table.add_column(header, no_wrap=True)
    for header in ("languages", "disk MB", "memory MB", "profiles", "here"):
        table.add_column(header, justify="right" if "MB" in header else "left")
    for row in rows:
        size = f"{row['size'] / 1e6:.0f}" if row["size"] else "–"
        languages, profiles = " ".join(row["languages"]), " ".join(row["profiles"])
        table.add_row(
            *(row["id"], row["task"], languages, size, str(row["memory_mb"])),
            *(profiles, row["status"]),
        )
    return table


def _status(store: ModelStore, entry: ModelEntry) -> str:
    if entry.install:
        return "system"
    try:
        store.get(entry.id)
    except ModelMissingError:
        return "no"
    except ModelError:
        return "damaged"
    return "yes"


def _pulled_object(model: Pulled) -> dict[str, Any]:
    return {
        "id": model.id,
        "status": model.status,
        "source": model.source,
        "size": model.size,
        "folder": str(model.folder),
    }


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"

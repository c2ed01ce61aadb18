"""Settings of one device and what each profile loads.

Settings come, in this order, from: explicit arguments, environment variables ``EDGE_*``,
``edge.toml`` in the user configuration folder, the defaults below.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeVar

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from edge_runtime.errors import ConfigError

ProfileName = Literal["lite", "standard", "full"]

PACKS_DIR = Path(__file__).parent / "packs"
S = TypeVar("S", bound=BaseSettings)


@dataclass(frozen=True, slots=True)
class Profile:
    """Which engine serves each stage; values are catalogue ids, or engine names without models.

    ``memory_mb`` bounds the process: the engine pool unloads idle engines to stay under it.
    """

    name: ProfileName
    asr: str
    ocr: str
    llm: str
    tts: str
    encoder: str
    memory_mb: int


PROFILES: dict[ProfileName, Profile] = {
    "lite": Profile(
        name="lite",
        asr="whisper-base",
        ocr="tesseract",
        llm="",
        tts="espeak-ng",
        encoder="student-e5-small",
        memory_mb=450,
    ),
    "standard": Profile(
        name="standard",
        asr="whisper-base",
        ocr="rapidocr",
        llm="qwen2.5-coder-0.5b-q4_k_m",
        tts="kokoro-82m-int8",
        encoder="student-e5-small",
        memory_mb=1600,
    ),
    "full": Profile(
        name="full",
        asr="whisper-base",
        ocr="rapidocr",
        llm="qwen2.5-coder-1.5b-q4_k_m",
        tts="kokoro-82m-int8",
        encoder="student-e5-small",
        memory_mb=3200,
    ),
}


class FileSettings(BaseSettings):
    """Settings in edge.toml that the environment overrides: one ``[table]``, or what stands in
    none."""

    table: ClassVar[str] = ""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        path = platformdirs.user_config_path("edge-runtime") / "edge.toml"
        values = tomllib.loads(path.read_text("utf-8")) if path.exists() else {}
        if cls.table:
            values = values.get(cls.table, {})
        return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=values)


class BarSetting(BaseModel):
    """One bound: ``{ at_least = 0.9 }`` or ``{ at_most = 0.1 }``."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _one(self) -> BarSetting:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give either at_least or at_most")
        return self


class UpdateSettings(FileSettings):
    """What this device asks of new models, whatever their publisher did."""

    table = "updates"
    model_config = SettingsConfigDict(env_prefix="EDGE_UPDATES_", extra="ignore")

    bars: dict[Annotated[str, Field(min_length=1, max_length=200)], BarSetting] = Field(
        default={}, max_length=100
    )
    """By the metric's name in a quality card. A bundle that measured one of them nowhere, or
    misses it, is refused here."""


def load_update_settings() -> UpdateSettings:
    """Read the settings.

    Raises:
        ConfigError: a value is out of range or the file cannot be read.
    """
    return read_settings(UpdateSettings, {}, "Correct EDGE_UPDATES_{} or [updates] in edge.toml.")


class PrivacySettings(FileSettings):
    """What the shop has masked beyond what always is, in whatever leaves the device."""

    table = "privacy"
    model_config = SettingsConfigDict(env_prefix="EDGE_PRIVACY_", extra="ignore")

    mask_order_numbers: bool = False


def load_privacy_settings() -> PrivacySettings:
    """Read the settings.

    Raises:
        ConfigError: a value is no yes or no, or the file cannot be read.
    """
    return read_settings(PrivacySettings, {}, "Correct EDGE_PRIVACY_{} or [privacy] in edge.toml.")


class Settings(FileSettings):
    """One device's settings; every field can be set as ``EDGE_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="EDGE_", extra="ignore")

    profile: ProfileName = "standard"
    pack: str = "retail"
    """Name of a pack that ships, or the path of a pack folder."""
    data_dir: Path = Field(default_factory=lambda: platformdirs.user_data_path("edge-runtime"))
    """Journal, shop data and indexes: what must survive a restart."""
    models_dir: Path = Field(
        default_factory=lambda: platformdirs.user_cache_path("edge-runtime") / "models"
    )
    host: str = "127.0.0.1"
    port: int = Field(default=8765, ge=1, le=65535)
    threads: int = Field(default=2, ge=1, le=64)
    turn_timeout_s: float = Field(default=30.0, gt=0, le=300)
    max_text_chars: int = Field(default=2000, ge=1)
    max_audio_s: float = Field(default=60.0, gt=0, le=600)
    max_audio_bytes: int = Field(default=25 * 2**20, ge=1)
    max_image_bytes: int = Field(default=20 * 2**20, ge=1)
    max_image_pixels: int = Field(default=40_000_000, ge=1)
    llm_max_tokens: int = Field(default=96, ge=1, le=1024)
    llm_timeout_s: float = Field(default=8.0, gt=0, le=120)
    llm_first_token_s: float = Field(default=2.5, gt=0, le=60)
    """A model that has not begun by then is stopped and the passage is quoted instead."""

    @property
    def engines(self) -> Profile:
        return PROFILES[self.profile]

    @property
    def pack_dir(self) -> Path:
        """The pack's folder: a shipped pack's by name, else the path itself."""
        shipped = PACKS_DIR / self.pack
        return shipped if self.pack.isidentifier() and shipped.is_dir() else Path(self.pack)


def load_settings(**overrides: object) -> Settings:
    """Read the settings; ``overrides`` that are ``None`` are left to the other sources.

    Raises:
        ConfigError: a value is out of range or the file cannot be parsed.
    """
    return read_settings(Settings, overrides, "Correct EDGE_{}, the flag or edge.toml.")


def read_settings(kind: type[S], overrides: Mapping[str, object], hint: str) -> S:
    """Settings of one ``kind``, as :func:`load_settings` says; ``hint`` has a place for the name.

    Raises:
        ConfigError: a value is out of range or the file cannot be read.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    try:
        return kind(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"Setting '{name}' is wrong: {first['msg']} (got {first['input']!r}).",
            hint=hint.format(name.upper()),
        ) from error
    except (ValueError, OSError) as error:
        raise ConfigError(f"edge.toml cannot be read: {error}") from error

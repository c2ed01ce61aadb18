"""Settings of the central server; every field can be set as ``EDGE_CENTRAL_<NAME>``."""

from __future__ import annotations

import secrets
from pathlib import Path

import platformdirs
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from edge_runtime.errors import ConfigError, StorageError
from sync.central.alerts import Webhook, check_webhook
from sync.central.limits import Rates


class CentralSettings(BaseSettings):
    """With nothing set it serves this machine only, from one SQLite file."""

    model_config = SettingsConfigDict(env_prefix="EDGE_CENTRAL_", extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(default=8770, ge=1, le=65535)
    data_dir: Path = Field(default_factory=lambda: platformdirs.user_data_path("edge-central"))
    database_url: str = ""
    """An SQLAlchemy address (``postgresql+psycopg://…``); empty means SQLite in ``data_dir``."""
    operator_token: SecretStr = SecretStr("")
    """The first admin's; empty means one is made at the first start and kept in
    ``data_dir/operator-token``."""
    objects: str = ""
    """A folder, or ``s3://bucket/prefix``; empty means ``data_dir/objects``."""
    keys: Path | None = None
    """Folder of the keys that sign updates day to day; empty means ``data_dir/keys``."""
    key_password: SecretStr = SecretStr("")
    """Protects those keys' files; empty means they are not encrypted."""
    offline_key_password: SecretStr = SecretStr("")
    """Protects the files of the keys kept offline."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    webhook_url: str = ""
    """Where alerts are sent; empty means nowhere."""
    webhook_secret: SecretStr = SecretStr("")
    body_timeout_s: float = Field(default=60.0, gt=0, le=600)
    attempts_per_minute: int = Field(default=60, ge=1, le=1_000_000)
    device_per_minute: int = Field(default=1200, ge=1, le=1_000_000)
    operator_per_minute: int = Field(default=1200, ge=1, le=1_000_000)

    @property
    def url(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir / 'central.db'}"

    @property
    def objects_place(self) -> str:
        return self.objects or str(self.data_dir / "objects")

    @property
    def keys_folder(self) -> Path:
        return self.keys or self.data_dir / "keys"

    @property
    def rates(self) -> Rates:
        return Rates(self.attempts_per_minute, self.device_per_minute, self.operator_per_minute)

    @property
    def webhook(self) -> Webhook | None:
        """Where alerts go, or ``None``.

        Raises:
            ConfigError: the address is none, or would show alerts to the network.
        """
        if not self.webhook_url:
            return None
        return Webhook(check_webhook(self.webhook_url), self.webhook_secret.get_secret_value())

    @property
    def operator_token_file(self) -> Path:
        return self.data_dir / "operator-token"


def load_central_settings(**overrides: object) -> CentralSettings:
    """Read the settings; ``overrides`` that are ``None`` are left to the environment.

    Raises:
        ConfigError: a value is out of range.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    try:
        return CentralSettings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"Setting '{name}' is wrong: {first['msg']}.",
            hint=f"Correct EDGE_CENTRAL_{name.upper()} or the flag.",
        ) from error


def operator_token(settings: CentralSettings) -> str:
    """The operators' token: configured, or made once and kept readable by its owner only.

    Raises:
        StorageError: it cannot be read or kept.
    """
    configured = settings.operator_token.get_secret_value()
    if configured:
        return configured
    path = settings.operator_token_file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.touch(mode=0o600, exist_ok=False)
        except FileExistsError:
            found = path.read_text().strip()
            if found:
                return found
        token = secrets.token_urlsafe(32)
        path.write_text(token + "\n")
    except OSError as error:
        raise StorageError(
            f"The operators' token {path} cannot be read or kept: {error.strerror}.",
            hint="Set EDGE_CENTRAL_DATA_DIR or EDGE_CENTRAL_OPERATOR_TOKEN.",
        ) from error
    return token

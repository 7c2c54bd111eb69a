"""Every setting, read in one place. Only `app.py` and `cli/` import this module."""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gpt_assistant_api.domain.errors import ConfigurationError

MIN_SECRET_CHARACTERS = 32
_EXAMPLES = ("change", "example", "secret", "password", "default", "your-", "xxxx")


class Settings(BaseSettings):
    """Environment variables, also from `.env` or a folder of secret files (`SECRETS_DIR`)."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    openai_api_key: SecretStr | None = Field(
        None, description="The key for the model server. OpenAI itself needs one."
    )
    openai_base_url: str | None = Field(
        None, description="The model server's base URL, such as http://localhost:11434/v1."
    )
    model: str | None = Field(
        None,
        description="The model's name at the model server. Needed unless it offers exactly one.",
    )
    model_api: Literal["auto", "responses", "chat_completions", "offline"] = Field(
        "auto",
        description="How to talk to the model server. `auto`: `offline` without a key and a base "
        "URL, `responses` for OpenAI itself, `chat_completions` for any other base URL.",
    )
    model_timeout_seconds: float = Field(
        120, gt=0, le=3600, description="The longest silence of the model server."
    )
    instructions: str = Field(
        "You are a helpful assistant. Answer in Markdown.",
        max_length=256_000,
        description="What the model is told before every conversation.",
    )
    default_image_prompt: str = Field(
        "Describe this image.",
        min_length=1,
        description="The prompt of an ask that has a picture and no words.",
    )
    history_tokens: int = Field(
        32_000, ge=256, description="How much of a thread the model is shown, in estimated tokens."
    )

    data_dir: Path = Field(Path("data"), description="The folder of the embedded default.")
    database_url: str | None = Field(
        None,
        description="sqlite:///path or postgresql://user:password@host/name?sslmode=... "
        "Default: a file in DATA_DIR.",
    )
    database_connections: int = Field(
        20, ge=2, le=1_000, description="How many connections to PostgreSQL one process keeps."
    )
    files_url: str | None = Field(
        None, description="Where files are: file:///path, s3://bucket, ... Default: in DATA_DIR."
    )
    redis_url: SecretStr | None = Field(
        None,
        description="redis://:password@host:6379/0, rediss://... with TLS or "
        "redis+sentinel://:password@host:26379/service, for many replicas. Default: embedded in "
        "the process.",
    )
    redis_without_password: bool = Field(
        default=False,
        description="Allow a Redis beyond this machine to have no password. Whoever can reach it "
        "can read and forge what users are shown.",
    )
    lease_seconds: float = Field(
        10,
        ge=1,
        le=600,
        description="For how long a worker that is not heard of keeps its runs; another takes them "
        "up at most a fifth of that later.",
    )
    run_concurrency: int = Field(
        1_000, ge=1, description="How many runs one process executes at a time."
    )

    jwt_secret: SecretStr | None = Field(None, description="Shared secret of user tokens (HS256).")
    jwt_jwks_url: str | None = Field(None, description="Where the keys of user tokens are.")
    jwt_issuer: str | None = Field(
        None, description="The `iss` that user tokens must have. Needed with user tokens."
    )
    jwt_audience: str | None = Field(
        None, description="The `aud` that user tokens must have. Needed with user tokens."
    )
    link_secret: SecretStr | None = Field(
        None,
        description="Signs the links to files, and names the counters of requests in Redis so that "
        "nobody can tell whose they are. Needed with many replicas. Default: made once and kept in "
        "DATA_DIR.",
    )
    link_seconds: int = Field(3_600, ge=60, le=604_800, description="How long a link opens a file.")
    cors_origins: Annotated[list[str], NoDecode] = Field(
        [], description="Comma-separated origins whose pages may call the API with a credential."
    )

    requests_per_minute: int = Field(0, ge=0, description="Per user. 0: no limit.")
    requests_per_minute_per_key: int = Field(
        0, ge=0, description="All users of one key together. 0: no limit."
    )
    concurrent_runs: int = Field(0, ge=0, description="Unfinished runs per user. 0: no limit.")
    concurrent_runs_per_key: int = Field(
        0,
        ge=0,
        description="Unfinished runs of all users of one key together. On PostgreSQL the asks of a "
        "key then take turns. 0: no limit.",
    )
    tokens_per_day: int = Field(0, ge=0, description="Per user and day of UTC. 0: no limit.")
    tokens_per_day_per_key: int = Field(
        0, ge=0, description="All users of one key together, per day of UTC. 0: no limit."
    )
    storage_bytes: int = Field(
        0, ge=0, description="What all files of one user may have together. 0: no limit."
    )
    concurrent_streams: int = Field(
        0, ge=0, description="Open event streams per user, in each process. 0: no limit."
    )
    concurrent_streams_per_key: int = Field(
        0,
        ge=0,
        description="Open event streams of all users of one key together, in each process. "
        "0: no limit.",
    )
    concurrent_streams_per_process: int = Field(
        0, ge=0, description="All open event streams of a process. 0: no limit."
    )
    max_upload_bytes: int = Field(
        20 * 1024 * 1024, ge=1024, description="The largest request body, files included."
    )

    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: int = Field(8000, ge=0, le=65_535, description="The port to listen on.")
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65_535,
        description="A port of HOST for the metrics alone, without a key. With `serve --workers N`"
        " each process takes one of the N ports from here on. Default: only `/metrics`, with a"
        " key.",
    )
    otel_exporter_otlp_endpoint: str | None = Field(
        None,
        description="Where traces of requests, runs and model calls go, by OTLP over HTTP, such as"
        " http://localhost:4318. Needs the extra `otlp`. Default: nothing is traced.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="How much is logged."
    )
    log_format: Literal["text", "json"] | None = Field(
        None,
        description="How the log is written. Default: `text` on a terminal, `json` elsewhere.",
    )

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return [origin.strip().rstrip("/") for origin in value.split(",") if origin.strip()]
        return value

    @field_validator("jwt_secret", "link_secret")
    @classmethod
    def _strong(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        text = value.get_secret_value()
        if len(text) < MIN_SECRET_CHARACTERS:
            raise ValueError(f"is shorter than {MIN_SECRET_CHARACTERS} characters")
        if len(set(text)) < 8 or any(word in text.lower() for word in _EXAMPLES):
            raise ValueError("looks like an example: make one with `openssl rand -hex 32`")
        return value

    @model_validator(mode="after")
    def _tokens_are_bound(self) -> "Settings":
        if self.has_tokens and not (self.jwt_issuer and self.jwt_audience):
            raise ValueError(
                "JWT_ISSUER and JWT_AUDIENCE are needed beside JWT_SECRET or JWT_JWKS_URL"
            )
        if self.jwt_secret and self.jwt_jwks_url:
            raise ValueError("JWT_SECRET and JWT_JWKS_URL exclude each other")
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> "Settings":
        if self.metrics_port == self.port:
            raise ValueError("METRICS_PORT and PORT must differ")
        return self

    @property
    def has_tokens(self) -> bool:
        """Whether user tokens are configured."""
        return bool(self.jwt_secret or self.jwt_jwks_url)

    @property
    def effective_database_url(self) -> str:
        """DATABASE_URL or the file in DATA_DIR."""
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'assistant.db'}"

    @property
    def effective_files_url(self) -> str:
        """FILES_URL or the folder in DATA_DIR."""
        return self.files_url or (self.data_dir.absolute() / "files").as_uri()

    @property
    def effective_redis_url(self) -> str:
        """REDIS_URL or the embedded engine."""
        return self.redis_url.get_secret_value() if self.redis_url else "memory://"


@cache
def load_settings() -> Settings:
    """Read the settings once. Raises ConfigurationError naming each setting that is wrong."""
    import os  # noqa: PLC0415 - the one place that looks at the environment itself

    secrets_dir = os.environ.get("SECRETS_DIR")
    if secrets_dir and not Path(secrets_dir).is_dir():
        raise ConfigurationError("SECRETS_DIR: there is no such folder")
    try:
        return Settings(_secrets_dir=secrets_dir)
    except UnicodeDecodeError:
        raise ConfigurationError(".env, or a file in SECRETS_DIR, is not UTF-8 text") from None
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in item['loc']).upper() or 'Settings'}: "
            f"{item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_input=False, include_context=False)
        ]
        raise ConfigurationError("; ".join(lines)) from None

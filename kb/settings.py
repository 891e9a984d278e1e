"""One frozen Settings, made once at the edge (a command line, the app) and passed in.

Order of precedence: command line, then KB_* variables, then kb.toml in the current folder, then the defaults here.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from kb.errors import SettingsError

CONFIG_FILE = "kb.toml"


class Settings(BaseSettings):
    """Every setting there is. Times in seconds, sizes as their names say."""

    model_config = SettingsConfigDict(env_prefix="KB_", toml_file=CONFIG_FILE, frozen=True, extra="forbid", populate_by_name=True)

    # Where things are
    data_base: Path = Field(Path("data_base"), description="the one folder that everything is written under")
    tools: Path = Field(
        Path(__file__).parent.parent / ".venvs", description="the folder of tool environments (`python -m kb tools`)"
    )
    source_roots: tuple[Path, ...] = Field(
        (), description="folders from which the page may add sources (default: the home folder and the current one)"
    )

    # Reading and splitting
    chunk_chars: int = Field(1000, ge=200, le=8000, description="target length of a chunk, in characters")
    load_seconds: float = Field(55, gt=0, description="time limit for reading one pdf, docx, html … file")
    load_mib: int = Field(1536, ge=256, description="memory limit for reading one pdf, docx, html … file")
    max_file_mib: int = Field(32, ge=1, description="larger files are left out")

    # Embedding
    embed_model: str = Field("builtin", description="'builtin', a sentence-transformers folder, or a hub id")
    embed_revision: str = Field("", description="revision of a hub id")
    query_prefix: str = Field("", description="put before a question before it is embedded")
    passage_prefix: str = Field("", description="put before a passage before it is embedded")
    embed_device: Literal["auto", "cpu", "cuda"] = "auto"

    # Retrieval
    top_k: int = Field(8, ge=1, le=50, description="passages an answer may use")
    reread: int = Field(
        4, ge=0, le=20, description="passages of which the embedding model reads the best part again, where their order is close"
    )
    reranker: str = Field("", description="a CrossEncoder that puts the passages in order: a folder, or a hub id")
    rerank_depth: int = Field(20, ge=1, le=100, description="passages that it reads; at least top_k")
    refuse_below: float = Field(
        0.5, ge=0, le=1, description="say that nothing answers where confidence is lower (0: always answer)"
    )

    # The chat model behind an OpenAI-compatible endpoint; without one, answers are quotations
    endpoint_url: str = Field("", description="base URL, e.g. http://127.0.0.1:23333/v1")
    endpoint_model: str = Field("", description="model name the endpoint expects")
    endpoint_key: str = Field("", repr=False, description="API key, if the endpoint wants one")
    connect_seconds: float = Field(5, gt=0)
    first_token_seconds: float = Field(60, gt=0)
    next_token_seconds: float = Field(20, gt=0)
    prompt_chars: int = Field(12000, ge=1000, description="budget for the passages in a prompt, in characters")
    temperature: float = Field(0.2, ge=0, le=2)
    max_tokens: int = Field(1024, ge=16)
    rewrite: bool = Field(True, description="let it put the question without its history, and in both languages, to search for")
    rewrite_seconds: float = Field(6, gt=0, description="for that; afterwards the question is searched for as it is")

    # Where models are fetched from; the names that Hugging Face's own tools read are understood too
    hub_endpoint: str = Field(
        "https://huggingface.co",
        validation_alias=AliasChoices("KB_HUB_ENDPOINT", "HF_ENDPOINT"),
        description="Hugging Face's hub or a mirror of it, e.g. https://hf-mirror.com",
    )
    hub_token: str = Field(
        "",
        repr=False,
        validation_alias=AliasChoices("KB_HUB_TOKEN", "HF_TOKEN"),
        description="for models that not everybody may fetch",
    )
    modelscope_endpoint: str = Field("https://modelscope.cn", description="ModelScope")
    hub_seconds: float = Field(30, gt=0, description="for which a hub may be silent")

    # Models in the memory of this process (data_base/models)
    model_device: Literal["auto", "cpu", "cuda"] = "auto"
    model_gib: float = Field(0, ge=0, description="memory for models in this process, GiB (0: all that is free)")
    smoke_seconds: float = Field(120, gt=0, description="a model that is put in must answer two short questions within that")
    drain_seconds: float = Field(300, gt=0, description="running answers may take that long to end before their model goes")

    @field_validator("data_base", "tools", "source_roots", mode="after")
    @classmethod
    def _absolute(cls, value: Any) -> Any:
        return tuple(p.expanduser().resolve() for p in value) if isinstance(value, tuple) else value.expanduser().resolve()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(**overrides: Any) -> Settings:
    """Settings from the command line's `overrides` (None means not given), KB_* variables and kb.toml.

    Raises:
        SettingsError: naming the setting, what is wrong with it and where it can be set.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "settings"
        raise SettingsError(
            f"Setting {name!r}: {first['msg']}. Set it in {CONFIG_FILE}, as KB_{name.upper()} or on the command line."
        ) from error
    except ValueError as error:  # a kb.toml that is no TOML
        raise SettingsError(f"{CONFIG_FILE} cannot be read: {error}.") from error

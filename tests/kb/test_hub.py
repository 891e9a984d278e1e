"""Fetching from a hub, against a stand-in that speaks the interfaces of both."""

import json
from pathlib import Path
from typing import Any

import pytest

from kb import hub, models
from kb.errors import ModelError
from kb.settings import Settings, load_settings
from tests import tiny_models
from tests.fake_hub import COMMIT, FakeHub

REPO = "internlm/internlm2_5-1_8b-chat"
NAME = "internlm2_5-1_8b-chat"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_models.llama(tmp_path_factory.mktemp("hub") / "llama")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    (folder / "modeling_llama.py").write_text("raise RuntimeError")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.safetensors").write_bytes(b"12345678")
    return folder


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_WAITS", (0.01, 0.01))


def settings_of(tmp_path: Path, fake: FakeHub, **given: Any) -> Settings:
    given = {"hub_endpoint": fake.url, "modelscope_endpoint": fake.url} | given
    return load_settings(data_base=tmp_path / "data_base", **given)


def downloads(settings: Settings) -> Path:
    return models.models_root(settings) / ".downloads"


def same_weights(settings: Settings, published: Path) -> bool:
    fetched = models.model_folder(settings, NAME) / "model.safetensors"
    return fetched.read_bytes() == (published / "model.safetensors").read_bytes()


@pytest.mark.parametrize(("source", "commit"), [("hub", COMMIT), ("modelscope", "master")])
def test_a_model_is_fetched_and_registered(tmp_path: Path, published: Path, source: Any, commit: str) -> None:
    told: list[Any] = []
    with FakeHub(published) as fake:
        settings = settings_of(tmp_path, fake)
        card = hub.download(settings, REPO, source=source, tell=told.append)
    assert (card.name, card.origin, card.how) == (NAME, f"{source} {REPO}@{commit}", {})
    assert same_weights(settings, published) and models.check_model(settings, NAME) == []
    assert fake.fetched() == sorted(card.files)  # no code, no pickles, nothing from folders in it
    assert list(downloads(settings).iterdir()) == []
    assert (told[0].stage, told[-1].stage) == ("download", "check") and all(0 <= one.done <= one.total for one in told)


def test_internlm2_is_converted(tmp_path: Path) -> None:
    with FakeHub(tiny_models.internlm2(tmp_path / "published")) as fake:
        settings = settings_of(tmp_path, fake)
        card = hub.download(settings, REPO, name="小模型")
    assert (card.how, card.architecture) == ({"step": "convert", "from": "internlm2"}, "LlamaForCausalLM")
    assert not any(name.endswith(".py") for name in fake.fetched())


@pytest.mark.usefixtures("no_waiting")
def test_a_cut_is_taken_up_where_it_was(tmp_path: Path, published: Path) -> None:
    size = (published / "model.safetensors").stat().st_size
    with FakeHub(published, cuts=[1_000_000, 500_000]) as fake:
        settings = settings_of(tmp_path, fake)
        hub.download(settings, REPO)
    assert [asked for path, asked in fake.asked if path == "file:model.safetensors"] == ["", "bytes=1000000-", "bytes=1500000-"]
    assert fake.sent["model.safetensors"] == size and same_weights(settings, published)


@pytest.mark.usefixtures("no_waiting")
def test_so_is_one_that_ended_the_call(tmp_path: Path, published: Path) -> None:
    """Three breaks without a byte end it; the next call fetches what is missing, of a server that sees no byte asked twice."""
    with FakeHub(published, cuts=[1_000_000, 0, 0, 0]) as fake:
        settings = settings_of(tmp_path, fake)
        with pytest.raises(ModelError, match="cannot be reached"):
            hub.download(settings, REPO)
        assert models.list_models(settings) == []
        hub.download(settings, REPO)
    sizes = {path.name: path.stat().st_size for path in published.iterdir() if path.is_file()}
    assert all(sent == sizes[name] for name, sent in fake.sent.items()) and same_weights(settings, published)


@pytest.mark.usefixtures("no_waiting")
def test_a_server_that_cannot_go_on(tmp_path: Path, published: Path) -> None:
    with FakeHub(published, cuts=[1_000_000], ranges=False) as fake:
        settings = settings_of(tmp_path, fake)
        hub.download(settings, REPO)
    assert same_weights(settings, published)


def test_stopped_by_its_teller(tmp_path: Path, published: Path) -> None:
    """Whoever follows it can end it; what was fetched stays for the next time."""

    def stop(_: Any) -> None:
        raise KeyboardInterrupt

    with FakeHub(published) as fake:
        settings = settings_of(tmp_path, fake)
        with pytest.raises(KeyboardInterrupt):
            hub.download(settings, REPO, tell=stop)
        assert models.list_models(settings) == [] and any(downloads(settings).glob(f"{NAME}/*"))
        hub.download(settings, REPO)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("source", ["hub", "modelscope"])
def test_a_wrong_hash_is_refused(tmp_path: Path, published: Path, name: str, source: Any) -> None:
    data = bytearray((published / name).read_bytes())
    data[-1] ^= 1
    with FakeHub(published, other={name: bytes(data)}) as fake:
        settings = settings_of(tmp_path, fake)
        with pytest.raises(ModelError, match=f"{name} is not what the hub says"):
            hub.download(settings, REPO, source=source)
        assert models.list_models(settings) == [] and not [*downloads(settings).glob(f"{NAME}/{name}*")]
        fake.other.clear()
        hub.download(settings, REPO, source=source)
    assert same_weights(settings, published)


def test_pickled_weights_are_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    folder = tiny_models.llama(tmp_path / "published")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with FakeHub(folder) as fake:
        settings = settings_of(tmp_path, fake)
        with pytest.raises(ModelError, match=r"pytorch_model\.bin.*save_pretrained"):
            hub.download(settings, REPO)
    assert fake.asked == []


def test_another_commit_begins_anew(tmp_path: Path, published: Path) -> None:
    with FakeHub(published) as fake:
        settings = settings_of(tmp_path, fake)
        folder = downloads(settings) / NAME
        folder.mkdir(parents=True)
        (folder / ".origin.json").write_text('{"commit": "another"}')
        (folder / "model.safetensors.incomplete").write_bytes(b"of another commit")
        hub.download(settings, REPO)
    assert same_weights(settings, published)


def test_only_the_hub_sees_the_token(tmp_path: Path, published: Path) -> None:
    with FakeHub(published) as store, FakeHub(published, token="hf_s3cret") as fake:
        fake.elsewhere = store.url.replace("127.0.0.1", "localhost")
        with pytest.raises(ModelError, match="hub_token"):
            hub.download(settings_of(tmp_path, fake), REPO)
        settings = settings_of(tmp_path, fake, hub_token="hf_s3cret")
        hub.download(settings, REPO)
    assert store.fetched() == ["model.safetensors"] and set(store.tokens) == {""}
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize("repo", ["internlm/none", "../etc", "a/b/c", "", "a//b", "internlm/.."])
def test_what_is_not_there(tmp_path: Path, published: Path, repo: str) -> None:
    with FakeHub(published) as fake, pytest.raises(ModelError):
        hub.download(settings_of(tmp_path, fake), repo, name="x")


def test_a_hub_that_is_not_there(tmp_path: Path) -> None:
    settings = load_settings(data_base=tmp_path, hub_endpoint="http://127.0.0.1:9")
    with pytest.raises(ModelError, match="hub_endpoint"):
        hub.download(settings, REPO)


def test_single_files(tmp_path: Path, published: Path) -> None:
    with FakeHub(published, repo="internlm/internlm-20b") as fake:
        settings = settings_of(tmp_path, fake)
        (path,) = hub.fetch_files(settings, "internlm/internlm-20b", ["config.json"], tmp_path / "here")
        assert path == tmp_path / "here" / "config.json"
        assert json.loads(path.read_text())["model_type"] == "llama"
        with pytest.raises(ModelError, match="there already"):
            hub.fetch_files(settings, "internlm/internlm-20b", ["config.json"], tmp_path / "here")
        with pytest.raises(ModelError, match=r"no file .nothing\.json"):
            hub.fetch_files(settings, "internlm/internlm-20b", ["nothing.json"], tmp_path / "here")
    assert fake.fetched() == ["config.json"] and models.list_models(settings) == []


def test_the_names_that_hugging_face_reads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ours come first, and the command line before both."""
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    settings = load_settings(data_base=tmp_path)
    assert (settings.hub_endpoint, settings.hub_token) == ("https://mirror.example", "hf_x")
    monkeypatch.setenv("KB_HUB_ENDPOINT", "https://ours.example")
    assert load_settings(data_base=tmp_path).hub_endpoint == "https://ours.example"
    assert load_settings(data_base=tmp_path, hub_endpoint="https://named.example").hub_endpoint == "https://named.example"

"""A tiny model to teach, and settings that have it."""

from pathlib import Path

import pytest

import ingest
import kb
from finetune.dataset import Example, pair
from finetune.recipe import Recipe
from tests import tiny_models

PAGES = {
    "opening.md": "# The shop\n\n## When is the shop open?\n\nThe shop is open from nine to six, and closed on Sundays.\n\n"
    "## Which cards can I pay with?\n\nYou can pay with Visa, Mastercard and UnionPay cards.\n",
    "退货.md": "# 商店\n\n## 怎么退货\n\n商品在七天之内可以退货，请带上发票。\n\n"
    "## 发票怎么开\n\n发票在付款的时候开，也可以在网站上开。\n",
}


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> kb.Settings:
    """Settings whose data_base holds the model "tiny"."""
    from kb.models import add_model

    home = tmp_path_factory.mktemp("tunes")
    settings = kb.load_settings(data_base=home, tools=home / "no-tools")
    add_model(settings, tiny_models.llama(tmp_path_factory.mktemp("tiny")), "tiny")
    return settings


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, models: Path) -> kb.Settings:
    """Settings whose data_base holds the knowledge base "shop", in both languages."""
    home, docs = tmp_path_factory.mktemp("shop"), tmp_path_factory.mktemp("pages")
    (home / "models").symlink_to(models)
    for name, text in PAGES.items():
        (docs / name).write_text(text, "utf-8")
    settings = kb.load_settings(data_base=home)
    ingest.add_source(settings, "shop", docs)
    ingest.reindex("shop", settings)
    return settings


@pytest.fixture
def recipe() -> Recipe:
    return Recipe("tiny", method="lora", rank=16, dropout=0.0, lr=2e-3, accumulation=1, batch_size=4, max_length=256)


@pytest.fixture
def examples() -> list[Example]:
    return [
        pair("问一", "答一", "a.csv", "row 2"),
        pair("问二", "", "feedback", "refused"),
        pair("Three?", "3", "a.csv", copies=5),
    ]

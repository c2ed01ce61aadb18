"""Fixtures of the dialogue tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from dialogue_kit import TODAY, Conversation, make_pack

from edge_runtime.dialogue import Dialogue, SqliteShop
from edge_runtime.packs.schema import Pack


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    return make_pack(tmp_path / "pack")


@pytest.fixture
def shop(tmp_path: Path, pack: Pack) -> SqliteShop:
    return SqliteShop(tmp_path / "shop.db", pack, today=lambda: TODAY)


@pytest.fixture
def talk(pack: Pack, shop: SqliteShop) -> Callable[..., Conversation]:
    """Start a conversation with the small shop, as a known customer or as nobody."""
    return lambda user="": Conversation(Dialogue(pack, shop), user)

"""What leaves the device follows the shop's settings and the whole conversation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from journal_kit import turn

from edge_runtime.errors import ConfigError
from edge_runtime.journal import Journal, open_journal

ORDER = "R20251103004"
ABOUT_AN_ORDER = {
    "text": f"订单号{ORDER}到哪了",
    "transcript": f"订单号{ORDER}到哪了",
    "normalized": f"订单号{ORDER.lower()}到哪了",
    "entities": ({"type": "order_id", "value": ORDER, "text": ORDER},),
    "reply": f"{ORDER}已发货，预计后天送到。",
    "reason": f"order {ORDER} is on its way",
    "sources": (f"order:{ORDER}", "faq:delivery"),
}


def payloads(journal: Journal) -> list[str]:
    pending = journal.outbox.pending(limit_bytes=10**9, limit_records=10**6)
    return [row.payload for row in pending]


@pytest.fixture
def strict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    monkeypatch.setenv("EDGE_PRIVACY_MASK_ORDER_NUMBERS", "true")
    with closing(open_journal(tmp_path)) as journal:
        yield journal


def test_order_numbers_leave_unless_the_shop_says_no(tmp_path: Path) -> None:
    with closing(open_journal(tmp_path)) as journal:
        journal.record(turn(**ABOUT_AN_ORDER), state_json=None)
        said = json.loads(payloads(journal)[0])
    assert said["text"] == f"订单号{ORDER}到哪了"
    assert said["sources"] == [f"order:{ORDER}", "faq:delivery"]


def test_no_order_number_leaves_a_shop_that_masks_them(strict: Journal) -> None:
    strict.record(turn(0, **ABOUT_AN_ORDER), state_json=None)
    strict.record(turn(1, text=f"那{ORDER}可以退吗", reply=f"{ORDER}可以退"), state_json=None)
    strict.record(turn(2, text="叫人来", decision="handover"), state_json=None)
    records = payloads(strict)
    assert len(records) == 7
    assert not [record for record in records if ORDER.lower() in record.lower()]
    (mask,) = {mask for record in records for mask in re.findall(r"\[ORDER:\w+\]", record)}
    said = json.loads(next(r for r in records if '"turn_id":"t0"' in r))
    assert said["sources"] == [f"order:{mask}", "faq:delivery"]
    assert said["entities"] == [{"type": "order_id", "value": mask, "text": mask}]


def test_a_record_made_again_masks_order_numbers_too(strict: Journal) -> None:
    strict.record(turn(**ABOUT_AN_ORDER), state_json=None)
    sent = payloads(strict)
    assert [remade[1] for seq in (1, 2) if (remade := strict.remade(seq))] == sent


def test_a_customer_is_erased_by_an_order_number_that_is_masked(strict: Journal) -> None:
    strict.record(turn(**ABOUT_AN_ORDER), state_json=None)
    strict.persons.erase_contact(ORDER)
    assert strict.last_turns("s1", 5) == []


def test_a_setting_that_is_no_yes_or_no_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_PRIVACY_MASK_ORDER_NUMBERS", "perhaps")
    with pytest.raises(ConfigError, match="mask_order_numbers") as raised:
        open_journal(tmp_path)
    assert "EDGE_PRIVACY_MASK_ORDER_NUMBERS" in str(raised.value.hint)


def test_who_was_named_once_is_masked_in_the_whole_conversation(tmp_path: Path) -> None:
    with closing(open_journal(tmp_path)) as journal:
        journal.record(turn(0, text="我叫栾佳佳", reply="好的"), state_json=None)
        journal.record(turn(1, text="就写栾佳佳吧", reply="栾佳佳，已经写好"), state_json=None)
        journal.record(turn(2, text="My name is Zorbina Quellmark", language="en"), state_json=None)
        journal.record(turn(3, text="it says Quellmark's there", language="en"), state_json=None)
        journal.record(turn(4, text="叫人来", decision="handover"), state_json=None)
        said = "".join(payloads(journal))
    assert "栾佳佳" not in said
    assert "Quellmark" not in said
    assert "[NAME:" in said


def test_another_customers_name_does_not_mask_this_ones_words(tmp_path: Path) -> None:
    words = "黄金多少钱一克"
    with closing(open_journal(tmp_path)) as journal:
        journal.record(turn(0, text="我叫黄金", user="u1"), state_json=None)
        journal.record(turn(1, text=words, user="u2"), state_json=None)
        journal.record(turn(2, text=words, user="u1"), state_json=None)
        told = [json.loads(record) for record in payloads(journal)]
    said = {one["turn_id"]: one["text"] for one in told if "text" in one}
    assert said["t1"] == words
    assert re.fullmatch(r"\[NAME:\w+\]多少钱一克", said["t2"])

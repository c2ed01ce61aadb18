"""Redaction: what is caught of personal data, and what is masked though it is nobody's.

Chinese numbers are generated with valid check digits (GB 11643 identity cards, Luhn bank cards),
in full width, in groups and spoken. English sentences come from presidio-research where they are
at hand; their templates are split into two halves, and rules and training are made looking at the
first ("dev") only. Caught means that every letter and digit of the datum is under a mask.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
import random
import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import yaml
from stdnum import luhn
from stdnum.iso7064 import mod_11_2

from bench.redaction_chats import typed
from bench.report import report
from edge_runtime.config import PACKS_DIR
from edge_runtime.journal import Redactor

PRESIDIO = "pii_presidio/synth_dataset_v2.json.gz"
SMP = "intent_smp_ecdt_zh/smp2019_train.json.gz"
BITEXT = "intent_bitext_cs/test.csv"
BANKING = "intent_banking77/test.csv"
AMAZON = "sentiment_en_uci_amazon/amazon_cells.csv"
CROSSWOZ = "dialogue_crosswoz_zh/test.json.zip"
APPLY = (
    "PERSON", "STREET_ADDRESS", "CREDIT_CARD", "PHONE_NUMBER", "EMAIL_ADDRESS", "IBAN_CODE",
    "US_SSN", "IP_ADDRESS", "ZIP_CODE", "US_DRIVER_LICENSE",
)  # fmt: skip
NOT_PERSONAL = ("GPE", "ORGANIZATION", "TITLE", "NRP", "DATE_TIME", "AGE", "DOMAIN_NAME")
_OF_EACH = 5_000
_CALLS = ("telephone", "message", "contacts", "email")
_FULL_NAME = re.compile(
    r"[王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严]"
    r"[一-鿿]{1,2}$"
)
_REGIONS = ("110105", "310115", "440305", "510107", "330106", "420111", "650102", "820000")
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_FRAMES = (
    "我的{what}是{value}，帮我查一下", "{value}", "请记一下{value}谢谢", "麻烦用{value}联系我",
    "信息：{value}。", "{what}{value}，对的", "登记的是{value}吗", "换成{value}行不行",
)  # fmt: skip


def main() -> None:
    redactor = Redactor(b"a key for measuring, of 32 bytes")
    rows = [
        *_generated(redactor),
        *_sentences(redactor),
        *_chinese_names(redactor),
        *_chats(redactor),
        *_ordinary(redactor),
    ]
    report("redaction", "Redaction of personal data", rows)


def _row(what: str, split: str, caught: int, total: int, goal: float | None) -> dict[str, Any]:
    return {
        "what": what, "split": split, "cases": total, "caught": caught,
        "share": round(caught / total, 4), "goal": goal,
    }  # fmt: skip


def _generated(redactor: Redactor) -> Iterator[dict[str, Any]]:
    chance = random.Random(20260301)
    kinds: dict[str, tuple[str, Callable[[random.Random], str], bool]] = {
        "identity card": ("身份证号", _identity_card, True),
        "mobile phone": ("手机号", _mobile, True),
        "bank card": ("银行卡号", _bank_card, True),
        "plate": ("车牌", _plate, False),
    }
    for name, (what, make, respelled) in kinds.items():
        caught = 0
        for _ in range(_OF_EACH):
            value = _spelled(make(chance), chance) if respelled else make(chance)
            frame = chance.choice(_FRAMES)
            text = frame.format(what=what, value=value)
            start = text.index(value)
            caught += is_caught(redactor, text, start, start + len(value))
        yield _row(name, "generated", caught, _OF_EACH, 0.99)


def is_caught(redactor: Redactor, text: str, start: int, end: int) -> bool:
    """Whether every letter and digit at [start, end) is under a mask."""
    hidden: set[int] = set()
    for span in redactor.spans(text):
        hidden.update(range(span.start, span.end))
    return all(at in hidden for at in range(start, end) if text[at].isalnum())


def _sentences(redactor: Redactor) -> Iterator[dict[str, Any]]:
    folder = os.environ.get("EDGE_BENCH_DATA", "")
    path = Path(folder) / PRESIDIO
    if not folder or not path.is_file():
        print(f"no {PRESIDIO} in EDGE_BENCH_DATA: sentences left out")
        return
    with gzip.open(path, "rt", encoding="utf-8") as file:
        sentences = json.load(file)
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for sentence in sentences:
        split = "test" if sentence["template_id"] % 2 else "dev"
        for span in sentence["spans"]:
            kind = span["entity_type"]
            found = is_caught(
                redactor, sentence["full_text"], span["start_position"], span["end_position"]
            )
            for key in (kind, "all of these") if kind in APPLY else (kind,):
                counts[key, split][0] += found
                counts[key, split][1] += 1
    for kind in (*APPLY, "all of these"):
        for split in ("dev", "test"):
            caught, total = counts[kind, split]
            if total:
                yield _row(kind, split, caught, total, 0.95)
    for kind in NOT_PERSONAL:
        for split in ("dev", "test"):
            caught, total = counts[kind, split]
            if total:
                yield _row(f"masked beside: {kind}", split, caught, total, None)


def _chinese_names(redactor: Redactor) -> Iterator[dict[str, Any]]:
    """Whole names in commands to call or write to somebody; a hash of the text splits them."""
    path = Path(os.environ.get("EDGE_BENCH_DATA", "")) / SMP
    if not path.is_file():
        return
    with gzip.open(path, "rt", encoding="utf-8") as file:
        commands = json.load(file)
    counts = {"dev": [0, 0], "test": [0, 0]}
    for command in commands:
        text = command["text"]
        split = "test" if measured_on(text) else "dev"
        for slot in ("name", "receiver"):
            name = command["slots"].get(slot)
            if command["domain"] in _CALLS and isinstance(name, str) and _FULL_NAME.match(name):
                start = text.find(name)
                if start >= 0:
                    counts[split][0] += is_caught(redactor, text, start, start + len(name))
                    counts[split][1] += 1
    for split, (caught, total) in counts.items():
        yield _row("Chinese names", split, caught, total, 0.95)


def _chats(redactor: Redactor) -> Iterator[dict[str, Any]]:
    """What customers type about themselves to an agent; the set's own parts split it."""
    folder = Path(os.environ.get("EDGE_BENCH_DATA", ""))
    for part in ("dev", "test"):
        counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for text, start, end, kind in typed(folder, part):
            counts[kind][0] += is_caught(redactor, text, start, end)
            counts[kind][1] += 1
        for kind, (caught, total) in sorted(counts.items()):
            yield _row(f"typed in chats: {kind}", part, caught, total, None)


def _ordinary(redactor: Redactor) -> Iterator[dict[str, Any]]:
    """Utterances with nobody's data in them: masks here are false."""
    sets = {
        f"pack examples, {language}": [
            text for text in pack_examples(language) if measured_on(text)
        ]
        for language in ("zh", "en", "es")
    }
    sets["retail test"] = _retail_test()
    sets |= _public_utterances(Path(os.environ.get("EDGE_BENCH_DATA", "")))
    for name, texts in sets.items():
        masked = sum(bool(redactor.spans(text)) for text in texts)
        yield {
            "what": f"false masks: {name}", "split": "all", "cases": len(texts), "caught": masked,
            "share": round(masked / len(texts), 4), "goal": 0.005,
        }  # fmt: skip


def _public_utterances(folder: Path) -> dict[str, list[str]]:
    """Utterances of the public sets that are at hand, at most 3,000 of each."""
    sets = {}
    for name, part, column in (
        ("banking77 test, en", BANKING, "text"),
        ("bitext test, en", BITEXT, "utterance"),
    ):
        if (path := folder / part).is_file():
            with path.open(encoding="utf-8", newline="") as file:
                sets[name] = [
                    row[column]
                    for row in csv.DictReader(file)
                    if row.get("entity_type") != "person_name"
                ]
    if (path := folder / CROSSWOZ).is_file():
        with zipfile.ZipFile(path) as archive:
            dialogues = json.loads(archive.read("test.json"))
        sets["CrossWOZ test, customers, zh"] = [
            said["content"]
            for dialogue in dialogues.values()
            for said in dialogue["messages"]
            if said["role"] == "usr"
        ]
    if (path := folder / AMAZON).is_file():
        sets["Amazon reviews, en"] = [text for text in reviews(path) if measured_on(text)]
    return {name: texts[:3_000] for name, texts in sets.items()}


def measured_on(text: str) -> bool:
    """Half of the texts of a set, by a fixed hash: the other half may be learnt from."""
    return share(text) % 2 == 1


def share(text: str) -> int:
    """A number of 0 to 255 that a text always gets, to split sets by."""
    return hashlib.sha256(text.encode()).digest()[0]


def reviews(path: Path) -> list[str]:
    """The sentences of the reviews that UCI collected."""
    return [line.rpartition("\t")[0] for line in path.read_text("utf-8").splitlines()]


def pack_examples(language: str = "") -> list[str]:
    """The examples of the pack that ships, of every language or one."""
    loaded = yaml.safe_load((PACKS_DIR / "retail" / "intents.yaml").read_text("utf-8"))
    return sorted(
        {
            text
            for told, texts in _by_language(loaded)
            for text in texts
            if isinstance(text, str) and language in {"", told}
        }
    )


def _by_language(node: Any) -> Iterator[tuple[str, list[Any]]]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "examples":
                yield from value.items()
            else:
                yield from _by_language(value)


def _retail_test() -> list[str]:
    lines = (Path(__file__).parent / "data" / "retail_test.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


def _digits(count: int, chance: random.Random) -> str:
    return "".join(chance.choice("0123456789") for _ in range(count))


def _identity_card(chance: random.Random) -> str:
    born = date(1940, 1, 1) + timedelta(days=chance.randrange(30_000))
    body = f"{chance.choice(_REGIONS)}{born:%Y%m%d}{_digits(3, chance)}"
    return body + str(mod_11_2.calc_check_digit(body))


def _mobile(chance: random.Random) -> str:
    return "1" + chance.choice("3456789") + _digits(9, chance)


def _bank_card(chance: random.Random) -> str:
    body = chance.choice(["6222", "6217", "6228", "4367", "5187"]) + _digits(
        chance.choice([11, 14]), chance
    )
    return body + str(luhn.calc_check_digit(body))


def _plate(chance: random.Random) -> str:
    tail = "".join(chance.choice(_LETTERS + "0123456789") for _ in range(4)) + _digits(1, chance)
    if chance.random() < 0.4:
        tail = chance.choice("DF") + _digits(5, chance)
    mark = chance.choice(["", "", "·", " "])
    return chance.choice("京沪粤川浙苏鲁鄂闽湘渝辽") + chance.choice(_LETTERS) + mark + tail


def _spelled(text: str, chance: random.Random) -> str:
    """As people and machines write it: full-width, grouped by spaces or dashes, or spoken."""
    way = chance.randrange(5)
    if way == 1:
        return text.translate(str.maketrans("0123456789", "０１２３４５６７８９"))
    if way in {2, 3}:
        return " -"[way - 2].join(text[at : at + 4] for at in range(0, len(text), 4))
    if way == 4:
        return text.translate(str.maketrans("0123456789", "零幺二三四五六七八九"))
    return text


if __name__ == "__main__":
    main()

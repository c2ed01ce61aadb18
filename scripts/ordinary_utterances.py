"""Collects what ``edge-convert train-redaction`` learns ordinary speech from, as JSONL.

    python scripts/ordinary_utterances.py DATA > ordinary.jsonl

DATA is the folder of public sets; only training parts are read, of sets that may train what ships
(CLINC150, BANKING77, MultiDoGO, Recognizers-Text, Home Assistant intents, CrossWOZ's validation
part, COVID-QA's FAQ, ABCD's guidelines). Beside them the pack's knowledge, those of its examples
that the bench does not measure on, and a quarter of UCI's reviews: the bench measures on half of
them, and a quarter is left to try a reader on.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.redaction import AMAZON, measured_on, pack_examples, reviews, share
from edge_runtime.config import PACKS_DIR

_LANGUAGES = (
    "Chinese", "Dutch", "English", "French", "German", "Italian", "Portuguese", "Spanish",
    "Swedish",
)  # fmt: skip
_PERSONAL = re.compile(r"phone|mail|ip", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")


def collect(data: Path) -> Iterator[str]:
    with gzip.open(data / "intent_clinc150" / "data_full.json.gz", "rt", encoding="utf-8") as file:
        clinc = json.load(file)
    for part in ("train", "oos_train", "val"):
        yield from (text for text, _ in clinc[part])
    with gzip.open(
        data / "intent_banking77" / "train.csv.gz", "rt", encoding="utf-8", newline=""
    ) as file:
        yield from (row["text"] for row in csv.DictReader(file))
    yield from (text for text in pack_examples() if not measured_on(text))
    for language in _LANGUAGES:
        for line in _lines(data / "entities_recognizers_text" / f"{language}.jsonl.gz"):
            if not _PERSONAL.search(line[:200]):
                yield json.loads(line)["Input"]
    for language in ("de", "es", "fr", "it", "nl", "pl", "pt", "zh-CN"):
        path = data / "intent_ha_home_multi" / f"{language}.jsonl.gz"
        yield from (json.loads(line).get("text", "") for line in _lines(path)[:4_000])
    with zipfile.ZipFile(data / "dialogue_crosswoz_zh" / "val.json.zip") as file:
        for dialogue in json.loads(file.read("val.json")).values():
            yield from (said["content"] for said in dialogue["messages"])
    for path in sorted((PACKS_DIR / "retail" / "knowledge").glob("*.md")):
        lines = path.read_text("utf-8").splitlines()
        yield from (text for line in lines for text in _SENTENCE_END.split(line.lstrip("#>- ")))
    for path in sorted((data / "dialogue_multidogo").glob("*.train.tsv.gz")):
        for line in _lines(path)[1:]:
            cells = line.rstrip("\n").split("\t")
            if len(cells) > 4 and set(cells[4].split()) == {"O"}:
                yield cells[3]
    yield from (text for text in reviews(data / AMAZON) if share(text) % 4 == 0)
    for line in _lines(data / "faq_covid_multi" / "faq.jsonl.gz"):
        asked = json.loads(line)
        yield from (asked["question"], *_SENTENCE_END.split(asked["answer"]))
    yield from _told(json.loads((data / "dialogue_abcd" / "guidelines.json").read_text("utf-8")))


def _told(node: Any) -> Iterator[str]:
    """The sentences of a document of nested lists and objects."""
    if isinstance(node, str):
        yield from _SENTENCE_END.split(node)
    else:
        for part in node.values() if isinstance(node, dict) else node:
            yield from _told(part)


def _lines(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.readlines()


if __name__ == "__main__":
    for text in collect(Path(sys.argv[1])):
        if text.strip():
            print(json.dumps({"text": text}, ensure_ascii=False))

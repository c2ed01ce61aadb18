"""Readers of the public sets that the encoder is measured on; each takes the folder of all sets."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.turn import OUT_OF_SCOPE


@dataclass(frozen=True, slots=True)
class Labelled:
    """Texts and the intent of each."""

    texts: Sequence[str]
    intents: Sequence[str]

    def only(self, known: set[str]) -> Labelled:
        """Those whose intent is ``known``."""
        pairs = [p for p in zip(self.texts, self.intents, strict=True) if p[1] in known]
        return Labelled([text for text, _ in pairs], [intent for _, intent in pairs])


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Queries, and which of the standard questions answer each."""

    corpus: Sequence[str]
    queries: Sequence[str]
    gold: Sequence[frozenset[int]]


def retrieval_zh(root: Path) -> Retrieval | None:
    path = root / "faq_retrieval_derived" / "zh_bustm_retrieval.json"
    if not path.is_file():
        return None
    held = json.loads(path.read_text("utf-8"))
    gold = [frozenset(query["gold"]) for query in held["queries"]]
    return Retrieval(held["corpus"], [query["q"] for query in held["queries"]], gold)


def xsid(root: Path, language: str, split: str) -> Labelled | None:
    path = root / "intent_slots_xsid" / f"{language}.{split}.conll.gz"
    if not path.is_file():
        return None
    texts: list[str] = []
    intents: list[str] = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            key, _, value = line.rstrip("\n").partition(" = ")
            if key in {"# text", "# text:"}:
                texts.append(value)
            elif key in {"# intent", "# intent:"}:
                intents.append(value)
    return Labelled(texts, intents)


def home(root: Path, language: str) -> Labelled | None:
    path = root / "intent_ha_home_multi" / f"{language}.jsonl.gz"
    if not path.is_file():
        return None
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return Labelled([row["text"] for row in rows], [row["intent"] for row in rows])


def clinc150(root: Path) -> Labelled | None:
    path = root / "intent_clinc150" / "data_full.json.gz"
    if not path.is_file():
        return None
    with gzip.open(path, "rt", encoding="utf-8") as file:
        held = json.load(file)
    rows = [*held["test"], *((text, OUT_OF_SCOPE) for text, _ in held["oos_test"])]
    return Labelled([text for text, _ in rows], [intent for _, intent in rows])


def banking77(root: Path) -> Labelled | None:
    path = root / "intent_banking77" / "test.csv"
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return Labelled([row["text"] for row in rows], [row["category"] for row in rows])

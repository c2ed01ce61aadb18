"""The tokeniser against the SentencePiece library on the same vocabulary."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from edge_runtime.nlu.e5file import E5File
from edge_runtime.nlu.tokenizer import Tokenizer, piece_index

pytestmark = pytest.mark.models

SENTENCES = (
    "我的订单什么时候到？",
    "上周买的外套不合适，能退吗",
    "Where is my order R20261118001?",
    "¿Puedo devolver el pan sin tique?",
    "Wann kommt meine Bestellung an?",
    "パンは返品できますか",
    "환불은 언제 되나요",
    "Où est le rayon des jouets ?",
    "هل يمكنني إرجاع هذا المنتج؟",
    "Сколько стоит доставка в выходные?",
    "สินค้านี้คืนได้ไหม",
    "wifi密码是多少 12345 abc-DEF",
    "😀 ok!!! ... ½ ﬁne",
    "a",
    "several   spaces   inside",
)


def library(file: E5File) -> sentencepiece.SentencePieceProcessor:
    """The library with the file's vocabulary and no normalisation of its own."""
    proto = sentencepiece_model_pb2.ModelProto()
    vocabulary = file.vocabulary
    kinds = proto.SentencePiece
    special = {vocabulary.bos: kinds.CONTROL, vocabulary.eos: kinds.CONTROL}
    special |= {vocabulary.pad: kinds.CONTROL, vocabulary.unk: kinds.UNKNOWN}
    for index in range(vocabulary.count):
        piece = proto.pieces.add()
        piece.piece = vocabulary.piece(index).decode("utf-8", "replace") or f"<empty {index}>"
        piece.score = float(vocabulary.scores[index])
        piece.type = special.get(index, kinds.NORMAL)
    trainer = proto.trainer_spec
    trainer.model_type = trainer.UNIGRAM
    trainer.unk_id, trainer.bos_id = vocabulary.unk, vocabulary.bos
    trainer.eos_id, trainer.pad_id = vocabulary.eos, vocabulary.pad
    proto.normalizer_spec.name = "identity"
    proto.normalizer_spec.add_dummy_prefix = True
    proto.normalizer_spec.remove_extra_whitespaces = True
    proto.normalizer_spec.escape_whitespaces = True
    return sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())


def test_pieces_equal_the_sentencepiece_librarys(
    model_files: Callable[[str], Mapping[str, Path]], tmp_path: Path
) -> None:
    file = E5File(model_files("multilingual-e5-small-q4")["e5-small-q4.bin"])
    index = io.BytesIO()
    np.save(index, piece_index(file.vocabulary), allow_pickle=False)
    (tmp_path / "pieces.npy").write_bytes(index.getvalue())
    ours = Tokenizer(file, tmp_path / "pieces.npy")
    theirs = library(file)
    bos, eos = file.vocabulary.bos, file.vocabulary.eos
    for sentence in SENTENCES:
        text = ours.normalize(f"query: {sentence}")
        expected = [bos, *theirs.encode(text.replace("\u2581", " ").strip()), eos]
        assert ours.encode(f"query: {sentence}", 512) == expected, sentence

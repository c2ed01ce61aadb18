"""The encoder against a slow reference, and its tokeniser against two others."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest

from edge_runtime.bundles import shipped_files
from edge_runtime.errors import EngineError, ModelMissingError
from edge_runtime.modelfiles import EMBEDDING, PIECES, WORDS
from edge_runtime.nlu import Encoder
from edge_runtime.nlu.e5file import E5File
from edge_runtime.nlu.rows import dequantize
from edge_runtime.nlu.student import STUDENT_BASE
from edge_runtime.nlu.tokenizer import Tokenizer

pytestmark = pytest.mark.models

_TEXTS = (
    "where is my order #12345?",
    "我上周买的外套不合适,能退吗?",
    "¿Dónde está mi pedido número 99?",
    "Wo ist meine Bestellung, bitte schön",
    "返品したいのですがどうすればいいですか",
    "สินค้าชำรุดขอเปลี่ยนได้ไหม",
    "Где мой заказ? Прошло уже три недели!",
    "أين طلبي من فضلك",
    "मेरा ऑर्डर कहाँ है",
    "주문한 상품이 아직 안 왔어요",
    "ﬁne １２３ ①②③ ㎏ ½  double  space ",
    "emoji 👍🏽 and 𠮷野家 rare 𓀀 signs",
    "<s> </s> <mask> <unk> <pad>",
    "x",
    " ",
    "a" * 300,
)


def _reference_ids(file: E5File, normalized: str) -> list[int]:
    """Unigram Viterbi over characters, plainly: every substring against a dictionary."""
    vocabulary = file.vocabulary
    special = {vocabulary.bos, vocabulary.eos, vocabulary.pad, vocabulary.unk}
    pieces = {
        vocabulary.piece(i).decode("utf-8"): i
        for i in range(vocabulary.count)
        if i not in special and vocabulary.piece(i) != b"<mask>"
    }
    scores = np.asarray(vocabulary.scores)
    longest = max(map(len, pieces))
    unknown = float(scores.min()) - 10.0
    best: list[tuple[float, list[int]]] = [(0.0, [])]
    for end in range(1, len(normalized) + 1):
        options = [(best[end - 1][0] + unknown, [*best[end - 1][1], vocabulary.unk])]
        for start in range(max(0, end - longest), end):
            piece = pieces.get(normalized[start:end])
            if piece is not None:
                score, ids = best[start]
                options.append((score + float(scores[piece]), [*ids, piece]))
        best.append(max(options, key=lambda option: option[0]))
    return best[-1][1]


@pytest.fixture(scope="module")
def whole(model_files: Callable[[str], Mapping[str, Path]]) -> E5File:
    """The encoder that the student was made from."""
    return E5File(model_files("multilingual-e5-small-q4")["e5-small-q4.bin"])


@pytest.fixture(scope="module")
def source() -> E5File:
    return E5File(shipped_files(STUDENT_BASE)[WORDS])


@pytest.fixture(scope="module")
def tokenizer(source: E5File) -> Tokenizer:
    return Tokenizer(source, shipped_files(STUDENT_BASE)[PIECES])


def test_tokenizer_agrees_with_the_plain_algorithm(tokenizer: Tokenizer, source: E5File) -> None:
    for text in _TEXTS[:13]:
        query = "query: " + text
        ids = tokenizer.encode(query, 10_000)
        assert ids[1:-1] == _reference_ids(source, tokenizer.normalize(query)), text


def test_special_pieces_in_text_are_only_text(tokenizer: Tokenizer, source: E5File) -> None:
    vocabulary = source.vocabulary
    ids = tokenizer.encode("query: <s> </s> <pad>", 128)
    assert not {vocabulary.bos, vocabulary.eos, vocabulary.pad} & set(ids[1:-1])


def test_long_text_keeps_its_end_marker(tokenizer: Tokenizer, source: E5File) -> None:
    ids = tokenizer.encode("订单 " * 5000, 128)
    assert len(ids) == 128
    assert ids[-1] == source.vocabulary.eos


def _reference_vector(file: E5File, words: np.ndarray) -> np.ndarray:
    """BERT with post-LayerNorm in float64 on word vectors, mean over tokens, length 1."""
    shape = file.shape
    hidden, size = shape.hidden, shape.hidden // shape.heads

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + shape.epsilon)
        return scaled * file.floats(f"{name}.w", hidden) + file.floats(f"{name}.b", hidden)

    def linear(x: np.ndarray, name: str, rows: int, columns: int) -> np.ndarray:
        weights = dequantize(file.blocks(f"{name}.w", rows, columns)).astype(np.float64)
        return x @ weights.T + file.floats(f"{name}.b", rows)

    from math import erf

    x = words.astype(np.float64)
    x += file.floats("emb.pos", shape.positions, hidden)[: len(x)]
    x += file.floats("emb.type", shape.token_types, hidden)[0]
    x = norm(x, "emb.ln")
    for layer in range(shape.layers):
        q, k, v = (
            linear(x, f"l{layer}.{part}", hidden, hidden).reshape(len(x), -1, size)
            for part in "qkv"
        )
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(size)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", weights, v).reshape(len(x), hidden)
        x = norm(x + linear(mixed, f"l{layer}.ao", hidden, hidden), f"l{layer}.aln")
        inner = linear(x, f"l{layer}.fi", shape.feed_forward, hidden)
        inner = 0.5 * inner * (1 + np.vectorize(erf)(inner / np.sqrt(2)))
        x = norm(x + linear(inner, f"l{layer}.fo", hidden, shape.feed_forward), f"l{layer}.oln")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


@pytest.mark.parametrize("text", _TEXTS[:3])
def test_vectors_in_8_bits_agree_with_a_float64_reference(
    text: str, encoder: Encoder, tokenizer: Tokenizer, source: E5File, whole: E5File
) -> None:
    ids = tokenizer.encode("query: " + text, 128)
    expected = _reference_vector(whole, source.words(ids))
    directions = _language_directions()
    assert np.allclose(directions @ directions.T, np.eye(len(directions)), atol=1e-5)
    expected -= directions.T @ (directions @ expected)
    expected /= np.linalg.norm(expected)
    assert float(encoder.encode([text], "query")[0] @ expected) > 0.998


def _language_directions() -> np.ndarray:
    """What the shipped encoder takes out of vectors, (languages - 1, width)."""
    graph = onnx.load(shipped_files(STUDENT_BASE)[EMBEDDING]).graph
    (found,) = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2
        if tensor.dims[0] < tensor.dims[1] == 384
    ]
    return np.asarray(found, np.float64)


def test_batch_and_single_give_the_same_unit_vectors(encoder: Encoder) -> None:
    fresh = Encoder(shipped_files(STUDENT_BASE), threads=1)
    together = fresh.encode(_TEXTS, "passage")
    assert together.shape == (len(_TEXTS), 384)
    assert together.dtype == np.float32
    assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-4)
    alone = np.vstack([encoder.encode([text], "passage") for text in _TEXTS])
    assert float((alone * together).sum(axis=1).min()) > 0.999


def test_queries_and_passages_are_different_vectors(encoder: Encoder) -> None:
    query = encoder.encode(["refund policy"], "query")
    passage = encoder.encode(["refund policy"], "passage")
    assert not np.allclose(query, passage, atol=1e-3)


def test_nothing_in_gives_nothing_out(encoder: Encoder) -> None:
    assert encoder.encode([], "query").shape == (0, 384)


def test_translations_lie_together_and_smoke_passes(encoder: Encoder) -> None:
    encoder.smoke()
    vectors = encoder.encode(
        ["I want a refund", "我要退款", "quiero un reembolso", "the sky is blue"], "query"
    )
    likeness = vectors @ vectors.T
    assert likeness[0, 1] > likeness[0, 3]
    assert likeness[0, 2] > likeness[0, 3]


def test_several_threads_get_what_one_gets(encoder: Encoder) -> None:
    texts = [f"question number {i} about my order" for i in range(16)]
    results: dict[int, np.ndarray] = {}
    threads = [
        threading.Thread(
            target=lambda i=i: results.update({i: encoder.encode([texts[i]], "query")[0]})
        )
        for i in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = encoder.encode(texts, "query")
    assert all(np.allclose(results[i], again[i], atol=1e-5) for i in range(16))


def test_a_closed_encoder_says_so() -> None:
    closed = Encoder(shipped_files(STUDENT_BASE), threads=1)
    closed.close()
    with pytest.raises(EngineError, match="closed"):
        closed.encode(["hello"], "query")


def test_a_missing_base_is_refused() -> None:
    with pytest.raises(ModelMissingError):
        Encoder({}, threads=1)


def test_the_assistants_process_imports_neither_onnx_nor_scikit_learn() -> None:
    code = (
        "import sys, edge_runtime.nlu;"
        "print([m for m in ('onnx', 'onnxruntime', 'sklearn', 'phonenumbers', 'opencc')"
        " if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"

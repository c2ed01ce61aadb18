"""The installed command, started as a customer's till would: whole turns in a child process."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import soxr
from e2e.cli_kit import (
    EDGE,
    Ran,
    edge,
    environment,
    models_apart,
    picture_of,
    prepared_data,
    receipt,
)

pytestmark = [pytest.mark.models, pytest.mark.xdist_group("cli")]

ANSWER_KEYS = {
    *("reply", "language", "transcript", "ocr_text", "normalized", "intent", "intent_confidence"),
    *("sentiment", "entities", "confidence", "decision", "sources", "blocked", "timings_ms"),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_data(tmp_path_factory)


@pytest.fixture(scope="module")
def questions(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Questions that a voice of the product asks."""
    folder = tmp_path_factory.mktemp("questions")
    texts = {
        "zh": "我上周买的外套不合适，能退吗？",
        "en": "I bought a coat last week and it does not fit. Can I return it?",
    }
    for language, text in texts.items():
        said = edge("speak", text, "-o", folder / f"{language}.wav", "--json", data=data)
        assert said.code == 0, said.out
        assert said.json["lang"] == language
        assert 1 < said.json["seconds"] < 15
    return {language: folder / f"{language}.wav" for language in texts}


# ---- ask ----


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("你好,我上周买的外套不合适,能退吗?", "zh"),
        ("Hi, the coat I bought last week doesn't fit. Can I return it?", "en"),
        ("Hola, el abrigo que compré no me queda bien. ¿Puedo devolverlo?", "es"),
    ],
)
def test_ask_answers_from_the_return_policy(data: Path, question: str, language: str) -> None:
    ran = edge("ask", question, "--json", data=data)
    assert ran.code == 0
    answer = ran.json
    assert set(answer) >= ANSWER_KEYS
    assert (answer["language"], answer["decision"]) == (language, "answer")
    assert answer["sources"] == ["returns#clothing"]
    assert "30" in answer["reply"] or "三十" in answer["reply"]
    assert {"first_token", "total", "nlu"} <= set(answer["timings_ms"])
    assert all(0 <= answer[name] <= 1 for name in ("confidence", "intent_confidence"))
    assert answer["entities"][0]["type"] == "category"


def test_ask_for_people_prints_the_answer_and_its_source(data: Path) -> None:
    ran = edge("ask", "bread can be returned?", data=data)
    assert ran.code == 0
    assert "cannot be returned" in ran.out
    assert "[returns#food]" in ran.out
    assert ran.err == ""


def test_ask_by_voice_and_answer_by_voice(
    data: Path, questions: dict[str, Path], tmp_path: Path
) -> None:
    reply = tmp_path / "reply.wav"
    ran = edge("ask", "--audio", questions["zh"], "--speak", reply, "--json", data=data)
    assert ran.code == 0, ran.out
    assert "退" in ran.json["transcript"]
    assert ran.json["sources"] == ["returns#clothing"]
    assert soundfile.info(str(reply)).duration > 3


def test_ask_with_the_picture_of_a_receipt_in_one_session(data: Path, tmp_path: Path) -> None:
    picture = receipt(tmp_path / "receipt.png")
    first = edge("ask", "开发票", "--image", picture, "-s", "till-1", "--json", data=data)
    assert first.code == 0, first.out
    assert "212.00" in first.json["ocr_text"]
    assert first.json["decision"] == "skill"
    second = edge("ask", "抬头:云杉市第一小学", "-s", "till-1", "--json", data=data)
    assert "212" in second.json["reply"]


def test_a_session_goes_on_in_another_process(data: Path) -> None:
    edge("ask", "我的订单什么时候到?", "-s", "phone-7", "--json", data=data)
    told = edge("ask", "R20261120001", "-s", "phone-7", "--json", data=data)
    assert "R20261120001" in told.json["reply"]
    change = edge("ask", "能改地址吗?", "-s", "phone-7", "--json", data=data)
    assert change.json["intent"] == "change_address"
    assert "订单号" not in change.json["reply"]


@pytest.mark.parametrize(
    ("arguments", "code", "kind"),
    [
        (("",), 2, "TextError"),
        (("hello", "--lang", "klingon"), 2, "LanguageError"),
        (("--audio", "/no/such/file.wav"), 2, "AudioError"),
        (("--image", "/etc/hostname"), 2, "ImageError"),
    ],
)
def test_what_cannot_be_asked_is_one_json_error(
    data: Path, arguments: tuple[str, ...], code: int, kind: str
) -> None:
    ran = edge("ask", *arguments, "--json", data=data)
    assert ran.code == code
    assert ran.json["error"]["type"] == kind
    assert ran.json["error"]["message"]


def test_errors_for_people_are_a_sentence_and_what_to_do(data: Path) -> None:
    ran = edge("ask", "hello", "--lang", "klingon", data=data)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: 'klingon' is not a language code.")


# ---- chat ----


def test_chat_answers_line_by_line_and_survives_rubbish(data: Path) -> None:
    lines = [
        "我的订单什么时候到?",
        "R20261120001",
        "x" * 10_000_000,
        "\x01\x02\x07",
        "caf\udce9 \udcff",
        "能改地址吗?",
    ]
    ran = edge("chat", "--json", data=data, stdin="".join(f"{line}\n" for line in lines))
    assert ran.code == 0
    events = ran.lines
    ends = [event for event in events if event["type"] in ("done", "error")]
    assert [event["type"] for event in ends] == ["done", "done", "error", "error", "done", "done"]
    assert "R20261120001" in ends[1]["reply"]
    assert {event["error"] for event in ends[2:4]} == {"TextError"}
    assert "订单号" not in ends[-1]["reply"]
    for end in (e for e in ends if e["type"] == "done"):
        assert set(end) >= ANSWER_KEYS


def test_chat_ends_at_an_empty_line_or_at_the_end_of_input(data: Path) -> None:
    assert edge("chat", "--json", data=data, stdin="\nhello\n").out == ""
    talk = edge("chat", data=data, stdin="hello")
    assert talk.code == 0
    assert "Spruce Store" in talk.out


def test_ctrl_c_ends_a_waiting_chat(data: Path) -> None:
    # A shell that runs the tests in the background makes its children ignore Ctrl-C.
    with subprocess.Popen(
        ["env", "--default-signal=INT", EDGE, "chat", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(data),
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write("hello\n")
        process.stdin.flush()
        while json.loads(process.stdout.readline())["type"] != "done":
            pass
        # The last event is printed a moment before the chat waits for the next line; a Ctrl-C in
        # between may have to be pressed again, as a person would.
        for _ in range(10):
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
                break
        assert process.wait(1) == 130


def test_a_reader_that_goes_away_ends_the_command_quietly(data: Path) -> None:
    with subprocess.Popen(
        [EDGE, "chat", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(data),
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        process.stdin.write("hello\n")
        process.stdin.close()
        assert process.wait(60) == 141
        assert "Traceback" not in process.stderr.read()


# ---- one stage alone ----


def test_transcribe_keeps_the_order_and_goes_on_after_a_bad_file(
    data: Path, questions: dict[str, Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"")
    files = (questions["en"], bad, questions["zh"])
    ran = edge("transcribe", *files, "--json", data=data)
    assert ran.code == 2
    first, second, third = ran.lines
    assert [row["file"] for row in ran.lines] == [str(file) for file in files]
    assert set(first) == {"file", "text", "lang", "confidence"}
    assert "coat" in first["text"].casefold()
    assert (first["lang"], third["lang"]) == ("en", "zh")
    assert second["error"]["type"] == "AudioError"
    assert "退" in third["text"]


def test_ocr_keeps_the_order_and_goes_on_after_a_bad_file(data: Path, tmp_path: Path) -> None:
    good, label = receipt(tmp_path / "receipt.png"), picture_of(tmp_path / "label.png", "E2 故障")
    bad = tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:300])
    for profile in ("standard", "lite"):
        ran = edge("ocr", good, bad, label, "--json", "--profile", profile, data=data)
        assert ran.code == 2
        first, second, third = ran.lines
        assert set(first) == {"file", "text", "lines", "fields", "confidence"}
        assert first["fields"]["total"] == "212.00"
        assert second["error"]["type"] == "ImageError"
        assert "故障" in third["text"].replace(" ", "")


def test_understand_answers_jsonl_in_input_order(data: Path) -> None:
    texts = ["我的订单到哪了?", "Can I return a coat?", "¿A qué hora cierran?"] * 30
    lines = [json.dumps({"text": text, "lang": None}) for text in texts]
    ran = edge("understand", data=data, stdin="\n\n".join(lines))
    assert ran.code == 0
    rows = ran.lines
    assert [row["text"] for row in rows] == texts
    assert [row["language"] for row in rows] == ["zh", "en", "es"] * 30
    wanted = {"text", "language", "intent", "intent_confidence", "sentiment", "entities"}
    assert set(rows[0]) >= wanted
    assert [row["intent"] for row in rows[:2]] == ["order_status", "return_policy"]


def test_bytes_that_are_no_text_on_standard_input_are_no_stack_trace(data: Path) -> None:
    for locale in ("C", "en_US.ISO-8859-1", "C.UTF-8"):
        done = subprocess.run(
            [EDGE, "understand"],
            input=b'{"text": "caf\xe9 \xff\xfe"}\n{"text": "\\ud800 hola"}\n\x00\x01\n',
            capture_output=True,
            env=environment(data, LC_ALL=locale, PYTHONUTF8="0"),
            timeout=120,
            check=False,
        )
        assert done.returncode == 2
        assert b"Traceback" not in done.stderr
        last = done.stdout.decode().splitlines()[-1]
        assert json.loads(last)["error"]["type"] == "TextError"


# ---- knowledge, models, doctor, listen ----


def test_what_a_shop_adds_is_answered_from(data: Path, tmp_path: Path) -> None:
    page = tmp_path / "bicycles.en.md"
    page.write_text(
        "---\nkind: policy\ntopic: bicycles\n---\n# Bicycles\n"
        "## Bicycle repair {#repair}\nWe pump up bicycle tyres free of charge on Saturdays.\n"
    )
    shop = data / "shop"
    own = {"EDGE_MODELS_DIR": str(models_apart(tmp_path))}
    added = edge("knowledge", "add", page, "--json", data=shop, env=own)
    assert added.code == 0, added.out
    asked = ("--search", "pump up bicycle tyres", "-l", "en", "--json")
    found = edge("knowledge", "list", *asked, data=shop, env=own)
    assert found.json[0]["id"] == "bicycles#repair"
    listed = edge("knowledge", "list", "--json", data=shop, env=own)
    assert added.json["passages"] == len(listed.json)


def test_models_list_says_what_is_here(data: Path) -> None:
    ran = edge("models", "list", "--json", data=data)
    assert ran.code == 0
    status = {row["id"]: row["status"] for row in ran.json}
    assert status["multilingual-e5-small-q4"] == "yes"
    assert status["tesseract"] == "system"


def test_a_missing_model_is_told_with_its_command(data: Path, tmp_path: Path) -> None:
    none = {"EDGE_MODELS_DIR": str(tmp_path / "none")}
    ran = edge("speak", "hello", "-o", tmp_path / "hello.wav", data=data, env=none)
    assert ran.code == 3
    assert "edge-runtime models pull kokoro-82m-int8" in ran.err


def findings(ran: Ran) -> dict[str, dict[str, object]]:
    return {found["check"]: found for found in ran.json["checks"]}


def test_doctor_tries_every_engine_of_the_profile(data: Path) -> None:
    ran = edge("doctor", "--profile", "lite", "--json", data=data)
    found = findings(ran)
    assert {
        "python",
        "pack",
        "data folder",
        "models folder",
        "encoder",
        "asr",
        "ocr",
        "tts",
    } <= set(found)
    wrong = [check for check in found.values() if not check["ok"]]
    assert (ran.code, ran.json["healthy"], wrong) == (0, True, [])


def test_doctor_says_what_is_missing_and_how_to_get_it(data: Path, tmp_path: Path) -> None:
    bare = {"EDGE_MODELS_DIR": str(tmp_path / "none"), "PATH": "/nonexistent"}
    ran = edge("doctor", "--profile", "lite", "--json", data=data, env=bare)
    assert ran.code == 1
    found = findings(ran)
    assert "apt-get install tesseract-ocr" in str(found["tesseract"]["fix"])
    assert "edge-runtime models pull" in str(found["asr"]["fix"])
    assert found["encoder"]["ok"]


def test_listen_answers_what_it_hears_and_plays_the_reply(
    data: Path, questions: dict[str, Path], tmp_path: Path
) -> None:
    samples, rate = soundfile.read(str(questions["zh"]), dtype="int16")
    played = tmp_path / "played.wav"
    done = subprocess.run(
        [EDGE, "listen", "--lang", "zh"],
        input=soxr.resample(samples, rate, 16_000).tobytes() + b"\x00",
        capture_output=True,
        env=environment(data, EDGE_PLAYER=f"tee -a {played}"),
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert "退".encode() in done.stdout
    assert played.read_bytes().startswith(b"RIFF")


def test_the_command_is_the_one_of_this_environment() -> None:
    assert Path(EDGE).is_file()
    assert Path(EDGE).parent == Path(sys.executable).parent

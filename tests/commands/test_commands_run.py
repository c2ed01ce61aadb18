"""Every command in this process: help, mistakes, and what they print."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from edge_runtime import __version__
from edge_runtime.bundles import opened
from edge_runtime.cli import app
from edge_runtime.config import PACKS_DIR, load_settings


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


ALL = sorted(commands(typer.main.get_command(app)))


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data of this test's own, and a folder for models that holds none."""
    monkeypatch.setenv("EDGE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("EDGE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def real_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGE_MODELS_DIR")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without models that the first of some tests prepares for the others."""
    return tmp_path_factory.mktemp("prepared")


def run(*arguments: str | Path, stdin: str | bytes = "") -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
    unexpected = result.exception and not isinstance(result.exception, SystemExit)
    assert not unexpected, repr(result.exception)
    return result


def error(result: Result) -> dict[str, str]:
    (line,) = result.stdout.splitlines()
    found: dict[str, str] = json.loads(line)["error"]
    return found


# ---- help ----


def test_the_commands_are_those_of_the_design() -> None:
    top = {path[0] for path in ALL}
    assert top == {
        *("serve", "chat", "ask", "listen", "transcribe", "ocr", "speak", "understand"),
        *("knowledge", "models", "doctor", "bench"),
    }
    assert {path[1] for path in ALL if path[0] == "models"} == {"list", "pull", "verify", "remove"}
    assert {"add", "list", "check"} <= {path[1] for path in ALL if path[0] == "knowledge"}


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_explains_and_gives_an_example(path: tuple[str, ...]) -> None:
    shown = run(*path, "--help")
    assert shown.exit_code == 0
    assert "Example" in shown.stdout
    assert f"edge-runtime {' '.join(path)}" in " ".join(shown.stdout.split())


@pytest.mark.parametrize("path", [p for p in ALL if p[0] not in ("serve", "listen")], ids=" ".join)
def test_every_command_that_answers_has_json(path: tuple[str, ...]) -> None:
    assert "--json" in run(*path, "--help").stdout


def test_version() -> None:
    assert run("--version").stdout.strip() == __version__


# ---- mistakes ----


@pytest.mark.parametrize(
    "arguments",
    [
        ("ask", "hello"),
        ("chat",),
        ("transcribe", "a.wav"),
        ("ocr", "a.png"),
        ("speak", "hello", "-o", "a.wav"),
        ("understand", "hello"),
        ("doctor",),
        ("bench",),
        ("knowledge", "list"),
        ("models", "list"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_an_unknown_profile_is_a_configuration_error(arguments: tuple[str, ...]) -> None:
    result = run(*arguments, "--profile", "huge", "--json")
    assert result.exit_code == 2
    assert error(result)["type"] == "ConfigError"
    assert "huge" in error(result)["message"]


def test_a_missing_model_is_exit_3_with_the_command_that_gets_it() -> None:
    arguments = ("speak", "hello", "-o", "out.wav")
    result = run(*arguments)
    assert result.exit_code == 3
    assert "edge-runtime models pull kokoro-82m-int8" in result.stderr
    assert error(run(*arguments, "--json"))["type"] == "ModelMissingError"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ask", "外套能退吗?"), "returns#clothing"),
        (("understand", "hello"), "greeting"),
        (("knowledge", "list"), "returns#clothing"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_what_is_typed_is_answered_before_any_model_was_fetched(
    arguments: tuple[str, ...], said: str, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_DATA_DIR", str(prepared / "data"))
    monkeypatch.setenv("EDGE_MODELS_DIR", str(prepared / "models"))
    result = run(*arguments, "--json")
    assert result.exit_code == 0
    assert said in result.stdout


def test_an_encoder_that_did_not_come_along_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(opened, "SHIPPED", tmp_path)
    result = run("ask", "外套能退吗?", "--json")
    assert (result.exit_code, error(result)["type"]) == (3, "ModelMissingError")
    assert "Install edge-runtime again" in error(result)["hint"]


def test_a_place_that_cannot_be_written_is_exit_5(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_DATA_DIR", "/sys/kernel/edge-runtime")
    result = run("ask", "hello", "--json")
    assert result.exit_code == 5
    assert error(result)["type"] == "StorageError"
    assert "EDGE_DATA_DIR" in error(result)["hint"]


@pytest.mark.parametrize("variable", ["EDGE_PORT", "EDGE_THREADS", "EDGE_TURN_TIMEOUT_S"])
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "many")
    result = run("ask", "hello", "--json")
    assert (result.exit_code, error(result)["type"]) == (2, "ConfigError")
    assert variable in error(result)["hint"]


def test_a_broken_settings_file_is_a_configuration_error(tmp_path: Path) -> None:
    file = tmp_path / "config" / "edge-runtime" / "edge.toml"
    file.parent.mkdir(parents=True)
    file.write_text("port = = 1")
    result = run("ask", "hello", "--json")
    assert (result.exit_code, error(result)["type"]) == (2, "ConfigError")


# ---- packs ----


@pytest.fixture
def broken_pack(tmp_path: Path) -> Path:
    pack = tmp_path / "shop"
    shutil.copytree(PACKS_DIR / "retail", pack)
    broken = pack / "knowledge" / "returns.en.md"
    lines = broken.read_text(encoding="utf-8").splitlines()
    lines[lines.index("## Food {#food}")] = "## Food {#clothing}"
    broken.write_text("\n".join(lines), encoding="utf-8")
    return pack


def test_a_broken_pack_is_exit_2_with_file_and_line(broken_pack: Path) -> None:
    found = run("knowledge", "check", broken_pack, "--json")
    assert found.exit_code == 2
    problems = json.loads(found.stdout)["problems"]
    assert any(p["file"].endswith("returns.en.md") and p["line"] > 1 for p in problems)
    text = run("knowledge", "check", broken_pack)
    assert text.exit_code == 2
    assert "returns.en.md:" in text.stderr


def test_a_pack_with_broken_toml_is_refused_by_every_turn(tmp_path: Path) -> None:
    pack = tmp_path / "shop"
    shutil.copytree(PACKS_DIR / "retail", pack)
    (pack / "pack.toml").write_text('name = "shop"\nlanguages = [\n')
    result = run("ask", "hello", "--pack", pack, "--json")
    assert (result.exit_code, error(result)["type"]) == (2, "PackError")
    assert "pack.toml:" in error(result)["message"]


def test_a_pack_that_is_not_there(tmp_path: Path) -> None:
    result = run("ask", "hello", "--pack", tmp_path / "nowhere", "--json")
    assert (result.exit_code, error(result)["type"]) == (2, "PackError")


def test_the_shipped_pack_is_in_order() -> None:
    assert run("knowledge", "check").exit_code == 0
    assert json.loads(run("knowledge", "check", "--json").stdout)["problems"] == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("parking.en.md", "---\nkind: nonsense\n---\n# Parking\n## Fees {#fees}\nFree.\n"),
        ("parking.en.md", ""),
        ("parking.en.md", "\x00\x01\x02"),
        ("parking.pdf", "%PDF"),
        ("faq.csv", "a,b\n1,2\n"),
    ],
)
def test_a_bad_knowledge_file_is_refused_and_not_kept(
    tmp_path: Path, name: str, content: str
) -> None:
    bad = tmp_path / name
    bad.write_text(content)
    good = tmp_path / "cars.en.md"
    good.write_text("---\nkind: faq\ntopic: cars\n---\n# Cars\n## Fees {#fees}\nFree.\n")
    result = run("knowledge", "add", good, bad, "--json")
    assert (result.exit_code, error(result)["type"]) == (2, "PackError")
    assert name in error(result)["message"]
    assert not list((tmp_path / "data").rglob("*.md"))


def test_adding_a_file_that_is_not_there(tmp_path: Path) -> None:
    result = run("knowledge", "add", tmp_path / "no.en.md", "--json")
    assert (result.exit_code, error(result)["type"]) == (2, "PackError")


# ---- files and standard input ----


@pytest.mark.parametrize("command", ["transcribe", "ocr"])
def test_files_that_cannot_be_used_are_each_told_in_order(command: str, tmp_path: Path) -> None:
    empty, text = tmp_path / "empty", tmp_path / "text.txt"
    empty.touch()
    text.write_text("words")
    result = run(command, empty, text, tmp_path / "missing", "--json")
    assert result.exit_code == 2
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Path(row["file"]).name for row in rows] == ["empty", "text.txt", "missing"]
    assert {row["error"]["type"] for row in rows} <= {"AudioError", "ImageError"}


def test_a_command_without_files_says_what_it_wants() -> None:
    assert run("transcribe").exit_code == 2
    assert run("speak").exit_code == 2


@pytest.mark.parametrize("text", ["", "   ", "a" * 3000])
def test_nothing_or_too_much_to_say(text: str, tmp_path: Path) -> None:
    for result in (
        run("speak", text, "-o", tmp_path / "out.wav", "--json"),
        run("speak", "-", "-o", tmp_path / "out.wav", "--json", stdin=text),
    ):
        assert (result.exit_code, error(result)["type"]) == (2, "TextError")
    assert not (tmp_path / "out.wav").exists()


@pytest.mark.models
@pytest.mark.usefixtures("real_models")
@pytest.mark.parametrize(
    "line",
    [
        "not json",
        '{"txt": "hello"}',
        '["hello"]',
        '"hello"',
        '{"text": 5}',
        '{"text": ""}',
        '{"text": null}',
        "[" * 100_000,
        json.dumps({"text": "x" * 2001}),
        '{"text": "' + "x" * 2_000_000,
        '{"text": "hello", "lang": "klingon"}',
        '{"text": "hello", "lang": 5}',
    ],
    ids=lambda line: line[:30],
)
def test_a_bad_line_for_understand_is_a_clear_error(line: str) -> None:
    result = run("understand", "--profile", "lite", stdin=f"\n{line}\n")
    assert result.exit_code == 2
    assert error(result)["type"] in ("TextError", "LanguageError")
    if error(result)["type"] == "TextError":
        assert "ine 2 " in error(result)["message"] + " "


def test_settings_of_the_tests_are_not_the_users(tmp_path: Path) -> None:
    assert load_settings().data_dir == tmp_path / "data"

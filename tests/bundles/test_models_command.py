from __future__ import annotations

import json
from pathlib import Path

import pytest
from bundle_kit import model, wheel_store
from typer.testing import CliRunner, Result

from edge_runtime.bundles import catalogue as catalogue_module
from edge_runtime.commands.models import app

FILES = {"w.bin": b"w" * 2_000_000}


@pytest.fixture
def stick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stick with model "m"; the commands see a catalogue of "m" and of a system engine."""
    store, stick = wheel_store(tmp_path, FILES)
    shipped = tmp_path / "catalogue" / "catalog.toml"
    with shipped.open("a") as stream:
        stream.write(model("tess", extra='install = "apt install tess"'))
    monkeypatch.setattr(catalogue_module, "CATALOGUE_FILE", shipped)
    monkeypatch.setenv("EDGE_MODELS_DIR", str(store.root))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return stick


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_pull_list_verify_and_remove_as_a_person_would(stick: Path) -> None:
    assert "no" in run("list").stdout.split("m ", 1)[1].splitlines()[0]
    pulled = run("pull", "--profile", "lite", "--from", str(stick))
    assert pulled.exit_code == 0
    assert "m  2.0 MB" in pulled.stdout
    assert "joining and checking" in pulled.stderr
    assert "already complete" in run("pull", "m").stdout
    assert "ok" in run("verify").stdout
    assert "2.0 MB freed" in run("remove", "m").stdout


def test_json_is_one_object_a_command(stick: Path) -> None:
    listed = json.loads(run("list", "--json").stdout)
    assert [(row["id"], row["status"]) for row in listed] == [("m", "no"), ("tess", "system")]
    (pulled,) = json.loads(run("pull", "m", "--from", str(stick), "--json").stdout)
    assert (pulled["id"], pulled["status"], pulled["size"]) == ("m", "installed", 2_000_000)
    (verified,) = json.loads(run("verify", "m", "--json").stdout)
    assert verified == {"id": "m", "ok": True, "size": 2_000_000, "error": None}
    assert json.loads(run("remove", "m", "--json").stdout) == [{"id": "m", "freed": 2_000_000}]


def test_a_damaged_model_gives_a_sentence_and_an_exit_code(stick: Path, tmp_path: Path) -> None:
    run("pull", "m", "--from", str(stick))
    path = next((tmp_path / "store" / "installed").rglob("w.bin"))
    path.chmod(0o644)
    path.write_bytes(b"v" * 2_000_000)
    result = run("verify")
    assert result.exit_code == 3
    assert "is damaged: expected sha256" in result.stdout
    (verified,) = json.loads(run("verify", "--json").stdout)
    assert verified["error"]["type"] == "ModelCorruptError"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("pull", "nonsense"), 2, "no model called 'nonsense'"),
        (("pull", "tess"), 2, "apt install tess"),
        (("pull", "--profile", "huge"), 2, "Setting 'profile' is wrong"),
        (("pull", "m", "--sha256", "abc"), 2, "is not understood"),
        (("pull", "m", "--from", "/no/such/folder"), 3, "is not a folder"),
        (("pull", "m"), 3, "fake-m==1.0 could not be fetched"),
        (("verify", "nonsense"), 2, "no model called"),
        (("verify", "m"), 3, "edge-runtime models pull m"),
        (("remove", "m"), 3, "is not installed"),
    ],
)
def test_a_mistake_is_a_sentence_not_a_trace(
    stick: Path, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert sentence in result.stdout + result.stderr
    assert "Traceback" not in result.output


def test_an_error_under_json_is_an_object(stick: Path) -> None:
    result = run("pull", "nonsense", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["type"] == "ConfigError"


@pytest.mark.parametrize("command", ["list", "pull", "verify", "remove"])
def test_help_shows_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"edge-runtime models {command}" in result.stdout

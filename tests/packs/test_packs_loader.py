"""A pack is read whole or refused with file, line and advice; nothing in it is trusted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import PackError
from edge_runtime.packs import check_pack, load_pack, pack_digest, read_rows
from edge_runtime.packs.documents import parse_toml, parse_yaml
from edge_runtime.packs.problems import Problems
from edge_runtime.packs.replies import GENERIC_REPLIES, SKILL_REPLIES, template_problem

MANIFEST = """\
name = "corner-shop"
version = "1.2.3"
languages = ["en"]
default_language = "en"

[persona.name]
en = "Pat"
[persona.style]
en = "Brief."

[policies.returns]
any = "returns#general"
"""
INTENTS = """\
intents:
  order_status:
    description: Where is my order
    skill: order_status
    slots:
      - {name: order_id, entity: order_id, required: true, ask: ask_order_id}
    examples:
      en:
        - where is my order
        - yes
  return_policy:
    description: May I return it
    topic: returns
    examples:
      en: [can I return it]
out_of_scope:
  en: [tell me a joke]
"""
RETURNS = """\
---
kind: policy
topic: returns
---
# Returns

## Most goods {#general}
Yes, within **7 days** with the
[receipt](https://example.com).
"""


def replies() -> dict[str, str]:
    keys = {**GENERIC_REPLIES, **SKILL_REPLIES["order_status"]}
    return {
        key: " ".join(["Text", *(f"{{{name}}}" for name in names)]) for key, names in keys.items()
    }


@pytest.fixture
def pack_dir(tmp_path: Path) -> Path:
    root = tmp_path / "pack"
    for folder in ("knowledge", "lexicon", "data", "images"):
        (root / folder).mkdir(parents=True)
    write(root, "pack.toml", MANIFEST)
    write(root, "intents.yaml", INTENTS)
    write(root, "replies.en.toml", "".join(f'{k} = "{v}"\n' for k, v in replies().items()))
    write(root, "knowledge/returns.en.md", RETURNS)
    return root


def write(root: Path, name: str, text: str) -> None:
    (root / name).write_text(text, encoding="utf-8")


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        text = (root / name).read_text(encoding="utf-8")
        assert old in text
        write(root, name, text.replace(old, new, 1))

    return change


def add(name: str, text: str) -> Callable[[Path], None]:
    return lambda root: write(root, name, text)


def test_a_sound_pack_is_read_whole(pack_dir: Path) -> None:
    pack = load_pack(pack_dir)
    assert (pack.name, pack.version, pack.languages) == ("corner-shop", "1.2.3", ("en",))
    assert pack.intents["order_status"].slots[0].ask == "ask_order_id"
    assert pack.policies[0].category == ""
    assert pack.out_of_scope == {"en": ("tell me a joke",)}
    assert check_pack(pack_dir) == []


def test_a_plain_yes_in_yaml_stays_an_utterance(pack_dir: Path) -> None:
    assert "yes" in load_pack(pack_dir).intents["order_status"].examples["en"]


DEFECTS = [
    (edit("pack.toml", "version", "versoin"), "pack.toml:2", "Unknown key 'versoin'"),
    (edit("pack.toml", '"1.2.3"', '"one"'), "pack.toml:2", "'version' is wrong"),
    (edit("pack.toml", '= ["en"]', '= ["en"'), "pack.toml:4", "not valid TOML"),
    (edit("pack.toml", '["en"]', '["en", "fr"]'), "pack.toml:3", "no replies.fr.toml"),
    (edit("pack.toml", '["en"]', '["en", "fr"]'), "intents.yaml:7", "no examples in 'fr'"),
    (edit("pack.toml", '["en"]', '["en", "fr"]'), "knowledge/returns.en.md:7", "missing in 'fr'"),
    (edit("pack.toml", '"returns#general"', '"returns#x"'), "pack.toml:12", "does not exist"),
    (edit("pack.toml", "any =", "rockets ="), "pack.toml:12", "category 'rockets'"),
    (edit("intents.yaml", "    skill: o", "    skil: o"), "intents.yaml:4", "skil"),
    (edit("intents.yaml", "skill: order_status", "skill: teleport"), "intents.yaml:4", "teleport"),
    (edit("intents.yaml", "topic: returns", "topic: rockets"), "intents.yaml:13", "rockets"),
    (edit("intents.yaml", "  return_policy:", "  unclear:"), "intents.yaml:11", "'unclear'"),
    (edit("intents.yaml", "topic: returns", "topic: ''"), "intents.yaml:11", "exactly one of"),
    (edit("intents.yaml", "en: [can I return it]", "en: []"), "intents.yaml:14", "no examples"),
    (edit("intents.yaml", "can I return it", "Where is my order?"), "intents.yaml:15", "already"),
    (edit("intents.yaml", "tell me a joke", "can i return it!"), "intents.yaml:17", "already"),
    (
        edit("intents.yaml", "ask_order_id}", "ask_moon}"),
        "replies.en.toml",
        "'ask_moon' is missing",
    ),
    (edit("intents.yaml", "  return_policy:", "  order_status:"), "intents.yaml:11", "twice"),
    (edit("intents.yaml", "- yes", "- !!python/object:os.system x"), "intents.yaml:10", "tag"),
    (edit("intents.yaml", "[can I return it]", "&a [*a]"), "intents.yaml:15", ""),
    (edit("intents.yaml", "out_of_scope:", "x: [\n"), "intents.yaml", "not valid YAML"),
    (edit("replies.en.toml", "goodbye =", "godbye ="), "replies.en.toml", "'goodbye' is missing"),
    (edit("replies.en.toml", "goodbye =", "godbye ="), "replies.en.toml:2", "'godbye'"),
    (edit("replies.en.toml", '"Text"', '"Hi {who}"'), "replies.en.toml:1", "{who}"),
    (edit("replies.en.toml", '"Text"', '"Hi {"'), "replies.en.toml:1", "braces"),
    (edit("replies.en.toml", '"Text"', "3"), "replies.en.toml:1", "not text"),
    (edit("knowledge/returns.en.md", "topic:", "topik:"), "knowledge/returns.en.md:1", "topik"),
    (edit("knowledge/returns.en.md", "policy", "poem"), "knowledge/returns.en.md:1", "poem"),
    (
        edit("knowledge/returns.en.md", "Yes", "![](../images/no.png)\n\nYes"),
        "knowledge/returns.en.md:8",
        "missing",
    ),
    (
        edit("knowledge/returns.en.md", "Yes", "![](../../../x.png)\n\nYes"),
        "knowledge/returns.en.md:8",
        "outside",
    ),
    (
        edit("knowledge/returns.en.md", "Yes", "| a | b |\n\nYes"),
        "knowledge/returns.en.md:8",
        "Tables",
    ),
    (
        add("knowledge/returns2.en.md", "# T\n\n## A {#a}\n\n## A {#a}\nx"),
        "returns2.en.md:3",
        "no text",
    ),
    (add("knowledge/faq.csv", "question,answer\nq,a\n"), "knowledge/faq.csv:2", "language"),
    (add("knowledge/faq.en.csv", "question\nq\n"), "knowledge/faq.en.csv:1", "'answer'"),
    (add("knowledge/faq.en.csv", "question,answer\nq,a,b\n"), "knowledge/faq.en.csv:2", "3 cells"),
    (add("lexicon/sensitive.en.txt", "darn\n"), "lexicon/sensitive.en.txt:1", "category"),
    (add("lexicon/sensitive.en.txt", "[a]\nass | clap\n"), "lexicon/sensitive.en.txt:2", "clap"),
    (add("lexicon/colloquial.en.tsv", "wanna want to\n"), "lexicon/colloquial.en.tsv:1", "TAB"),
    (add("lexicon/compliance.en.toml", '[[rule]]\nid = "a"\n'), "compliance.en.toml:1", "phrases"),
    (add("data/stores.csv", "store_id\n1\n"), "data/stores.csv:1", "'phone'"),
    (
        add("data/customers.csv", "customer_id,name,phone,tier,points,language\n1,A,2,czar,0,en\n"),
        "data/customers.csv:2",
        "czar",
    ),
    (add("replis.en.toml", ""), "replis.en.toml", "no file of this name"),
    (add("images/run.exe", ""), "images/run.exe", "no file of this name"),
]


@pytest.mark.parametrize(("spoil", "where", "what"), DEFECTS)
def test_each_defect_is_named_with_file_line_and_advice(
    pack_dir: Path, spoil: Callable[[Path], None], where: str, what: str
) -> None:
    spoil(pack_dir)
    found = check_pack(pack_dir)
    assert [e for e in found if where in str(e) and what in str(e)], [str(e) for e in found]
    assert all(error.hint for error in found)
    with pytest.raises(PackError):
        load_pack(pack_dir)


def test_a_check_lists_several_defects_at_once(pack_dir: Path) -> None:
    edit("intents.yaml", "topic: returns", "topic: rockets")(pack_dir)
    edit("replies.en.toml", "goodbye =", "godbye =")(pack_dir)
    assert len(check_pack(pack_dir)) == 3


@pytest.mark.parametrize("name", ["pack.toml", "intents.yaml"])
def test_a_missing_main_file_is_named(pack_dir: Path, name: str) -> None:
    (pack_dir / name).unlink()
    with pytest.raises(PackError, match=f"{name}: The file is missing"):
        load_pack(pack_dir)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="no pack folder"):
        load_pack(tmp_path / "nowhere")


def test_text_that_is_not_utf8_is_refused_with_its_line(pack_dir: Path) -> None:
    (pack_dir / "replies.en.toml").write_bytes(b'greeting = "Hi"\ngoodbye = "\xff"\n')
    with pytest.raises(PackError, match=r"replies\.en\.toml:2: The file is not UTF-8"):
        load_pack(pack_dir)


def test_a_file_too_large_is_refused_unread(pack_dir: Path) -> None:
    with (pack_dir / "knowledge" / "big.en.md").open("wb") as stream:
        stream.truncate(2**33)
    assert any("big.en.md" in str(error) for error in check_pack(pack_dir))


def test_too_many_files_are_refused(pack_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_runtime.packs.files.MAX_FILES", 3)
    assert any("more than 3 files" in str(error) for error in check_pack(pack_dir))


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_link_out_of_the_pack_is_refused(pack_dir: Path, tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.en.md").write_text("# secret\n\nsecret", encoding="utf-8")
    target = outside / "x.en.md" if kind == "file" else outside
    (pack_dir / "knowledge" / ("x.en.md" if kind == "file" else "more")).symlink_to(target)
    with pytest.raises(PackError, match="leads out of the pack"):
        load_pack(pack_dir)


def test_a_pipe_is_refused_without_waiting_for_it(pack_dir: Path) -> None:
    os.mkfifo(pack_dir / "knowledge" / "x.en.md")
    with pytest.raises(PackError, match="not a plain file"):
        load_pack(pack_dir)


def test_an_alias_bomb_is_refused(pack_dir: Path) -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30)
    )
    write(pack_dir, "intents.yaml", bomb)
    with pytest.raises(PackError, match="Aliases"):
        load_pack(pack_dir)


def test_deep_nesting_is_refused(pack_dir: Path) -> None:
    write(pack_dir, "intents.yaml", "x: " + "[" * 20_000 + "]" * 20_000)
    write(pack_dir, "pack.toml", "x = " + "[" * 20_000 + "]" * 20_000)
    assert {error.file for error in check_pack(pack_dir)} >= {"intents.yaml", "pack.toml"}


def test_the_digest_follows_content_and_names(pack_dir: Path) -> None:
    pack = load_pack(pack_dir)
    before = pack_digest(pack)
    assert pack_digest(load_pack(pack_dir)) == before
    edit("intents.yaml", "tell me a joke", "tell me a story")(pack_dir)
    changed = pack_digest(pack)
    (pack_dir / "knowledge/returns.en.md").rename(pack_dir / "knowledge/back.en.md")
    assert len({before, changed, pack_digest(pack)}) == 3


def test_a_shop_skill_is_declared_in_the_manifest(pack_dir: Path) -> None:
    skill = '[[skills]]\nname = "loyalty"\nurl = "http://pos.local/points"\n'
    write(pack_dir, "pack.toml", MANIFEST + skill + 'fields = ["phone"]\nreply = "points"\n')
    edit("intents.yaml", "skill: order_status", "skill: loyalty")(pack_dir)
    errors = [str(error) for error in check_pack(pack_dir)]
    assert any("'points' is missing" in error for error in errors)
    keys = {
        **dict.fromkeys(GENERIC_REPLIES, "Text"),
        "ask_order_id": "Which?",
        "points": "{phone}!",
    }
    write(pack_dir, "replies.en.toml", "".join(f'{k} = "{v}"\n' for k, v in keys.items()))
    assert load_pack(pack_dir).http_skills[0].timeout_s == 3.0


def test_a_pack_without_tables_has_no_rows(pack_dir: Path) -> None:
    assert read_rows(load_pack(pack_dir), "orders") == ()


@given(st.text(max_size=300))
def test_any_text_as_a_template_is_judged_not_run(text: str) -> None:
    problem = template_problem(text, ("name",))
    if not problem:
        assert text.format(name="x") is not None


@given(st.text(max_size=400))
@settings(deadline=None)
def test_any_text_as_yaml_or_toml_gives_a_document_or_a_report(text: str) -> None:
    for parse in (parse_yaml, parse_toml):
        problems = Problems()
        document = parse(text, "f", problems)
        assert (document is None) == bool(problems.found)

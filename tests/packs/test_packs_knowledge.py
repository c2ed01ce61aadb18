"""Knowledge files become passages that read well aloud; broken ones are refused with a line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.errors import PackError
from edge_runtime.packs import parse_items, read_passages
from edge_runtime.packs.markdown import parse_page
from edge_runtime.packs.problems import Problems

PNG = b"\x89PNG\r\n\x1a\n"


def put(root: Path, name: str, text: str) -> Path:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def test_sections_become_passages_without_markup(tmp_path: Path) -> None:
    put(tmp_path, "images/base.png", "x")
    file = put(
        tmp_path,
        "knowledge/repair.en.md",
        "---\nkind: repair\ntopic: repair\n---\n# Guide\n\n## Kettle {#kettle}\n"
        "**Unplug** it,\nthen `wait`:\n\n1. Lift it.\n2. Dry the *base*.\n\n- Done\n\n"
        "![Base](../images/base.png)\n",
    )
    (passage,) = read_passages(file, tmp_path)
    assert passage.id == "repair#kettle"
    assert passage.title == "Guide · Kettle"
    assert passage.text == "Unplug it, then wait:\n1. Lift it.\n2. Dry the base.\nDone"
    assert passage.images == ("images/base.png",)
    assert (passage.kind, passage.topic, passage.language) == ("repair", "repair", "en")
    assert passage.file == "knowledge/repair.en.md"


def test_chinese_lines_join_without_a_space(tmp_path: Path) -> None:
    file = put(tmp_path, "faq.zh.md", "# 常见问题\n\n## 退货 {#a}\n七天内\n可以退。\n")
    assert read_passages(file, tmp_path)[0].text == "七天内可以退。"


def test_a_shops_own_file_needs_no_front_matter_and_no_slug(tmp_path: Path) -> None:
    file = put(tmp_path, "notes.zh.md", "本店有三层楼。\n\n## 停车 场\n免费两小时。\n")
    passages = read_passages(file, tmp_path)
    assert [p.id for p in passages] == ["notes#intro", "notes#停车-场"]
    assert passages[0].kind == "faq"


def test_questions_from_csv_keep_quotes_and_default_language(tmp_path: Path) -> None:
    file = put(
        tmp_path,
        "faq.en.csv",
        '\ufeffquestion,answer,topic\n"Cash, or card?","Both,\nalways.",pay\n',
    )
    (passage,) = read_passages(file, tmp_path)
    assert (passage.title, passage.text) == ("Cash, or card?", "Both,\nalways.")
    assert (passage.topic, passage.language) == ("pay", "en")


def test_a_product_becomes_one_passage_per_language(tmp_path: Path) -> None:
    file = put(
        tmp_path,
        "products.csv",
        "id,category,price,stock,name.en,name.zh,description.en\nP1,food,3.50,4,Bread,面包,Fresh.\n",
    )
    passages = read_passages(file, tmp_path)
    assert {p.language: p.text for p in passages} == {"en": "Bread: Fresh.", "zh": "面包"}
    assert {p.id for p in passages} == {"products#P1"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("faq.md", "# A\n\nb", "language is missing"),
        ("a b.en.md", "# A\n\nb", "is called"),
        ("faq.en.md", "", "no passage"),
        ("faq.en.md", "---\nkind faq\n---\n# A\n\nb", r"faq\.en\.md:2: .*key: value"),
        ("faq.en.md", "## A {#a}\nx\n\n## B {#a}\ny", r"faq\.en\.md:4: .*appears twice"),
        ("faq.en.md", "## A {#a}\n" + "x" * 5000, r"faq\.en\.md:1: .*longer than"),
        ("faq.en.md", "![x](https://example.com/x.png)\n\nb", "not a file of the pack"),
        ("faq.en.csv", 'question,answer\n"a,b\n', r"faq\.en\.csv:2: This is not valid CSV"),
        ("products.csv", "id,category,price,stock,name.en\nP1,food,free,1,Bread\n", ":2: 'free'"),
        ("products.csv", "id,category,price,stock,name.en\nP1,f,NaN,1,Bread\n", ":2: 'NaN'"),
        ("products.csv", "id,category,price,stock,name.en\nP1,f,1,²,Bread\n", ":2: '²'"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    file = put(tmp_path, name, text)
    with pytest.raises(PackError, match=message) as caught:
        read_passages(file, tmp_path)
    assert caught.value.hint


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="cannot be read"):
        read_passages(tmp_path / "gone.en.md", tmp_path)


@given(st.text(max_size=500))
@settings(deadline=None)
def test_any_text_can_be_parsed_as_markdown(text: str) -> None:
    page = parse_page(text.replace("\r", "\n"), "f", Problems())
    assert all(section.slug for section in page.sections)


@given(content=st.binary(max_size=300), suffix=st.sampled_from([".en.md", ".en.csv"]))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_give_passages_or_a_pack_error(
    tmp_path: Path, content: bytes, suffix: str
) -> None:
    file = tmp_path / f"x{suffix}"
    file.write_bytes(content)
    try:
        passages = read_passages(file, tmp_path)
    except PackError as error:
        assert error.file
    else:
        assert passages


def test_items_of_an_order_are_ids_and_quantities() -> None:
    assert parse_items("P1:2 P2:1") == (("P1", 2), ("P2", 1))

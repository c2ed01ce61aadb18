"""Checks across a pack's files: everything named exists, in every language it must."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edge_runtime.packs.documents import Document
from edge_runtime.packs.manifest import ANY_CATEGORY, IntentsFile, Manifest
from edge_runtime.packs.problems import Problems
from edge_runtime.packs.replies import (
    GENERIC_REPLIES,
    SKILL_REPLIES,
    TIER_FIELDS,
    template_problem,
)
from edge_runtime.packs.tables import Row
from edge_runtime.turn import GENERAL_INTENTS, OUT_OF_SCOPE, Passage

MANIFEST_FILE = "pack.toml"
INTENTS_FILE = "intents.yaml"
SENTIMENT_FILE = "sentiment.yaml"

_IGNORED = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Sources:
    """The parsed files that the checks compare, each with its line numbers."""

    manifest: Manifest
    manifest_lines: Document
    intents: IntentsFile
    intents_lines: Document
    replies: Mapping[str, Document]
    categories: Mapping[str, Document]
    passages: tuple[tuple[int, Passage], ...]
    tables: Mapping[str, tuple[str, list[tuple[int, Row]]]]
    """Table → file name, and line and cells of each row."""


def check_all(sources: Sources, problems: Problems) -> None:
    """Report every reference that leads nowhere."""
    _check_languages(sources, problems)
    _check_intents(sources, problems)
    _check_duplicates(sources, problems)
    _check_replies(sources, problems)
    _check_policies(sources, problems)
    _check_translations(sources, problems)
    _check_categories(sources, problems)
    _check_tables(sources, problems)


def _check_languages(sources: Sources, problems: Problems) -> None:
    manifest, document = sources.manifest, sources.manifest_lines
    if manifest.default_language not in manifest.languages:
        problems.report(
            f"default_language '{manifest.default_language}' is not one of languages.",
            file=document.file,
            line=document.line("default_language"),
            hint="Add it to languages or choose another one.",
        )
    for section in ("name", "style"):
        for language in _missing(manifest.languages, getattr(manifest.persona, section)):
            problems.report(
                f"persona.{section} lacks the language '{language}'.",
                file=document.file,
                line=document.line("persona", section),
                hint=f'Add  {language} = "…"  there.',
            )


def _check_intents(sources: Sources, problems: Problems) -> None:
    document = sources.intents_lines
    skills = {*SKILL_REPLIES, *(skill.name for skill in sources.manifest.skills)}
    topics = {passage.topic for _, passage in sources.passages}

    def report(message: str, hint: str, *path: str | int) -> None:
        problems.report(message, file=document.file, line=document.line(*path), hint=hint)

    for name, intent in sources.intents.intents.items():
        at = ("intents", name)
        if name in GENERAL_INTENTS:
            report(
                f"An intent may not be called '{name}'.",
                "What the shop does not answer stands under the top-level key out_of_scope.",
                *at,
            )
        if sum(bool(way) for way in (intent.skill, intent.topic, intent.reply)) != 1:
            report(
                f"The intent '{name}' must have exactly one of skill, topic or reply.",
                "Keep the one that serves it.",
                *at,
            )
        if intent.skill and intent.skill not in skills:
            report(
                f"There is no skill '{intent.skill}'.",
                f"Use one of {', '.join(sorted(skills))}, or declare it under [[skills]].",
                *at,
                "skill",
            )
        if intent.topic and intent.topic not in topics:
            report(
                f"No passage has the topic '{intent.topic}'.",
                "Write one in knowledge/, or correct the topic.",
                *at,
                "topic",
            )
        for language in _missing(sources.manifest.languages, intent.examples):
            report(
                f"The intent '{name}' has no examples in '{language}'.",
                "Write at least one; twenty or more make it work well.",
                *at,
                "examples",
            )
    for language in _missing(sources.manifest.languages, sources.intents.out_of_scope):
        report(f"out_of_scope has no examples in '{language}'.", "Write some.", OUT_OF_SCOPE)


def _check_duplicates(sources: Sources, problems: Problems) -> None:
    document = sources.intents_lines
    groups: list[tuple[str, Mapping[str, tuple[str, ...]], tuple[str, ...]]] = [
        (name, intent.examples, ("intents", name, "examples"))
        for name, intent in sources.intents.intents.items()
    ]
    groups.append((OUT_OF_SCOPE, sources.intents.out_of_scope, (OUT_OF_SCOPE,)))
    seen: dict[tuple[str, str], tuple[str, int | None]] = {}
    for name, examples, path in groups:
        for language, texts in examples.items():
            for index, text in enumerate(texts):
                line = document.line(*path, language, index)
                key = (language, plain(text))
                if key[1] and key in seen:
                    other, first = seen[key]
                    problems.report(
                        f"'{text}' is already an example of '{other}' (line {first}).",
                        file=document.file,
                        line=line,
                        hint=f"Keep it in one of '{other}' and '{name}' only.",
                    )
                seen.setdefault(key, (name, line))


def plain(text: str) -> str:
    """``text`` without case, spaces and punctuation: what makes two examples the same."""
    return _IGNORED.sub("", text.casefold())


def required_replies(sources: Sources) -> dict[str, tuple[str, ...]]:
    """Each reply key that this pack uses, with the fields its template may have."""
    needed: dict[str, tuple[str, ...]] = dict(GENERIC_REPLIES)
    for tier in sources.manifest.vip.values():
        needed |= {tier.greeting: TIER_FIELDS, tier.handover: TIER_FIELDS}
    for intent in sources.intents.intents.values():
        needed |= SKILL_REPLIES.get(intent.skill, {})
        for slot in intent.slots:
            if slot.ask:
                needed.setdefault(slot.ask, ())
        if intent.reply:
            needed.setdefault(intent.reply, ())
    for skill in sources.manifest.skills:
        needed.setdefault(skill.reply, skill.fields)
    return needed


def _check_replies(sources: Sources, problems: Problems) -> None:
    needed = required_replies(sources)
    for language in _missing(sources.manifest.languages, sources.replies):
        problems.report(
            f"There is no replies.{language}.toml.",
            file=MANIFEST_FILE,
            line=sources.manifest_lines.line("languages"),
            hint="Write it, or remove the language.",
        )
    for language, document in sources.replies.items():
        if language in sources.manifest.languages:
            for key in _missing(needed, document.data):
                problems.report(
                    f"The reply '{key}' is missing.", file=document.file, hint=f'Add  {key} = "…"'
                )
        for key, template in document.data.items():
            if key not in needed:
                message, hint = f"Nothing uses the reply '{key}'.", "Check its spelling."
            else:
                message = template_problem(template, needed[key])
                hint = "Correct the template."
            if message:
                line = document.line(key)
                problems.report(message, file=document.file, line=line, hint=hint)


def _check_policies(sources: Sources, problems: Problems) -> None:
    document = sources.manifest_lines
    by_id: dict[str, Passage] = {passage.id: passage for _, passage in sources.passages}
    categories = {ANY_CATEGORY, *_category_ids(sources)}
    for topic, rules in sources.manifest.policies.items():
        for category, passage in rules.items():
            if passage not in by_id:
                message = f"The policy names a passage '{passage}' that does not exist."
                hint = "Use <file>#<slug> of a section in knowledge/."
            elif category not in categories:
                message = f"The policy names a category '{category}' that does not exist."
                hint = f"Use 'any' or a key of lexicon/categories.*.toml: {sorted(categories)}."
            elif by_id[passage].topic != topic:
                message = (
                    f"The passage '{passage}' is about '{by_id[passage].topic}', not '{topic}'."
                )
                hint = "Name a passage of this topic."
            else:
                continue
            line = document.line("policies", topic, category)
            problems.report(message, file=document.file, line=line, hint=hint)


def _check_translations(sources: Sources, problems: Problems) -> None:
    """Every passage of the default language exists in the pack's other languages too."""
    have = {(passage.id, passage.language) for _, passage in sources.passages}
    default = sources.manifest.default_language
    for line, passage in sources.passages:
        if passage.language != default:
            continue
        for language in sources.manifest.languages:
            if (passage.id, language) not in have:
                problems.report(
                    f"The passage '{passage.id}' is missing in '{language}'.",
                    file=passage.file,
                    line=line,
                    hint="Translate it under the same {#slug}.",
                )


def _category_ids(sources: Sources) -> tuple[str, ...]:
    document = sources.categories.get(sources.manifest.default_language)
    return tuple(document.data) if document else ()


def _check_categories(sources: Sources, problems: Problems) -> None:
    known = set(_category_ids(sources))
    for document in sources.categories.values():
        for category in document.data:
            if category not in known:
                problems.report(
                    f"The category '{category}' is not one of the default language's.",
                    file=document.file,
                    line=document.line(category),
                    hint=f"Known: {', '.join(sorted(known))}.",
                )
    name, rows = sources.tables.get("products", ("", []))
    for line, row in rows:
        if row["category"] not in known:
            problems.report(
                f"The category '{row['category']}' does not exist.",
                file=name,
                line=line,
                hint=f"Known: {', '.join(sorted(known))}.",
            )
        for language in sources.manifest.languages:
            if not row.get(f"name.{language}"):
                problems.report(
                    f"The product '{row['id']}' has no name.{language}.",
                    file=name,
                    line=line,
                    hint="Fill in the cell (and the column, if it is missing).",
                )


def _check_tables(sources: Sources, problems: Problems) -> None:
    """Orders name existing customers and products; customers have a tier of the pack's."""
    products = {row["id"] for _, row in sources.tables.get("products", ("", []))[1]}
    customers = {row["customer_id"] for _, row in sources.tables.get("customers", ("", []))[1]}
    tiers = {"none", *sources.manifest.vip}
    name, rows = sources.tables.get("customers", ("", []))
    for line, row in rows:
        if row["tier"] not in tiers:
            hint = f"Known: {', '.join(sorted(tiers))}; others go under [vip.<tier>]."
            problems.report(f"Unknown tier '{row['tier']}'.", file=name, line=line, hint=hint)
    name, rows = sources.tables.get("orders", ("", []))
    for line, row in rows:
        ordered = {entry.rpartition(":")[0] for entry in row["items"].split()}
        unknown = sorted(ordered - products)
        if row["customer_id"] not in customers:
            unknown.append(row["customer_id"])
        for missing in unknown:
            problems.report(
                f"The order names '{missing}', which does not exist.",
                file=name,
                line=line,
                hint="Correct the id, or add it to its own table.",
            )


def _missing(wanted: Iterable[str], present: Mapping[str, object]) -> list[str]:
    return [name for name in wanted if not present.get(name)]

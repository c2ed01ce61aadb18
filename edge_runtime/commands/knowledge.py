"""``knowledge``: what the assistant answers from, and how a shop adds to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from edge_runtime.commands.console import err, error_object, out, print_json, reported
from edge_runtime.commands.opening import opened_rooms
from edge_runtime.commands.options import Json, Pack, Profile
from edge_runtime.config import load_settings
from edge_runtime.errors import PackError
from edge_runtime.languages import language_code

app = typer.Typer(
    help="List, check and extend what the assistant answers from.", no_args_is_help=True
)


@app.command("list")
def list_passages(
    search: Annotated[str, typer.Option(help="Show what would be found for this question.")] = "",
    lang: Annotated[str, typer.Option("--lang", "-l", help="Language of the question.")] = "",
    profile: Profile = None,
    pack: Pack = None,
    json: Json = False,
) -> None:
    """Show every passage, or the best ones for a question.

    [bold]Examples[/]

    edge-runtime knowledge list

    edge-runtime knowledge list --search "面包可以退吗" --lang zh --json
    """
    with reported(as_json=json):
        with opened_rooms(load_settings(profile=profile, pack=pack)) as rooms:
            language = language_code(lang) or rooms.language_of(search)
            passages = rooms.find(search, language) if search else rooms.passages()
        rows = [
            {
                "id": p.id,
                "language": p.language,
                "kind": p.kind,
                "topic": p.topic,
                "title": p.title,
                "text": p.text,
                "file": p.file,
                "score": p.score,
            }
            for p in passages
        ]
        if json:
            print_json(rows)
            return
        table = Table("passage", "lang", "kind", "title", "score" if search else "file")
        for row in rows:
            last = f"{row['score']:.2f}" if search else str(row["file"])
            table.add_row(
                str(row["id"]), str(row["language"]), str(row["kind"]), str(row["title"]), last
            )
        out.print(table)


@app.command()
def add(
    files: Annotated[list[Path], typer.Argument(help="Markdown (name.LANG.md) or CSV files.")],
    profile: Profile = None,
    pack: Pack = None,
    json: Json = False,
) -> None:
    """Add the shop's own texts. A running assistant takes them up at the next start.

    A file of the same name replaces the earlier one.

    [bold]Examples[/]

    edge-runtime knowledge add parking.zh.md

    edge-runtime knowledge add faq.csv --json
    """
    with reported(as_json=json):
        from edge_runtime.shopfiles import add_files

        settings = load_settings(profile=profile, pack=pack)
        added = add_files(settings, files)
        with opened_rooms(settings) as rooms:
            total = len(rooms.passages())
        if json:
            print_json({"added": [str(path) for path in added], "passages": total})
        else:
            out.print(f"{len(added)} file(s) added; the assistant now knows {total} passages.")


@app.command()
def index(profile: Profile = None, pack: Pack = None, json: Json = False) -> None:
    """Train the pack's classifiers and index its passages now, rather than at the first start.

    [bold]Example[/]

    edge-runtime knowledge index
    """
    with reported(as_json=json):
        with opened_rooms(load_settings(profile=profile, pack=pack)) as rooms:
            total = len(rooms.passages())
        if json:
            print_json({"passages": total})
        else:
            out.print(f"The assistant knows {total} passages.")


@app.command()
def check(
    pack: Annotated[str | None, typer.Argument(help="A pack's name or folder.")] = None,
    json: Json = False,
) -> None:
    """Find every mistake in a domain pack, with file and line.

    [bold]Examples[/]

    edge-runtime knowledge check

    edge-runtime knowledge check ./my-shop --json
    """
    with reported(as_json=json):
        from edge_runtime.packs import check_pack

        settings = load_settings(pack=pack)
        problems: list[PackError] = check_pack(settings.pack_dir)
        if json:
            print_json(
                {
                    "pack": str(settings.pack),
                    "problems": [
                        {"file": p.file, "line": p.line, **error_object(p)} for p in problems
                    ],
                }
            )
        else:
            for problem in problems:
                err.print(str(problem), style="red", markup=False, soft_wrap=True)
            out.print("The pack is in order." if not problems else f"{len(problems)} problem(s).")
        if problems:
            raise typer.Exit(PackError.exit_code)

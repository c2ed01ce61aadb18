"""``edge-central``: the central server."""

from __future__ import annotations

import typer

from sync.central.commands import data, fleet, persons, releases, repository, serve

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="The central server of a fleet. Settings come from EDGE_CENTRAL_*.",
)
app.command(
    epilog="Example: edge-central serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem"
)(serve.serve)
app.command(epilog="Example: edge-central enroll --shop 'Main Street'")(fleet.enroll)
app.command(epilog="Example: edge-central operator ann --role operator")(fleet.operator)
app.command(epilog="Example: edge-central release store/bundles/retail/1.2.0.json")(
    releases.release
)
app.command(epilog="Example: edge-central rollout start retail-1.2.0 --stage 5 --stage 100")(
    releases.rollout
)
app.command(epilog="Example: edge-central export --since 2026-01-01 --out turns.jsonl")(data.export)
app.command(epilog="Example: edge-central weed shop/train.jsonl")(data.weed)
app.command(epilog="Example: edge-central backup central-2026-03-02.jsonl.zst")(data.backup)
app.command(epilog="Example: edge-central restore central-2026-03-02.jsonl.zst")(data.restore)

app.command(epilog="Example: edge-central erase --pseudonym '[USER:0123456789abcdef]'")(
    persons.erase
)
app.command(epilog="Example: edge-central retain --turns 180")(persons.retain)
app.command(epilog="Example: edge-central erasures --out receipts.json")(persons.erasures)
app.command(epilog="Example: edge-central forget receipts.json")(persons.forget)
app.add_typer(repository.app, name="repository")


def main() -> None:
    app()

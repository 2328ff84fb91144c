"""``liquida webhooks ...``: what providers told us, once more."""

from typing import Annotated

import typer

from liquida.cli_common import At, fail, finish, read_settings

app = typer.Typer(no_args_is_help=True, help="What providers told us: replay it.")


@app.callback()
def group() -> None:
    """Without it, typer would take the group's only command for the group."""


@app.command()
def replay(
    provider: Annotated[str | None, typer.Option(help="Events of this provider.")] = None,
    event: Annotated[str | None, typer.Option(help="The event of this id.")] = None,
    since: At = None,
    until: At = None,
    unmatched: Annotated[bool, typer.Option(help="Events that were about nothing of ours when they came.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Say what would be done, and do nothing.")] = False,
) -> None:
    """Ring again the bells that stored webhooks rang. Harmless: whoever hears one asks the provider.

    Fails, after all the others, if an event could not be read again.
    """
    from liquida.inbound_webhook_replay import replay as run
    from models.inbound_webhook.queries import Choice

    if not (provider or event or since or until or unmatched):
        fail("say which: --provider, --event, --since, --until or --unmatched")
    finish(run(read_settings(), Choice(provider, event, since, until, unmatched), dry_run=dry_run))

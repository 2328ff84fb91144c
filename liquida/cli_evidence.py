"""``liquida evidence ...``: packs of what was said and decided in a dispute, proved without us."""

from pathlib import Path
from typing import Annotated

import typer

from liquida.cli_common import fail, leave, read_settings

app = typer.Typer(no_args_is_help=True, help="Evidence packs of disputes.")


@app.command()
def verify(
    pack: Path,
    public_key: Annotated[
        str | None, typer.Option(help="The house's, from elsewhere than the pack: as `public-key` prints it.")
    ] = None,
) -> None:
    """Say what is in a pack, and whether it is as it was made; fails if not. Needs no settings and no network."""
    from models.evidence_pack.verify import verify as examine

    content = b""
    try:
        content = pack.read_bytes()
    except OSError as error:
        fail(f"{pack} cannot be read: {error.strerror}")
    verdict = examine(content, public_key=public_key)
    said = verdict.statement
    for name in ("trade_id", "dispute_id", "made_at", "count", "head", "public_key"):
        print(f"{name}: {said.get(name, 'not known')}")
    for kind, count in sorted(verdict.kinds.items()):
        print(f"entries of kind {kind}: {count}")
    print(f"files: {verdict.files}")
    for finding in verdict.findings:
        print(f"AMISS: {finding}")
    if not verdict.is_whole:
        leave(1)
    signed = "the key given" if public_key else "the pack's own key: compare it with the one that the house published"
    print(f"nothing was changed, removed, reordered or added; signed by {signed}")


@app.command("public-key")
def public_key() -> None:
    """Print the key to publish, by which anybody verifies packs."""
    from liquida.wiring import evidence_signer

    signer = evidence_signer(read_settings())
    if signer is None:
        fail("LIQUIDA_EVIDENCE_KEY is not set")
    else:
        print(signer.public_key)

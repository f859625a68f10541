"""`cotrain schema`: the JSON schema of the config."""

from __future__ import annotations

import typer


def schema() -> None:
    """Print the JSON schema of the config, for editors."""
    import json

    from cotrain.recipe.schema import config_schema

    typer.echo(json.dumps(config_schema(), indent=2))

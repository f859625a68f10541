"""The command line: `cotrain` and its commands, one a file.

>>> from typer.testing import CliRunner
>>> from cotrain.cli.main import app
>>> CliRunner().invoke(app, ["--version"]).output.split()[0]
'cotrain'
"""

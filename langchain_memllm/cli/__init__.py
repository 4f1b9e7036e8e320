"""``memllm``: the memory on the command line. It says the same things as the library, by the same names.

Exit status: 0 done; 1 nothing found; 2 the command was used wrongly; 3 the store could not do it; 4 the model could
not do it, or a package is missing; 5 the same operation was delivered with another content.
"""

from __future__ import annotations

from typing import Annotated

import typer

from langchain_memllm.cli import backing, bench, chats, evaluating, keeping, looking, memory, moving, server, training
from langchain_memllm.cli.terminal import print_version, speak_utf8

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(help=__doc__)
def _app(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


for _commands in (memory, keeping, moving, chats, backing, looking, server, training, evaluating, bench):
    app.add_typer(_commands.app)


def main() -> None:
    """Run the command line: ``memllm``, and ``python -m langchain_memllm``."""
    speak_utf8()
    app(prog_name="memllm")

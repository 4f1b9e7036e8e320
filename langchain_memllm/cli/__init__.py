"""``memllm``: the memory on the command line. It says the same things as the library, by the same names.

Exit status: 0 done; 1 nothing found; 2 the command was used wrongly; 3 the store could not do it; 4 the model could
not do it, or a package is missing; 5 the same operation was delivered with another content.
"""

from __future__ import annotations

import typer

from langchain_memllm.cli import evaluating, looking, memory, moving, server, training

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, help=__doc__, pretty_exceptions_enable=False
)
for _commands in (memory, moving, looking, server, training, evaluating):
    app.add_typer(_commands.app)

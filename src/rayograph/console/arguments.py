"""Arguments that several commands take."""

from typing import Annotated

import typer

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="options, by dotted key")
]
Preset = Annotated[str, typer.Argument(help="a preset's path, URI, or name (demo, pneumonia, …)")]
Also = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="RUN|MODEL",
        help="another seed or fold of the same dataset, to judge together by the mean of the "
        "probabilities; again for more",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="print the result as JSON, and nothing else")]

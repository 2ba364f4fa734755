"""`pricing serve`: the HTTP service. Starts no Prefect."""

from pathlib import Path
from typing import Annotated

import typer

from pricing.command.options import ExcelSafe
from pricing.errors import ConfigError

app = typer.Typer()
Host = Annotated[str, typer.Option(help="Address to listen on. 0.0.0.0 opens the service to the network; set a key.")]
Port = Annotated[
    int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one, which the log names.")
]
Allow = Annotated[
    list[str] | None,
    typer.Option(help="Host that images may be fetched from; repeatable. Without one no image is fetched."),
]
MaxBody = Annotated[str, typer.Option(help="Maximum size of a request, such as 10MB.")]
MaxRows = Annotated[int, typer.Option(min=1, help="Maximum number of products per request.")]


@app.command("serve")
def serve_model(
    model: Annotated[Path, typer.Option(help="A run's output folder, or its model folder.")],
    host: Host = "127.0.0.1", port: Port = 8000, allow_host: Allow = None, max_body: MaxBody = "10MB",
    max_rows: MaxRows = 1000, excel_safe: ExcelSafe = False,
) -> None:  # fmt: skip
    """Price products over HTTP."""
    try:
        from pricing.serve.listening import serve
        from pricing.serve.serve_settings import ServeSettings, parse_size, read_key
    except ImportError as error:
        raise ConfigError(
            f"pricing serve needs the package {error.name}; install it: pip install 'smart-product-pricing[serve]'"
        ) from None
    settings = ServeSettings(
        tuple(allow_host or ()), parse_size(max_body), max_rows, excel_safe=excel_safe, key=read_key()
    )
    serve(model, host, port, settings)

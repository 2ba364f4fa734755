"""The project's kind of Prefect flow: it starts with one server, and its parameters are described in the UI's form."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import httpx
from griffe import Docstring, DocstringSectionKind, Parser, parse
from prefect import Flow
from prefect.utilities.callables import parameter_schema

from flows.reaching import lost_server
from flows.server import local_server
from tasks.run_page import shorten_expected_errors

P = ParamSpec("P")
R = TypeVar("R")


class PricingFlow(Flow[P, R]):
    """A flow that brings the server it needs, however it is called: by the command, in a script, in a notebook.

    A worker does not call it: there the engine runs the function, with the server that the worker has.
    """

    def __init__(self, fn: Callable[P, R], **options: Any) -> None:
        super().__init__(fn, **options)
        shorten_expected_errors()  # here, as a worker's process calls nothing else of ours before the run
        # `prefect deploy` takes the form's descriptions from this, and reads Google's style alone
        arguments = "".join(f"\n    {name}: {text}" for name, text in _described(fn).items())
        self.__doc__ = f"{(fn.__doc__ or fn.__name__).strip().splitlines()[0]}\n\nArgs:{arguments}"
        self.parameters = parameter_schema(self)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:  # type: ignore[override]
        """Run the flow and return its result; a server is started where none is configured."""
        with local_server():
            try:
                return super().__call__(*args, **kwargs)
            except httpx.TransportError as error:
                raise lost_server(error) from None


def pricing_flow(name: str, flow_run_name: str | None = None) -> Callable[[Callable[P, R]], PricingFlow[P, R]]:
    """Make a flow of a function; parameters are checked against their types."""
    return lambda fn: PricingFlow(fn, name=name, flow_run_name=flow_run_name, validate_parameters=True)


def _described(fn: Callable[..., Any]) -> dict[str, str]:
    """Parameter to its text in the docstring's section Parameters."""
    sections = parse(Docstring(fn.__doc__ or ""), Parser.numpy, warnings=False)
    return {
        parameter.name: " ".join(parameter.description.split())
        for section in sections
        if section.kind is DocstringSectionKind.parameters
        for parameter in section.value
    }

"""What people set to start a run. Every flow takes it in this form, from the form in the UI, the command and Python."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

# a cleared field of the form is an empty text, which as a path would be the working directory
_Unset = BeforeValidator(lambda value: None if value in ("", {}) else value)
OptionalFile = Annotated[Path | None, _Unset]
_Text = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "null"}]})  # a path is text in the form
OptionalImages = Annotated[str | Path | None, _Unset, _Text]
Overrides = Annotated[dict[str, Any] | None, _Unset]

"""How Sphinx builds these pages; needs no network."""

from __future__ import annotations

import enum
import re
import sys
import typing
from pathlib import Path
from typing import Any, Optional, Tuple

import attrs
import requests.auth  # noqa: F401
import werkzeug.serving  # noqa: F401
import yarl  # noqa: F401
from docutils import nodes

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent / "_ext")]
# Our names in annotations are imported under it; others' modules are loaded before.
typing.TYPE_CHECKING = True  # type: ignore[misc]

from neuro_config import __version__, aio  # noqa: E402, F401

typing.TYPE_CHECKING = False  # type: ignore[misc]

project = "neuro_config"
author = "The neuro_config authors"
copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "state_diagram",
]
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_preserve_defaults = True
maximum_signature_line_length = 80
napoleon_numpy_docstring = False
add_module_names = False
python_use_unqualified_type_names = True

# Names of the standard library and of other packages; ours must all be found.
nitpick_ignore_regex = [
    (r"py:.*", r"(_ssl|os|pathlib|datetime|decimal|requests|yarl)\..*"),
]

nitpick_ignore = [
    ("py:class", "Snapshot"),  # what an Account is made with; users only get one
    ("py:class", "C"),  # what an Opening opens
]

html_theme = "furo"
html_title = f"neuro_config {release}"
html_static_path = ["_static"]
html_css_files = ["states.css"]
html_copy_source = False
html_show_sphinx = False


def drop_fields(app: Any, domain: str, kind: str, content: nodes.Element) -> None:
    """Drop the fields that say nothing: "returns None", and an error's arguments."""
    for field in list(content.findall(nodes.field)):
        name, value = field.astext().partition("\n\n")[::2]
        is_argument = kind == "exception" and name.startswith(("param ", "type "))
        if is_argument or (name, value) == ("rtype", "None"):
            field.parent.remove(field)
    for fields in list(content.findall(nodes.field_list)):
        if not fields.children:
            fields.parent.remove(fields)


def write_defaults(
    app: Any,
    what: str,
    name: str,
    value: Any,
    options: Any,
    signature: Optional[str],
    returns: Optional[str],
) -> Optional[Tuple[str, Optional[str]]]:
    """Write the defaults of attrs' arguments in place of attrs' own code for them."""
    if signature is None or not attrs.has(value):
        return None
    fields = attrs.fields_dict(value)

    def default_of(match: re.Match[str]) -> str:
        default = fields[match[1]].default
        if callable(default):
            return f"{default.__module__}.{default.__qualname__}"
        text = repr(default).replace("mappingproxy({})", "{}")
        if isinstance(default, enum.Enum):
            return str(default)
        if len(text) < 40:
            return text
        return f"{type(default).__name__}()" if attrs.has(type(default)) else "..."

    signature = re.sub(r"attr_dict\['(\w+)'\]\.default", default_of, signature)
    return signature.replace("=NOTHING", "=..."), returns


def setup(app: Any) -> None:
    """Connect, to the types after autodoc has added them."""
    app.connect("autodoc-process-signature", write_defaults)
    app.connect("object-description-transform", drop_fields, priority=600)

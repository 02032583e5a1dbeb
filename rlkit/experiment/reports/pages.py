"""Pages of reports: each one HTML file that loads nothing, from a template and what stands in it."""

import importlib.resources
from collections.abc import Callable, Mapping
from typing import Any

from rlkit.experiment.reports.wording import percent, plain, short

_HERE = "rlkit.experiment.reports"


def page(
    template: str,
    words: Mapping[str, Any],
    *,
    package: str = _HERE,
    filters: Mapping[str, Callable[..., Any]] | None = None,
) -> str:
    """The HTML of a page.

    Templates may include ``style.css`` and import the macros of ``parts.html``; figures are marked as safe by
    the filter ``safe_svg``.

    Args:
      template: the file.
      words: what it shows; ``percent``, ``number`` and ``short`` are there unless they are given.
      package: that the file belongs to.
      filters: of the template.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(lambda name: _read(_HERE, name)),
    )
    environment.filters |= {"safe_svg": Markup, **(filters or {})}
    formats = {"percent": percent, "number": plain, "short": short}
    text = environment.from_string(_read(package, template)).render({**formats, **words})
    return text.encode("utf-8", "backslashreplace").decode()  # half a character cannot be written


def _read(package: str, name: str) -> str:
    return importlib.resources.files(package).joinpath(name).read_text(encoding="utf-8")

"""From a chart to SVG that may stand inside our page: drawn offline, reduced to shapes and text.

The page's content policy allows no style attribute and the page may hold many charts, so what the renderer
writes is parsed, cut down to a list of allowed elements and attributes, and given one label for those who
listen instead of looking.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final
from xml.etree import ElementTree

import vl_convert
from markupsafe import Markup

__all__ = ["clean_svg", "draw", "drawable"]

_SVG: Final = "http://www.w3.org/2000/svg"
_ELEMENTS: Final = frozenset({"svg", "g", "path", "rect", "line", "circle", "text", "tspan"})
_ATTRIBUTES: Final = frozenset(
    {
        *("viewBox", "transform", "d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "dx", "dy"),
        *("width", "height", "fill", "fill-opacity", "opacity", "font-family", "font-size", "font-weight"),
        *("stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-linecap"),
        *("stroke-linejoin", "stroke-miterlimit", "text-anchor"),
    }
)
# Characters that no XML document may hold. A label may have been pasted from anywhere, and the renderer does
# not refuse them: it aborts the whole process.
_NOT_XML: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def draw(spec: dict[str, Any], label: str, *, name: str = "chart") -> Markup:
    """Render a Vega-Lite specification as an inline `<svg>` with a spoken label.

    Nothing is fetched: the renderer is given no base address to load from. `name` becomes the CSS class.
    """
    svg = vl_convert.vegalite_to_svg(json.dumps(_drawable(spec)), allowed_base_urls=[])
    return clean_svg(svg, drawable(label), name=name)


def drawable(text: str) -> str:
    """A text without the characters that cannot be drawn."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def _drawable(part: Any) -> Any:
    """A specification with every text in it made drawable."""
    if isinstance(part, dict):
        return {key: _drawable(value) for key, value in part.items()}
    if isinstance(part, list):
        return [_drawable(value) for value in part]
    return drawable(part) if isinstance(part, str) else part


def clean_svg(svg: str, label: str, *, name: str) -> Markup:
    """Keep shapes and text of an SVG, drop everything else, and describe it as one image.

    Raises ValueError if an element is neither known nor harmless: a chart must not grow scripts or links.
    """
    root = ElementTree.fromstring(svg)  # noqa: S314  (our own renderer's output, not a stranger's file)
    _strip(root)
    width = root.attrib.pop("width", None)
    root.attrib.pop("height", None)
    if "viewBox" not in root.attrib:
        raise ValueError("chart has no viewBox, so it could not be scaled to the page")
    root.attrib |= {"role": "img", "aria-label": label, "class": name}
    if width is not None:
        # Never drawn larger than designed; smaller on a narrow screen.
        root.attrib["width"] = width
    ElementTree.register_namespace("", _SVG)
    # S704: serialised from a tree that holds allowed elements only, every text and attribute escaped.
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704


def _strip(element: ElementTree.Element) -> None:
    """Remove what is invisible or not allowed, in place."""
    element.attrib = {key: value for key, value in element.attrib.items() if key in _ATTRIBUTES}
    for child in list(element):
        tag = str(child.tag).removeprefix(f"{{{_SVG}}}")
        if tag in ("defs", "title") or child.get("display") == "none" or child.get("opacity") == "0":
            element.remove(child)
            continue
        if tag not in _ELEMENTS:
            raise ValueError(f"chart holds a <{tag}>, expected only {', '.join(sorted(_ELEMENTS))}")
        _strip(child)
        if tag == "g" and not len(child):
            element.remove(child)

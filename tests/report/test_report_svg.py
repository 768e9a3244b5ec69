"""What may stand inside the page: shapes and text, and nothing that acts or loads."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.report.drawing import nice_ticks, spread
from forecast.report.svg import clean_svg, draw

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10" width="10" height="10">'


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        "<foreignObject/>",
        '<a href="https://example.com"/>',
        "<image/>",
        "<style/>",
        "<use/>",
    ],
)
def test_anything_but_shapes_and_text_is_refused(inside: str) -> None:
    with pytest.raises(ValueError, match="expected only"):
        clean_svg(f"{HEAD}<g>{inside}</g></svg>", "label", name="chart")


def test_attributes_that_act_or_style_are_dropped() -> None:
    svg = clean_svg(
        f'{HEAD}<rect width="1" onclick="alert(1)" style="x:y" href="u" class="c" fill="red"/></svg>',
        "",
        name="c",
    )
    assert '<rect width="1" fill="red" />' in svg


def test_the_label_is_said_and_escaped() -> None:
    svg = clean_svg(f"{HEAD}</svg>", 'a "b" <c>', name="chart")
    assert 'role="img"' in svg
    assert 'aria-label="a &quot;b&quot; &lt;c&gt;"' in svg


def test_a_chart_of_any_text_can_be_drawn() -> None:
    for text in ("<script>alert(1)</script>", "a & b", "\x0b\x1b[31m", "\ud800", "]]>", "مرحبا", "😀"):
        spec = {
            "data": {"values": [{"name": text}]},
            "mark": "text",
            "encoding": {"text": {"field": "name", "type": "nominal"}},
        }
        svg = draw(spec, text)
        assert svg.startswith("<svg")
        assert "<script" not in svg


@given(st.floats(1e-3, 1e12), st.integers(2, 12))
@settings(deadline=None, max_examples=50)
def test_ticks_are_few_and_within_the_axis(top: float, most: int) -> None:
    ticks = nice_ticks(top, most=most)
    assert ticks[0] == 0.0
    assert ticks[-1] <= top * (1 + 1e-9)
    assert 2 <= len(ticks) <= most + 1


@given(st.lists(st.floats(0.0, 200.0), min_size=1, max_size=8))
@settings(deadline=None, max_examples=50)
def test_labels_do_not_overlap(heights: list[float]) -> None:
    moved = spread(heights, gap=15.0, top=210.0)
    ordered = sorted(moved)
    assert all(b - a >= 15.0 - 1e-9 for a, b in itertools.pairwise(ordered))
    assert [moved.index(at) for at in ordered] == sorted(
        range(len(heights)), key=lambda i: (heights[i], moved[i])
    )

"""A figure on the page keeps its place, its zoom and its browser's memory when its data changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.training.metrics import EvaluationPoint

from .browser import open_browser


@pytest.fixture
def page() -> Iterator[Any]:
    """Yield a browser's page that shows a live plot, and a button that adds a point to it."""
    import gradio as gr

    from ui.live_plot import live_plot, show
    from ui.plots import train_against_eval

    points: list[EvaluationPoint] = []

    def more() -> str:
        number = len(points) + 1
        points.append(EvaluationPoint(number, number, 3 / number, 0.01, 3.0, 4 / number))
        return show(train_against_eval(points))

    with gr.Blocks() as blocks:
        plot = live_plot(elem_id="plot")
        gr.Button("more", elem_id="more").click(more, None, plot)
        blocks.load(more, None, plot)
    _, address, _ = blocks.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False)
    try:
        with open_browser() as browser:
            opened = browser.new_page()
            opened.goto(address)
            opened.wait_for_selector("#plot .main-svg")
            yield opened
    finally:
        blocks.close()


@pytest.mark.browser
@pytest.mark.slow
def test_new_data_is_drawn_into_the_same_place_and_the_zoom_stays(page):
    place = "document.querySelector('#plot .live-plot')"
    page.evaluate(f"() => {{ window.before = {place}.querySelector('.plot-container') }}")
    page.evaluate(f"() => Plotly.relayout({place}, {{'xaxis.range': [0.5, 2.5]}})")
    for number in (2, 3, 4):
        page.click("#more")
        page.wait_for_function(f"() => {place}.calcdata[0].length == {number}")
    assert page.evaluate(f"() => window.before === {place}.querySelector('.plot-container')")
    assert page.evaluate(f"() => {place}.layout.xaxis.range") == [0.5, 2.5]


@pytest.mark.browser
@pytest.mark.slow
def test_the_texts_of_a_figure_follow_light_and_dark(page):
    color = "() => getComputedStyle(document.querySelector('#plot .gtitle')).fill"
    page.wait_for_selector("#plot .gtitle")
    before = page.evaluate(color)
    page.evaluate("() => document.body.classList.toggle('dark')")
    page.wait_for_function(f"(before) => ({color})() != before", arg=before)

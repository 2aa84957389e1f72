"""A Plotly figure that is drawn over itself when its data changes.

gr.Plot (Gradio 6.31) takes its figure off the page and builds another at every change: the graph flickers, and zoom
and hidden lines are lost. Here `Plotly.react` is given the same place again, and only what has changed is drawn.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

# Colours of the text and the lines are the page's own, read anew when light and dark are switched.
_SCRIPT = """
const place = element.querySelector('.live-plot');
const config = {responsive: true, displaylogo: false,
                modeBarButtonsToRemove: ['select2d', 'lasso2d', 'autoScale2d', 'toImage']};
const draw = () => {
    if (!props.value || !window.Plotly) return;
    const figure = JSON.parse(props.value);
    const color = getComputedStyle(element).getPropertyValue('--body-text-color').trim();
    if (color) figure.layout.font.color = color;
    window.Plotly.react(place, figure.data, figure.layout, config);
};
const waiting = setInterval(() => { if (window.Plotly) { clearInterval(waiting); draw(); } }, 50);
watch('value', draw);
new MutationObserver(draw).observe(document.body, {attributes: true, attributeFilter: ['class']});
new ResizeObserver(() => {
    if (place.data && place.offsetWidth) window.Plotly.Plots.resize(place);  // a tab that was hidden is shown
}).observe(element);
"""


def live_plot(height: int = 320, **look: Any) -> Any:
    """Return a component that shows a figure: give it `show(figure)` as its value. `look` goes to gr.HTML."""
    import gradio as gr

    library = plotly_js()
    gr.set_static_paths([library])
    return gr.HTML(
        html_template=f'<div class="live-plot" style="min-height: {height}px"></div>',
        js_on_load=_SCRIPT,
        head=f'<script src="/gradio_api/file={quote(library.as_posix(), safe="/:")}"></script>',
        **look,
    )


def show(figure: Any) -> str:
    """Return the figure as the value of a live_plot."""
    return str(figure.to_json())


def plotly_js() -> Path:
    """Where the plotly package keeps the library for browsers, so that nothing comes from the network."""
    import plotly

    return Path(plotly.__file__).resolve().parent / "package_data" / "plotly.min.js"

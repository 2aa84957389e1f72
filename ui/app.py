"""The page as a whole, and how it is served."""

from __future__ import annotations

import sys
from typing import Any

from pipeline.records import Seconds
from pipeline.workspace import Workspace

from .access import ServeOptions, announce, check_port, choose_login

CACHE_CHECKED: Seconds = 3600
CACHE_KEPT: Seconds = 24 * 3600  # copies of sounds that were handed to a browser


def build_app(ws: Workspace) -> Any:
    """Return the page (gr.Blocks) of a workspace. Launch it with `look()`: in Gradio 6 that is where style belongs."""
    import gradio as gr

    from . import header
    from .context import TABS, Page
    from .style import remember_tab
    from .tabs import dataset, export, preflight, testing, training, validation

    build = {
        "preflight": preflight.build,
        "dataset": dataset.build,
        "validation": validation.build,
        "training": training.build,
        "testing": testing.build,
        "export": export.build,
    }
    ws.prepare()
    cache = (CACHE_CHECKED, CACHE_KEPT)
    with gr.Blocks(title="XTTS Finetune", fill_width=True, analytics_enabled=False, delete_cache=cache) as blocks:
        page = Page(ws)
        header.build(page)
        with gr.Tabs(elem_id="steps") as page.tabs:
            for name, title in TABS.items():
                with gr.Tab(title, id=name) as tab:
                    build[name](page)
                tab.select(None, js=remember_tab(name))
        page.listen(blocks, header.opener(page), [page.project, page.tabs])
    return blocks.queue(default_concurrency_limit=16)


def look() -> dict[str, Any]:
    """Return what `launch` needs to know of the page's looks."""
    from .style import CSS, ON_LOAD, theme

    return {"theme": theme(), "css": CSS, "js": ON_LOAD, "footer_links": [], "run_history": False, "ssr_mode": False}


def serve(ws: Workspace, options: ServeOptions) -> None:
    """Serve the page until Ctrl+C. Raises SettingError where the port is taken or the login is malformed."""
    login = choose_login(options)
    check_port(options)
    blocks = build_app(ws)
    blocks.launch(
        server_name=options.host,
        server_port=options.port,
        share=options.share,
        auth=login.check if login else None,
        inbrowser=options.open_browser,
        prevent_thread_lock=True,
        quiet=True,
        show_error=False,
        **look(),
    )
    announce(options, login, lambda line: print(line, file=sys.stderr, flush=True))
    blocks.block_thread()

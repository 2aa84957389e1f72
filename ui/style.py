"""How the page looks: theme, style sheet and the few lines of JavaScript. No fonts or files from the network."""

from __future__ import annotations

from typing import Any

SYSTEM_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
MONO_FONTS = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")

# Kept in the browser: the choice outlives a reload, and each browser has its own.
FLIP_THEME = """() => {
    const dark = document.body.classList.toggle('dark');
    localStorage.setItem('xtts-finetune-theme', dark ? 'dark' : 'light');
}"""
ON_LOAD = """() => {
    const theme = localStorage.getItem('xtts-finetune-theme');
    if (theme) document.body.classList.toggle('dark', theme === 'dark');
}"""
# The address names project and tab, so that a reload, a bookmark and a second window find them. Gradio selects the
# first tab while it draws the page; until the page has been opened as the address says, nothing may change it.
OPENED = "() => { window.xttsOpened = true; }"
_REMEMBER = """({argument}) => {{
    if (!window.xttsOpened || !{value}) return;
    const address = new URL(window.location);
    address.searchParams.set('{key}', {value});
    window.history.replaceState(null, '', address);
}}"""
REMEMBER_PROJECT = _REMEMBER.format(argument="project", key="project", value="project")


def remember_tab(tab: str) -> str:
    """Return the JavaScript that writes the tab into the address."""
    return _REMEMBER.format(argument="", key="tab", value=f"'{tab}'")


def theme() -> Any:
    """Return the theme: calm greys, one blue, the system's own fonts."""
    import gradio as gr

    return gr.themes.Soft(
        primary_hue=gr.themes.colors.blue,
        secondary_hue=gr.themes.colors.blue,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        font=[gr.themes.Font(name) for name in SYSTEM_FONTS],
        font_mono=[gr.themes.Font(name) for name in MONO_FONTS],
    ).set(
        body_background_fill="*neutral_50",
        block_border_width="1px",
        block_shadow="none",
        block_title_background_fill="none",
        block_title_background_fill_dark="none",
        block_title_padding="0",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        block_title_text_weight="600",
        block_label_background_fill="*background_fill_secondary",
        block_label_text_color="*body_text_color_subdued",
        input_border_width="1px",
        input_border_color="*border_color_primary",
        input_shadow="none",
        input_background_fill="*background_fill_primary",
        button_primary_shadow="none",
        button_secondary_shadow="none",
        button_secondary_border_color="*border_color_primary",
        button_border_width="1px",
    )


CSS = """
.gradio-container { width: 100%; max-width: 1240px !important; margin: 0 auto !important; }
#steps > .tab-wrapper button { padding: 8px 11px; }
#header { align-items: end; gap: 16px; }
#brand { flex: 1 1 220px; }
#brand h1 { font-size: 1.5rem; line-height: 1.2; margin: 0; }
#brand p { margin: 0; color: var(--body-text-color-subdued); }
#theme-switch { align-self: end; }
#now { align-items: center; min-height: 44px; }
.now-line { font-size: .92rem; color: var(--body-text-color-subdued); padding: 2px 0; }
.now-line b { color: var(--body-text-color); }

.bar { height: 6px; border-radius: 3px; background: var(--border-color-primary); overflow: hidden; margin: 6px 0; }
.bar span { display: block; height: 100%; background: var(--primary-500); border-radius: 3px; }
.bar.unknown span { width: 30%; animation: slide 1.6s ease-in-out infinite alternate; }
@keyframes slide { from { margin-left: 0 } to { margin-left: 70% } }

.job, .notice { border-left: 3px solid var(--border-color-primary); padding: 8px 14px; min-height: 24px;
    border-radius: 4px; background: var(--background-fill-secondary); }
.job-words { display: flex; justify-content: space-between; gap: 16px; }
.job-time, .job.idle { color: var(--body-text-color-subdued); font-size: .88rem; }
.job.running { border-color: var(--primary-500); }
.job.ok, .notice.ok { border-color: #16a34a; }
.job.warning, .notice.warning { border-color: #d97706; }
.job.failed, .notice.failed { border-color: #dc2626; }
.job-panel { min-height: 44px; }

.log textarea { font-family: var(--font-mono); font-size: .82rem; line-height: 1.45; }
.guide { max-width: 760px; }
"""

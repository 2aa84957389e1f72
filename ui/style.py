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
# Until the tabs show what is on disk they would show defaults, and replace what somebody types into them.
FILLED = "() => { document.body.classList.add('filled'); }"
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
        body_text_color_subdued="*neutral_500",  # 4.7:1 on white, where the theme's own has 2.6:1
        block_info_text_color="*neutral_500",
        block_border_width="1px",
        block_shadow="none",
        block_title_background_fill="none",
        block_title_background_fill_dark="none",
        block_title_padding="0",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        block_title_text_weight="600",
        block_label_background_fill="*background_fill_secondary",
        block_label_background_fill_dark="*neutral_700",
        block_label_text_color="*body_text_color_subdued",
        block_label_text_color_dark="*body_text_color_subdued",
        input_border_width="1px",
        input_border_color="*border_color_primary",
        input_shadow="none",
        input_background_fill="*background_fill_primary",
        button_primary_shadow="none",
        button_secondary_shadow="none",
        button_secondary_border_color="*border_color_primary",
        button_secondary_background_fill_dark="*neutral_800",
        button_border_width="1px",
        checkbox_border_width="1px",
        checkbox_border_color="*neutral_400",
        checkbox_border_color_dark="*neutral_500",
    )


CSS = """
/* Shown at the latest after some seconds, should filling them fail. */
body:not(.filled) #steps { visibility: hidden; animation: show-anyway 0s 8s forwards; }
@keyframes show-anyway { to { visibility: visible; } }

.gradio-container { width: 100%; max-width: 1240px !important; margin: 0 auto !important; }
#steps > .tab-wrapper button { padding: 8px 11px; }

/* The top of the page. */
#header { align-items: end; gap: 12px; }
#header .form, #header .block { border-width: 0 !important; background: none; padding: 0; overflow: visible; }
#header .form { gap: 16px; flex: 0 1 560px; }
#brand { flex: 1 1 220px; }
#brand h1 { font-size: 1.5rem; line-height: 1.2; margin: 0; font-weight: 650; }
#brand p { margin: 0; color: var(--body-text-color-subdued); }
#new-project .input-container { border: var(--input-border-width) solid var(--input-border-color);
    border-radius: var(--input-radius); background: var(--input-background-fill); align-items: center; }
#new-project textarea, #new-project input { border: none; background: none; box-shadow: none; }
#theme-switch { align-self: end; height: 40px; }
#now { align-items: center; min-height: 48px; border-bottom: 1px solid var(--border-color-primary); }
.now-line { font-size: .92rem; color: var(--body-text-color-subdued); padding: 2px 0; }
.now-line b { color: var(--body-text-color); }

/* What a job does: a sentence, a bar, the time. */
.bar { height: 6px; border-radius: 3px; background: var(--border-color-primary); overflow: hidden; margin: 6px 0; }
.bar span { display: block; height: 100%; background: var(--primary-500); border-radius: 3px; }
.bar.unknown span { width: 30%; animation: slide 1.6s ease-in-out infinite alternate; }
@keyframes slide { from { margin-left: 0 } to { margin-left: 70% } }
@media (prefers-reduced-motion: reduce) { .bar.unknown span { animation: none; width: 100%; opacity: .4; } }
.html-container { padding: 0 !important; }
.job, .notice, .box { border-width: 1px 1px 1px 4px; border-color: var(--border-color-primary); }
.job, .notice { padding: 9px 14px;
    border-radius: var(--radius-md); background: var(--background-fill-primary); }
.job-words { display: flex; justify-content: space-between; gap: 16px; }
.job-words b { white-space: nowrap; }
.job-time, .job.idle { color: var(--body-text-color-subdued); font-size: .88rem; }
.job.running { border-left-color: var(--primary-500); }
.job.ok, .notice.ok, .box.ok { border-left-color: #16a34a; }
.job.warning, .notice.warning, .box.warning { border-left-color: #d97706; }
.job.failed, .notice.failed, .box.failed { border-left-color: #dc2626; }

/* Boxes of the checklist and of the models. */
.boxes { display: grid; grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)); gap: 12px; }
.notice + .boxes { margin-top: 12px; }
.box { border-radius: var(--radius-md);
    padding: 10px 14px; background: var(--background-fill-primary); overflow-wrap: anywhere; }
.box-title { display: flex; justify-content: space-between; align-items: center; gap: 8px; margin-bottom: 4px; }
.badge { font-size: .78rem; padding: 1px 9px; border-radius: 999px; background: var(--background-fill-secondary);
    color: var(--body-text-color-subdued); white-space: nowrap; }
.box.ok .badge, .badge.ok { background: #16a34a1f; color: #15803d; }
.box.warning .badge, .badge.warning { background: #d977061f; color: #b45309; }
.box.failed .badge, .badge.failed { background: #dc26261f; color: #b91c1c; }
.dark .box.ok .badge, .dark .badge.ok { color: #4ade80; }
.dark .box.warning .badge, .dark .badge.warning { color: #fbbf24; }
.dark .box.failed .badge, .dark .badge.failed { color: #f87171; }
.needed { color: var(--body-text-color-subdued); font-size: .88rem; }
.remedy { margin-top: 4px; }

/* Fields beside each other end on one line, however long what is said above them. */
.form > .block > label.container, .form > .block > .container { height: 100%; display: flex; flex-direction: column; }
.form > .block > label.container > input, .form > .block > label.container > .input-container,
.form > .block > .container > .wrap { margin-top: auto; flex-grow: 0; }
.container > .wrap:has(input) { min-height: 40px; display: flex; flex-direction: column; justify-content: center; }
button.secondary:disabled { background: var(--button-secondary-background-fill); }

input[type=range]::-webkit-slider-thumb { border: 1px solid var(--neutral-400); }
.table-wrap, .table-wrap th, .table-wrap td, .table-wrap td * { font-family: var(--font); }

.facts { color: var(--body-text-color-subdued); margin: 0 0 8px; }
.log textarea { font-family: var(--font-mono); font-size: .82rem; line-height: 1.45; }
.guide { max-width: 800px; }
.guide table { font-size: .92rem; }
.guide table, .guide tr, .guide th, .guide td { border-color: var(--border-color-primary) !important; }

/* Tables to read, and those with rows to choose. */
.plain-table { max-height: 300px; overflow: auto; border: 1px solid var(--border-color-primary);
    border-radius: var(--radius-md); background: var(--background-fill-primary); }
.plain-table table { width: 100%; border: none; border-collapse: collapse; font-size: .92rem; margin: 0; }
.plain-table th { position: sticky; top: 0; text-align: left; font-weight: 600; white-space: nowrap;
    background: var(--background-fill-secondary); }
.plain-table table th, .plain-table table td { padding: 6px 12px; vertical-align: top; overflow-wrap: anywhere;
    border-width: 0 0 1px; border-color: var(--border-color-primary); }
.plain-table table tr { border: none; }
.plain-table table tr:last-child td { border-bottom-width: 0; }
.plain-table .name { min-width: 11em; }
.plain-table .number { text-align: right; white-space: nowrap; }
.plain-table .code { font-family: var(--font-mono); font-size: .8rem; color: var(--body-text-color-subdued); }
.plain-table .short { white-space: nowrap; }
.gradio-container .header-table, .gradio-container .virtual-row { font-family: var(--font); font-size: .92rem; }
.notice + .notice, .notice + .plain-table { margin-top: 8px; }
.clip-text { font-size: 1.05rem; margin: 0 0 4px; }
.subdued { color: var(--body-text-color-subdued); font-size: .88rem; margin: 0 0 8px; }
mark { background: #fde68a; color: inherit; border-radius: 3px; padding: 0 2px; }
.dark mark { background: #92400e; color: #fef3c7; }
.confirm { gap: 8px; }
.confirm > button, .fit { width: fit-content; }

.next-step { align-self: flex-end; flex: 0 0 auto !important; width: fit-content; }
"""

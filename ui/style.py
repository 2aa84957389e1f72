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
# The address names project and tab, so that a reload, a bookmark and a second window find them.
REMEMBER_PROJECT = """(project) => {
    if (!project) return;
    const address = new URL(window.location);
    address.searchParams.set('project', project);
    window.history.replaceState(null, '', address);
}"""


def remember_tab(tab: str) -> str:
    return f"""() => {{
        const address = new URL(window.location);
        address.searchParams.set('tab', '{tab}');
        window.history.replaceState(null, '', address);
    }}"""


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
    )


CSS = """
.gradio-container { max-width: 1180px !important; margin: 0 auto !important; }
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

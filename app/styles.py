"""What the page looks like as a whole: its theme, and where its parts stand."""

import gradio as gr

from .panels import shared_css
from .sections.stages import VIEWS

CSS = (
    shared_css()
    + """
.panel-title h3 { margin: 6px 0 0; } .panel-title p { margin: 0 0 4px; font-size: .9rem; }
.gradio-container { padding: 0 !important; }
.gradio-container > .main { max-width: 1600px; padding: 6px 14px !important; }
.introduction { flex: 1 0 auto !important; width: auto !important; }
.introduction h1 { font-size: 1.2rem; margin: 0; display: inline; }
.introduction p { display: inline; margin-left: 10px; font-size: .88rem; }
#status { flex: 3 1 300px; }
#lesson { flex: 0 0 auto; width: auto !important; min-width: 0 !important; }
.gradio-container .contain > .wrap, .gradio-container .contain { gap: 6px !important; }
.gradio-container .row { gap: 12px !important; }
.gradio-container .column { gap: 6px !important; }
/* the place of the stage views keeps its size: nothing jumps when another one opens */
#views { height: 448px; overflow-y: auto; align-content: flex-start; }
#answer, #inspector { height: 274px; overflow-y: auto !important; }
@media (max-width: 900px) {
  #views, #answer, #inspector { height: auto; }
  .introduction { flex: 1 1 260px !important; }
}
#labs > .panel { flex: 1 1 320px; min-width: 0; }
#labs > .panel:has(.lab[hidden]) { display: none !important; }
#examples img { width: 100% !important; height: 100% !important; object-fit: cover; }
#controls .gallery:not(.container) {
  display: grid; grid-template-columns: repeat(6, 1fr); gap: 4px;
}
#controls .gallery .container { width: 100% !important; height: 44px !important; }
#controls textarea { min-height: 34px !important; }
#models > button span { overflow-wrap: anywhere; text-align: left; min-width: 0; }
#bringing, #bringing-second { padding: 0 10px 6px !important; width: auto !important; }
#views > .panel { display: none !important; flex: 1 1 300px; min-width: 0; width: auto !important; }
"""
    + ", ".join(f"[data-open~={name}] #views > #view-{name}" for name in VIEWS)
    + """ { display: block !important; }
/* after an error the panels keep what they showed; the notice says what was wrong */
.panel [data-testid="status-tracker"]:has(.error) { display: none !important; }
.panel, .panel-title, .introduction, .panel .html-container, .panel-title .html-container,
.introduction .html-container {
  border: 0 !important; padding: 0 !important;
}
"""
)


def theme() -> gr.themes.Base:
    """System fonts only: the page asks nobody else for anything."""
    return gr.themes.Soft(
        font=["ui-sans-serif", "system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )

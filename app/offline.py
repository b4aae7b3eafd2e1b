"""A run as one HTML file that opens anywhere without a network: the page's own panels and their
program, inlined, around a place for the run.

The run itself is put there in the browser, which has it all (the view `take_home`): nothing of a
visitor passes through this file. The page it makes may load nothing and talk to nobody, which its
content security policy holds the browser to.
"""

from .panels import HERE, bundle

MARK = "THE RUN GOES HERE"
# those that need no server, as in `app/web/src/offline/views.ts`
PANELS = ("stage_strip", "received", "scatter", "answer", "inspector", "connector", "sequence")
LOOK = """
:root {
  --body-text-color: #1f2937; --border-color-primary: #d1d5db; --block-background-fill: #fff;
  --input-background-fill: #fff;
}
body {
  margin: 0 auto; max-width: 1400px; padding: 12px 16px;
  font: 16px/1.4 ui-sans-serif, system-ui, sans-serif;
  color: var(--body-text-color); background: #fff;
}
h1 { font-size: 1.15rem; margin: 0 0 4px; }
#facts { font-size: .85rem; display: flex; flex-wrap: wrap; gap: 2px 16px; }
#notes {
  white-space: pre-wrap; overflow-wrap: anywhere; border-left: 4px solid #4338ca; padding: 2px 10px;
  margin: 8px 0;
}
main {
  display: grid; grid-template-columns: minmax(280px, 5fr) minmax(300px, 6fr); gap: 14px 18px;
  margin-top: 10px;
}
main > section { min-width: 0; }
#stage-strip { grid-column: 1 / -1; }
#stage-strip .open { cursor: default; border-color: var(--border-color-primary); box-shadow: none; }
button, select { font: inherit; }
footer { font-size: .8rem; margin-top: 14px; }
@media (max-width: 760px) { main { grid-template-columns: minmax(0, 1fr); } }
"""


def read(name: str) -> str:
    """Read the text of a file of the panels' folder, by its name."""
    return (HERE / name).read_text()


def offline_page() -> str:
    """The whole file, with `MARK` where the run goes."""
    ids = {name: name.replace("_", "-") for name in PANELS}
    css = "".join(f"#{ids[name]} {{ {read(f'{name}.css')} }}\n" for name in PANELS)
    html = "".join(
        f'<section class="panel" id="{ids[name]}">{read(f"{name}.html")}</section>\n'
        for name in PANELS
    )
    program = bundle("offline").read_text(encoding="utf-8")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Visual Token Explorer</title>
<style>{LOOK}{read("views.css")}{css}</style></head>
<body><header><h1 id="question"></h1><div id="facts"></div><p id="notes" hidden></p></header>
<main>
{html}</main>
<footer>Kept with Visual Token Explorer. Hover or click a square, a dot, a word: what belongs to it
lights up everywhere. Nothing here needs a network.</footer>
<script type="application/json" id="run">{MARK}</script>
<script>{program}</script>
</body></html>
"""

"""Style and skeleton of the review page."""

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 0; color: #222; display: flex; height: 100vh }
nav { width: 19rem; overflow-y: auto; border-right: 1px solid #ddd; padding: .6rem; box-sizing: border-box }
main { flex: 1; overflow-y: auto; padding: 1rem 1.4rem }
h1 { font-size: 1.3rem; margin: 0 0 .3rem } h2 { font-size: 1.05rem; margin: 1.2rem 0 .3rem }
table { border-collapse: collapse; margin: .3rem 0 1rem; font-size: 13px }
td, th { padding: .1rem .7rem; text-align: left; border-bottom: 1px solid #ddd }
td.n { text-align: right; font-variant-numeric: tabular-nums }
.films, .plots { display: flex; flex-wrap: wrap; gap: .7rem } figure { margin: 0 }
figcaption { font-size: 12px; color: #666 } video { width: 320px; background: #000; display: block }
canvas { border: 1px solid #eee } .bad { color: #b3261e } .good { color: #1b7f6f } .dim { color: #777 }
nav div { padding: .15rem .4rem; border-radius: 4px; cursor: pointer; white-space: nowrap; font-size: 13px }
nav div.on { background: #dfeaf0 } kbd { border: 1px solid #bbb; border-radius: 3px; padding: 0 .3rem; font-size: 12px }
pre { background: #f4f4f4; padding: .5rem; font-size: 12px; white-space: pre-wrap } button { font: inherit }
.score { display: inline-block; width: 2.2rem; text-align: right; margin-right: .5rem }
"""

BODY = """
<nav><b>takes</b> <span id='count' class='dim'></span><div id='list' style='padding:0'></div></nav>
<main>
<h1 id='name'></h1><div id='verdict'></div>
<p class='dim'><kbd>j</kbd>/<kbd>k</kbd> next, previous &nbsp; <kbd>space</kbd> play &nbsp;
<kbd>&larr;</kbd>/<kbd>&rarr;</kbd> 0.1 s, with shift 1 s &nbsp; <kbd>a</kbd> keep &nbsp; <kbd>d</kbd> discard &nbsp;
<kbd>s</kbd> success &nbsp; <kbd>f</kbd> failure &nbsp; <kbd>[</kbd> <kbd>]</kbd> trim start, end here &nbsp;
<kbd>0</kbd> no trim &nbsp; <kbd>u</kbd> undo for this take &nbsp; <kbd>w</kbd> save decisions</p>
<div class='films' id='films'></div>
<p><button id='play'>play</button> <input id='seek' type='range' min='0' step='0.01' style='width:640px'>
<span id='now'></span></p>
<canvas id='timeline' width='960' height='10'></canvas>
<div id='notes' class='bad'></div>
<h2>Quality</h2><div id='quality'></div>
<h2>Path (drag to turn)</h2><canvas id='path' width='460' height='340'></canvas>
<h2>Plots</h2><div class='plots' id='plots'></div>
<h2>Synchronisation</h2><div id='problems'></div><div id='topics'></div>
<h2>Recording</h2><div id='facts'></div>
<h2>Decisions</h2><div id='history'></div>
<p>Not yet written. Save (<kbd>w</kbd>), then run <code>il review --apply review_decisions.json</code>,
or run these lines:</p><pre id='commands'></pre>
</main>
"""

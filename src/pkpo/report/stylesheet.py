"""The style sheet of the report page."""

CSS = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --ink: #1f2328; --muted: #57606a; --line: #d8dee4; --soft: #f6f8fa;
  --good: #00694b; --bad: #a33b00; --note: #fff8e6; --note-line: #e69f00; --link: #0a5d99;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1318; --ink: #e6e9ed; --muted: #9aa4b0; --line: #2d343d; --soft: #181e26;
    --good: #4fc79f; --bad: #f0935a; --note: #2a2413; --note-line: #b98000; --link: #79b8ea;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; margin: 3rem 0 .75rem; letter-spacing: -.005em; }
h3 { font-size: 1rem; margin: 1.75rem 0 .5rem; }
p { margin: .5rem 0; max-width: 46rem; }
.lead { color: var(--muted); margin-bottom: 1.25rem; }
.finding { font-size: 1.05rem; }
.scroll { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .75rem; text-align: right; white-space: nowrap; }
th { font-weight: 600; color: var(--muted); border-bottom: 2px solid var(--line); }
td { border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr.muted td { color: var(--muted); }
th.words, td.words { text-align: left; }
td.bold { font-weight: 700; }
.key { display: inline-block; width: .7rem; height: .7rem; border-radius: 50%;
  margin-right: .5rem; vertical-align: baseline; }
ul.notes { margin: .5rem 0; padding-left: 1.1rem; color: var(--muted); font-size: .85rem;
  max-width: 50rem; }
.missing { background: var(--note); border-left: 4px solid var(--note-line); border-radius: 4px;
  padding: .75rem 1rem; margin: 1.5rem 0; font-size: .9rem; }
.missing ul { margin: .25rem 0 0; padding-left: 1.1rem; }
figure { margin: .75rem 0 0; }
figure .frame { overflow-x: auto; background: #ffffff; border: 1px solid var(--line);
  border-radius: 8px; }
figure img { display: block; width: 100%; min-width: 44rem; height: auto; }
figcaption { color: var(--muted); font-size: .875rem; margin-top: .6rem; max-width: 50rem; }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0;
  padding: .75rem 1rem; overflow-x: auto; font-size: .8rem; line-height: 1.45; }
pre, code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre.prompt { white-space: pre-wrap; overflow-wrap: anywhere; }
table.samples { width: 100%; }
table.samples td { vertical-align: top; padding-top: .2rem; padding-bottom: .2rem; }
table.samples td.arm { padding-top: .4rem; }
table.samples td.text { text-align: left; padding-left: .75rem; white-space: pre-wrap;
  overflow-wrap: anywhere; min-width: 14rem; font-size: .8rem;
  font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
table.samples th.text { text-align: left; }
table.samples td.arm span.sub { display: block; color: var(--muted); font-size: .8rem; }
.right { color: var(--good); } .wrong { color: var(--bad); }
details { margin: .5rem 0; }
summary { cursor: pointer; color: var(--link); }
@media (max-width: 40rem) {
  main { padding: 1.5rem 1rem 3rem; }
  h1 { font-size: 1.5rem; }
  th, td { padding: .35rem .5rem; }
}
"""

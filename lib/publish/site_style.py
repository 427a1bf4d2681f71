"""What the site's blocks look like, beside the theme."""

CSS = """
.content { overflow-wrap: break-word; }
@media (max-width: 40em) { h1 { font-size: 1.9em; } }
article div.finding.container { border-left: 3px solid var(--color-brand-primary);
  margin: 1.25rem 0; padding-left: .9rem; }
article div.finding.lead { border: 0; padding: 0; font-size: 1.3rem; line-height: 1.4; }
article div.finding.lead > p { font-weight: 600; margin: 0; }
.fold { border-top: 1px solid var(--color-background-border); padding: .6rem 0; }
.fold > details > summary { cursor: pointer; font-weight: 600; }
.table-wrapper { margin: 1rem 0 .25rem; }
table.docutils { font-size: .875rem; font-variant-numeric: tabular-nums; margin-left: 0; }
table.docutils p { margin: 0; text-align: inherit; }
table.docutils th { text-align: left; vertical-align: bottom; }
table.docutils td:not(.text-right) { min-width: 6rem; }
table.docutils .text-right { text-align: right; }
table.docutils td.text-right { white-space: nowrap; }
.spread { color: var(--color-foreground-secondary); font-size: .85em; font-weight: normal; }
.said { font-size: .875rem; color: var(--color-foreground-secondary); margin: .5rem 0 1rem; }
.why strong, .why em { padding: 0 .15em; border-radius: .2em; }
.why strong { background: rgba(0, 114, 178, .3); }
.why em { background: rgba(213, 94, 0, .3); }
.figure img { max-width: 100%; height: auto; background: white; border-radius: .25rem; }
.from { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1.25rem;
  font-size: .8125rem; margin: .25rem 0 1.5rem; }
.finding .from { margin-bottom: 0; }
.from summary { cursor: pointer; color: var(--color-foreground-secondary); }
.from details[open] { flex-basis: 100%; }
.from ul { columns: 15rem; margin: .5rem 0; padding-left: 1.25rem; }
"""

"""What the README and results/README.md show of all pages: `python -m notebooks.front`."""

import plots
from lib.publish.front import refresh_contents, refresh_readme
from lib.publish.shown import png_of
from lib.runs.paths import ROOT

TITLE = "Fine-tuned models beside references"


def main() -> None:
    refresh_contents(ROOT)
    table = refresh_readme(ROOT)
    if not len(table):
        print("No page on real data names its best model (show_best): no figure is drawn")
        return
    picture = png_of(plots.overview(table, title=TITLE))
    (ROOT / "results" / "overview.png").write_bytes(picture)
    print(f"README.md and results/overview.png: {len(table)} pages")


if __name__ == "__main__":
    main()

"""`make bench`: measure, write the page again from its tables, or tell two pages apart."""

import argparse
import os
import sys
from pathlib import Path

from lib.errors import InputError
from tests.bench import page
from tests.bench.compare import compare
from tests.bench.settings import NotEqualError, Settings, arguments_of
from tests.bench.whole import PARTS, parts_named, run


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--only", metavar="PARTS", help=f"measure these alone: {','.join(PARTS)}; others stay"
    )
    parser.add_argument(
        "--page", type=Path, metavar="FOLDER", help="only write a page again from its tables"
    )
    parser.add_argument(
        "--compare", type=Path, nargs=2, metavar=("A", "B"), help="only tell two pages apart"
    )
    for name, field in Settings.model_fields.items():
        several = isinstance(field.default, tuple)
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            nargs="+" if several else None,
            default=argparse.SUPPRESS,
            help=f"default: {field.default}",
        )
    return parser.parse_args(words)


def main(words: list[str]) -> None:
    options = vars(parse(words))
    only = options.pop("only")
    folder = options.pop("page")
    pages = options.pop("compare")
    settings = Settings(**options)
    if folder:
        page.write(folder)
        return
    if pages:
        print(compare(*pages))
        return
    data = "DATA_DIR=… " if os.environ.get("DATA_DIR") else ""
    changed = " ".join([*(["--only", only] if only else []), *arguments_of(settings)])
    command = f"{data}make bench" + (f' ARGS="{changed}"' if changed else "")
    print(f"{run(settings, command, parts_named(only))}/README.md")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (InputError, NotEqualError) as error:
        sys.exit(f"Error: {error}")

"""The list of pages is computed from their page.json and environment.json."""

import json

from lib.publish.contents import contents, write_contents
from tests.test_front import save


def test_each_page_stands_with_its_data_model_minutes_and_machine(tmp_path):
    save(tmp_path, "a_study", "small", answer="No.")
    made = {"run_seconds": {"a": 90.0, "b": 60.0}, "runs": [{"device": "A|B"}, {"device": "A|B"}]}
    folder = tmp_path / "results" / "a_study" / "small"
    (folder / "environment.json").write_text(json.dumps(made))
    write_contents(tmp_path)
    text = (tmp_path / "results" / "README.md").read_text(encoding="utf-8")
    assert text == contents(tmp_path / "results")
    assert text.splitlines()[-1] == (
        "| [a study, small](a_study/small/README.md) | imdb | tiny | 2 | A\\|B |"
    )

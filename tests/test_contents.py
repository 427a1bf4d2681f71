"""The list of pages is computed from their page.json and environment.json."""

import json

from lib.publish.contents import contents, write_contents
from lib.publish.render import models_of
from lib.runs.config import RunConfig
from tests.test_front import save


def test_each_page_stands_with_its_data_model_minutes_and_machine(tmp_path):
    save(tmp_path, "a_study", "small", answer="No.")
    made = {"run_seconds": {"a": 90.0, "b": 60.0}, "runs": [{"device": "A|B"}, {"device": "A|B"}]}
    folder = tmp_path / "results" / "a_study" / "small"
    (folder / "environment.json").write_text(json.dumps(made))
    readme = tmp_path / "results" / "README.md"
    readme.write_text("# Pages\n\n<!-- pages -->\n\n| old |\n\nBelow.\n", encoding="utf-8")
    write_contents(tmp_path)
    text = readme.read_text(encoding="utf-8")
    table = contents(tmp_path / "results")
    assert text == f"# Pages\n\n<!-- pages -->\n\n{table}\nBelow.\n"
    assert table.splitlines()[-1] == (
        "| [A study, small](a_study/small/README.md) | imdb | tiny | 2 | A\\|B |"
    )


def test_models_stand_by_their_names_with_the_layers_that_are_used():
    base = RunConfig(dataset="demo_news")
    student = base.with_(distil={"teacher": "0" * 16, "student_layers": [0, 3]})
    assert models_of([base, base.with_(seed=2)]) == "MiniLM-L6"
    assert models_of([base.with_(layers=1)]) == "MiniLM-L6, 1 layer"
    assert models_of([base, base.with_(layers=1), student]) == "MiniLM-L6, 1, 2 and all layers"
    other = base.with_(backbone="sentence-transformers/all-mpnet-base-v2")
    assert models_of([base.with_(layers=3), other]) == "MiniLM-L6, 3 layers; MPNet-base"

"""What the README shows of all pages is computed from their page.json."""

import json
from pathlib import Path

import pytest

from lib.publish.front import (
    answers,
    contents,
    demo_answers,
    overview_table,
    profile_pages,
    refresh_contents,
    refresh_readme,
    with_answers,
)
from tests.test_site import a_page

README = "# All\n\n<!-- answers: real -->\n\n| old |\n\nMore.\n\n<!-- answers: demo -->\n\n\n"
README += "End.\n"


def save(
    root: Path, study: str, profile: str, *, dataset="imdb", answer: str, gain=None, heads=("cls",)
):
    """A page with an answer and, if a gain is given, a best model of some heads that is so much
    better than the reference's 0.5."""
    page = a_page(profile, dataset) | {"study": study, "profile": profile.partition("--")[0]}
    page |= {"title": f"Is {study} so?"}
    page |= {"command": f"make {study}", "short": [dataset, "tiny", "1 seed"]}
    finding = {"kind": "finding", "name": "answer", "section": "answer", "text": answer, "runs": []}
    page["blocks"] = [finding]
    if gain is not None:
        best = {"name": "CLS", "score": 0.5 + gain, "low": 0.4 + gain, "high": 0.6 + gain}
        reference = {"name": "TF-IDF", "score": 0.5, "low": None, "high": None}
        facts = {"metric": "accuracy", "best": best, "reference": reference}
        block = {"kind": "best", "name": "best", "section": "answer", "facts": facts}
        configs = [{"head": head} for head in heads] + [{"head": "native", "reference": "tfidf"}]
        page["runs"] = {f"{i:016}": {"config": config} for i, config in enumerate(configs)}
        page["blocks"].append(block | {"arguments": {"by": "head"}, "runs": [*page["runs"]]})
    folder = root / "results" / study / profile
    folder.mkdir(parents=True)
    (folder / "page.json").write_text(json.dumps(page))


@pytest.fixture
def root(tmp_path) -> Path:
    save(tmp_path, "a_study", "small", answer="No. Small.", gain=-0.1)
    save(tmp_path, "a_study", "base", answer="Yes. Base;\nTF-IDF 50 %.", gain=0.2)
    save(tmp_path, "a_study", "demo", dataset="demo_news", answer="Made up.", gain=0.4)
    save(tmp_path, "a_study", "small--seed=9", answer="Overridden.", gain=0.4)
    save(tmp_path, "b_study", "small", answer="Perhaps.")
    (tmp_path / "README.md").write_text(README)
    return tmp_path


def rows_of(table: str) -> list[str]:
    return table.splitlines()[2:]


def test_each_study_answers_from_its_largest_profile_and_links_the_others(root):
    data = "imdb, tiny; also [small](results/a_study/small/README.md)"
    assert rows_of(answers(profile_pages(root / "results"))) == [
        f"| [Is a_study so?](results/a_study/base/README.md) | {data} | Yes. Base; TF-IDF 50 %. |",
        "| [Is b_study so?](results/b_study/small/README.md) | imdb, tiny | Perhaps. |",
    ]


def test_a_remark_names_the_studies_of_its_table(root):
    remark = "<!-- answers: real, of b_study, a_study -->\n\n"
    table = with_answers(remark, profile_pages(root / "results")).removeprefix(remark)
    b, a = rows_of(table)
    assert b.startswith("| [Is b_study so?]") and a.startswith("| [Is a_study so?]")


def test_a_page_that_compares_answers_before_a_larger_one_that_does_not(root):
    save(root, "c_study", "base", answer="One.", gain=0.4)
    save(root, "c_study", "small", answer="Two.", gain=0.1, heads=("cls", "mean"))
    [row] = rows_of(answers(profile_pages(root / "results")))[2:]
    data = "imdb, tiny; also [base](results/c_study/base/README.md)"
    assert row == f"| [Is c_study so?](results/c_study/small/README.md) | {data} | Two. |"
    assert 0.9 in overview_table(profile_pages(root / "results"))["best_score"].tolist()


def test_made_up_texts_answer_by_the_study_alone(root):
    [row] = rows_of(demo_answers(profile_pages(root / "results")))
    assert row == "| [A study](results/a_study/demo/README.md) | Made up. |"


def test_the_readme_is_made_anew_and_the_rest_of_it_stays(root):
    refresh_readme(root)
    text = (root / "README.md").read_text()
    assert "| old |" not in text and "| Yes. Base; TF-IDF 50 %. |" in text
    assert (
        text.index("Perhaps.") < text.index("More.") < text.index("Made up.") < text.index("End.")
    )
    refresh_readme(root)
    assert (root / "README.md").read_text() == text


def test_the_figure_has_real_pages_that_name_their_best_model(root):
    table = overview_table(profile_pages(root / "results"))
    assert table["best_score"].tolist() == [0.7, 0.4] and table["model"].tolist() == ["tiny"] * 2
    assert table["reference"].tolist() == ["TF-IDF"] * 2 and table["best_high"][0] == 0.8
    assert not len(overview_table({}))


def test_the_figure_names_a_model_of_several_depths_without_them(root):
    file = root / "results" / "a_study" / "base" / "page.json"
    page = json.loads(file.read_text())
    page["short"][1] = "tiny, 1, 2 and all layers"
    file.write_text(json.dumps(page))
    models = overview_table(profile_pages(root / "results"))["model"].tolist()
    assert models == ["tiny", "tiny"]


def test_the_figure_says_of_which_number_of_labelled_texts_its_scores_are(root):
    file = root / "results" / "a_study" / "base" / "page.json"
    page = json.loads(file.read_text())
    next(block for block in page["blocks"] if block["kind"] == "best")["facts"][
        "labelled_texts"
    ] = 1000
    file.write_text(json.dumps(page))
    named = overview_table(profile_pages(root / "results"))["data"].tolist()
    assert sum(data.endswith(", 1,000 texts") for data in named) == 1


def test_each_page_stands_with_its_data_model_minutes_and_machine(tmp_path):
    save(tmp_path, "a_study", "small", answer="No.")
    made = {"run_seconds": {"a": 90.0, "b": 60.0}, "runs": [{"device": "A|B"}, {"device": "A|B"}]}
    folder = tmp_path / "results" / "a_study" / "small"
    (folder / "environment.json").write_text(json.dumps(made))
    readme = tmp_path / "results" / "README.md"
    readme.write_text("# Pages\n\n<!-- pages -->\n\n| old |\n\nBelow.\n", encoding="utf-8")
    refresh_contents(tmp_path)
    text = readme.read_text(encoding="utf-8")
    table = contents(tmp_path / "results")
    assert text == f"# Pages\n\n<!-- pages -->\n\n{table}\nBelow.\n"
    assert table.splitlines()[-1] == (
        "| [A study, small](a_study/small/README.md) | imdb | tiny | 2 | A\\|B |"
    )

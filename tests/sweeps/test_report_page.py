"""Is the page one safe, self-contained file that shows everything, and the Markdown well formed?"""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.base.evidence import MARKS
from moesaic.sweeps.plots.style import figure
from moesaic.sweeps.report import Section, Table, filling, html, markdown, results, write

HOSTILE = "<script>alert(1)</script>|\"'&`[x](javascript:y)"


def drawn(title="figure"):
    with figure() as (made, axes):
        axes.plot([1, 2], [3, 4])
        axes.set_title(title)
    return made


def section(name="one", **changes):
    told = {
        "name": name,
        "title": "A title",
        "words": ("Some words.",),
        "evidence": ("bound", "measured-published"),
        "tables": (
            Table(columns=("what", "time"), rows=(("a", "3 ms"), ("b", "-")), note="A note."),
        ),
        "data": {"x": 1.5},
    }
    return Section(**(told | changes))


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.references = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                self.references.append(value)
            assert not name.startswith("on"), "an inline handler"


def test_the_page_needs_nothing_else():
    text = html("Title", [section(figure=drawn())])
    page = Page(text)
    assert all(reference.startswith("#") for reference in page.references)
    outside = re.findall(r"https?://[^\s\"'<]+", text)
    assert {url for url in outside if not url.startswith("http://www.w3.org/")} == set()
    assert "@import" not in text
    assert "url(" not in text.replace("url(#", "")
    tags = [tag for tag, _ in page.tags]
    assert tags.count("script") == 1
    assert not {"iframe", "object", "embed", "link", "img"} & set(tags)
    (policy,) = (a["content"] for t, a in page.tags if a.get("http-equiv"))
    assert "default-src 'none'" in policy


def test_every_section_shows_its_evidence_words_tables_and_figure():
    shown = html("Title", [section("one"), section("two", evidence=("simulated",), figure=drawn())])
    first, second = shown.split('<section id="')[1:]
    assert f"{MARKS['bound']} bound" in first
    assert f"{MARKS['measured-published']} measured-published" in first
    assert "simulated" in second.split("</p>")[0]
    assert "<svg" in second
    assert "<svg" not in first
    for part in (first, second):
        assert all(word in part for word in ("A title", "Some words.", "3 ms", "A note."))


def test_tables_can_be_sorted():
    page = Page(html("Title", [section()]))
    heads = [attrs for tag, attrs in page.tags if tag == "th"]
    assert [head["scope"] for head in heads] == ["col", "col"]
    assert [head.get("class") for head in heads] == [None, "number"]
    assert all(head["tabindex"] == "0" for head in heads)
    assert ("tbody", {}) in page.tags


@pytest.mark.parametrize(
    ("cells", "number"),
    [
        (("1", "-2.5", "3e-7"), True),
        (("12.6 ms", "869 mJ", "-"), True),
        (("-70.9%", "+1.0%", "-"), True),
        (("4 x H100", "1 x L40S"), False),
        (("8, held by registers",), False),
        (("all",), False),
        ((), False),
    ],
)
def test_a_column_is_numeric_when_each_cell_is_a_number_with_one_unit(cells, number):
    table = Table(columns=("c",), rows=tuple((cell,) for cell in cells))
    assert table.numeric == (number,)


def test_hostile_words_stay_words():
    table = Table(columns=(HOSTILE,), rows=((HOSTILE,),), note=HOSTILE)
    told = section(title=HOSTILE, words=(HOSTILE,), tables=(table,), figure=drawn(HOSTILE))
    text = html(HOSTILE, [told])
    assert "<script>alert" not in text
    assert [tag for tag, _ in Page(text).tags].count("script") == 1
    plain = markdown(HOSTILE, [told])
    assert "<script" not in plain
    assert "[x](" not in plain


def test_markdown_tables_have_as_many_cells_in_each_row():
    rows = (("a|b", "1"), ("c\nd", "2"))
    table = Table(columns=("what", "n"), rows=rows)
    lines = markdown("T", [section(tables=(table,))]).splitlines()
    body = [line for line in lines if line.startswith("|")]
    assert body[1] == "| --- | ---: |"
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in body] == [3] * 4


def test_data_is_json_without_nan():
    data = {"nan": float("nan"), "array": np.arange(3), "n": np.float64(2), "i": np.int64(7)}
    read = json.loads(results([section(data=data)]))
    assert read == {"one": {"nan": None, "array": [0, 1, 2], "n": 2, "i": 7}}


def test_a_report_is_written_whole_and_leaves_other_files_alone(tmp_path):
    out = tmp_path / "deep" / "report"
    page = write(out, "Title", [section(figure=drawn())])
    names = ["index.html", "one.png", "report.md", "results.json"]
    assert sorted(p.name for p in out.iterdir()) == names
    (out / "mine.txt").write_text("kept")
    old = page.read_text()
    write(out, "Another", [section(figure=drawn())])
    assert page.read_text() != old
    assert sorted(p.name for p in out.iterdir()) == sorted([*names, "mine.txt"])
    assert [p.name for p in out.parent.iterdir()] == ["report"]


def test_a_fault_leaves_nothing_behind(tmp_path):
    def fail():
        with filling(tmp_path / "report") as beside:
            (beside / "a.png").write_text("half")
            raise BadInput("a chapter failed")

    with pytest.raises(BadInput, match="a chapter failed"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder_for_a_report(tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(BadInput, match="is a file"):
        write(tmp_path / "taken", "T", [section()])
    with pytest.raises(BadInput, match="cannot be made"):
        write(tmp_path / "taken" / "below", "T", [section()])
    assert (tmp_path / "taken").read_text() == "x"

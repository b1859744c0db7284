"""Does the page work in a real browser: sorting by a click and by a key, no errors?"""

import html
import json
import re
import shutil
import subprocess

import pytest

from moesaic.base.units import parse
from moesaic.cli.app import main
from moesaic.sweeps.report import Section, Table, write

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)

HEARING = """<script>
const faults = [];
addEventListener("error", event => faults.push(event.message));
addEventListener("securitypolicyviolation", event => faults.push(event.violatedDirective));
function column(table, i) {
  return [...table.tBodies[0].rows].map(row => row.cells[i].textContent);
}
function told(found) {
  const out = document.createElement("pre");
  const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
  out.id = "probe";
  out.textContent = JSON.stringify({ ...found, wide, faults, width: innerWidth });
  document.body.append(out);
}
"""

CLICKS = (
    HEARING
    + """
addEventListener("load", () => {
  const table = document.querySelector("table"), heads = table.querySelectorAll("th");
  const orders = [column(table, 1)];
  for (const i of [1, 1, 0]) { heads[i].click(); orders.push(column(table, i)); }
  heads[1].dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" }));
  orders.push(column(table, 1));
  told({ orders, sorted: [...heads].map(head => head.getAttribute("aria-sort")) });
});
</script>"""
)

EVERY = (
    HEARING
    + """
addEventListener("load", () => {
  const style = getComputedStyle(document.body);
  const drawn = [...document.querySelectorAll("figure svg")].map(svg => {
    const box = svg.getBoundingClientRect();
    return [box.left, box.right, box.height];
  });
  const table = document.querySelector("#front table"), box = table.parentElement;
  const columns = {};
  for (const head of table.querySelectorAll("th")) {
    head.click();
    columns[head.textContent.trim()] = column(table, head.cellIndex);
  }
  box.scrollTop = 200;
  const head = table.tHead.rows[0].cells[0];
  const inside = head.getBoundingClientRect().top - box.getBoundingClientRect().top;
  told({
    paper: style.backgroundColor, ink: style.color, drawn, columns,
    inside, scrolled: box.scrollTop,
  });
});
</script>"""
)

LIGHT, DARK = 1, 0
"""Chromium's numbers for what a reader prefers."""


def probed(page, probe, tmp_path, scheme=LIGHT):
    """What a probe tells of a page that is opened at the width of a laptop."""
    copy = tmp_path / "probed.html"
    # First of all scripts, so that it hears faults of the page's own.
    copy.write_text(page.read_text().replace("<body>", "<body>" + probe, 1))
    done = subprocess.run(
        [
            BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
            "--window-size=1280,800", f"--blink-settings=preferredColorScheme={scheme}",
            f"--user-data-dir={tmp_path / f'profile{scheme}'}", "--dump-dom", copy.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    (probe,) = re.findall(r'<pre id="probe">(.*?)</pre>', done.stdout)
    found = json.loads(html.unescape(probe))
    assert found["faults"] == []
    assert not found["wide"]
    return found


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="needs chromium on the PATH to open the page")
def test_a_click_sorts_by_value_and_nothing_complains(tmp_path):
    times = ("7.7 ms", "221 ms", "869 us", "-", "1.2 s")
    names = ("4 x B", "10 x A", "2 x C", "1 x <D>", "3 x E")
    table = Table(columns=("machine", "step"), rows=tuple(zip(names, times, strict=True)))
    words = ("A <script>throw 1</script> in words.",)
    section = Section(name="a", title="A", words=words, evidence=("bound",), tables=(table,))
    page = write(tmp_path / "report", "Title", [section])
    found = probed(page, CLICKS, tmp_path)
    up = ["869 us", "7.7 ms", "221 ms", "1.2 s", "-"]
    down = ["1.2 s", "221 ms", "7.7 ms", "869 us", "-"]
    assert found["orders"][0] == list(times)
    assert found["orders"][1] == up
    assert found["orders"][2] == down
    assert found["orders"][3] == sorted(names, key=lambda name: int(name.split()[0]))
    assert found["orders"][4] == up
    assert found["sorted"] == [None, "ascending"]


ORDERED = (
    ("12.3 us", "1.2 ms", "0.5 s", "2 min", "-"),
    ("-5.1%", "0.0%", "9.9%", "12.1%", "nan"),
    ("1.37x", "1.5x", "10.2x", "-"),
    ("0.5 mm2", "814 mm2", "2 m2"),
    ("0.9 USD/h", "98 USD/h", "1.2e+04 USD/h"),
    ("156 token/s", "3.057 ktoken/s", "1 Mtoken/s"),
    ("-8.04 GB", "-1 MB", "0 B", "900 kB", "84.3 GB"),
    ("308 uJ/token", "616 mJ/token", "3.4 J/token"),
    ("0.3 USD/Mtoken", "1.25 USD/Mtoken", "20 USD/Mtoken"),
    ("1e-07", "0.03", ".5", "7", "1e+06", "10,000,000"),
    ("about 9 GB/s", "about 1 TB/s"),
    ("2", "10", "bf16", "fp8", "-"),
)
"""Columns in the order that sorting must bring them to, their blanks last."""


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="needs chromium on the PATH to open the page")
def test_every_kind_of_number_sorts_by_what_it_is_worth(tmp_path):
    longest = max(map(len, ORDERED))
    padded = [(*cells[::-1], *("-" * (longest - len(cells)))) for cells in ORDERED]
    heads = tuple(f"c{i}" for i in range(len(ORDERED)))
    table = Table(columns=heads, rows=tuple(zip(*padded, strict=True)))
    section = Section(name="front", title="A", words=(), evidence=("bound",), tables=(table,))
    found = probed(write(tmp_path / "report", "Title", [section]), EVERY, tmp_path)
    for head, cells in zip(heads, ORDERED, strict=True):
        numbers = [cell for cell in found["columns"][head] if cell not in ("-", "nan")]
        assert numbers == [cell for cell in cells if cell not in ("-", "nan")]
        blanks = found["columns"][head][len(numbers) :]
        assert set(blanks) <= {"-", "nan"}


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="needs chromium on the PATH to open the page")
def test_a_sweep_can_be_read_on_a_laptop_light_and_dark(tmp_path, pytestconfig):
    space, run = pytestconfig.rootpath / "examples" / "granularity.toml", tmp_path / "run"
    assert main(["sweep", "run", str(space), "--jobs", "1", "--out", str(run)]) == 0
    assert main(["report", str(run)]) == 0
    page = run / "report" / "index.html"
    light, dark = (probed(page, EVERY, tmp_path, scheme) for scheme in (LIGHT, DARK))
    assert light["width"] == 1280
    assert (light["paper"], dark["paper"]) == ("rgb(255, 255, 255)", "rgb(23, 24, 26)")
    assert light["ink"] != dark["ink"]
    for found in (light, dark):
        assert len(found["drawn"]) == 4
        for left, right, height in found["drawn"]:
            assert 0 <= left < right <= 1280
            assert height > 150
        assert found["scrolled"] == 200
        assert 0 <= found["inside"] <= 2  # the heads stay
        times = found["columns"]["tpot_s"]
        assert len(times) > 20
        seconds = [parse(text, "s") for text in times]
        assert seconds == sorted(seconds)
        assert seconds[0] < seconds[-1]

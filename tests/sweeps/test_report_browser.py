"""Does the page work in a real browser: sorting by a click and by a key, no errors?"""

import json
import re
import shutil
import subprocess

import pytest

from moesaic.sweeps.report import Section, Table, write

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)

PROBE = """<script>
const faults = [];
addEventListener("error", event => faults.push(event.message));
addEventListener("securitypolicyviolation", event => faults.push(event.violatedDirective));
addEventListener("load", () => {
  const heads = document.querySelectorAll("th");
  const column = i => [...document.querySelectorAll("tbody tr")].map(r => r.cells[i].textContent);
  const orders = [column(1)];
  for (const i of [1, 1, 0]) { heads[i].click(); orders.push(column(i)); }
  heads[1].dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" }));
  orders.push(column(1));
  const sorted = [...heads].map(head => head.getAttribute("aria-sort"));
  const wide = document.documentElement.scrollWidth > innerWidth;
  const out = document.createElement("pre");
  out.id = "probe";
  out.textContent = JSON.stringify({ orders, sorted, wide, faults });
  document.body.append(out);
});
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="needs chromium on the PATH to open the page")
def test_a_click_sorts_by_value_and_nothing_complains(tmp_path):
    times = ("7.7 ms", "221 ms", "869 us", "-", "1.2 s")
    names = ("4 x B", "10 x A", "2 x C", "1 x <D>", "3 x E")
    table = Table(columns=("machine", "step"), rows=tuple(zip(names, times, strict=True)))
    words = ("A <script>throw 1</script> in words.",)
    section = Section(name="a", title="A", words=words, evidence=("bound",), tables=(table,))
    page = write(tmp_path / "report", "Title", [section])
    probed = tmp_path / "probed.html"
    # First of all scripts, so that it hears faults of the page's own.
    probed.write_text(page.read_text().replace("<body>", "<body>" + PROBE, 1))
    done = subprocess.run(
        [
            BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", probed.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    (probe,) = re.findall(r'<pre id="probe">(.*?)</pre>', done.stdout)
    found = json.loads(probe)
    up = ["869 us", "7.7 ms", "221 ms", "1.2 s", "-"]
    down = ["1.2 s", "221 ms", "7.7 ms", "869 us", "-"]
    assert found["orders"][0] == list(times)
    assert found["orders"][1] == up
    assert found["orders"][2] == down
    by_name = [name.replace("<", "&lt;").replace(">", "&gt;") for name in names]
    assert found["orders"][3] == sorted(by_name, key=lambda name: int(name.split()[0]))
    assert found["orders"][4] == up
    assert found["sorted"] == [None, "ascending"]
    assert not found["wide"]
    assert found["faults"] == []
    assert "CONSOLE" not in done.stderr

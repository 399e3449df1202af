"""axe, in headless Chromium, finds nothing on the pages of ``compare`` and ``report``, in light and in dark.

Needs Chromium, and axe from the package axe-core-python or a file named by the variable ``MILEPOST_AXE``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import make_classified, make_result

from milepost.api.report import report
from milepost.reporting import render_compare_html, render_report_html

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SCHEMES = {"light": 1, "dark": 0}


def find_axe() -> Path | None:
    if "MILEPOST_AXE" in os.environ:
        return Path(os.environ["MILEPOST_AXE"])
    found = importlib.util.find_spec("axe_core_python")
    return Path(found.origin).with_name("axe.min.js") if found and found.origin else None


AXE = find_axe()
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.skipif(AXE is None, reason="no axe: install the group browser, or set MILEPOST_AXE"),
]
_RUN = """
const scheme = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
document.querySelectorAll('details').forEach(part => part.open = true);
axe.run().then(found => {
  const faults = found.violations.map(v => v.id + ': ' + v.nodes[0].html.slice(0, 200));
  const open = found.incomplete.map(v => v.id + ': ' + v.nodes[0].html.slice(0, 200));
  const said = document.createElement('pre');
  said.id = 'said';
  said.textContent = JSON.stringify({scheme, faults, open, rules: found.passes.length});
  document.body.replaceChildren(said);
});
"""


def check(html: str, scheme: str, folder: Path) -> dict:
    """What axe says of a page with all its parts open; the page's own policy, which forbids scripts, is taken out."""
    assert AXE is not None and CHROMIUM is not None
    html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    script = f"<script>{AXE.read_text('utf-8')}</script><script>{_RUN}</script>"
    page = folder / "page.html"
    page.write_text(html.replace("</body>", f"{script}</body>"), "utf-8")
    words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    words += [
        f"--user-data-dir={folder / 'profile'}",
        f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}",
    ]
    words += ["--virtual-time-budget=60000", "--window-size=1200,1000", "--dump-dom", page.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True)
    said = re.search(r'<pre id="said">(.*?)</pre>', done.stdout, re.DOTALL)
    assert said, done.stderr[-2000:]
    import html as entities

    return json.loads(entities.unescape(said[1]))


def make_page(kind: str, folder: Path) -> str:
    if kind == "classify":
        return render_compare_html(make_classified(seeds=3))
    if kind == "causal-lm":
        return render_compare_html(make_result())
    other = make_result()
    other["spec"]["training"]["lr"] = 0.004
    for name, result in (("a", make_result()), ("b", other)):
        (folder / name).mkdir()
        (folder / name / "result.json").write_text(json.dumps(result))
    return render_report_html(report([folder / "a", folder / "b"]))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", ["causal-lm", "classify", "report"])
def test_axe_finds_no_violation(kind, scheme, tmp_path):
    found = check(make_page(kind, tmp_path), scheme, tmp_path)
    assert found["scheme"] == scheme and found["rules"] > 20
    assert found["faults"] == []


def test_axe_would_find_one(tmp_path):
    page = (
        make_page("classify", tmp_path)
        .replace("<h1>", "<h1><img src='#x'>")
        .replace("--muted: #5a6170", "--muted: #cccccc")
    )
    faults = " ".join(check(page, "light", tmp_path)["faults"])
    assert "image-alt" in faults and "color-contrast" in faults

import base64
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import HOSTILE, Page, contrast, faults

from milepost.errors import MissingExtra
from milepost.reporting import render_compare_html

TEN = [
    "learned",
    "sinusoidal",
    "rotary",
    "alibi",
    "t5(buckets=32,max_distance=128)",
    "none",
    "learned(past=clamp)",
    "learned(past=tile)",
    "rotary(theta=500000)",
    "learned(init=zeros)",
]


@pytest.fixture(scope="module")
def html(make):
    return render_compare_html(make())


def test_the_page_loads_nothing_and_runs_nothing(html):
    assert faults(html) == []
    assert "http://" not in html and "https://" not in html
    assert Page(html).of("svg")


@pytest.mark.parametrize(
    "broken",
    [
        "<script>1</script>",
        "<p onclick=x>",
        "<p style='color:red'>",
        "<img src='https://example.org/x.png'>",
        "<svg></svg>",
        "<style>p{background:url(x.png)}</style>",
        "<p id=a></p><p id=a></p>",
    ],
)
def test_the_check_of_the_page_can_fail(broken):
    assert faults(broken)


def test_the_security_policy_allows_this_style_and_nothing_else(html):
    policy = Page(html).of("meta")[1]["content"]
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")


def test_the_verdict_comes_first(html, result):
    advice = result["recommendation"]
    page = Page(html)
    heading = next(data for tag, data in page.texts if tag == "h1")
    assert heading == advice["sentence"]
    first = page.text.index(advice["sentence"])
    rest = [page.text.index(s) for s in (*advice["because"], *advice["would_change"], "Verdicts by length")]
    assert [first, *rest] == sorted([first, *rest])


def test_a_cell_says_difference_interval_and_word(html, result):
    one = next(c for c in result["comparisons"] if (c["encoding"], c["length"]) == ("rotary", 32))
    written = (
        f"{one['difference']:+.3f}<small>[{one['low_adjusted']:+.3f}, {one['high_adjusted']:+.3f}]".replace(
            "-", "−"
        )
    )
    assert f'{written}</small><span class="better">✓ better</span>' in html
    assert f"detectable {one['detectable']:.3f}" in html


def test_undefined_is_shown_as_no_answer_and_never_as_a_number(html, result):
    row = re.search(r'<tr><th scope="row">learned</th>.*?</tr>', html, re.DOTALL)[0]
    assert row.count("– no answer") == 3
    assert "learned: 1.960 at 16, 1.850 at 32, no answer past that." in html


def test_every_trial_is_listed_and_a_failed_one_with_its_reason(html, result):
    listed = html[html.index('id="trials"') : html.index("</main>")]
    assert listed.count("<tr>") == 1 + len(result["trials"])
    assert "✗ failed" in listed
    assert "the worker ended with signal 9 (out of memory?)" in listed


def test_each_figure_has_a_description_and_its_numbers(html):
    page = Page(html)
    descriptions = [data for tag, data in page.texts if tag == "desc"]
    assert len(descriptions) == len(page.of("svg")) == 3
    assert all(len(text) > 60 for text in descriptions)
    assert html.count("<summary>Numbers of this figure</summary>") == 3


def test_seeds_are_dots_and_undefined_lengths_are_marked_in_the_figure(html, result):
    figure = re.search(r"<svg[^>]*length-0-title.*?</svg>", html, re.DOTALL)[0]
    losses = [m for t in result["trials"] for m in t["metrics"].values() if m]
    means, undefined = 6 * 5 - 3, 3
    ticks_and_rest = figure.count("<use") - len(losses) - means - undefined
    assert 0 < ticks_and_rest < 20
    assert "trained: 32" in figure and "no answer" in figure


def test_the_command_and_the_environment_are_in_the_footer(html, result):
    footer = Page(html[html.index("<footer>") :]).text
    assert result["spec"]["command"] in footer
    assert "2.13.0+cpu" in footer


def test_names_are_text_wherever_they_stand(make, html):
    result = make([HOSTILE, "rotary\u202e"])
    result["spec"]["data"]["source"] = result["spec"]["scale_rule"] = HOSTILE
    result["environment"][HOSTILE] = HOSTILE
    result["recommendation"]["sentence"] = result["trials"][0]["reason"] = HOSTILE
    result["trials"][0]["status"] = "diverged"
    result["pictures"][HOSTILE] = {"cosine": [[1.0]], "norms": [1.0], "rows": 1}
    hostile = render_compare_html(result)
    assert faults(hostile) == []
    assert Page(hostile).tags <= Page(html).tags
    assert "\u202e" not in hostile and r"rotary\u202e" in hostile
    assert HOSTILE in Page(hostile).text


@pytest.mark.parametrize("reach", [128, 4096])
def test_ten_encodings_and_ten_seeds_stay_within_400_kilobytes(make, reach):
    result = make(TEN, 10)
    for trial in result["trials"]:
        trial["loss_by_position"] = (trial["loss_by_position"] * (reach // 32))[:reach]
    whole = [[round(1 / (1 + abs(i - j)), 5) for j in range(64)] for i in range(64)]
    for name in TEN:
        result["pictures"][name] = {"cosine": whole, "norms": [0.5] * 64, "rows": 512}
    html = render_compare_html(result)
    assert len(html.encode()) <= 400_000
    assert faults(html) == []


def test_code_that_is_not_milepost_s_is_named_with_its_hash(make, html):
    assert "Imported code" not in html
    result = make()
    result["spec"]["imports"] = {"<b>own.py": "ab" * 32}
    page = render_compare_html(result)
    assert "Imported code" in page and "&lt;b&gt;own.py" in page and "ab" * 32 in page
    assert faults(page) == []


def test_a_chart_has_at_most_eight_lines_and_the_baseline_in_each(make):
    html = render_compare_html(make(TEN, 2))
    for figure in re.findall(r"<svg[^>]*(?:length|position)-\d-title.*?</svg>", html, re.DOTALL):
        used = set(re.findall(r"var\(--s\d\)", figure))
        assert "var(--s0)" in used
        assert 2 <= len(used) <= 8
        assert ">learned<" in figure


_SCHEMES = re.compile(r":root \{([^}]*--paper[^}]*)\}")


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_has_contrast_in_light_and_in_dark(html, scheme):
    colours = dict(re.findall(r"--([\w]+): (#\w{6})", _SCHEMES.findall(html)[scheme]))
    words = {name for name in colours if name not in ("paper", "panel", "rule")}
    assert words == {"ink", "muted", "accent", "good", "bad", *(f"s{k}" for k in range(8))}
    for name in words:
        for ground in ("paper", "panel"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)


def test_the_contrast_formula_knows_its_ends():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") < 4.5


def test_rendering_does_not_depend_on_the_process_or_a_users_settings(html, tmp_path):
    (tmp_path / "matplotlibrc").write_text("axes.facecolor: red\nfont.size: 30\nsvg.fonttype: path\n")
    program = (
        "import runpy, sys\n"
        "make = runpy.run_path(sys.argv[1])['make_result']\n"
        "from milepost.reporting import render_compare_html\n"
        "import matplotlib\n"
        "def settings():\n"
        "    # looking at the backend would choose one\n"
        "    return {k: matplotlib.rcParams[k] for k in matplotlib.rcParams if k != 'backend'}\n"
        "before = settings()\n"
        "sys.stdout.buffer.write(render_compare_html(make()).encode())\n"
        "assert before == settings() and before['font.size'] == 30\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    conftest = Path(__file__).parents[1] / "conftest.py"
    done = subprocess.run(
        [sys.executable, "-c", program, str(conftest)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONHASHSEED": "7", "MPLCONFIGDIR": str(tmp_path), "TZ": "Asia/Tokyo"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert hashlib.sha256(done.stdout).hexdigest() == hashlib.sha256(html.encode()).hexdigest()


def test_without_matplotlib_the_extra_is_named(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"milepost\[report\]"):
        render_compare_html(result)


def test_the_terminal_needs_no_matplotlib(result, monkeypatch, capsys):
    from milepost.reporting import print_compare

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    print_compare(result)
    assert capsys.readouterr().out


def _all_failed(result):
    for trial in result["trials"]:
        trial.update(status="failed", reason="x", metrics={}, loss_by_position=[], measured={})
    result["comparisons"] = result["degradations"] = []


def _one_length(result):
    result["spec"]["lengths"] = [32]
    result["comparisons"] = [c for c in result["comparisons"] if c["length"] == 32]
    result["degradations"], result["pictures"] = [], {}


def _nulls(result):
    for trial in result["trials"]:
        trial.update(metrics=None, loss_by_position=None, measured=None, parameters=None, batch_hash=None)
    for row in (*result["comparisons"], *result["degradations"]):
        row.update({k: None for k, v in row.items() if isinstance(v, float)})
    picture = result["pictures"]["learned"]
    picture.update(cosine=[[None, 1.0], [1.0, None]], norms=[None, 1.0])


def _not_finite(result):
    result["trials"][0]["metrics"]["16"]["loss"] = float("nan")
    result["trials"][1]["loss_by_position"][3] = float("inf")
    result["comparisons"][0]["low"] = float("-inf")


@pytest.mark.parametrize("change", [_all_failed, _one_length, _nulls, _not_finite])
def test_poor_results_still_make_a_page(result, change):
    change(result)
    html = render_compare_html(result)
    assert faults(html) == []
    assert not re.search(r">\s*[−+]?(nan|inf|None)\b", html)


def test_the_document_is_left_untouched(make):
    result, before = make(), make()
    render_compare_html(result)
    assert result == before

"""The page of `mpidbo report` in a browser, at a desktop's and at a phone's width."""

import shutil

import numpy as np
import pytest

from mpidbo import cli
from mpidbo.storage import files, read_run, write_arrays
from support import chromium
from support.runs import QUADRATIC, run, toml
from support.served import serving

LINES = """(() => {
  const style = getComputedStyle(document.documentElement);
  const probe = document.createElement("canvas").getContext("2d");
  const color = (name) => {
    probe.fillStyle = style.getPropertyValue(name); probe.fillRect(0, 0, 1, 1);
    return probe.getImageData(0, 0, 1, 1).data;
  };
  return [...document.querySelectorAll(".panel canvas")].map((canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return ["--c0", "--c1"].map((name) => {
      const wanted = color(name);
      let count = 0;
      for (let i = 0; i < data.length; i += 4)
        if (data[i + 3] > 200 && [0, 1, 2].every((j) => Math.abs(data[i + j] - wanted[j]) < 12))
          count += 1;
      return count;
    });
  });
})()"""
"""In each panel, how many pixels have the color of the first and of the second run."""
HEIGHTS = """(() => {
  const frame = document.querySelector(".panel canvas"), over = document.querySelector(".u-over");
  const box = over.getBoundingClientRect(), whole = frame.getBoundingClientRect();
  const probe = document.createElement("canvas").getContext("2d");
  probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--c0");
  probe.fillRect(0, 0, 1, 1);
  const wanted = probe.getImageData(0, 0, 1, 1).data;
  const paper = frame.getContext("2d", { willReadFrequently: true });
  const beside = paper.getImageData(0, 0, box.x - whole.x - 8, whole.height).data;
  const ink = beside.filter((part, i) => i % 4 === 3 && part > 100).length;
  return [ink, ...[0.5, 0.995].map((part) => {
    const x = box.x - whole.x + part * box.width, rows = [];
    const { data } = paper.getImageData(x, box.y - whole.y, 1, box.height + 4);
    for (let i = 0; i < data.length; i += 4)
      if ([0, 1, 2].every((j) => Math.abs(data[i + j] - wanted[j]) < 60)) rows.push(i / 4);
    return rows.length ? rows.reduce((sum, row) => sum + row, 0) / rows.length / box.height : null;
  })];
})()"""
"""Of the first panel: pixels of the numbers at its y axis, and how far below its upper edge the
curve is, in its middle and at its end."""
PICTURES = "[...document.querySelectorAll('.panel canvas')].map((one) => one.toDataURL())"
PLACE = """(({x, y, width, height}) => [x, y + height / 2, width])(
  document.querySelector(".panel .u-over").getBoundingClientRect())"""
"""Where the first panel begins, the height of its middle, and its width."""
SHOWN = "[...document.querySelectorAll('.panel')].map((one) => one.dataset.metric)"
WIDTHS = (chromium.DESKTOP, chromium.PHONE)


@pytest.fixture(scope="module")
def browser():
    with chromium.browser() as page:
        yield page


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs and three pages: of each, and of both; screenshots are left beside them."""
    folder = tmp_path_factory.mktemp("pages")
    path = toml(folder, QUADRATIC | {"run.best": {"metric": "distance", "mode": "min"}})
    run(path, folder / "a")
    run(path, folder / "b", steps__alpha=0.01)
    for name in ("a", "b"):
        assert cli.main(["report", str(folder / name)]) == 0
    assert cli.main(["report", *(str(folder / n) for n in "ab"), "-o", f"{folder}/both.html"]) == 0
    return folder


def choose(page, control, value):
    page.run(
        f"(() => {{ const one = document.getElementById('{control}'); one.value = '{value}';"
        "one.dispatchEvent(new Event('change')); })()"
    )
    page.settle()


def toggle(page, group, name):
    page.run(
        f"[...document.querySelectorAll('#{group} .chip')]"
        f".find((one) => one.textContent.includes('{name}')).click()"
    )
    page.settle()


@pytest.mark.parametrize(
    "dark", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["light", "dark"]
)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "name", [pytest.param("a/report.html", marks=pytest.mark.slow), "both.html"]
)
def test_a_page_at_a_width(browser, folder, name, width, dark):
    path = folder / name
    browser.open(path.as_uri(), width=width, dark=dark)
    kind = "both" if name == "both.html" else "one"
    browser.screenshot(folder / f"{kind}-{width}-{'dark' if dark else 'light'}.png")
    assert browser.overflow() == 0
    assert browser.complaints == []
    assert browser.requests == [path.as_uri()]
    title = "2 runs" if name == "both.html" else "sparkle-ed-ed on quadratic: ring of 4 agents"
    assert browser.run("[document.title, document.querySelector('h1').textContent]") == [title] * 2
    lines = browser.run(LINES)
    assert len(lines) == 4
    several = name == "both.html"
    assert all(first > 50 and (second > 50) == several for first, second in lines), lines
    light = browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert light != dark


@pytest.mark.parametrize("width", WIDTHS)
def test_choices_change_the_curves(browser, folder, width):
    browser.open((folder / "both.html").as_uri(), width=width)
    axes = browser.run("[...document.getElementById('axis').options].map((one) => one.value)")
    assert axes == [
        "iterations",
        "floats",
        "bytes",
        "messages",
        "rounds",
        "oracle calls",
        "seconds",
    ]
    notes = browser.run(
        "[...document.querySelectorAll('.panel')].map((one) => [one.dataset.metric, "
        "one.querySelector('.note')?.textContent])"
    )
    assert dict(notes)["distance"] == "circle: the best iterate"
    seen = [browser.run(PICTURES)]

    def changed():
        seen.append(browser.run(PICTURES))
        assert seen[-1] != seen[-2]

    choose(browser, "scale", "log")
    changed()
    choose(browser, "scale", "linear")
    changed()
    choose(browser, "axis", "seconds")
    changed()
    toggle(browser, "runs", "0.01")
    changed()
    assert browser.complaints == []
    assert all(first > 50 and second == 0 for first, second in browser.run(LINES))
    assert "lower_loss" not in browser.run(SHOWN)
    toggle(browser, "metrics", "lower_loss")
    assert "lower_loss" in browser.run(SHOWN)
    toggle(browser, "metrics", "upper_loss")
    assert "upper_loss" not in browser.run(SHOWN)
    for name in browser.run(SHOWN):
        toggle(browser, "metrics", name)
    assert "choose a metric above" in browser.run("document.getElementById('panels').textContent")
    hidden = "[...document.querySelectorAll('#configuration tr')].map((row) => row.offsetHeight)"
    before = browser.run(hidden)
    browser.run("document.getElementById('only').click()")
    assert 0 not in before and browser.run(hidden).count(0) == len(before) - 2
    assert browser.overflow() == 0


@pytest.mark.parametrize("width", WIDTHS)
def test_the_values_under_the_mouse(browser, folder, width):
    browser.open((folder / "both.html").as_uri(), width=width)
    browser.run("document.querySelector('.panel').scrollIntoView({block: 'center'})")
    x, y, across = browser.run(PLACE)
    point = browser.tap if width == chromium.PHONE else browser.mouse
    tips = "[...document.querySelectorAll('.tip')].filter((one) => !one.hidden)"
    for place, first in ((0.02, "iterations 0"), (0.995, "iterations 31")):
        point(x + place * across, y)
        browser.wait(f"{tips}.length === 1 && {tips}[0].innerText.startsWith('{first}\\n')")
        printed = browser.run(f"{tips}[0].innerText").split("\n")
        assert [word for word in printed[1:] if word.startswith("alpha")] == printed[1::2]
        assert len(printed) == 5
        row = 0 if first == "iterations 0" else -1
        expected = [read_run(folder / name).columns["upper_loss"][row] for name in "ab"]
        assert sorted(map(float, printed[2::2])) == pytest.approx(sorted(expected), rel=1e-5)
    assert browser.overflow() == 0
    browser.screenshot(folder / f"values-{width}.png")
    if width == chromium.DESKTOP:
        whole = browser.run(PICTURES)
        reset = "document.getElementById('reset')"
        assert browser.run(f"{reset}.hidden")
        browser.mouse(x + 0.3 * across, y, "mousePressed", button="left", clickCount=1)
        browser.mouse(x + 0.6 * across, y, button="left", buttons=1)
        browser.mouse(x + 0.6 * across, y, "mouseReleased", button="left", clickCount=1)
        browser.wait(f"!{reset}.hidden")
        assert browser.run(PICTURES) != whole
        browser.run(f"{reset}.click()")
        browser.wait(f"{reset}.hidden")
        browser.settle()
        assert browser.run(PICTURES) == whole


def test_a_curve_over_hundreds_of_powers_of_ten(browser, tmp_path):
    """On a logarithmic axis, where it is a straight line, and on a linear one."""
    steps = np.arange(101)
    for name, sign in (("falls", "−"), ("grows", "")):
        values = 10.0 ** (3 * steps * (1 if name == "grows" else -1))
        write_arrays(tmp_path / f"{name}.h5", {"iteration": steps, "upper_loss": values}, {})
        assert cli.main(["report", str(tmp_path / f"{name}.h5")]) == 0
        browser.open((tmp_path / "report.html").as_uri())
        browser.screenshot(tmp_path / f"{name}.png")
        numbers, middle, last = browser.run(HEIGHTS)
        assert numbers > 100
        assert middle == pytest.approx(0.5, abs=0.1) and (last > 0.9) == (name == "falls")
        x, y, across = browser.run(PLACE)
        browser.mouse(x + across / 2, y)
        browser.wait(f"document.querySelector('.tip').innerText.includes('1e{sign}150')")
        choose(browser, "scale", "linear")
        numbers, middle, last = browser.run(HEIGHTS)
        assert numbers > 100
        assert middle > 0.9 and (last > 0.9) == (name == "falls")
        assert browser.complaints == []


@pytest.mark.slow
def test_a_page_that_is_served_follows_its_run(browser, folder, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    shutil.copy(folder / "a" / files.CONFIG, out)
    with serving(out) as (server, _):
        browser.open(server.url)
        assert browser.run("document.querySelector('.panel canvas')") is None
        assert "no evaluation yet" in browser.run("document.body.innerText")
        shutil.copy(folder / "a" / files.HISTORY, out)
        browser.wait("document.querySelectorAll('.panel canvas').length > 0")
        choose(browser, "axis", "floats")
        shutil.copy(folder / "a" / files.RESULT, out)
        shutil.copy(folder / "a" / files.DONE, out)
        browser.wait("document.getElementById('above').textContent.includes('finished')")
        assert browser.run("document.getElementById('axis').value") == "floats"
        assert browser.complaints == []
        assert {address.partition("?")[0] for address in browser.requests} == {
            server.url,
            f"{server.url}data",
        }
    browser.wait("document.getElementById('status').textContent.includes('has ended')")

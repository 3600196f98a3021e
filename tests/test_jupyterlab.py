"""A notebook where learners work on it: in JupyterLab, in a browser, with a live kernel and no network.

One server and one run of the notebook under the smoke budget serve all tests, each of which may be the only one to
run. Where JupyterLab or Chromium is missing, all of this is skipped.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("jupyterlab")]  # one server for all of it

ROOT = Path(__file__).parents[1]
NAME = "05_training_a_vqvae.ipynb"  # it trains, with progress bars, has a slider, and every kind of output
NOTEBOOK = nbformat.read(ROOT / "notebooks" / NAME, as_version=4)
KERNEL = "Python 3 (ipykernel)"
PATIENCE, RUN = 120_000, 600_000  # milliseconds for one thing and for all cells: a busy machine may be slow
STARTED = "() => [...document.querySelectorAll('.jp-InputPrompt')].some((each) => each.textContent.includes('*'))"
FINISHED = f"!({STARTED})()"
# Every output as (mime type, text): also those outside the window, which have no visible text.
OUTPUTS = """() => [...document.querySelectorAll(".jp-OutputArea-output")]
    .map((each) => [each.dataset.mimeType ?? "", each.textContent])"""
# The contrast of an element's text with what is behind it, as WCAG defines it.
CONTRAST = """(element) => {
    const channels = (colour) => colour.match(/[0-9.]+/g).map(Number);
    let behind = element;
    while (channels(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
    const [dark, light] = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor]
        .map((colour) => channels(colour).slice(0, 3).map((value) => value / 255)
            .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
        .map(([red, green, blue]) => 0.2126 * red + 0.7152 * green + 0.0722 * blue)
        .sort((one, other) => one - other);
    return (light + 0.05) / (dark + 0.05);
}"""


def cells(tag):
    """Return the places of the code cells with a tag, among all cells."""
    return [place for place, cell in enumerate(NOTEBOOK.cells) if tag in cell.metadata.get("tags", [])]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Where JupyterLab shows a copy of the notebook; its settings, its files and its kernel are this test's own."""
    pytest.importorskip("jupyterlab")
    folder = tmp_path_factory.mktemp("jupyterlab")
    (folder / "course").mkdir()
    shutil.copy(ROOT / "notebooks" / NAME, folder / "course")
    quiet = folder / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}), encoding="utf-8")
    token = secrets.token_hex()
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "VQVAE_COURSE"))}
    ours |= {
        "JUPYTER_NO_CONFIG": "1",  # nothing of this machine's: no other extension of the server, no password
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_TOKEN": token,
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "IPYTHONDIR": str(folder / "ipython"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "VQVAE_COURSE_BUDGET": "smoke",  # and VQVAE_COURSE_STORED unset: a person is here, who may move a slider
    }
    options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0", "--LabApp.extension_manager=readonly"]
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "jupyterlab", *options]
        server = subprocess.Popen(command, env=ours, cwd=folder / "course", stdout=log, stderr=log)
        try:
            port = port_of(server, folder)
            yield f"http://127.0.0.1:{port}/lab/tree/{NAME}?token={token}"
        finally:
            server.terminate()  # it ends its kernels, then itself
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()  # kernels notice that their server is gone
                server.wait()


def port_of(server, folder):
    """Wait until a server has written down where it listens."""
    note = folder / "runtime" / f"jpserver-{server.pid}.json"
    patience = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < patience:
        assert server.poll() is None, (folder / "log").read_text(encoding="utf-8")
        try:
            return json.loads(note.read_text(encoding="utf-8"))["port"]
        except (FileNotFoundError, json.JSONDecodeError):  # not there yet, or half written
            time.sleep(0.05)
    raise TimeoutError((folder / "log").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def asked_elsewhere():
    """What the page asked other machines for."""
    return []


@pytest.fixture(scope="module")
def opened(browser, address, asked_elsewhere):
    """The notebook as it is when a learner opens it, with its stored outputs."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("request", lambda request: None if is_here(request.url) else asked_elsewhere.append(request.url))
    page.goto(address)
    playwright.expect.set_options(timeout=PATIENCE)
    playwright.expect(page.locator(".jp-Notebook .jp-Cell")).to_have_count(len(NOTEBOOK.cells))
    page.locator("#jp-main-statusbar").get_by_text(f"{KERNEL} | Idle").wait_for()
    yield page
    context.close()


def is_here(url):
    return url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))


@pytest.fixture(scope="module")
def page(opened):
    """The notebook after its kernel was restarted and all cells were run, from the menu."""
    choose(opened, "Kernel", "Restart Kernel and Run All Cells…")
    opened.locator(".jp-Dialog .jp-mod-accept").click()
    opened.wait_for_function(STARTED)
    opened.wait_for_function(FINISHED, timeout=RUN)
    opened.locator("#jp-main-statusbar").get_by_text(f"{KERNEL} | Idle").wait_for()
    return opened


def choose(page, menu, *entries):
    """Choose from the menu at the top, and from the menus inside it."""
    page.get_by_role("menuitem", name=menu, exact=True).click()
    for entry in entries:
        page.locator(".lm-Menu-item").filter(has=page.get_by_text(entry, exact=True)).click()


def cell(page, place):
    return page.locator(".jp-Notebook .jp-Cell").nth(place)


def answer(page, last_line):
    """Write an answer to the first exercise over the last line of its stub, run it and its check; return the check."""
    stub, check = cells("exercise")[0], cells("check")[0]
    cell(page, stub).locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.press("Shift+Home")
    page.keyboard.type(last_line)
    page.keyboard.press("Shift+Enter")  # runs the cell and goes on to the next one
    page.keyboard.press("Shift+Enter")
    return cell(page, check).locator(".vqvae-check")


def test_solutions_are_folded_and_open_when_one_asks_for_them(opened):
    for place in cells("solution"):
        folded = cell(opened, place)
        playwright.expect(folded.locator(".jp-InputPlaceholder")).to_have_text(
            NOTEBOOK.cells[place].source.partition("\n")[0]
        )
        playwright.expect(folded.locator(".cm-content")).to_have_count(0)
    assert opened.locator(".jp-InputPlaceholder").count() == len(cells("solution")) > 2
    first = cell(opened, cells("solution")[0])
    first.locator(".jp-Placeholder-content").click()
    playwright.expect(first.locator(".cm-content")).to_contain_text("def ")
    first.locator(".jp-InputCollapser").click()
    playwright.expect(first.locator(".jp-InputPlaceholder")).to_be_visible()


def test_all_cells_run_without_a_traceback_a_warning_or_the_rest_of_a_bar(page):
    outputs = page.evaluate(OUTPUTS)
    kinds = {kind for kind, _ in outputs}
    bad = {"application/vnd.jupyter.stderr", "application/vnd.jupyter.error"}
    assert [text for kind, text in outputs if kind in bad] == []
    assert {"application/vnd.jupyter.stdout", "text/markdown", "image/png", "text/html"} <= kinds
    printed = [text for kind, text in outputs if kind == "application/vnd.jupyter.stdout"]
    assert any("Budget: smoke." in text for text in printed)  # these are not the stored outputs
    assert [text for text in printed if "updates/s" in text or not text.strip()] == []


def test_no_other_machine_is_asked_for_anything(page, asked_elsewhere):
    assert asked_elsewhere == []


def test_an_untouched_exercise_and_its_solution_get_their_verdicts(page):
    for check, solution in zip(cells("check")[1:], cells("solution")[1:], strict=True):
        playwright.expect(cell(page, check).locator(".vqvae-check")).to_contain_text(": not attempted yet")
        playwright.expect(cell(page, solution).locator(".vqvae-check")).to_contain_text(": correct")


def test_a_slider_moved_by_keyboard_changes_its_only_picture(page):
    (place,) = (place for place, each in enumerate(NOTEBOOK.cells) if "plotting.explore(" in each.source)
    explored = cell(page, place)
    handle, picture = explored.get_by_role("slider"), explored.locator("img")
    handle.focus()
    page.keyboard.press("Home")
    playwright.expect(handle).to_have_attribute("aria-valuenow", "0.0")
    label, readout = explored.locator(".widget-label"), explored.locator(".widget-readout")
    first, stop = picture.get_attribute("src"), readout.inner_text()
    page.keyboard.press("ArrowRight")
    playwright.expect(picture).not_to_have_attribute("src", first)
    playwright.expect(readout).not_to_have_text(stop)
    page.keyboard.press("ArrowLeft")
    playwright.expect(picture).to_have_attribute("src", first)
    playwright.expect(readout).to_have_text(stop)
    assert picture.count() == 1
    assert label.inner_text() == "code"
    assert label.evaluate("(each) => each.scrollWidth <= each.clientWidth")


@pytest.mark.parametrize(
    ("last_line", "verdict"),
    [
        ("return images.float().var()", "255² times too large: pixels were used as 0…255"),
        ("return (images / 127.5 - 1).var()", "4 times too large"),
        ("return imagse", "NameError"),
        ("return (images.double() / 255).var()", "data_variance: correct"),
    ],
    ids=["wrong", "another mistake", "broken", "right"],
)
def test_an_answer_typed_into_a_stub_gets_its_verdict(page, last_line, verdict):
    playwright.expect(answer(page, last_line)).to_contain_text(verdict)


def test_what_an_answer_prints_is_shown_and_comes_from_the_kernel_that_was_asked_for(page):
    shown = answer(page, 'print(metrics.__file__, torch.sys.prefix, sep="|")')
    playwright.expect(shown).to_contain_text("Your code printed:")
    said = shown.locator("code").inner_text()
    assert said.startswith(f"{ROOT / 'vqvae_course' / 'metrics.py'}|{sys.prefix}")


def test_a_verdict_can_be_read_in_light_and_in_dark(page):
    verdict = cell(page, cells("check")[-1]).locator(".vqvae-check b")
    contrasts = {}
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        choose(page, "Settings", "Theme", theme)
        page.wait_for_function("(name) => document.body.dataset.jpThemeName === name", arg=theme)
        contrasts[theme] = verdict.evaluate(CONTRAST)
    assert min(contrasts.values()) > 7, contrasts

"""What every test file shares: fixed seeds, one thread, and a browser for those that drive one."""

import pytest
import torch

from tests.trained import mark

torch.set_num_threads(1)  # the tensors are tiny: a second thread only waits for the first


@pytest.fixture(autouse=True)
def _fixed_seed():
    """Seed the global generator, so that no test depends on those before it."""
    torch.manual_seed(0)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def browser():
    """Chromium, which finds no address but this machine's own."""
    playwright = pytest.importorskip("playwright.sync_api")
    from tools.pdf import chromium  # here, since the other tests need nothing of what this imports

    try:
        executable = chromium()
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    flags = [
        *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
        *("--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
    ]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=flags)
        yield browser
        browser.close()


@pytest.hookimpl(tryfirst=True)  # before -m chooses among the marks
def pytest_collection_modifyitems(items):
    """Mark the tests that train, which `make processors` runs in another way."""
    mark(items)

"""For every test: one thread, examples that do not race the clock, the public tables, and a web site in miniature."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from jaxtyping import config, install_import_hook

# Where tensors live, shapes and types of every annotated call are checked while the tests run.
TENSORS = """data posteriors metrics learner kernel_families kernels descent
    experts gates stacks calibrators acquisitions auto novelty pool prospects purse
    blocks choosing suggestion"""
install_import_hook([f"mfmat.{name}" for name in TENSORS.split()], "beartype.beartype")

# Sums differ in their last bits with the number of threads, and several test processes share the cores.
torch.set_num_threads(1)

# A shared machine is slow at times; a slow example is no fault. In CI the examples are the same every time.
settings.register_profile("unhurried", deadline=None)
settings.register_profile("continuous", deadline=None, derandomize=True)
settings.load_profile("continuous" if os.environ.get("CI") else "unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A promise makes hundreds of predictions, of which one in a hundred warns of rows that are like all others."""
    for item in items:
        if item.get_closest_marker("promise"):
            item.add_marker(pytest.mark.filterwarnings("ignore::mfmat.novelty.OutsideWarning"))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests work out is kept among themselves, and never in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MFMAT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Calls as a user makes them, with nobody checking types before mfmat does."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True)
def _promises_unchecked(request: pytest.FixtureRequest) -> None:
    """A promise calls thousands of times what every other test has checked once: a fifth of its time."""
    if request.node.get_closest_marker("promise"):
        request.getfixturevalue("unchecked")


@pytest.fixture(scope="session")
def mfmat_data() -> Path:
    """The folder of public tables."""
    folder = os.environ.get("MFMAT_DATA")
    if not folder:
        pytest.skip("the environment variable MFMAT_DATA names no folder of public tables")
    return Path(folder)


class Site:
    """A web site in miniature: `files` are its contents by path, `requests` what was asked for."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.files: dict[str, bytes] = {}
        self.declared: dict[str, int] = {}
        self.requests: list[str] = []

    def url(self, path: str) -> str:
        return self.address + path


def _handler(site: list[Site]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            site[0].requests.append(self.path)
            if path not in site[0].files:
                self.send_error(404)
                return
            content = site[0].files[path]
            self.send_response(200)
            self.send_header("Content-Length", str(site[0].declared.get(path, len(content))))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def site() -> Iterator[Site]:
    """A server on this machine whose answers a test chooses."""
    held: list[Site] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(held))
    held.append(Site(server.server_address[1]))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield held[0]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for downloads."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MFMAT_CACHE", str(folder))
    # A proxy of the machine would be asked for 127.0.0.1, too.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return folder

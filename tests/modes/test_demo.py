"""The demo, for real: its tour, Istio's own files in its store, and what it leaves behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar
from pathlib import Path

import attrs
import pytest

from tests.corpus import corpus_path
from tests.programs import Program, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

NETWORKING = "istio/samples/bookinfo/networking"
LIVE_WITHIN = 1.0
"""Seconds: what the demo promises."""
MOST_MEMORY = 45 * 1024
"""KiB of a sidecar."""


@attrs.frozen
class Seen:
    """A page."""

    text: str = attrs.field(repr=False)
    seconds: float

    @property
    def reviews(self) -> str:
        found = re.search(r"served by <code>(reviews-v\d)</code>", self.text)
        return found[1] if found else "none"

    @property
    def stars(self) -> str:
        if "Ratings service is currently unavailable" in self.text:
            return "unavailable"
        found = re.search(r'class="rating (black|red)"', self.text)
        return found[1] if found else "none"

    @property
    def isbn(self) -> str:
        found = re.search(r"ISBN-10</th><td>(\d+)", self.text)
        return found[1] if found else "none"


class Browser:
    """Somebody at the demo's door, signed in or not."""

    def __init__(self, url: str, user: str = "") -> None:
        self.url = url
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
        )
        if user:
            self.opener.open(
                url.replace("/productpage", "/login"), data=f"username={user}".encode(), timeout=15
            ).close()

    def look(self) -> Seen:
        began = time.monotonic()
        with self.opener.open(self.url, timeout=20) as answer:
            return Seen(str(answer.read(), "utf-8"), time.monotonic() - began)

    def until(self, good: Callable[[Seen], bool], within: float = LIVE_WITHIN, row: int = 6) -> None:
        """Every page is as it should be, from a moment within the time given."""
        began = time.monotonic()
        good_since, count = 0.0, 0
        while count < row:
            now = time.monotonic()
            page = self.look()
            if good(page):
                good_since, count = (good_since if count else now), count + 1
            else:
                count = 0
                assert time.monotonic() - began < within + 5, f"never: {page}"
        assert good_since - began <= within, f"only after {good_since - began:.2f} s"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def demo(home: Path) -> Iterator[Program]:
    with running(home, "demo", "--dir", str(home / "d"), "--port", "127.0.0.1:0") as program:
        program.wait_for("Ctrl-C ends the demo")
        yield program
        program.signal(signal.SIGINT)
        assert program.wait() == 0
        assert "Traceback" not in program.text


@pytest.fixture
def url(demo: Program) -> str:
    return demo.wait_for(r"http://127\.0\.0\.1:\d+/productpage")[0]


@pytest.fixture
def store(home: Path, demo: Program) -> Iterator[Path]:
    """The store, with what a test put into it taken out afterwards."""
    directory = home / "d" / "store"
    before = set(directory.iterdir())
    yield directory
    for path in set(directory.iterdir()) - before:
        path.unlink()


def apply(store: Path, *names: str) -> None:
    """Copy files of the corpus into the store, unchanged."""
    for name in names:
        shutil.copyfile(corpus_path(f"{NETWORKING}/{name}.yaml"), store / f"{name}.yaml")


def one(page: Seen) -> bool:
    return page.reviews == "reviews-v1" and page.stars == "none"


def two(page: Seen) -> bool:
    return page.reviews == "reviews-v2" and page.stars == "black"


def three(page: Seen) -> bool:
    return page.reviews == "reviews-v3" and page.stars == "red"


def test_versions_take_turns(url: str) -> None:
    browser = Browser(url)
    seen: set[str] = set()
    for _ in range(60):
        seen.add(browser.look().reviews)
    assert seen == {"reviews-v1", "reviews-v2", "reviews-v3"}


@pytest.mark.parametrize(
    ("names", "user", "good"),
    [
        (["virtual-service-all-v1"], "", lambda page: one(page) and page.isbn == "1234567890"),
        (["virtual-service-reviews-v3"], "", three),
        (["virtual-service-reviews-v2-v3"], "", lambda page: two(page) or three(page)),
        (["virtual-service-reviews-50-v3"], "", lambda page: one(page) or three(page)),
        (["virtual-service-reviews-90-10"], "", lambda page: one(page) or two(page)),
        (["virtual-service-reviews-80-20"], "", lambda page: one(page) or two(page)),
        (["virtual-service-reviews-test-v2"], "jason", two),
        (["virtual-service-reviews-test-v2"], "", one),
        (["virtual-service-reviews-jason-v2-v3"], "jason", two),
        (["virtual-service-reviews-jason-v2-v3"], "", three),
        (["virtual-service-details-v2"], "", lambda page: page.isbn not in ("1234567890", "none")),
        (["fault-injection-details-v1"], "", lambda page: "Error fetching product details!" in page.text),
        (
            ["virtual-service-all-v1", "virtual-service-reviews-test-v2", "virtual-service-ratings-test-abort"],
            "jason",
            lambda page: page.reviews == "reviews-v2" and page.stars == "unavailable",
        ),
        (["destination-rule-reviews", "virtual-service-reviews-v3"], "", three),
        (["destination-rule-all", "virtual-service-reviews-v3"], "", three),
        (["destination-rule-all-mtls", "virtual-service-reviews-v3"], "", three),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else None,
)
def test_files_of_the_sample_are_live_within_a_second(
    url: str, store: Path, names: list[str], user: str, good: Callable[[Seen], bool]
) -> None:
    browser = Browser(url, user)
    # All at once, as `cp *.yaml store/` does; the one named last is the newest.
    apply(store, *names)
    browser.until(good, row=12)


@pytest.mark.parametrize(
    ("name", "version", "percent"),
    [("reviews-90-10", "reviews-v2", 10), ("reviews-80-20", "reviews-v2", 20), ("reviews-50-v3", "reviews-v3", 50)],
)
def test_weights(url: str, store: Path, name: str, version: str, percent: int) -> None:
    apply(store, f"virtual-service-{name}")
    browser = Browser(url)
    # Long enough a row that three versions taking turns cannot look like it.
    browser.until(lambda page: page.reviews in {"reviews-v1", version}, row=25)
    pages = 120
    seen = [browser.look().reviews for _ in range(pages)]
    assert set(seen) == {"reviews-v1", version}
    expected = pages * percent / 100
    spread = (expected * (1 - percent / 100)) ** 0.5
    assert abs(seen.count(version) - expected) < 4 * spread


def test_the_delay_that_jason_sees(url: str, store: Path) -> None:
    """Istio's fault-injection task: seven seconds are too many for version 2 of reviews, or rather for productpage."""
    apply(store, "virtual-service-all-v1", "virtual-service-reviews-test-v2", "virtual-service-ratings-test-delay")
    jason, nobody = Browser(url, "jason"), Browser(url)
    # Three files: a look that begins between them may wait 2.5 s for version 3, and only the next one can be as it should.
    jason.until(lambda page: page.seconds > 5.5, within=4, row=1)
    nobody.until(one, within=10)
    page = jason.look()
    assert 5.5 < page.seconds < 7
    assert "Error fetching product reviews!" in page.text
    assert nobody.look().seconds < 3, "nobody else waits"


def test_a_broken_file_changes_nothing(url: str, store: Path) -> None:
    apply(store, "virtual-service-reviews-v3")
    browser = Browser(url)
    browser.until(three)
    (store / "virtual-service-reviews-v3.yaml").write_text("nonsense: [")
    time.sleep(0.5)
    browser.until(three)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("meshd", "control"), "control"),
        (("meshd", "gateway"), "gateway"),
        (("sidecar", "productpage"), "productpage-v1.sidecar"),
        (("sidecar", "ratings"), "ratings-v1.sidecar"),
        (("meshd.modes.demo.service", "productpage"), "productpage-v1"),
        (("meshd.modes.demo.service", "details", "v1"), "details-v1"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_whoever_is_killed_comes_back(
    url: str, home: Path, demo: Program, store: Path, words: tuple[str, ...], name: str
) -> None:
    apply(store, "virtual-service-reviews-v3")
    browser = Browser(url)
    browser.until(three)
    deaths = demo.text.count(f"{name} ended (SIGKILL)")
    os.kill(process_of(home / "d", *words), signal.SIGKILL)
    deadline = time.monotonic() + 30
    while demo.text.count(f"{name} ended (SIGKILL)") == deaths:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    row = 0
    while row < 10:
        assert time.monotonic() < deadline, "it does not come back"
        try:
            row = row + 1 if three(browser.look()) else 0
        except OSError:
            row = 0
            time.sleep(0.1)
    # It lives by changes made after its return, too.
    apply(store, "virtual-service-reviews-v2-v3")
    browser.until(lambda page: page.reviews == "reviews-v2", within=30, row=1)


def process_of(directory: Path, *words: str) -> int:
    """The process of the demo in a directory whose command line has all these words."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text().split("\0")
            environ = (process / "environ").read_text()
        except OSError:
            continue
        if str(directory) in environ and "demo" not in command and all(word in command for word in words):
            return int(process.name)
    raise AssertionError(f"no process with {words}")


def test_sidecars_are_small(home: Path, demo: Program) -> None:
    sizes = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text().split("\0")
            status = (process / "status").read_text()
        except OSError:
            continue
        if str(home / "d") in " ".join(command) and ("sidecar" in command or "gateway" in command):
            sizes[" ".join(command[3:9])] = int(status.partition("VmRSS:")[2].split()[0])
    assert len(sizes) == 8
    assert {name: size for name, size in sizes.items() if size > MOST_MEMORY} == {}


def left_of(directory: Path) -> list[str]:
    """Command lines of processes that name a directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = process.read_text().replace("\0", " ")
        except OSError:
            continue
        if str(directory) in command:
            found.append(command)
    return found


def test_two_tours_at_once_see_everything_and_leave_nothing(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with running(first, "demo", "--check") as one_tour, running(second, "demo", "--check") as other_tour:
        for tour in (one_tour, other_tour):
            assert tour.process.wait(timeout=150) == 0, tour.text
            directory = Path(tour.wait_for(r"processes in (\S+) \.\.\.")[1])
            assert not directory.exists()
            assert left_of(directory) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_leaves_nothing(tmp_path: Path, number: int) -> None:
    with running(tmp_path, "demo", "--port", "127.0.0.1:0") as program:
        directory = Path(program.wait_for(r"processes in (\S+) \.\.\.")[1])
        program.wait_for("Ctrl-C ends the demo")
        assert left_of(directory)
        program.signal(number)
        assert program.wait() == 0
        assert left_of(directory) == []
        assert not directory.exists()


def test_killing_the_demo_kills_its_processes(tmp_path: Path) -> None:
    with running(tmp_path, "demo", "--port", "127.0.0.1:0", "--dir", str(tmp_path / "d")) as program:
        program.wait_for("Ctrl-C ends the demo")
        program.signal(signal.SIGKILL)
        program.wait()
        deadline = time.monotonic() + 10
        while left_of(tmp_path / "d"):
            assert time.monotonic() < deadline, left_of(tmp_path / "d")
            time.sleep(0.1)


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with running(tmp_path, "demo", "--dir", str(tmp_path / "file" / "d")) as program:
        assert program.wait() == 78
        assert "meshd: --dir" in program.text
        assert "Traceback" not in program.text

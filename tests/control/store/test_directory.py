"""A directory of YAML: what is read, what is passed over, and what cannot be read."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from meshd.api.load import Loader
from meshd.api.yaml import Limits
from meshd.control.sources.source import SourceSet
from meshd.control.store.directory import DirectoryLimits, DirectoryStore


def namespace(name: str) -> str:
    return f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n"


class CountingLoader(Loader):
    """Notes which files it had to read."""

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(limits if limits is not None else Limits())
        self.read: list[str] = []

    def load(self, source: bytes | str, file: str) -> tuple[object, ...]:  # type: ignore[override]
        self.read.append(Path(file).name)
        return super().load(source, file)


def later() -> float:
    """A wall clock by which no file is fresh."""
    return 1e12


def store(*paths: Path, wall_clock: Callable[[], float] = later, **others: object) -> DirectoryStore:
    return DirectoryStore(paths, Loader(), wall_clock=wall_clock, **others)  # type: ignore[arg-type]


def names(found: SourceSet) -> list[str]:
    return [entry.document.name for entry in found.entries if entry.document is not None]


def messages(found: SourceSet) -> list[str]:
    return [str(finding) for finding in found.findings]


def test_all_yaml_in_all_subdirectories(tmp_path: Path) -> None:
    (tmp_path / "sub" / "deeper").mkdir(parents=True)
    (tmp_path / "a.yaml").write_text(namespace("a"))
    (tmp_path / "sub" / "b.yml").write_text(namespace("b") + "---\n" + namespace("c"))
    (tmp_path / "sub" / "deeper" / "d.json").write_text(
        '{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "d"}}'
    )
    found = store(tmp_path).read()
    assert names(found) == ["a", "b", "c", "d"]
    assert (found.findings, found.unsure) == ((), ())
    assert str(found.entries[1].document and found.entries[1].document.origin) == f"{tmp_path}/sub/b.yml:1:1"


@pytest.mark.parametrize(
    "name",
    [".hidden.yaml", ".#a.yaml", "#a.yaml#", "a.yaml~", "a.yaml.swp", "a.yaml.tmp", "README.md", "4913", ".git/a.yaml"],
)
def test_what_is_passed_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(namespace("a"))
    assert store(tmp_path).read() == SourceSet("files")


def test_a_file_that_was_named_is_read_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(namespace("a"))
    assert names(store(tmp_path / "config").read()) == ["a"]


def test_only_what_changed_is_read_again(tmp_path: Path) -> None:
    loader = CountingLoader()
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(namespace(name))
    directory = DirectoryStore([tmp_path], loader, wall_clock=later)
    first = directory.read()
    assert loader.read == ["a.yaml", "b.yaml"]
    second = directory.read()
    assert loader.read == ["a.yaml", "b.yaml"]
    assert second == first
    (tmp_path / "b.yaml").write_text(namespace("longer"))
    third = directory.read()
    assert loader.read == ["a.yaml", "b.yaml", "b.yaml"]
    assert third.entries[0] is first.entries[0]
    assert names(third) == ["a", "longer"]


def test_a_fresh_file_is_compared_by_content(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(namespace("a"))
    status = file.stat()
    clock = [status.st_mtime + 0.5]
    directory = store(tmp_path, wall_clock=lambda: clock[0])
    assert names(directory.read()) == ["a"]
    with file.open("r+") as stream:  # the same size, time and inode
        stream.write(namespace("b"))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert names(directory.read()) == ["b"]


def test_touching_a_file_makes_it_newer(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(namespace("a"))
    directory = store(tmp_path)
    directory.read()
    os.utime(file, (5, 5))
    assert directory.read().entries[0].modified == 5.0


def test_deleted_and_moved(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(namespace("a"))
    directory = store(tmp_path)
    directory.read()
    file.rename(tmp_path / "b.yaml")
    assert [entry.file for entry in directory.read().entries] == [f"{tmp_path}/b.yaml"]
    (tmp_path / "b.yaml").unlink()
    assert directory.read() == SourceSet("files")


def test_loops_of_links_end(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(namespace("a"))
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self.yaml").symlink_to(tmp_path / "self.yaml")
    found = store(tmp_path).read()
    assert names(found) == ["a"]
    assert len(found.findings) == 1
    assert f"{tmp_path}/self.yaml: error MD0007: cannot be read: too many levels of symbolic links" in messages(found)


def test_links_are_followed(tmp_path: Path) -> None:
    data = tmp_path / "..2024"  # as Kubernetes mounts a ConfigMap
    data.mkdir()
    (data / "a.yaml").write_text(namespace("a"))
    (tmp_path / "..data").symlink_to(data)
    (tmp_path / "a.yaml").symlink_to(tmp_path / "..data" / "a.yaml")
    assert names(store(tmp_path).read()) == ["a"]


def test_a_link_to_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to(tmp_path / "gone")
    (tmp_path / "b").symlink_to(tmp_path / "gone")
    found = store(tmp_path).read()
    assert messages(found) == [f"{tmp_path}/a.yaml: error MD0007: cannot be read: there is no such file or directory"]
    assert found.unsure == (f"{tmp_path}/a.yaml",)


def test_what_is_not_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    said = [f"{tmp_path}/pipe.yaml: error MD0007: cannot be read: it is not a file"]
    assert messages(store(tmp_path).read()) == said
    assert messages(store(tmp_path / "pipe.yaml").read()) == said


def test_a_missing_path(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    found = store(missing).read()
    assert messages(found) == [f"{missing}: error MD0007: cannot be read: there is no such file or directory"]
    assert found.unsure == (str(missing), f"{missing}/")


def test_ten_megabytes_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(namespace("a"))
    (tmp_path / "big.yaml").write_text("a: " + "x" * 10_000_000)
    loader = CountingLoader()
    found = DirectoryStore([tmp_path], loader, wall_clock=later).read()
    assert loader.read == ["a.yaml"]
    assert names(found) == ["a"]
    assert messages(found) == [
        (
            f"{tmp_path}/big.yaml:1:1: error MD0001: the file has 10000003 bytes, more than the 4194304 allowed; "
            "split it into several files"
        )
    ]
    assert found.unsure == (f"{tmp_path}/big.yaml",)


def test_the_size_of_a_file_is_a_setting(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(namespace("a"))
    found = DirectoryStore([tmp_path], Loader(Limits(max_bytes=10)), wall_clock=later).read()
    assert "more than the 10 allowed" in messages(found)[0]


def test_the_number_of_files_is_bounded(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.yaml").write_text(namespace(name))
    found = store(tmp_path, limits=DirectoryLimits(max_files=2)).read()
    assert names(found) == ["a", "b"]
    assert messages(found) == ["error MD0007: cannot be read: there are more than 2 files"]
    assert found.unsure == (f"{tmp_path}/c.yaml",)


def test_the_depth_of_directories_is_bounded(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "x.yaml").write_text(namespace("x"))
    found = store(tmp_path, limits=DirectoryLimits(max_levels=1)).read()
    assert names(found) == []
    assert messages(found) == [f"{deep}: error MD0007: cannot be read: it is more than 1 directories deep"]
    assert found.unsure == (f"{deep}/",)


def test_a_mistake_makes_its_file_unsure(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(namespace("a") + "---\nkind: [\n")
    (tmp_path / "b.yaml").write_text("apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: x}\n")
    found = store(tmp_path).read()
    assert names(found) == ["a"]
    assert found.unsure == (f"{tmp_path}/a.yaml",)


UNREADABLE = """
    import os
    from meshd.api.load import Loader
    from meshd.control.store.directory import DirectoryStore
    loader = Loader()
    loader.load(b"a: 1", "warm")  # whatever is imported late is imported while it can be
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    found = DirectoryStore(["."], loader, wall_clock=lambda: 1e12).read()
    for finding in found.findings:
        print(finding)
    print(found.unsure)
    print([entry.document.name for entry in found.entries if entry.document])
"""


def test_what_may_not_be_read(tmp_path: Path) -> None:
    """In a process without root's rights, which would read everything."""
    root = tmp_path / "store"
    root.mkdir(mode=0o755)
    (root / "good.yaml").write_text(namespace("good"))
    (root / "locked.yaml").write_text(namespace("locked"))
    (root / "closed").mkdir()
    (root / "closed" / "x.yaml").write_text(namespace("x"))
    (root / "locked.yaml").chmod(0)
    (root / "closed").chmod(0)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    try:
        result = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(UNREADABLE)],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            cwd=root,  # inherited, so that the folders above need not be open to everybody
        )
    finally:
        (root / "closed").chmod(0o755)
    assert result.stderr == ""
    mend = "cannot be read: permission denied; let the user that runs meshd read it"
    assert result.stdout.splitlines() == [
        f"closed: error MD0007: {mend}",
        f"locked.yaml: error MD0007: {mend}",
        "('closed', 'closed/', 'locked.yaml')",
        "['good']",
    ]

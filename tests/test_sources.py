"""The version of the rules: noted on disk, and noticed when a source changes."""

from __future__ import annotations

import os

import pytest

from saturax.cache import sources
from saturax.folders import cache_directory


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of two sources, and a cache folder of its own."""
    folder = tmp_path / "package"
    (folder / "rules").mkdir(parents=True)
    for name in sources._PACKAGES:
        (folder / name).mkdir(exist_ok=True)
    (folder / "pipeline.py").write_text("a = 1\n")
    (folder / "rules" / "layout.py").write_text("b = 2\n")
    monkeypatch.setattr(sources, "__file__", str(folder / "cache" / "sources.py"))
    monkeypatch.setenv("SATURAX_CACHE_DIR", str(tmp_path / "cache"))
    return folder


def _version():
    sources.rules_version.cache_clear()
    try:
        return sources.rules_version()
    finally:
        sources.rules_version.cache_clear()


def test_sources_are_read_once(package, monkeypatch):
    first = _version()
    monkeypatch.setattr(sources, "_digest_of", lambda *_: pytest.fail("sources were read"))
    assert _version() == first


@pytest.mark.parametrize("file", ["pipeline.py", "rules/layout.py"])
def test_a_replaced_source_as_long_and_as_old_is_noticed(package, file):
    first, path = _version(), package / file
    before = path.stat()
    other = path.with_suffix(".new")
    other.write_text("c = 3\n")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert _version() != first


def test_the_version_is_that_of_the_contents_not_of_the_times(package):
    first = _version()
    os.utime(package / "pipeline.py", (0, 0))
    assert _version() == first


@pytest.mark.parametrize("damage", [lambda text: text[:-1], lambda text: text[:33] + "x" * 32])
def test_a_damaged_note_is_not_believed(package, damage):
    first, note = _version(), cache_directory() / "sources"
    note.write_text(damage(note.read_text()))
    assert _version() == first
    note.write_bytes(b"\xff\x00")
    assert _version() == first


def test_it_works_without_a_place_for_the_note(package, monkeypatch, tmp_path):
    first = _version()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SATURAX_CACHE_DIR", str(tmp_path / "file"))
    assert _version() == first

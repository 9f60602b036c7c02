"""The cache of optimised programs: found again, never wrong, whatever happens to its files."""

from __future__ import annotations

import functools
import json
import logging
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from running import assert_equal, matrix_chain, normal, run

import saturax
from saturax import Options, pipeline, reasons, stablehlo
from saturax.cache import circumstances, entries, store
from saturax.cache.store import CacheImportError, CacheWarning, Entry, ProgramCache
from saturax.cache.transfer import export_cache, import_cache
from saturax.cost.database import Price, PriceDatabase
from saturax.cost.device import identify
from saturax.folders import cache_directory
from saturax.report.model import CandidateReport

_FUNCTION, _ARGUMENTS = matrix_chain(256)
_NAME, _OTHER = "a" * 32 + "." + "b" * 32, "c" * 32 + "." + "d" * 32
_ENTRY = Entry({"text": "x"}, {"one": b"1" * 1000, "none": b"", "two": os.urandom(100)})


@pytest.fixture
def programs(tmp_path):
    return ProgramCache(tmp_path / "programs")


def _options(folder, **changes):
    return Options(**{"time_limit_s": 5.0, "cache": folder, **changes})


def _must_not_search(*args):
    raise AssertionError("searched")


def test_entries_come_back_as_they_were(programs):
    assert programs.get(_NAME) is None
    assert programs.put(_NAME, _ENTRY)
    assert programs.get(_NAME) == _ENTRY
    assert programs.names() == [_NAME]
    assert programs.names("c") == []
    assert programs.info().programs == 1
    assert programs.info().bytes > 1100
    assert programs.clear() == 1
    assert programs.get(_NAME) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: content[:-1],
        lambda content: content + b"x",
        lambda content: content[:200] + bytes([content[200] ^ 1]) + content[201:],
        lambda content: content.replace(b"program 1", b"program 2"),
        lambda content: b"not ours",
    ],
)
def test_damaged_and_foreign_entries_are_ignored_with_a_warning(programs, spoil):
    programs.put(_NAME, _ENTRY)
    path = programs.folder / f"{_NAME}.saturax"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.warns(CacheWarning, match="ignoring"):
        assert programs.get(_NAME) is None
    programs.put(_NAME, _ENTRY)
    assert programs.get(_NAME) == _ENTRY


def test_every_changed_byte_is_noticed():
    content = Entry({"a": 1}, {"b": b"xyz"}).to_bytes(_NAME)
    for place in range(len(content)):
        changed = content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]
        with pytest.raises(store._UnreadableError):
            Entry.from_bytes(changed, _NAME)


def test_renamed_entry_is_foreign(programs):
    programs.put(_NAME, _ENTRY)
    path = programs.folder / f"{_NAME}.saturax"
    path.rename(path.with_name(f"{_OTHER}.saturax"))
    with pytest.warns(CacheWarning, match=f"belongs to {_NAME}"):
        assert programs.get(_OTHER) is None


def test_least_recently_used_entries_are_evicted(tmp_path):
    programs = ProgramCache(tmp_path, limit_bytes=3500)
    names = [f"{i:032x}.{i:032x}" for i in range(4)]
    for number, name in enumerate(names[:3]):
        programs.put(name, Entry({}, {"x": bytes(900)}))
        os.utime(tmp_path / f"{name}.saturax", (number, number))
    assert programs.get(names[0]) is not None  # used just now
    programs.put(names[3], Entry({}, {"x": bytes(900)}))
    assert set(programs.names()) == {names[0], names[2], names[3]}
    assert not programs.put(names[1], Entry({}, {"x": bytes(4000)}))
    assert len(programs.names()) == 3


def test_what_killed_processes_left_is_removed(programs):
    programs.put(_NAME, _ENTRY)
    old, new = programs.folder / ".a.partial", programs.folder / ".b.partial"
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    programs.put(_OTHER, _ENTRY)
    assert not old.exists()
    assert new.exists()


def test_limit_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("SATURAX_CACHE_LIMIT_MB", "1.5")
    assert ProgramCache(tmp_path).limit_bytes == 1_500_000
    monkeypatch.setenv("SATURAX_CACHE_LIMIT_MB", "much")
    with pytest.warns(CacheWarning, match="expected a number, got 'much'"):
        ProgramCache(tmp_path)


def test_unusable_folder_is_a_warning(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    programs = ProgramCache(file / "programs")
    with pytest.warns(CacheWarning, match="found a file .*; nothing is remembered"):
        assert not programs.put(_NAME, _ENTRY)
    # and no second warning: they are errors in tests
    assert programs.get(_NAME) is None
    with programs.lock(_NAME, 1) as locked:
        assert not locked
    PriceDatabase(file / "prices.sqlite").close()
    assert programs.info().programs == 0


def test_folder_without_locks_is_a_warning(programs, monkeypatch):
    def fail(*_):
        raise OSError("not supported")

    monkeypatch.setattr(store, "_try_lock", fail)
    with pytest.warns(CacheWarning, match="no locks"), programs.lock(_NAME, 1) as locked:
        assert not locked


def test_lock_is_held_by_one(programs):
    order = []

    def work(number):
        with programs.lock(_NAME, 10) as locked:
            assert locked
            order.append(("in", number))
            time.sleep(0.05)
            order.append(("out", number))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [what for what, _ in order] == ["in", "out"] * 4
    assert all(a[1] == b[1] for a, b in zip(order[::2], order[1::2], strict=True))
    assert list(programs.folder.iterdir()) == []


def test_lock_of_a_killed_process_is_free_and_of_a_living_one_is_not(programs):
    child = os.fork()
    if child == 0:
        with programs.lock(_NAME, 1):
            time.sleep(60)
    lock = programs.folder / f"{_NAME}.lock"
    while not lock.exists():
        time.sleep(0.01)
    time.sleep(0.1)
    with programs.lock(_NAME, 0.2) as locked:
        assert not locked
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with programs.lock(_NAME, 5) as locked:
        assert locked


def _content(number):
    """An entry that tells whether it is whole and the right one."""
    return Entry({"number": number}, {"x": bytes([number % 251]) * (1000 * (1 + number % 50))})


def _work_until_killed(folder):
    programs = ProgramCache(folder, limit_bytes=300_000)
    generator = random.Random(os.getpid())
    while True:
        number = generator.randrange(40)
        name = f"{number:032x}.{0:032x}"
        with programs.lock(name, 1):
            if programs.get(name) is None:
                programs.put(name, _content(number))
        if generator.random() < 0.02:
            programs.clear()


@pytest.mark.parametrize("rounds", [pytest.param(20), pytest.param(200, marks=pytest.mark.long)])
def test_processes_killed_at_random_moments_leave_the_cache_usable(programs, rounds):
    generator = random.Random(0)
    programs.folder.mkdir(parents=True)
    for _ in range(rounds):
        children = []
        for _ in range(2):
            child = os.fork()
            if child == 0:
                try:
                    _work_until_killed(programs.folder)
                finally:
                    os._exit(1)
            children.append(child)
        time.sleep(generator.uniform(0.001, 0.02))
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # nothing is ever damaged
            for number in range(40):
                entry = programs.get(f"{number:032x}.{0:032x}")
                assert entry is None or entry == _content(number)
    with programs.lock(_NAME, 1) as locked:
        assert locked
        assert ProgramCache(programs.folder, limit_bytes=300_000).put(_NAME, _ENTRY)
    # What a process had put when it was killed may exceed the limit until the next put.
    assert programs.info().bytes <= 300_000
    assert programs.get(_NAME) == _ENTRY


def test_second_time_nothing_is_searched(tmp_path, monkeypatch):
    first = saturax.optimize(_FUNCTION, *_ARGUMENTS, options=_options(tmp_path))
    assert first.report.outcome == "optimized"
    assert first.report.cached == ""
    monkeypatch.setattr(pipeline, "_optimize", _must_not_search)
    again = saturax.optimize(_FUNCTION, *_ARGUMENTS, options=_options(tmp_path))
    assert again.report.cached
    assert again.report.speedup == first.report.speedup
    assert again.report.rules == first.report.rules
    assert "found in the cache" in saturax.report.text.explain(again.report)
    assert_equal(run(again.program, _ARGUMENTS), [_FUNCTION(*_ARGUMENTS)])
    json.loads(again.report.to_json())


def test_a_module_seen_before_is_not_even_read(tmp_path, monkeypatch):
    first, second, third = (saturax.jit(_FUNCTION, options=_options(tmp_path)) for _ in range(3))
    expected = first(*_ARGUMENTS)
    assert first.report.outcome == "optimized"
    with monkeypatch.context() as patched:
        patched.setattr(stablehlo, "import_module", _must_not_search)
        assert_equal([second(*_ARGUMENTS)], [expected])
    assert second.report.cached
    assert second.report.outcome == "optimized"
    assert [stage.name for stage in second.report.stages] == ["recall"]
    assert second.report.rules == first.report.rules
    programs = ProgramCache(tmp_path)
    assert len(programs.modules().names()) == len(programs.names()) == 1
    programs.clear()
    assert programs.modules().names() == []
    monkeypatch.setattr(stablehlo, "import_module", _must_not_search)
    with pytest.warns(saturax.SaturaxWarning, match="searched"):
        third(*_ARGUMENTS)


def test_names_do_not_count_but_the_program_does(tmp_path, monkeypatch):
    saturax.optimize(_FUNCTION, *_ARGUMENTS, options=_options(tmp_path))
    monkeypatch.setattr(pipeline, "_optimize", _must_not_search)
    monkeypatch.setattr(logging.getLogger("saturax"), "disabled", True)

    def named(one, two, three):
        return (one @ two) @ three

    found = saturax.optimize(named, *_ARGUMENTS, options=_options(tmp_path))
    assert found.report.cached
    assert found.report.program == "named"
    for changed in (
        saturax.optimize(lambda a, b, x: (a @ b) @ x + 1, *_ARGUMENTS, options=_options(tmp_path)),
        saturax.optimize(_FUNCTION, *_ARGUMENTS, options=_options(tmp_path, seed=1)),
        saturax.optimize(_FUNCTION, *_ARGUMENTS, options=_options(tmp_path / "other")),
    ):
        assert "searched" in changed.report.reason  # and what failed is not remembered
    assert len(ProgramCache(tmp_path).names()) == 1


def test_that_the_original_is_best_is_remembered(tmp_path, monkeypatch):
    arguments = (normal(64, 64), normal(64, 64))
    first = saturax.optimize(jnp.matmul, *arguments, options=_options(tmp_path, time_limit_s=20.0))
    assert first.report.outcome == "original"
    monkeypatch.setattr(pipeline, "_optimize", _must_not_search)
    again = saturax.optimize(jnp.matmul, *arguments, options=_options(tmp_path, time_limit_s=20.0))
    assert again.report.cached
    assert again.report.reason == first.report.reason


@pytest.mark.parametrize("by", ["program", "module"])
def test_frozen_functions_are_remembered(tmp_path, monkeypatch, by):
    a, b, _ = _ARGUMENTS

    def function(weights, x):
        return (x @ weights[0]) @ weights[1]

    wide = normal(256, 256, seed=5)
    options = _options(tmp_path, time_limit_s=20.0)
    for _ in range(entries.MOST_CUT_SHORT):  # on a busy machine a search is not remembered at once
        first = saturax.freeze(function, (a, b), options=options)
        expected = first(wide)
    monkeypatch.setattr(pipeline, "_optimize", _must_not_search)
    if by == "program":
        ProgramCache(tmp_path).modules().clear()
    with monkeypatch.context() as unread:
        if by == "module":  # it is not even read; values that are its constants are, once written
            unread.setattr(stablehlo, "import_module", _must_not_search)
        again = saturax.freeze(function, (a, b), options=options)
        assert_equal([again(wide)], [expected])
    assert again.report.cached
    assert again.report.frozen == first.report.frozen
    other = saturax.freeze(function, (b, a), options=options)  # values are not in the key
    assert_equal([other(wide)], [function((b, a), wide)])


def test_other_versions_are_checked_again_without_a_search(tmp_path, monkeypatch):
    saturax.optimize(_FUNCTION, *_ARGUMENTS, options=_options(tmp_path))
    known = circumstances.versions()
    monkeypatch.setattr(circumstances, "versions", lambda: {**known, "jaxlib": "99"})
    monkeypatch.setattr(pipeline, "_optimize", _must_not_search)
    again = saturax.optimize(_FUNCTION, *_ARGUMENTS, options=_options(tmp_path))
    assert again.report.outcome == "optimized"
    assert again.report.cached == ""
    assert "check again" in [stage.name for stage in again.report.stages]
    assert [c.verified for c in again.report.candidates] == [True]
    assert len(ProgramCache(tmp_path).names()) == 2
    assert saturax.optimize(_FUNCTION, *_ARGUMENTS, options=_options(tmp_path)).report.cached


def test_wrong_program_of_another_version_is_not_taken(tmp_path, monkeypatch):
    saturax.optimize(_FUNCTION, *_ARGUMENTS, options=_options(tmp_path))
    programs = ProgramCache(tmp_path)
    (name,) = programs.names()
    entry = programs.get(name)
    wrong = saturax.optimize(
        lambda a, b, x: a @ (b @ x) * 1.01, *_ARGUMENTS, options=Options(time_limit_s=0)
    )
    blobs = {"main": entries.to_portable_artifact(entries.emit_module(wrong.program))}
    programs.put(name, replace(entry, blobs=blobs))
    known = circumstances.versions()
    monkeypatch.setattr(circumstances, "versions", lambda: {**known, "jax": "99"})
    again = saturax.optimize(_FUNCTION, *_ARGUMENTS, options=_options(tmp_path))
    assert again.report.candidates[0].verified is False
    assert_equal(run(again.program, _ARGUMENTS), [_FUNCTION(*_ARGUMENTS)])


@pytest.mark.parametrize(
    ("rows", "remaining_s", "conclusive"),
    [
        ([], 1.0, True),
        ([], 0.0, False),
        ([(None, "")], 1.0, False),
        ([(None, ""), (0.9, "")], 0.0, True),
        ([(0.9, "time limit reached after 3 pairs")], 0.0, False),
        ([(None, "", "rejected")], 1.0, True),
        ([(None, "", "rejected")], 0.0, False),
        ([(None, "", "rejected"), (0.9, "")], 0.0, True),
    ],
)
def test_whether_the_original_was_kept_for_want_of_time(rows, remaining_s, conclusive):
    candidates = [
        CandidateReport("a", 1.0, 1, ratio=ratio, reason=reason, outcome=(*rest, "slower")[0])
        for ratio, reason, *rest in rows
    ]
    report = saturax.Report("f", candidates=candidates)
    assert reasons.is_conclusive(report, remaining_s) == conclusive


def _find_no_time(run, *args):
    run.started -= 1000.0


def test_what_cannot_be_checked_is_tried_a_few_times_only(tmp_path, monkeypatch):
    def nowhere_finite(a, x):
        return jnp.log(-1 - (a @ x) ** 2)

    arguments = normal(8, 8), normal(8)
    for _ in range(entries.MOST_CUT_SHORT):
        found = saturax.optimize(nowhere_finite, *arguments, options=_options(tmp_path))
        assert "no inputs were found" in found.report.reason
        assert found.report.cached == ""
    monkeypatch.setattr(pipeline, "_optimize", _must_not_search)
    again = saturax.optimize(nowhere_finite, *arguments, options=_options(tmp_path))
    assert again.report.cached
    assert again.report.reason == found.report.reason


def test_what_was_kept_for_want_of_time_is_tried_again_a_few_times(tmp_path, monkeypatch):
    optimize = functools.partial(saturax.optimize, _FUNCTION, *_ARGUMENTS)
    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "_optimize", _find_no_time)
        texts = ("search 1 of 3: a later process", "search 2 of 3", "as in 3 searches")
        for number, text in enumerate(texts):
            options = _options(tmp_path / "never")
            assert text in optimize(options=options).report.reason
            if number == 0:
                function = saturax.jit(_FUNCTION, options=_options(tmp_path / "later"))
                function(*_ARGUMENTS)
                assert text in function.report.reason
        patched.setattr(pipeline, "_optimize", _must_not_search)
        last = optimize(options=_options(tmp_path / "never")).report
        assert last.cached
        assert "as in 3 searches" in last.reason
    function = saturax.jit(_FUNCTION, options=_options(tmp_path / "later"))
    function(*_ARGUMENTS)
    assert function.report.outcome == "optimized"
    assert not function.report.cached
    assert optimize(options=_options(tmp_path / "later")).report.cached


@pytest.mark.parametrize("options", [{"cache": False}, {"measure": False}, {"verify": False}])
def test_what_is_not_kept(tmp_path, monkeypatch, options):
    options["database"] = cache_directory() / "prices.sqlite"  # so that nothing is calibrated
    monkeypatch.setenv("SATURAX_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("SATURAX_CACHE")
    saturax.optimize(_FUNCTION, *_ARGUMENTS, options=Options(time_limit_s=1.0, **options))
    assert ProgramCache().info().programs == 0


def test_environment_turns_the_cache_on_and_off(tmp_path, monkeypatch):
    options = Options(time_limit_s=1.0, database=cache_directory() / "prices.sqlite")
    monkeypatch.setenv("SATURAX_CACHE_DIR", str(tmp_path))
    for value, programs in (("0", 0), ("1", 1)):
        monkeypatch.setenv("SATURAX_CACHE", value)
        saturax.optimize(jnp.matmul, normal(8, 8), normal(8, 8), options=options)
        assert ProgramCache().info().programs == programs


def test_export_and_import(programs, tmp_path, monkeypatch):
    monkeypatch.setenv("SATURAX_CACHE_DIR", str(tmp_path / "here"))
    PriceDatabase().put_many(identify().key, {"dot": Price(1.0)})
    PriceDatabase().put_many("another device", {"dot": Price(1.0)})
    programs.put(_NAME, _ENTRY)
    (programs.folder / f"{_OTHER}.saturax").write_bytes(b"damaged")
    file = tmp_path / "cache.zip"
    assert export_cache(file, programs)["exported_programs"] == 1
    other = ProgramCache(tmp_path / "other")
    monkeypatch.setenv("SATURAX_CACHE_DIR", str(tmp_path / "there"))
    done = import_cache(file, other)
    assert done["imported_programs"] == done["imported_prices"] == 1
    assert done["refused_prices"] == {"another device": 1}
    assert other.get(_NAME) == _ENTRY
    file.write_bytes(b"PK")
    with pytest.raises(CacheImportError, match="saturax cache export"):
        import_cache(file, other)
    with pytest.raises(CacheImportError, match="no name"):
        other.import_entry("../evil", _ENTRY.to_bytes("../evil"))
    with pytest.raises(CacheImportError, match="checksum"):
        other.import_entry(_OTHER, _ENTRY.to_bytes(_OTHER)[:-1])


def test_command_line(tmp_path, monkeypatch, capsys):
    from saturax.command.cli import main

    monkeypatch.setenv("SATURAX_CACHE_DIR", str(tmp_path))
    ProgramCache().put(_NAME, _ENTRY)
    assert main(["cache"]) == 0
    assert "programs: 1" in capsys.readouterr().out
    assert main(["cache", "--json", "info"]) == 0
    assert json.loads(capsys.readouterr().out)["programs"] == 1
    assert main(["cache", "export", str(tmp_path / "x")]) == 0
    assert main(["cache", "clear"]) == 0
    assert ProgramCache().info().programs == 0
    assert main(["cache", "import", str(tmp_path / "x")]) == 0
    assert ProgramCache().get(_NAME) == _ENTRY
    assert main(["cache", "import", str(tmp_path / "none")]) == 1


_SCRIPT = textwrap.dedent(
    """
    import sys, warnings, numpy as np, saturax
    warnings.simplefilter("error", saturax.cache.store.CacheWarning)
    from pathlib import Path
    a, b, x = (np.random.default_rng(i).standard_normal(s).astype("f4") for i, s in
               enumerate([(200, 200), (200, 200), (200,)]))
    options = saturax.Options(time_limit_s=3.0, cache=Path(sys.argv[1]))
    result = saturax.optimize(lambda a, b, x: (a @ b) @ x, a, b, x, options=options)
    print(result.report.outcome, bool(result.report.cached), flush=True)
    """
)


def _start(folder):
    return subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_do_the_work_once(tmp_path):
    processes = [_start(tmp_path) for _ in range(2)]
    answers = sorted(process.communicate()[0].split()[-1] for process in processes)
    assert answers == ["False", "True"]


@pytest.mark.parametrize("rounds", [pytest.param(3), pytest.param(200, marks=pytest.mark.long)])
def test_optimisations_killed_at_random_moments(tmp_path, rounds):
    generator = random.Random(rounds)
    for _ in range(rounds):
        process = _start(tmp_path)
        time.sleep(generator.uniform(0.5, 12.0))
        process.kill()
        process.communicate()
        programs = ProgramCache(tmp_path)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert all(programs.get(name) is not None for name in programs.names())
    process = _start(tmp_path)
    assert process.communicate()[0].split()[0] in ("optimized", "original")
    assert process.returncode == 0
    found = saturax.optimize(
        lambda a, b, x: (a @ b) @ x,
        *_small_chain(),
        options=Options(time_limit_s=3.0, cache=tmp_path),
    )
    a, b, x = _small_chain()
    assert found.report.cached or "a later process will try again" in found.report.reason
    assert_equal(run(found.program, (a, b, x)), [(a @ b) @ x])


def _small_chain():
    shapes = [(200, 200), (200, 200), (200,)]
    return [
        np.random.default_rng(i).standard_normal(shape).astype("f4")
        for i, shape in enumerate(shapes)
    ]


_HIT_SCRIPT = """
import pathlib, sys, jax.numpy as jnp, saturax
options = saturax.Options(time_limit_s=5.0, database=pathlib.Path(sys.argv[1]))
f = saturax.jit(lambda a, b, x: (a @ b) @ x, options=options)
print(float(f(jnp.ones((256, 256)), jnp.ones((256, 256)), jnp.ones(256)).sum()))
print(f.report.cached != "", "saturax.pipeline" in sys.modules)
"""


def test_a_hit_does_not_import_the_optimiser(tmp_path):
    environment = os.environ | {"SATURAX_CACHE": "1", "SATURAX_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", _HIT_SCRIPT, str(cache_directory() / "prices.sqlite")]
    run_script = functools.partial(
        subprocess.run, command, env=environment, check=True, capture_output=True, text=True
    )
    cold, warm = (run_script().stdout.split() for _ in range(2))
    assert cold[1:] == ["False", "True"]
    assert warm == [cold[0], "True", "False"]

"""Files appear whole or not at all: killed runs, full disks, files that appear meanwhile."""

from __future__ import annotations

import dis
import errno
import fcntl
import io
import itertools
import os
import resource
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gpusmote import SMOTE, atomic_write, errors
from gpusmote.atomic_write import remove_leftovers, whole_files
from gpusmote.files import resample_file
from tests.files.helpers import FORMS, table, write

ROOT = Path(__file__).parents[1]


def write_whole(path, data, **options):
    with whole_files([path], **options) as (file,):
        file.write(data)


def python(*arguments, **options):
    """Another process, from the root of the repository."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True, text=True, check=False, env=environment, timeout=120, **options,
    )  # fmt: skip


@pytest.mark.parametrize("times", [10, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_at_random_moments(tmp_path, times):
    write(table(1500), tmp_path / "in.parquet")
    done = python(ROOT / "tests/files/kill_runs.py", tmp_path, times)
    assert done.returncode == 0, done.stderr
    names, killed, litter = done.stdout.rsplit(" ", 2)
    assert names == "['in.parquet', 'origins.csv', 'out.parquet']"
    assert int(killed) == times  # in the middle
    assert int(litter) >= times // 5  # many of them with a file half-written, which the next run removed


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("limit", [100, 20_000])
def test_a_file_that_may_not_grow(tmp_path, form, limit):
    # As on a full disk, a write fails in the middle; this limit needs no rights.
    source = write(table(3000), tmp_path / f"in{form}")
    out = tmp_path / f"out{form}"
    out.write_text("mine")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(errors.FileError, match="exceeds the file size limit") as caught:
            resample_file(source, out, target="class", force=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert str(out) in str(caught.value)
    assert out.read_text() == "mine"
    assert len(os.listdir(tmp_path)) == 2


FILL = """
import os, sys
from pathlib import Path
from gpusmote import errors
from gpusmote.files import resample_file
folder, source = Path(sys.argv[1]), sys.argv[2]
mine = folder / "out.parquet"
mine.write_text("mine")
for form in (".parquet", ".csv", ".feather"):
    for options in ({}, {"origins": folder / "origins.csv", "only_synthetic": True}):
        try:
            resample_file(source, folder / f"out{form}", target="class", force=True, dup_size=40, **options)
        except errors.FileError as error:
            print(error.errno, error)
assert mine.read_text() == "mine"
print(os.listdir(folder))
"""


def test_a_disk_that_is_full(tmp_path):
    source = write(table(9000, labels=("a", "b")), tmp_path / "in.parquet")
    disk = tmp_path / "disk"
    disk.mkdir()
    command = f'mount -t tmpfs -o size=256k none "{disk}" && exec "$@"'
    within = ["sh", "-c", command, "sh"]
    probe = None
    for prefix in (["unshare", "--mount"], ["unshare", "--map-root-user", "--mount"]):
        try:
            probe = subprocess.run([*prefix, *within, "true"], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("the program unshare is not installed")
        if probe.returncode == 0:
            break
    else:
        pytest.skip(f"no tmpfs can be mounted here, not even in a namespace: {probe.stderr.strip()}")
    done = subprocess.run(
        [*prefix, *within, sys.executable, "-c", FILL, str(disk), str(source)],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"{errno.ENOSPC} ") == 6, done.stdout
    assert done.stdout.count("the disk is full") == 6
    assert done.stdout.splitlines()[-1] == "['out.parquet']"


@pytest.mark.parametrize("stage", ["scan", "read", "search", "copy", "make"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interruption_in_any_stage(tmp_path, stage, error):
    source = write(table(), tmp_path / "in.csv")
    (tmp_path / "out.parquet").write_text("mine")

    def interrupt(now, done, total):
        if now == stage:
            raise error

    with pytest.raises(error):
        resample_file(
            source, tmp_path / "out.parquet", target="class", origins=tmp_path / "origins.csv", force=True,
            progress=interrupt,
        )  # fmt: skip
    assert (tmp_path / "out.parquet").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["in.csv", "out.parquet"]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_not_touched(tmp_path, monkeypatch, links):
    def no_links(*arguments, **options):
        raise PermissionError(errno.EPERM, "no links here")

    if not links:
        monkeypatch.setattr(os, "link", no_links)

    def write_both():
        with whole_files([tmp_path / "a", tmp_path / "b"]) as (file, _):
            file.write(b"new")
            (tmp_path / "b").write_bytes(b"theirs")

    with pytest.raises(errors.DestinationExistsError):
        write_both()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"b": b"theirs"}

    # Even between the last look and the renaming, after the first file has taken its name.
    real = atomic_write._Temporary.publish

    def publish(temporary):
        if temporary.destination.name == "c":
            (tmp_path / "c").write_bytes(b"theirs")
        real(temporary)

    monkeypatch.setattr(atomic_write._Temporary, "publish", publish)
    with pytest.raises(errors.DestinationExistsError), whole_files([tmp_path / "a", tmp_path / "c"]):
        pass
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"b": b"theirs", "c": b"theirs"}


class Signal(BaseException):
    """What the handler of a signal raises."""


def write_stopped_at(paths, number):
    """Write both files, but for a signal at the given moment in atomic_write.py; how many moments there were.

    The interpreter looks for signals after a call, at the start of a function and where a loop turns.
    """
    seen, last = 0, {}

    def at_instruction(frame, event, _):
        nonlocal seen
        if event == "opcode":
            if last.get(frame, "").startswith(("CALL", "RESUME", "JUMP_BACKWARD")):
                seen += 1
                if seen == number:
                    raise Signal
            last[frame] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
        return at_instruction

    def at_call(frame, event, _):
        # What removes the files is not stopped itself: a command asks for no second signal.
        if frame.f_code.co_filename != atomic_write.__file__ or frame.f_code.co_name in ("close", "take_back"):
            return None
        frame.f_trace_opcodes = True
        sys.settrace(at_call)  # Python 3.12.1, for one, looks for frames that want instructions only then
        last[frame] = "RESUME"
        return at_instruction

    before = sys.gettrace()
    sys.settrace(at_call)
    try:
        with whole_files(paths) as files:
            for file in files:
                file.write(b"new")
    finally:
        sys.settrace(before)
    return seen


@pytest.mark.filterwarnings("ignore:Exception ignored in")  # a file that is lost before it has a name in our code
def test_a_signal_at_any_moment_leaves_nothing_behind(tmp_path):
    number, stopped, paths = 1, 0, [tmp_path / "a", tmp_path / "b"]
    everything = write_stopped_at(paths, 0)
    while number <= everything:
        for path in paths:
            path.unlink(missing_ok=True)
        with pytest.raises(Signal):
            write_stopped_at(paths, number)
        left = sorted(os.listdir(tmp_path))
        assert left in ([], ["a", "b"]), number
        stopped += left == []
        number += 1
    assert number == everything + 1
    assert stopped > 50


def test_order_and_visibility(tmp_path):
    paths = [tmp_path / "first", tmp_path / "second"]
    with whole_files(paths) as files:
        for number, file in enumerate(files):
            file.write(str(number).encode())
        assert not any(path.exists() for path in paths)
    assert [path.read_text() for path in paths] == ["0", "1"]
    assert sorted(os.listdir(tmp_path)) == ["first", "second"]


def fail_at(patch, owner, name, number, code=errno.EIO):
    """Make one call of a function fail, counted from 1; the list has an entry once it did."""
    real, calls, hit = getattr(owner, name), itertools.count(1), []

    def call(*arguments, **options):
        if next(calls) == number:
            hit.append(number)
            raise OSError(code, os.strerror(code))
        return real(*arguments, **options)

    patch.setattr(owner, name, call)
    return hit


class FailsToClose(io.FileIO):
    """A file on a network that tells of a lost write when it is closed."""

    def close(self):
        if not self.closed:
            super().close()
            raise OSError(errno.EIO, os.strerror(errno.EIO))


def open_failing(patch, number):
    """Make the file of this number, counted from 1, fail to close."""
    files, hit = itertools.count(1), []

    def opened(name, mode, buffering):
        kind = FailsToClose if next(files) == number else io.FileIO
        hit.extend([number] if kind is FailsToClose else [])
        return io.BufferedWriter(kind(name, mode), buffering)

    patch.setattr(atomic_write, "open", opened, raising=False)
    return hit


EARLY = ("chmod", "flock")  # steps that are taken before there is anything to write to


def there(paths):
    return [path.read_bytes() if path.exists() else None for path in paths]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("folders", ["one", "two"])
@pytest.mark.parametrize("step", ["fsync", "close", "dup", "fstat", "open", "link", "replace", *EARLY])
def test_a_step_that_fails_is_told_and_nothing_is_half_done(tmp_path, monkeypatch, step, folders, force):
    paths = [tmp_path / "origins", tmp_path / ("table" if folders == "one" else "other/table")]
    (tmp_path / "other").mkdir()
    old = b"old" if force else None
    failures = 0
    for number in range(1, 9):
        for path in paths:
            path.write_bytes(b"old") if force else path.unlink(missing_ok=True)
        error = None
        with monkeypatch.context() as patch:
            hit = open_failing(patch, number) if step == "close" else []
            hit = fail_at(patch, fcntl if step == "flock" else os, step, number) if step in EARLY else hit
            try:
                with whole_files(paths, force=force) as files:
                    for file in files:
                        file.write(b"new")
                    hit = hit if step in (*EARLY, "close") else fail_at(patch, os, step, number)
            except errors.FileError as caught:
                error = caught
        if error is None:
            assert not hit or step in ("flock", "link")  # without a lock, or without links, it goes another way
            assert there(paths) == [b"new", b"new"]
        else:
            failures += 1
            assert hit
            assert error.errno == errno.EIO
            assert str(paths[0]) in str(error) or str(paths[1]) in str(error)
            # What replaced a file cannot be taken back.
            assert there(paths) in ([[old, old], [b"new", old], [b"new", b"new"]] if force else [[None, None]])
        assert not list(tmp_path.rglob(".*"))
    used = {"fsync": 4, "link": 0, "flock": 0, "replace": 2 * force, "chmod": 2 * force}
    assert failures == used.get(step, 2)


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_folder_that_cannot_be_flushed_at_all_is_no_error(tmp_path, monkeypatch, code):
    real = os.fsync

    def fsync(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(code, os.strerror(code))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("folders", ["one", "two"])
def test_a_power_failure_leaves_no_file_without_those_before_it(tmp_path, monkeypatch, folders, force):
    paths = [tmp_path / "first", tmp_path / "second", tmp_path / ("third" if folders == "one" else "other/third")]
    (tmp_path / "other").mkdir()
    flushed, lost = set(), set()  # files whose bytes, and names that a power failure now might lose, are on the disk

    def fsync(handle, real=os.fsync):
        real(handle)
        found = os.fstat(handle)
        if stat.S_ISDIR(found.st_mode):
            lost.difference_update([path for path in lost if os.path.samestat(path.parent.stat(), found)])
        else:
            flushed.add(found.st_ino)

    def named(name):
        real = getattr(os, name)

        def call(temporary, path):
            assert os.stat(temporary).st_ino in flushed
            assert not lost
            real(temporary, path)
            lost.add(Path(path))

        return call

    for name, instead in (("fsync", fsync), ("link", named("link")), ("replace", named("replace"))):
        monkeypatch.setattr(os, name, instead)
    with whole_files(paths, force=force) as files:
        for file in files:
            file.write(b"new")
    assert there(paths) == [b"new"] * 3
    assert len(flushed) == 3
    assert not lost


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EIO])
def test_a_lock_that_fails_costs_nobody_a_file(tmp_path, monkeypatch, code):
    paths = [tmp_path / "a", tmp_path / "b", tmp_path / "c"]
    for number in (1, 2, 3):
        with monkeypatch.context() as patch:
            hit = fail_at(patch, fcntl, "flock", number, code)
            with whole_files(paths, force=True) as files:
                for file in files:
                    file.write(b"new")
                remove_leftovers(tmp_path)
        assert hit
        assert there(paths) == [b"new"] * 3
        assert len(os.listdir(tmp_path)) == 3


def test_a_file_that_another_run_takes_for_a_leftover_is_made_anew(tmp_path, monkeypatch):
    real, threads = fcntl.flock, []

    def flock(handle, how):
        if not threads:  # the other run has the lock already, and removes the file next
            (name,) = tmp_path.iterdir()
            other = os.open(name, os.O_RDONLY)
            real(other, fcntl.LOCK_EX)

            def remove():
                os.unlink(name)
                os.close(other)

            threads.append(threading.Timer(0.2, remove))
            threads[0].start()
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with whole_files([tmp_path / "a"]) as (file,):
        threads[0].join()
        file.write(b"new")
    assert there([tmp_path / "a"]) == [b"new"]


@pytest.mark.parametrize("force", [False, True])
def test_what_is_removed_meanwhile_is_told_in_its_own_words(tmp_path, force):
    (tmp_path / "folder").mkdir()
    with (
        pytest.raises(errors.FileError, match="its folder or its temporary file was removed during the run") as caught,
        whole_files([tmp_path / "folder/a"], force=force),
    ):
        shutil.rmtree(tmp_path / "folder")
    assert caught.value.errno == errno.ENOENT
    assert "spelling" not in str(caught.value)
    with (
        pytest.raises(errors.FileError, match="its folder or its temporary file was removed during the run") as caught,
        whole_files([tmp_path / "a"], force=force),
    ):
        next(tmp_path.glob(".a.*")).unlink()
    assert caught.value.errno == errno.ENOENT
    assert not os.listdir(tmp_path)


def test_links_are_followed_and_rights_kept(tmp_path):
    (tmp_path / "there").write_text("old")
    (tmp_path / "there").chmod(0o640)
    (tmp_path / "link").symlink_to("there")
    with pytest.raises(errors.DestinationExistsError):
        write_whole(tmp_path / "link", b"new")
    write_whole(tmp_path / "link", b"new", force=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "there").stat().st_mode) == 0o640
    umask = os.umask(0o027)
    try:
        write_whole(tmp_path / "fresh", b"")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o640


WITHOUT = """
import sys
sys.modules.update(dict.fromkeys(["pandas", "polars", "pyarrow"]))  # as where they are not installed
import gpusmote.files
from gpusmote import errors
from gpusmote.atomic_write import whole_files
with whole_files(sys.argv[1:]) as (file,):
    file.write(b"x")
for call in (lambda: whole_files(sys.argv[1:]).__enter__(),
             lambda: gpusmote.files.resample_file("a.csv", "b.csv", target="y")):
    try:
        call()
    except (errors.DestinationExistsError, errors.MissingPackageError) as error:
        print(type(error).__name__, error)
"""


def test_without_pyarrow(tmp_path):
    done = python("-c", WITHOUT, tmp_path / "a")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("DestinationExistsError")
    assert second.startswith("MissingPackageError")
    assert "gpusmote[files]" in second


def test_leftovers_of_the_dead_only(tmp_path):
    dead = tmp_path / f".x.gpusmote-{'0' * 16}.part"
    other = tmp_path / ".x.gpusmote-00.part"
    for path in (dead, other):
        path.touch()
    (tmp_path / f".y.gpusmote-{'1' * 16}.part").mkdir()
    with whole_files([tmp_path / "living"]) as (file,):
        file.write(b"all of it")
        assert not dead.exists()
        thread = threading.Thread(target=remove_leftovers, args=[tmp_path])
        thread.start()
        thread.join()
        code = f"from gpusmote.atomic_write import remove_leftovers as r, Path; r(Path({str(tmp_path)!r}))"
        assert python("-c", code).returncode == 0
    assert (tmp_path / "living").read_bytes() == b"all of it"
    assert other.exists()
    write_whole(tmp_path / ("long" * 60), b"")  # 240 bytes: the temporary name is no longer than its own


def test_two_runs_at_once_do_not_disturb_each_other(tmp_path):
    source = write(table(3000), tmp_path / "in.csv")
    results = []

    def run(number):
        sampler = SMOTE(random_state=number)
        results.append(resample_file(source, tmp_path / f"out{number}.csv", target="class", sampler=sampler))

    threads = [threading.Thread(target=run, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert len(os.listdir(tmp_path)) == 5

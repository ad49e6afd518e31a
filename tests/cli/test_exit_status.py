"""Exit status, error messages and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from gpusmote import errors
from gpusmote.cli import signals
from gpusmote.cli.exit_status import finish
from gpusmote.cli.output import Output
from tests.cli.helpers import gpusmote


def raising(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (errors.InputError("No.", "Do."), 1, ["error: No.", "hint:  Do."]),
        (errors.InputError("No\nlines."), 1, ["error: No lines."]),
        (errors.TooFewRowsError("Few.", "k_neighbors=3 fits."), 1, ["error: Few.", "hint:  --k-neighbors 3 fits."]),
        (errors.DeviceError("No."), 1, ["error: No."]),
        (errors.MemoryLimitError("No."), 1, ["error: No."]),
        (errors.ParameterError("k_neighbors is 0."), 2, ["error: --k-neighbors is 0."]),
        (errors.StrategyError("No."), 2, ["error: No."]),
        (OSError(28, "No space left on device", "out"), 1, ["error: out: No space left on device"]),
        (SystemExit(3), 3, []),
        (SystemExit("text"), 1, []),
        (
            ZeroDivisionError("by zero"),
            1,
            [
                "error: ZeroDivisionError: by zero",
                "hint:  This is a bug; gpusmote --debug ... shows the traceback.",
            ],
        ),
    ],
)
def test_an_error_is_one_line_and_its_hint_another(
    error: BaseException, status: int, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert finish(raising(error), Output()) == status
    captured = capsys.readouterr()
    assert captured.err.splitlines() == said
    assert captured.out == ""


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output()
    output.debug = True
    assert finish(raising(errors.InputError("No.")), output) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "Traceback (most recent call last):"
    assert said[-1] == "error: No."


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_ends_the_work_and_a_second_one_does_not_interrupt_the_cleanup(
    name: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    tidied = []
    before = signal.getsignal(getattr(signal, name))

    def work() -> None:
        try:
            os.kill(os.getpid(), getattr(signal, name))
            threading.Event().wait(5)
        finally:
            os.kill(os.getpid(), getattr(signal, name))  # as by `timeout`, which also sends it to the process group
            tidied.append(True)

    assert finish(work, Output()) == status
    assert tidied == [True]
    assert capsys.readouterr().err == f"error: stopped by {name}\n"
    assert signal.getsignal(getattr(signal, name)) == before


def test_a_signal_that_something_swallowed_can_be_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(signals.time, "monotonic", lambda: now)
    handler = signals.raise_stopped()
    with pytest.raises(signals.Stopped):
        handler(signal.SIGTERM, None)
    handler(signal.SIGTERM, None)  # at once, as by `timeout`: ignored
    now += 1.5
    with pytest.raises(signals.Stopped):
        handler(signal.SIGTERM, None)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert finish(lambda: os.kill(os.getpid(), signal.SIGHUP), Output()) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_warning_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        warnings.warn("Slow\npath.", errors.GpusmoteWarning, stacklevel=1)

    assert finish(work, Output()) == 0
    assert capsys.readouterr().err == "warning: Slow path.\n"


RESAMPLE = ["resample", "in.csv", "--target", "kind", "-o", "out.csv"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "Missing command."),
        (["dance"], "No such command 'dance'."),
        (["resample"], "Missing argument 'IN'."),
        (["resample", "in.csv", "-o", "out.csv"], "Missing option '--target'."),
        (["resample", "in.csv", "--target", "kind"], "Missing option '--output' / '-o'."),
        ([*RESAMPLE, "--k", "3"], "No such option: --k"),
        ([*RESAMPLE, "--k-neighbors", "x"], "The --k-neighbors parameter of SMOTE must be an int"),
        (
            [*RESAMPLE, "--k-neighbors", "0"],
            "The --k-neighbors parameter of SMOTE must be an int in the range [1, inf)",
        ),
        ([*RESAMPLE, "--k-neighbors", "2.5"], "The --k-neighbors parameter of SMOTE must be an int"),
        ([*RESAMPLE, "--kind", "borderline-1"], "SMOTE has no --kind."),
        (
            [*RESAMPLE, "--sampler", "BorderlineSMOTE", "--kind", "x"],
            "The --kind parameter of BorderlineSMOTE must be a str among",
        ),
        ([*RESAMPLE, "--sampler", "ROSE"], "--sampler is 'ROSE'."),
        ([*RESAMPLE, "--m-neighbors", "3"], "SMOTE has no --m-neighbors."),
        ([*RESAMPLE, "--sampling-strategy", "some"], "The --sampling-strategy parameter of SMOTE must be"),
        ([*RESAMPLE, "--random-state", "-1"], "The --random-state parameter of SMOTE must be an int"),
        (
            [*RESAMPLE, "--recall-target", "2"],
            "The --recall-target parameter of SMOTE must be a float in the range (0.0, 1.0]",
        ),
        ([*RESAMPLE, "--device", "abacus"], "--device is 'abacus'."),
        ([*RESAMPLE, "--memory-limit", "much"], "--memory-limit is 'much'."),
        ([*RESAMPLE, "--memory-limit", "1.5"], "--memory-limit is 1.5."),
        ([*RESAMPLE, "--percentage", "-1"], "--percentage is -1."),
        ([*RESAMPLE, "--percentage", "half"], "--percentage is 'half'."),
        ([*RESAMPLE, "--dup-size", "0"], "--dup-size is 0."),
        ([*RESAMPLE, "--dup-size", "1.5"], "--dup-size is 1.5."),
        ([*RESAMPLE, "--report", "out.csv"], "--report out.csv is another"),
    ],
)
def test_a_wrong_command_line_has_status_2_and_one_line_with_the_reason(
    arguments: list[str], complaint: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source.rename("in.parquet")
    done = gpusmote(*("in.parquet" if argument == "in.csv" else argument for argument in arguments))
    assert done.status == 2, done
    assert done.out == ""
    first, *hints = done.err.splitlines()
    assert first.startswith(f"error: {complaint}")
    assert len(hints) <= 1
    assert all(hint.startswith("hint:  ") for hint in hints)
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--sampler", "Foo"], "The samplers are ADASYN, SMOTE, BorderlineSMOTE."),
        (["--m-neighbors", "3"], "It is an option of BorderlineSMOTE."),
        (["--memory-limit", '{"cpu": 1'], """For example: '{"cpu": "8GB", "cuda": "50%"}'"""),
        (["--sampling-strategy", '{"rare": 1'], """For example: '{"rare": 5000}'"""),
        (
            ["--memory-limit", "x"],
            'It must be bytes (a whole number, or text such as "8GB" or "512MiB"), a fraction of the free memory',
        ),
    ],
)
def test_the_hint_says_what_is_allowed(arguments: list[str], hint: str, source: Path) -> None:
    done = gpusmote("resample", source, "--target", "kind", "-o", source.with_name("out.csv"), *arguments)
    assert done.status == 2
    assert done.err.splitlines()[1].startswith(f"hint:  {hint}")
    assert "sampling_strategy" not in done.err


def command(*arguments: object, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "gpusmote", *map(str, arguments)], text=True, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("what", ["info", "--version"])
@pytest.mark.parametrize("buffered", [True, False])
def test_a_reader_that_ends_early_is_not_an_error(what: str, buffered: bool) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": "" if buffered else "1"}
    with command(what, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        process.stdout.close()  # type: ignore[union-attr]
        assert process.stderr.read() == ""  # type: ignore[union-attr]
    assert process.returncode == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize("what", ["info", "--version"])
def test_results_that_cannot_be_printed_are_an_error(what: str) -> None:
    with open("/dev/full", "w") as full, command(what, stdout=full, stderr=subprocess.PIPE) as process:
        assert process.stderr.read() == "error: No space left on device\n"  # type: ignore[union-attr]
    assert process.returncode == 1

"""Tests that written tests fail as their jobs failed."""

import ast
import importlib.util
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4
from xml.etree import ElementTree

import msgspec
import pytest

from mousetrap.dead_letters import DeadLetters, Selection, line
from mousetrap.handlers import AttemptFailed, Binding
from mousetrap.job_queue import connect
from mousetrap.jobs import Failure, dead_queue, encode, first_job, signed_message
from mousetrap.pipeline import Lock
from mousetrap.repeat_attempt import (
    Case,
    Fixture,
    NotRepeatable,
    at_hand,
    case_of_letter,
    dead_test,
    repeat,
)
from mousetrap.run_store import open_store
from support.processes import clean_environment
from support.workbench import KEYRING, Workbench, just_now_ms, on_streams

_MODULE = """
import asyncio, os, time
from mousetrap.handlers import AttemptFailed, Binding
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.retry import Outage, RetryPolicy

class Broken(Exception):
    pass

{handler}

POLICY = RetryPolicy(attempts={attempts}, base=0.001, cap=0.001, outage_limit=0.001)
STAGE = Stage(name="work", queue="{queue}", input={input}, output=int, retry=POLICY, timeout={timeout})
PIPELINE = Pipeline(name="{queue}", description="Works.", stages=(STAGE,))
BINDING = Binding(pipeline=PIPELINE, stage="work", handler=handle, isolated={isolated})
"""
_FIXED = "def handle(n): return 1"


@dataclass(frozen=True)
class Way:
    """A way to fail: the handler, the error of letter and test, and the reason."""

    handler: str
    error: str
    body: bytes = b'{"n": 1}'
    input: str = "dict"
    attempts: int = 2
    timeout: float | None = None
    isolated: bool = False
    reason: str = "max-retries"


WAYS = {
    "raises": Way("def handle(n): raise Broken(n['n'])", "Broken: 1"),
    "async raises": Way("async def handle(n): raise Broken('no')", "Broken: no"),
    "output": Way(
        "def handle(n): return 'x'",
        "ContractBroken: the output of stage 'work': Expected `int`, got `str`",
        reason="contract",
    ),
    "timeout": Way(
        "async def handle(n): await asyncio.sleep(60)",
        "TimeLimitExceeded: the attempt took longer",
        timeout=0.2,
    ),
    "thread timeout": Way(
        "def handle(n): time.sleep(3)", "TimeLimitExceeded: the attempt took longer", timeout=0.2, attempts=1
    ),
    "outage": Way("def handle(n): raise Outage('away')", "Outage: away", reason="outage"),
    "isolated dies": Way(
        "def handle(n): os.kill(os.getpid(), 9)",
        "HandlerDied: the handler's process was killed by signal 9 (SIGKILL)",
        isolated=True,
    ),
    "isolated raises": Way("def handle(n): raise Broken('apart')", "Broken: apart", isolated=True),
}


@on_streams
@pytest.mark.test_timeout(230)
async def test_a_written_test_fails_as_the_job_failed_and_passes_once_fixed(
    queue_url: str, store_url: str, work: str, tmp_path: Path
) -> None:
    modules = {name: f"{work}_{number}" for number, name in enumerate(WAYS)}
    for name, way in WAYS.items():
        module = modules[name]
        case = await _dead(way, queue_url, store_url, module, tmp_path)
        assert case.reason == way.reason and case.failure is not None, name
        assert way.error in f"{case.failure.kind}: {case.failure.text}", name
        (tmp_path / f"test_{module}.py").write_text(dead_test(case, _fixture(module, tmp_path)).text)

    before = _failures(tmp_path)  # of all of them in one run, which takes a second to start
    for name, way in WAYS.items():
        _write_module(modules[name], tmp_path, replace(way, handler=_FIXED))
    after = _failures(tmp_path)

    assert len(before) == len(after) == len(WAYS)
    for name, way in WAYS.items():
        assert way.error in before[f"test_{modules[name]}"], name
    assert set(after.values()) == {""}


@on_streams
async def test_an_input_that_broke_its_contract_passes_once_the_contract_takes_it(
    queue_url: str, store_url: str, work: str, tmp_path: Path
) -> None:
    way = Way(_FIXED, "", input="int", body=b'"one"')
    case = await _dead(way, queue_url, store_url, work, tmp_path)
    assert case.reason == "contract"

    before = _pytest(case, work, tmp_path)
    _write_module(work, tmp_path, replace(way, input="int | str"))
    after = _pytest(case, work, tmp_path)

    assert "ContractBroken: the input of stage 'work': Expected `int`, got `str`" in before.stdout
    assert after.returncode == 0, after.stdout


@on_streams
async def test_a_job_of_too_many_attempts_passes_once_the_policy_allows_it(
    queue_url: str, store_url: str, work: str, tmp_path: Path
) -> None:
    way = Way(_FIXED, "", attempts=1)
    case = await _dead(way, queue_url, store_url, work, tmp_path, attempt=3)

    before = _pytest(case, work, tmp_path)
    _write_module(work, tmp_path, replace(way, attempts=3))
    after = _pytest(case, work, tmp_path)

    assert "TooManyAttempts: this is attempt 3, and the policy of its stage allows 1" in before.stdout
    assert after.returncode == 0, after.stdout


@pytest.mark.slow
def test_a_job_that_ended_its_workers_is_made_in_a_process_of_its_own(work: str, tmp_path: Path) -> None:
    way = Way("def handle(n): os.kill(os.getpid(), 11)", "")
    _write_module(work, tmp_path, way)
    case = replace(
        _case(work, b'{"n": 1}'), reason="crash-loop", failure=Failure(kind="CrashLoop", text="5 workers")
    )

    before = _pytest(case, work, tmp_path)
    _write_module(work, tmp_path, replace(way, handler="def handle(n): raise Broken('still')"))
    half = _pytest(case, work, tmp_path)
    _write_module(work, tmp_path, replace(way, handler=_FIXED))
    after = _pytest(case, work, tmp_path)

    assert "CrashLoop: the attempt ended its process by signal 11 (SIGSEGV)" in before.stdout
    assert "1 failed" in before.stdout  # pytest itself is alive
    assert "Broken: still" in half.stdout
    assert after.returncode == 0, after.stdout


@pytest.mark.parametrize(
    "payload",
    [
        b"0",
        b'""',
        b"null",
        b'{"a": [1, 2.5, true, null, "\\u00e9\\n\\u0000\\u2028"], "b": {}}',
        b'{"z": 1, "a": 2}',
        b"123456789012345678901234567890",
        b"1e400",
        b'{"a": 1, "a": 2}',
        b"1.0",
        b"1e2",
        b'"' + b"x" * 10_000 + b'"',
        b"[" * 1_000 + b"]" * 1_000,
    ],
)
def test_the_input_is_exact(payload: bytes, work: str) -> None:
    written = dead_test(_case(work, payload), _fixture(work, Path()))

    found = {
        target.id: node.value
        for node in ast.parse(written.text).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    if written.input is not None:
        assert written.input == payload
    else:
        assert msgspec.json.encode(ast.literal_eval(found["INPUT"])) == msgspec.json.format(
            payload, indent=-1
        )


def test_no_text_of_a_letter_becomes_code(work: str) -> None:
    hostile = '"""\nimport os; os.abort()\n"""\\" \\N{DASH} \\'
    case = replace(
        _case(work, b"1"),
        worker=hostile,
        queue=hostile,
        reason=hostile,
        failure=Failure(kind=hostile, text=hostile),
    )
    case = replace(case, job=msgspec.structs.replace(case.job, id=hostile, run_id=hostile, pipeline=hostile))

    tree = ast.parse(dead_test(case, _fixture(work, Path())).text)

    assert [type(node).__name__ for node in tree.body] == [
        *("Expr", "ImportFrom", "ImportFrom", "ImportFrom", "Assign", "Assign", "FunctionDef"),
    ]
    assert "os.abort" in (ast.get_docstring(tree) or "")


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("unknown-stage", "start a worker that has one"),
        ("lock-held", "once that has ended"),
        ("stale", "redrive"),
    ],
)
def test_a_job_that_no_handler_was_called_for_has_no_test(reason: str, advice: str) -> None:
    job = first_job(run_id="r", pipeline="p", stage="s", payload=b"1", accepted_ms=1)
    letter = {"id": job.id, "queue": "q", "believed": True, "headers": {"mousetrap-reason": reason}}

    with pytest.raises(NotRepeatable, match=advice):
        case_of_letter(msgspec.json.encode({**letter, "body": encode(job).decode()}))


def test_a_message_that_is_not_ours_has_no_test() -> None:
    letter = {"id": "x1", "queue": "q", "believed": False, "headers": {}, "body_base64": "AAA="}

    with pytest.raises(NotRepeatable, match="no key of ours signed it"):
        case_of_letter(msgspec.json.encode(letter))
    with pytest.raises(NotRepeatable, match="no job of ours"):
        case_of_letter(msgspec.json.encode({**letter, "believed": True}))


def test_other_dependencies_take_the_place_of_the_lifespan(work: str, tmp_path: Path) -> None:
    _write_module(work, tmp_path, Way("def handle(n, context): return context.deps + context.attempt", ""))

    assert repeat(_binding(work, tmp_path), _case(work, b"{}").job, deps=41) == 42


def test_a_job_of_another_stage_is_refused(work: str, tmp_path: Path) -> None:
    _write_module(work, tmp_path, Way(_FIXED, ""))
    job = msgspec.structs.replace(_case(work, b"{}").job, stage="other")

    with pytest.raises(ValueError, match="a job of stage 'other'"):
        repeat(_binding(work, tmp_path), job)


def test_an_isolated_handler_takes_no_other_dependencies(work: str, tmp_path: Path) -> None:
    _write_module(work, tmp_path, Way("def handle(n, context): return context.deps", "", isolated=True))

    with pytest.raises(
        ValueError, match=r"'work' is isolated: its process opens the lifespan.* isolated=False"
    ):
        repeat(_binding(work, tmp_path), _case(work, b"{}").job, deps=41)


def test_a_stage_with_a_lock_has_its_fence(work: str, tmp_path: Path) -> None:
    _write_module(work, tmp_path, Way("def handle(n, context): return context.lock_fence", ""))
    free = _binding(work, tmp_path)
    stage = replace(free.stage, lock=Lock(name="one"))
    locked = replace(free, pipeline=replace(free.pipeline, stages=(stage,)))
    job = _case(work, b"{}").job

    assert (repeat(free, job), repeat(locked, job)) == (0, 1)
    assert at_hand(locked, job)["context"].lock_fence == 1


async def test_an_attempt_is_made_inside_a_running_loop_too(work: str, tmp_path: Path) -> None:
    _write_module(work, tmp_path, Way("async def handle(n): return 7", ""))

    assert repeat(_binding(work, tmp_path), _case(work, b"{}").job) == 7
    with pytest.raises(AttemptFailed, match="input of stage 'work'"):
        repeat(_binding(work, tmp_path), _case(work, b"1").job)


async def _dead(
    way: Way,
    queue_url: str,
    store_url: str,
    work: str,
    folder: Path,
    *,
    attempt: int = 1,
) -> Case:
    """The case of a real dead letter: a worker gave the job up."""
    _write_module(work, folder, way)
    binding = _binding(work, folder)
    job = first_job(
        run_id=uuid4().hex, pipeline=work, stage="work", payload=way.body, accepted_ms=just_now_ms()
    )
    job = msgspec.structs.replace(job, attempt=attempt)
    async with (
        connect(queue_url, [work], name="test") as queue,
        open_store(store_url, retention=3600, keyring=KEYRING) as store,
    ):
        bench = Workbench(queue, store, binding.pipeline)
        letters = DeadLetters(queue, store, KEYRING, {work: binding.pipeline})
        await queue.publish(work, signed_message(job, KEYRING))
        async with bench.working(binding):
            await bench.put_back(await bench.next_of(dead_queue(work)))
        found = (await letters.look(Selection())).letters
        return case_of_letter(line(found[0]))


def _case(work: str, payload: bytes) -> Case:
    job = first_job(run_id="r1", pipeline=work, stage="work", payload=payload, accepted_ms=1)
    return Case(job=job, queue=work, reason="max-retries", failure=Failure(kind="E", text="t"))


def _write_module(work: str, folder: Path, way: Way) -> None:
    fields = {name: getattr(way, name) for name in ("handler", "attempts", "input", "timeout", "isolated")}
    (folder / f"{work}.py").write_text(_MODULE.format(**fields, queue=work))
    # What Python compiled of the module before may have the same time, in seconds, and size.
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)


def _binding(work: str, folder: Path) -> Binding:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))  # an isolated handler's process imports it by its name
    importlib.invalidate_caches()
    module = importlib.import_module(work)
    binding: Binding = module.BINDING
    return binding


def _fixture(work: str, folder: Path) -> Fixture:
    return Fixture(target=None, imports=(f"from {work} import BINDING",), expression="BINDING")


def _failures(folder: Path) -> dict[str, str]:
    """How each test in the folder failed by pytest's report, by its module; "" if it passed."""
    report = folder / "report.xml"
    report.unlink(missing_ok=True)
    _run_pytest(folder, folder, f"--junit-xml={report}")
    cases = list(ElementTree.parse(report).iter("testcase"))
    return {case.attrib["classname"]: "".join(case.itertext()) for case in cases}


def _pytest(case: Case, work: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """pytest's report on the test of the case."""
    path = folder / "test_dead.py"
    path.write_text(dead_test(case, _fixture(work, folder)).text)
    return _run_pytest(folder, path)


def _run_pytest(folder: Path, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    options = ("-q", "-p", "no:cacheprovider", "--rootdir", folder)
    return subprocess.run(
        [sys.executable, "-B", "-m", "pytest", *options, *arguments],
        cwd=folder,
        env=clean_environment(COLUMNS="200", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )

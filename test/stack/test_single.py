"""Tests the stack as it ships, on one node of each server."""

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stack.composed import Composed, docker
from support.processes import Process, clean_environment
from support.waiting import until

#: In turn, each while so many runs are under way: 200 in all.
VICTIMS, RUNS_EACH = ("fetch_worker", "process_worker", "rabbitmq", "valkey", "api"), 40
#: Jobs that a worker runs at once, which is the default of its setting.
AT_ONCE = 10
#: The longest grace period of the services of ours, as compose.yml has it.
GRACE = 40


def test_a_run_completes_on_rabbitmq_4_and_postgresql(stack: Composed) -> None:
    run_id = stack.submit("the first")

    stack.assert_all_accounted_for([*stack.states()])

    run = stack.run(run_id)
    assert run["result"]["earthquakes"] > 1000
    assert stack.rabbitmqctl("version").startswith("4.")
    assert stack.sql("SHOW server_version")[0].startswith("17.")
    assert [stored for stored in stack.summaries() if stored == run_id] == [run_id]


def test_every_container_is_without_root_and_without_anything_to_write_to(stack: Composed) -> None:
    for inspected in stack.inspect(*stack.containers()):
        name, host = inspected["Name"], inspected["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"] and not host["CapAdd"] and not host["Privileged"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        if inspected["State"]["Running"]:
            inside = docker(
                "exec", inspected["Id"], "sh", "-c", "id -u; cat /proc/1/status; touch /written || true"
            )
            user, *status = inside.splitlines()
            facts = dict(line.split(":", 1) for line in status)
            assert user != "0", name
            assert set(facts["Uid"].split()) == {user}, name
            assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == 0, name
            assert facts["NoNewPrivs"].strip() == "1", name
            assert not docker("diff", inspected["Id"]).count("/written"), name


def test_what_is_published_is_the_api_on_loopback_alone(stack: Composed) -> None:
    published = {
        (inspected["Config"]["Labels"]["com.docker.compose.service"], each["HostIp"])
        for inspected in stack.inspect(*stack.containers())
        for bound in (inspected["NetworkSettings"]["Ports"] or {}).values()
        for each in bound or []
    }

    assert published == {("api", "127.0.0.1")}


def test_of_the_broker_s_users_one_may_declare_and_none_administers(stack: Composed) -> None:
    held = json.loads(stack.rabbitmqctl("export_definitions", "-", "--format", "json"))

    assert {user["name"]: user["tags"] for user in held["users"]} == {
        "mousetrap-migrate": [],
        "mousetrap-api": [],
        "mousetrap-worker": [],
    }
    may_declare = [each["user"] for each in held["permissions"] if each["configure"] not in ("", "^$")]
    assert may_declare == ["mousetrap-migrate"]
    assert [each["name"] for each in held["vhosts"]] == ["mousetrap"]


def test_three_fetch_workers_share_the_work(stack: Composed, clients: ThreadPoolExecutor) -> None:
    before = set(stack.states())
    stack.up("--no-recreate", "--scale", "fetch_worker=3")
    with stack.held_feed():
        run_ids = list(clients.map(stack.submit, (f"shared {number}" for number in range(4 * AT_ONCE))))
        stack.until_running(3 * AT_ONCE)
    stack.assert_all_accounted_for([*before, *run_ids])
    stack.up("--no-recreate", "--scale", "fetch_worker=1")

    workers = {
        event["worker"]
        for run_id in run_ids
        for event in stack.run(run_id)["timeline"]
        if event["kind"] == "started" and event["stage"] == "fetch"
    }
    assert len(workers) == 3


def test_workers_broker_store_and_api_are_killed_in_turn_and_every_run_completes(
    stack: Composed, clients: ThreadPoolExecutor
) -> None:
    run_ids = list(stack.states())
    for victim in VICTIMS:
        with stack.held_feed():
            accepted = [clients.submit(stack.submit, f"{victim} {number}") for number in range(RUNS_EACH)]
            stack.until_running(AT_ONCE)
            stack.kill(victim)
        stack.compose("start", victim)
        run_ids += [run.result() for run in accepted]
        # What ended before the next strike must have ended after it too.
        stack.until_completed(run_ids)

    stack.assert_all_accounted_for(run_ids)


def test_a_worker_that_dies_by_itself_is_started_again(stack: Composed, images: dict[str, str]) -> None:
    (inspected,) = stack.inspect(stack.container("fetch_worker"))
    pid = inspected["State"]["Pid"]

    # From a container that sees the machine's processes, for to the engine a `docker kill` is no accident.
    killer = ("--rm", "--pid", "host", "--user", "0", "--entrypoint", "sh", images["fetch_worker"])
    docker("run", *killer, "-c", f"kill -9 {pid}")

    def again() -> bool:
        (now,) = stack.inspect(inspected["Id"])
        return bool(now["RestartCount"] == inspected["RestartCount"] + 1 and now["State"]["Running"])

    until(again, "the worker runs again")
    stack.up("--no-recreate")


def test_a_stack_that_is_stopped_finishes_what_it_runs_and_goes_on_with_the_rest_when_started(
    stack: Composed, clients: ThreadPoolExecutor, facts: list[str]
) -> None:
    before = list(stack.states())
    worker = stack.container("fetch_worker")
    with stack.held_feed():
        run_ids = list(clients.map(stack.submit, (f"stopped {number}" for number in range(4 * AT_ONCE))))
        stack.until_running(AT_ONCE)
        watch = ["docker", "events", "--filter", f"container={worker}", "--filter", "event=kill"]
        with Process(watch, clean_environment()) as events, ThreadPoolExecutor(1) as aside:
            began = time.monotonic()
            stopping = aside.submit(stack.compose, "stop")
            events.wait_for_line("signal=15", 60)
            stack.release_feed()
            stopping.result()
            took = time.monotonic() - began
    facts.append(f"stopped as a whole, ten fetches under way: {took:.1f} s")

    codes = {
        inspected["Config"]["Labels"]["com.docker.compose.service"]: inspected["State"]["ExitCode"]
        for inspected in stack.inspect(*stack.containers())
    }
    assert set(codes.values()) == {0}, f"someone did not end in time, or not well: {codes}"
    assert took < GRACE

    stack.up("--no-deps", "rabbitmq", "valkey", "api")  # no workers: what is claimed now was left so
    states = [stack.states()[run_id] for run_id in run_ids]
    assert "running" not in states
    assert states.count("queued") >= 2 * AT_ONCE

    stack.up()
    stack.assert_all_accounted_for([*before, *run_ids])


@pytest.mark.parametrize("service", ["migrate", "api", "fetch_worker", "process_worker"])
def test_nothing_starts_with_a_placeholder_for_a_password(
    stack: Composed, tmp_path: Path, service: str
) -> None:
    placeholders = tmp_path / "secrets"
    shutil.copytree(stack.secrets, placeholders)
    for file in placeholders.glob("broker_url_*"):
        file.write_text(
            file.read_text().replace(stack.secret(file.name).split(":")[2].split("@")[0], "CHANGE_ME")
        )

    done = stack.attempt("run", "--rm", "--no-deps", "-T", service, SECRETS=str(placeholders))

    assert done.returncode == 2
    assert "MOUSETRAP_BROKER_URL" in done.stderr
    assert "CHANGE_ME@" not in done.stderr


def test_no_secret_is_shown_by_the_engine_or_in_a_log(stack: Composed) -> None:
    shown = json.dumps(stack.inspect(*stack.containers())) + stack.compose("logs", "--no-color")

    passwords = [stack.secret("api_key"), stack.secret("postgres_password"), stack.secret("erlang_cookie")]
    passwords.append(stack.secret("signing_keys").partition(":")[2])
    for url in (
        "store_url",
        "broker_url_api",
        "broker_url_worker",
        "broker_url_migrate",
        "database_url_worker",
        "database_url_api",
    ):
        passwords.append(stack.secret(url).split(":")[2].split("@")[0])
    assert min(map(len, passwords)) > 30
    assert [password for password in passwords if password in shown] == []

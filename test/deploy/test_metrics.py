"""Tests the alerts and the board against what is exported."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mousetrap.api_keys import ApiKeys, Scope, new_key
from support.expressions import (
    BOARD,
    board_expressions,
    exported,
    names_in,
    rules,
    strange_labels,
    vectors,
)
from support.prometheus import ROOT, RULES, promtool, scraping

_RECORDED = {rule["record"] for rule in rules() if "record" in rule}


def test_the_board_is_what_its_script_makes() -> None:
    made = subprocess.run([sys.executable, ROOT / "tools/board"], check=True, capture_output=True, text=True)

    assert BOARD.read_text() == made.stdout, "run tools/board > deploy/grafana/mousetrap.json"


@pytest.mark.parametrize("expression", [*board_expressions(), *(rule["expr"] for rule in rules())])
def test_every_expression_names_metrics_and_labels_that_we_export(expression: str) -> None:
    ours = {name for name in names_in(expression) if not name.startswith("process_") and name != "up"}

    assert names_in(expression)
    assert ours - exported().keys() - _RECORDED == set()
    assert strange_labels(expression) == set()


def test_the_board_shows_every_metric_of_ours() -> None:
    shown = {name for expression in board_expressions() for name in names_in(expression)}
    families = {
        series: series.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum")
        for series in exported()
    }
    reached = {families[name] for name in shown if name in families}
    reached |= {families[name] for rule in rules() for name in names_in(rule["expr"]) if name in families}

    assert reached == set(families.values())


def test_each_alert_is_explained() -> None:
    page = (ROOT / "docs/metrics.md").read_text()

    assert [rule["alert"] for rule in rules() if "alert" in rule and f"`{rule['alert']}`" not in page] == []


def test_a_comparison_leaves_its_vectors() -> None:
    assert vectors('sum by (a) (x{b=~"c.*"}) > 0 and y == 0') == ['sum by (a) (x{b=~"c.*"})', "y"]
    assert vectors("a >= b") == ["a", "b"]


@pytest.mark.slow
def test_promtool_takes_the_rules_and_the_configuration(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch()
    (tmp_path / "rules.yml").write_text(RULES.read_text())
    configuration = scraping({"mousetrap-api": ["a:1"], "mousetrap-worker": ["b:1"]}, key)
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(configuration))

    for kind, file in (("rules", RULES), ("config", tmp_path / "prometheus.yml")):
        code, output = promtool("check", kind, file)
        assert (code, "SUCCESS" in output) == (0, True), output


#: What each alert is about, after its name: series with their values a minute, where all is well and where it is not.
LOUD: dict[str, list[tuple[str, str, str]]] = {
    "MousetrapNoWorker": [
        ('mousetrap_queue_ready{queue="q"}', "3x60", "3x60"),
        ('mousetrap_queue_workers{queue="q"}', "1x60", "0x60"),
    ],
    "MousetrapNoWorker where all stand in a line": [
        ('mousetrap_queue_ready{queue="q"}', "0x60", "0x60"),
        ('mousetrap_limited_jobs{queue="q"}', "3x60", "3x60"),
        ('mousetrap_queue_workers{queue="q"}', "1x60", "0x60"),
    ],
    "MousetrapJobsWaitLong": [('mousetrap_queue_oldest_seconds{queue="q"}', "30x60", "1000x60")],
    "MousetrapPaused": [
        ('mousetrap_queue_paused{queue="q"}', "0x60", "1x90"),
        ('mousetrap_queue_ready{queue="q"}', "3x60", "3x90"),
    ],
    "MousetrapPaused where all stand in a line": [
        ('mousetrap_queue_paused{queue="q"}', "0x60", "1x90"),
        ('mousetrap_queue_ready{queue="q"}', "0x60", "0x90"),
        ('mousetrap_limited_jobs{queue="q"}', "3x60", "3x90"),
    ],
    "MousetrapLimitFull": [
        ('mousetrap_limited_jobs{queue="q"}', "3x40 0 3x60", "3x90"),
        ('mousetrap_queue_paused{queue="q"}', "0x90", "0x90"),
        ('mousetrap_queue_workers{queue="q"}', "1x90", "1x90"),
    ],
    "MousetrapDeadLetters": [
        ('mousetrap_dead_letters_total{queue="q",reason="max-retries"}', "5x60", "0x50 1x10"),
    ],
    "MousetrapRunsFailFast": [
        ('mousetrap_runs_total{pipeline="p",outcome="failed"}', "0+1x60", "0+300x60"),
        ('mousetrap_runs_total{pipeline="p",outcome="completed"}', "0+600x60", "0+600x60"),
    ],
    "MousetrapRunsFail": [
        ('mousetrap_runs_total{pipeline="p",outcome="failed"}', "0+1x60", "0+60x60"),
        ('mousetrap_runs_total{pipeline="p",outcome="completed"}', "0+600x60", "0+600x60"),
    ],
    "MousetrapScheduleLate": [("mousetrap_schedules_late", "0x60", "0x50 1x10")],
    "MousetrapAway": [('mousetrap_connected{instance="i",to="store"}', "1x60", "1x50 0x10")],
    "MousetrapBrokerBlocked": [('mousetrap_broker_blocked{instance="i"}', "0x60", "0x50 1x10")],
    "MousetrapOutages": [('mousetrap_outages_total{instance="i",to="store"}', "3x60", "0x40 1 2 3 4 5 6x15")],
    "MousetrapSlotsFull": [
        ('mousetrap_attempts_running{instance="i",pipeline="p",stage="a"}', "4x60", "4x60"),
        ('mousetrap_attempts_running{instance="i",pipeline="p",stage="b"}', "5x60", "6x60"),
        ('mousetrap_slots{instance="i"}', "10x60", "10x60"),
    ],
    "MousetrapHandlerHangs": [('mousetrap_hung_handlers{instance="i"}', "0x60", "1x60")],
    "MousetrapLoopLate": [
        ('mousetrap_loop_lag_seconds_bucket{instance="i",le="0.5"}', "0+240x60", "0+200x60"),
        ('mousetrap_loop_lag_seconds_bucket{instance="i",le="2.5"}', "0+240x60", "0+240x60"),
        ('mousetrap_loop_lag_seconds_bucket{instance="i",le="+Inf"}', "0+240x60", "0+240x60"),
    ],
    "MousetrapWorkerLost": [('mousetrap_workers{state="stale"}', "0x60", "0x50 1x10")],
    "MousetrapApiFails": [
        ('mousetrap_http_requests_total{status="5xx"}', "0x60", "0+10x60"),
        ('mousetrap_http_requests_total{status="2xx"}', "0+60x60", "0+60x60"),
    ],
    "MousetrapNotScraped": [('up{job="mousetrap-worker",instance="i"}', "1x60", "1x50 0x10")],
}


@pytest.mark.slow
def test_each_alert_is_quiet_where_all_is_well_and_loud_where_it_is_not(tmp_path: Path) -> None:
    assert {name.split()[0] for name in LOUD} == {rule["alert"] for rule in rules() if "alert" in rule}
    (tmp_path / "rules.yml").write_text(RULES.read_text())
    tests = [
        {
            "name": f"{about} is {'loud' if loud else 'quiet'}",
            "interval": "1m",
            "input_series": [
                {"series": name, "values": (bad if loud else well)} for name, well, bad in series
            ],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{about.split()[0]}",alertstate="firing"}}) > bool 0',
                    "eval_time": "60m",
                    "exp_samples": [{"value": 1}] if loud else [],
                }
            ],
        }
        for about, series in LOUD.items()
        for loud in (False, True)
    ]
    (tmp_path / "tests.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": tests}))

    code, output = promtool("test", "rules", tmp_path / "tests.yml")

    assert code == 0, output


def make_key(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools/metrics-key"), str(folder)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_the_scraper_s_key_may_read_and_is_made_once(tmp_path: Path) -> None:
    operator, entry = new_key("operator", [Scope.READ, Scope.OPERATE], bytes(32))
    (tmp_path / "api_keys").write_text(entry)

    assert make_key(tmp_path).returncode == make_key(tmp_path).returncode == 0

    keys = ApiKeys.parse((tmp_path / "api_keys").read_text())
    caller = keys.find((tmp_path / "metrics_key").read_text())
    assert caller and (caller.id, caller.scopes) == ("prometheus", frozenset((Scope.READ,)))
    assert keys.find(operator)
    assert len((tmp_path / "api_keys").read_text().splitlines()) == 2


def test_without_secrets_there_is_no_key_to_add_to(tmp_path: Path) -> None:
    done = make_key(tmp_path)

    assert (done.returncode, list(tmp_path.iterdir())) == (1, [])
    assert "make them with tools/secrets" in done.stderr


def test_the_overlay_names_what_can_be_chosen() -> None:
    overlay = (ROOT / "deploy/metrics.yml").read_text()
    choices = (ROOT / "deploy/.env.example").read_text()

    chosen = re.findall(r"\$\{((?:PROMETHEUS|GRAFANA)_\w+):-([^}]+)\}", overlay)
    assert [f"{name}={value}" for name, value in chosen if f"#{name}={value}\n" not in choices] == []
    assert len(chosen) == 4

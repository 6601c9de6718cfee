"""Takes pictures of the dashboard's pages, over a stack of its own.

Use: python development/pictures/dashboard.py docs/dashboard
Chromium is needed. What is seen are real runs of shop.py, a shop whose suppliers fail now and then.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

import httpx
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[2]
MOUSETRAP = Path(sys.executable).parent / "mousetrap"
SHOP = Path(__file__).with_name("shop.py")
_PORT = 8790
URL = f"http://127.0.0.1:{_PORT}"
_START_S, _SETTLE_S = 60.0, 90.0
#: Workers report what they run every five seconds, and a look at all queues is shared for up to five.
_SEEN_S = 11.0
_SUPPLIERS = ("Weber", "Nordwind", "Ito", "Sudan Trade", "Okavango", "Weber", "Ito")
_ITEMS = ("lamp", "kettle", "chair", "rug")
#: A group of dead letters, and what someone noted on it.
CAUSE = {"queue": "reserve", "reason": "max-retries", "error": "shop.SupplierAway"}
NOTE = "Nordwind moves its service on Tuesday: ticket 81"
#: Of a browser's window, in pixels; a phone's is as wide as most.
_WIDE, _PHONE = (1280, 900), (390, 844)


@contextmanager
def stack(folder: Path) -> Iterator[httpx.Client]:
    """The shop on the embedded queue, until the block ends."""
    environment = {**os.environ, "MOUSETRAP_API_PORT": str(_PORT)}
    with subprocess.Popen(
        [MOUSETRAP, "up", str(SHOP)], cwd=folder, env=environment, stdout=subprocess.DEVNULL
    ) as up:
        try:
            with httpx.Client(base_url=URL) as api:
                _until_served(api)
                yield api
        finally:
            up.send_signal(signal.SIGINT)


def _until_served(api: httpx.Client) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        try:
            served = {queue for worker in api.get("/workers").json() for queue in worker["queues"]}
            if {"price", "reserve", "contents", "start_fetch"} <= served:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise TimeoutError("the stack did not start")


def start(api: httpx.Client, pipeline: str, body: object, **options: str | list[str]) -> str:
    """Starts a run; its id."""
    answer = api.post(f"/pipelines/{pipeline}/runs", json=body, params=options)
    answer.raise_for_status()
    run_id: str = answer.json()["run_id"]
    return run_id


def schedules(api: httpx.Client) -> None:
    """Makes a schedule that fires while the pictures are taken, and one of the night."""
    often: dict[str, object] = {"name": "stock", "pipeline": "catalogue", "input": "summer", "every": 20}
    nightly = {"name": "nightly", "pipeline": "feeds", "cron": "30 2 * * *", "tz": "Europe/Berlin"}
    for each in (often, nightly):
        api.post("/schedules", json=each).raise_for_status()


def incidents(api: httpx.Client) -> dict[str, str]:
    """Starts what the pictures show; ids by name."""
    ids = {"fan": start(api, "catalogue", "spring", tags=["spring"])}
    for number in range(70):
        supplier = _SUPPLIERS[number % len(_SUPPLIERS)]
        if supplier == "Okavango" and number > 20:
            supplier = "Weber"
        order = {"number": 7_000 + number, "item": _ITEMS[number % 4], "supplier": supplier, "amount": 1}
        ids[supplier] = start(api, "orders", order, tags=["shop", f"customer-{number % 9}"])
    ids["feeds"] = start(api, "feeds", {})
    ids["delayed"] = start(api, "orders", {"number": 1, "item": "rug", "supplier": "Ito"}, delay="3600")
    return ids


def settle(api: httpx.Client, ids: dict[str, str]) -> None:
    """Returns once what is to have ended has."""
    deadline = time.monotonic() + _SETTLE_S
    for name in ("fan", "Nordwind", "Sudan Trade", "Ito", "feeds"):
        while api.get(f"/runs/{ids[name]}").json()["finished_ms"] is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} did not end")
            time.sleep(0.2)


def pages(api: httpx.Client, ids: dict[str, str]) -> dict[str, str]:
    """The address of each page, by the name of its picture."""
    letter = api.get("/dead", params={"limit": 1}).json()["letters"][0]
    operation = api.get("/operations").json()["operations"][0]
    worker = next(it["name"] for it in api.get("/workers").json() if "reserve" in it["queues"])
    return {
        "overview": "/",
        "pipelines": "/pipelines",
        "pipeline": "/pipelines/orders",
        "runs": "/runs?state=failed",
        "run": f"/runs/{ids['fan']}",
        "run-failed": f"/runs/{ids['Nordwind']}",
        "run-waiting": f"/runs/{ids['delayed']}",
        "dead": "/dead",
        "dead-group": f"/dead?{urlencode(CAUSE)}",
        "letter": f"/dead/{letter['queue']}/{letter['id']}",
        "operations": "/operations",
        "operation": f"/operations/{operation['id']}",
        "queues": "/queues",
        "queue": "/queues/reserve",
        "schedules": "/schedules",
        "schedule": "/schedules/stock",
        "workers": "/workers",
        "worker": f"/workers/{worker}",
        "start": "/pipelines/orders/start",
        "rerun": f"/runs/{ids['Nordwind']}/rerun",
        "search": "/search?q=reserve",
        "audit": "/audit",
        "about": "/about",
    }


def take(
    browser: Browser, target: Path, path: str, *, dark: bool = False, size: tuple[int, int] = _WIDE
) -> None:
    """One picture; the page has had a second to be alive."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
    )
    page = context.new_page()
    answer = page.goto(f"{URL}/ui{path}")
    if answer is None or not answer.ok:
        print(f"*** {path} answers {answer.status if answer else 'nothing'}", file=sys.stderr)
    page.wait_for_timeout(1_500)
    page.screenshot(path=target)
    context.close()
    if shutil.which("pngquant"):  # a quarter of the bytes, for the same to the eye
        subprocess.run(["pngquant", "--force", "--ext", ".png", "--speed", "1", target], check=True)


def main(target: Path) -> None:
    """All pages in light, two of them in dark and on a phone."""
    target.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder, stack(Path(folder)) as api, sync_playwright() as playwright:
        schedules(api)
        ids = incidents(api)
        settle(api, ids)
        redrive = {"error": "shop.SupplierAway", "rate": 2, "limit": 5}
        api.post("/dead/redrive", json=redrive, headers={"Mousetrap-Reason": "the supplier is back"})
        time.sleep(_SEEN_S)
        api.put("/dead/notes", json={**CAUSE, "text": NOTE}).raise_for_status()
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for name, path in pages(api, ids).items():
            take(browser, target / f"{name}.png", path)
            if name in ("overview", "run"):
                take(browser, target / f"{name}-dark.png", path, dark=True)
                take(browser, target / f"{name}-phone.png", path, size=_PHONE)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

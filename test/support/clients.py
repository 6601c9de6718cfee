"""Makes HTTP clients for servers without TLS, and starts runs with them."""

import ssl
from typing import Any

import httpx

from support.waiting import until

#: Trusts no one. httpx would load the system's authorities for each client: 25 ms, more than most requests take.
NO_ONE = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def http_client(url: str, **options: Any) -> httpx.Client:
    """A client of the server at `url`; it waits 60 seconds unless `timeout` is among httpx's options."""
    return httpx.Client(base_url=url, verify=NO_ONE, **{"timeout": 60, **options})


def answered(api: httpx.Client, method: str, path: str, **more: Any) -> httpx.Response:
    """An API's answer, once broker and store give it one: for what may be asked again."""

    def ask() -> httpx.Response | None:
        answer = api.request(method, path, **more)
        return None if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer

    return until(ask, f"{path} is answered")


def accepted_run(api: httpx.Client, path: str, body: object = None) -> str:
    """The id of a run that an API has accepted.

    While broker or store stand still, as on a busy machine, it answers 503: it is asked again under the id that this names, as
    its documentation advises.
    """
    known: dict[str, str] = {}

    def ask() -> str | None:
        answer = api.post(path, json=body, params=known)
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            known.update({name: value for name, value in answer.json().items() if name == "run_id"})
            return None
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        return str(answer.json()["run_id"])

    return until(ask, "a run is accepted")


def is_ready(api: httpx.Client) -> bool:
    """Whether the API can take runs."""
    return api.get("/health/ready").status_code == 200

"""A client over HTTP uses its key, and keeps it to itself."""

import os
from pathlib import Path

import pytest

from mousetrap.api_keys import new_key
from mousetrap.blobs import Blob
from mousetrap.client import ApiRefused, AsyncClient
from mousetrap.pipeline import ContractBroken
from mousetrap.settings import Settings, SettingsWrong
from support.api_server import serving

KEY, ENTRY = new_key("starter", ["run"], bytes(32))


async def test_the_key_is_sent_and_what_it_does_not_allow_is_refused_with_the_scope(store_url: str) -> None:
    settings = Settings(broker_url=store_url, store_url=store_url, api_keys=ENTRY)
    with serving(settings) as url:
        async with AsyncClient(via="http", settings=Settings(api_url=url, api_key=KEY)) as client:
            run = await client.submit("earthquakes", {})
            with pytest.raises(ApiRefused, match="lacks the scope read"):
                await run.status()
        async with AsyncClient(via="http", settings=Settings(api_url=url)) as client:
            with pytest.raises(ApiRefused, match="A key is needed"):
                await client.submit("earthquakes", {})
            (report,) = await client.submit_many("earthquakes", [{}])
            assert isinstance(report.error, ApiRefused)


async def test_a_key_is_not_sent_in_the_clear_to_a_foreign_host() -> None:
    client = AsyncClient(via="http", settings=Settings(api_url="http://example.org", api_key=KEY))

    with pytest.raises(SettingsWrong, match="write https://") as error:
        await client.submit("earthquakes", {})

    assert KEY not in str(error.value)


async def test_a_file_is_refused_with_the_client_that_takes_it(store_url: str, tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(b"x" * 100)
    film = Blob.of(tmp_path / "film")
    with serving(Settings(broker_url=store_url, store_url=store_url)) as url:
        async with AsyncClient(via="http", settings=Settings(api_url=url)) as client:
            with pytest.raises(ContractBroken, match=r"via=.broker"):
                await client.submit("earthquakes", {"film": film})
            refused, accepted = await client.submit_many("earthquakes", [{"film": film}, {}])
            assert accepted.run
            with pytest.raises(ContractBroken, match=r"via=.broker"):
                await accepted.run.rerun(input=film)

    assert isinstance(refused.error, ContractBroken)
    assert "via=" in str(refused.error)


async def test_an_api_that_ends_its_answer_early_leaves_no_run_without_a_report(
    store_url: str,
) -> None:
    settings = Settings(broker_url=store_url, store_url=store_url, api_max_body=100)
    with serving(settings) as url:
        async with AsyncClient(via="http", settings=Settings(api_url=url)) as client:
            reports = await client.submit_many("earthquakes", [{"url": "x" * 200}, {"url": "https://a.org"}])

    assert isinstance(reports[0].error, ApiRefused)
    assert "line" in str(reports[0].error)
    assert reports[1].run is not None
    assert os.environ.get("MOUSETRAP_API_KEY") is None

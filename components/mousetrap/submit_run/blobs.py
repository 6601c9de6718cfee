"""Makes the blobs in an input the run's own."""

from mousetrap.blobs import BlobBroken, copy_blobs, has_blobs
from mousetrap.payloads import Payloads, chunks_of
from mousetrap.pipeline import ContractBroken
from mousetrap.submit_run.rerun import RerunImpossible


async def with_own_blobs(payload: bytes, payloads: Payloads, run_id: str, rerun_of: str) -> bytes:
    """The input with its files uploaded, and the blobs of the run that is repeated copied.

    Raises ContractBroken for another run's blob and for a file that changed, RerunImpossible for a blob that is gone, OSError,
    and StoreUnreachable.
    """
    if not has_blobs(payload):
        return payload
    chunks = chunks_of(payloads)
    try:
        return await copy_blobs(payload, chunks(run_id), chunks(rerun_of) if rerun_of else None)
    except BlobBroken as error:
        raise (RerunImpossible if rerun_of else ContractBroken)(str(error)) from error
    except ValueError as error:
        raise ContractBroken(str(error)) from error

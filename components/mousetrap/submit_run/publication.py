"""Makes the runs of what is published to a topic."""

from dataclasses import dataclass, replace

from mousetrap.pipeline import ContractBroken, Pipeline, check_topic, read
from mousetrap.submit_run.options import NOW, SubmitOptions
from mousetrap.submit_run.submitter import Submission, run_id_of_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A message that is published to a topic. Raises TopicInvalid, and OptionInvalid for a tag too many."""

    topic: str
    #: JSON; empty means the defaults of each pipeline.
    body: bytes
    #: Who publishes it, and its idempotency key: the ids of its runs follow from both, from the topic and from the pipeline, so a
    #: repeat gives the first runs, and starts those that are missing.
    owner: str
    key: str
    #: Whether the key was made for this call: then no run can have these ids.
    is_new: bool
    options: SubmitOptions = NOW

    def __post_init__(self) -> None:
        check_topic(self.topic)
        self._tagged()

    def submission(self, pipeline: Pipeline, default: bytes) -> Submission:
        """The run of one taker; `default` is what an empty body means to it. Raises ContractBroken, with the taker's name."""
        body = self.body or default
        try:
            read(body or b"{}", pipeline.first.input)
        except ContractBroken as error:
            raise ContractBroken(
                f"nothing is published, for pipeline {pipeline.name!r} takes this topic, and not this body: {error.what}",
                error.where,
            ) from None
        run_id = run_id_of_key(self.owner, f"{pipeline.name}|topic|{self.topic}", self.key)
        return Submission(pipeline, body, run_id, self._tagged(), self.is_new)

    def _tagged(self) -> SubmitOptions:
        """With the topic as a tag, by which its runs are found."""
        return replace(self.options, tags=(f"topic:{self.topic}", *self.options.tags))

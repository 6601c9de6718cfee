"""Makes loads of jobs by chance: steady arrivals, and bursts."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from autoscaling.world import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Jobs that come by chance, so many a second, and bursts of them within five seconds."""

    per_second: float
    until_s: float
    #: When each begins, and how many jobs it has.
    bursts: Sequence[tuple[float, int]] = ()
    #: The longest job; half of them take less than one and a half seconds, one in a hundred more than nine.
    longest_s: float = 20.0
    #: So many times as long are all of them, up to the longest.
    times_as_long: float = 1.0

    def jobs(self, seed: int, overhead_s: float) -> list[Job]:
        """The jobs, in the order of their arrival; each holds its slot for the handler's time and the overhead."""
        chance, at_s, times = Random(seed), 0.0, list[float]()
        while (at_s := at_s + chance.expovariate(self.per_second)) < self.until_s:
            times.append(at_s)
        for begin_s, count in self.bursts:
            times += [begin_s + 5 * chance.random() for _ in range(count)]
        takes = (min(self.longest_s, self.times_as_long * chance.lognormvariate(0.4, 0.8)) for _ in times)
        return [Job(at, each + overhead_s) for at, each in zip(sorted(times), takes, strict=True)]

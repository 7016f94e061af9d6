"""Wall and processor seconds of what is measured."""

import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass
class Times:
    """Repeated measurements of one thing."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    @property
    def middle(self) -> tuple[float, float]:
        """The medians of wall and processor seconds."""
        return statistics.median(self.wall), statistics.median(self.processor)


def alternating(rounds: int, work: Mapping[str, Callable[[], object]]) -> dict[str, Times]:
    """Run processes in turns, so that a noisy machine is noisy for all; one round before warms caches."""
    times = {name: Times() for name in work}
    for turn in range(rounds + 1):
        for name, run in work.items():
            begun, used = time.monotonic(), children()
            run()
            if turn:
                times[name].wall.append(time.monotonic() - begun)
                times[name].processor.append(children() - used)
    return times


def children() -> float:
    """Processor seconds of the processes that were started here and have ended, with all that they started."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many of a hundred do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]

"""Work done ahead in a thread, while what came before is being used: decoding beside the speech detector."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
_END: Any = object()


def ahead(items: Iterable[Item], count: int = 2) -> Generator[Item, None, None]:
    """Yield the items, making the next ones (`count` at most) in a thread meanwhile.

    What making an item raises is raised here, in its turn. Libraries that compute outside Python's lock (FFmpeg, soxr,
    numpy, ONNX Runtime) gain a second core by this.
    """
    source = iter(items)
    with ThreadPoolExecutor(1, "ahead") as thread:
        made: deque[Future[Item]] = deque(thread.submit(next, source, _END) for _ in range(count))
        try:
            while (item := made.popleft().result()) is not _END:
                made.append(thread.submit(next, source, _END))
                yield item
        finally:
            for future in made:
                future.cancel()

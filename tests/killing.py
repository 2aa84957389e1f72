"""A child process that dies at a chosen moment, as by kill -9."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="a child that can be killed anywhere needs fork")


def killed_at(moment: int, work: Callable[[], object]) -> bool:
    """Do the work in a child that dies before its rename or removal number `moment`; tell whether it did.

    Raises AssertionError where the work failed by itself.
    """
    child = os.fork()
    if child == 0:
        left = iter(range(moment))

        def count(original: Callable[..., Any]) -> Callable[..., Any]:
            def counted(*args: Any, **known: Any) -> Any:
                if next(left, None) is None:
                    os._exit(9)
                return original(*args, **known)

            return counted

        Path.replace = count(Path.replace)  # type: ignore[method-assign]
        Path.unlink = count(Path.unlink)  # type: ignore[method-assign]
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9), "the work failed"
    return status == 9

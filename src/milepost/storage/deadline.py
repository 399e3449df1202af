"""Work that waits for somebody else, given up when its time is over."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


class Deadline:
    """The time left for one piece of work, which looks at it from time to time.

    A read timeout is none: a server that sends one byte a second never reaches it, and no code of ours runs while a
    library waits for the next header. So the work has a thread of its own, and who waits for it stops waiting.
    """

    def __init__(self) -> None:
        self._over = threading.Event()

    @property
    def is_over(self) -> bool:
        """Whether nobody waits any more."""
        return self._over.is_set()

    def run(self, work: Callable[[], Result], seconds: float) -> Result:
        """Do ``work``, and give it up after ``seconds``.

        Raises:
            TimeoutError: when it took longer. BaseException: what ``work`` raises.
        """
        answers: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

        def answer() -> None:
            try:
                answers.put((True, work()))
            except BaseException as error:
                answers.put((False, error))

        threading.Thread(target=answer, daemon=True).start()
        try:
            good, result = answers.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError(f"no end within {seconds:.0f} seconds") from None
        finally:
            self._over.set()
        if not good:
            raise result
        return result

"""How calls to a storage that does not answer are made again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_exponential_jitter

from attn_nas.storage.optuna_db import reason_of

_T = TypeVar("_T")


@dataclass(frozen=True)
class RetryPolicy:
    """Make a failed call again for ``seconds``, with pauses that double from half a second to half a minute.

    ``on_wait`` is called with the reason before every pause; ``pause`` waits for a number of seconds.
    """

    seconds: float = 0.0
    on_wait: Callable[[str], None] = lambda reason: None
    pause: Callable[[float], None] = time.sleep

    def call(self, action: Callable[[], _T], is_passing: Callable[[BaseException], bool]) -> _T:
        """The value that ``action`` returns; it is called again after errors for which ``is_passing`` is true.

        Raises:
            BaseException: any other error of ``action``, or its last one when the time is over.

        """
        retrying = Retrying(
            retry=retry_if_exception(is_passing),
            wait=wait_exponential_jitter(multiplier=0.5, max=30.0, jitter=0.5),
            stop=stop_after_delay(self.seconds),
            sleep=self.pause,
            before_sleep=self._announce,
            reraise=True,
        )
        return retrying(action)

    def _announce(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self.on_wait(reason_of(error) if error else "")


NO_RETRY = RetryPolicy()
"""Raise the first error."""

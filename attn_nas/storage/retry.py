"""How long a search waits for a storage that does not answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_exponential_jitter

from attn_nas.storage.optuna_db import reason_of

_T = TypeVar("_T")


@dataclass(frozen=True)
class Patience:
    """Try again for ``seconds``, with pauses that double from half a second to half a minute.

    ``on_wait`` is told why, before every pause; ``pause`` waits so many seconds.
    """

    seconds: float = 0.0
    on_wait: Callable[[str], None] = lambda reason: None
    pause: Callable[[float], None] = time.sleep

    def keep_trying(self, action: Callable[[], _T], is_passing: Callable[[BaseException], bool]) -> _T:
        """What ``action`` returns; an error that ``is_passing`` is raised only when the patience is at its end."""
        retrying = Retrying(
            retry=retry_if_exception(is_passing),
            wait=wait_exponential_jitter(multiplier=0.5, max=30.0, jitter=0.5),
            stop=stop_after_delay(self.seconds),
            sleep=self.pause,
            before_sleep=self._tell,
            reraise=True,
        )
        return retrying(action)

    def _tell(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self.on_wait(reason_of(error) if error else "")


NONE = Patience()
"""What cannot be had now is an error."""

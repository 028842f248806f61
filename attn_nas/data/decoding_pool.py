"""Memory for decoded images, and processes that decode into it.

Decoding small files takes most of its time in Python, which runs in one thread of a process at a time. Many files are therefore
decoded by a process for each core, into memory that all of them share.
"""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from attn_nas.data import decoding_process
from attn_nas.errors import DataError
from attn_nas.machine import usable_cores

_MANY = 3000
"""Fewer files are decoded by threads, before processes would have started."""
_PROCESSES = 16
_AT_A_TIME = 128


class Fault(NamedTuple):
    """Why a file cannot be read; ``is_unsuitable`` if its values have no known range."""

    reason: str
    is_unsuitable: bool


@dataclass(frozen=True)
class Pool:
    """Tensors ``(N, 3, H, W)`` of bytes for the images of each split.

    ``descriptor`` is an open file with the memory of all of them, one after the other, where processes share it.
    """

    images: list[Tensor]
    descriptor: int | None = None


@contextmanager
def allocated(counts: Sequence[int], size: tuple[int, int]) -> Iterator[Pool]:
    """A pool for ``counts`` images of ``size`` ``(height, width)`` in memory, which processes share in this block."""
    shape = (3, *size)
    if sum(counts) < _MANY or usable_cores() == 1 or not hasattr(os, "memfd_create"):
        yield Pool([torch.empty((count, *shape), dtype=torch.uint8) for count in counts])
        return
    descriptor = os.memfd_create("attn-nas-images")
    try:
        os.ftruncate(descriptor, sum(counts) * 3 * size[0] * size[1])
        whole = np.frombuffer(mmap.mmap(descriptor, 0, mmap.MAP_SHARED | mmap.MAP_POPULATE), np.uint8).reshape(-1, *shape)
        yield Pool([torch.from_numpy(part) for part in np.split(whole, np.cumsum(counts)[:-1])], descriptor)
    finally:
        os.close(descriptor)


def decoded_by_processes(
    files: Sequence[tuple[int, str]], descriptor: int, size: tuple[int, int], rule: int
) -> Iterator[tuple[range, Mapping[int, Fault]]]:
    """Decode ``files``, each with the number of its image in the shared memory; yield ranges of them that are done.

    With each comes the fault of the files that cannot be read, by the number of the image. An interrupt ends the processes.

    Raises:
        DataError: a process has died; the message names the files that it worked on.

    """
    waiting: SimpleQueue[range] = SimpleQueue()
    results: SimpleQueue[tuple[range, Mapping[int, Fault]] | range] = SimpleQueue()
    chunks = [range(at, min(at + _AT_A_TIME, len(files))) for at in range(0, len(files), _AT_A_TIME)]
    for chunk in chunks:
        waiting.put(chunk)
    pixels = str(Path(decoding_process.__file__).with_name("pixels.py"))
    job = json.dumps({"pixels": pixels, "descriptor": descriptor, "size": size, "rule": rule})
    command = [sys.executable, "-W", "ignore", str(decoding_process.__file__)]

    def serve(process: subprocess.Popen[str]) -> None:
        assert process.stdin
        assert process.stdout
        begin = job + "\n"
        with suppress(Empty):
            while True:
                chunk = waiting.get_nowait()
                try:
                    process.stdin.write(begin + json.dumps([files[number] for number in chunk]) + "\n")
                    process.stdin.flush()
                    answer = process.stdout.readline()
                except (OSError, ValueError):
                    answer = ""
                begin = ""
                if not answer.endswith("\n"):
                    results.put(chunk)
                    return
                results.put((chunk, {index: Fault(reason, flag) for index, reason, flag in json.loads(answer)}))

    processes = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            pass_fds=(descriptor,),
        )
        for _ in range(min(usable_cores(), _PROCESSES, len(chunks)))
    ]
    threads = [threading.Thread(target=serve, args=(process,), daemon=True) for process in processes]
    try:
        for thread in threads:
            thread.start()
        for _ in chunks:
            result = results.get()
            if isinstance(result, range):
                first, last = (files[number][1] for number in (result[0], result[-1]))
                where = f"one of {len(result)} files, from {first} to {last}"
                raise DataError(f"the process that decodes images died at {where}: remove the damaged one")
            yield result
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]

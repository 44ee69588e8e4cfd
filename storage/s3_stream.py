"""Reading an object as a plain stream that goes on where a broken answer ended."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

from evidence.errors import StoreUnavailableError

if TYPE_CHECKING:
    from botocore.response import StreamingBody

_BROKEN: Final = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
_RESUMES: Final = 8
_BUFFER: Final = 1 << 20


class _Resuming(io.RawIOBase):
    """The bytes of one answer after another, each fetched from where the one before broke off."""

    def __init__(self, body: StreamingBody, again: Callable[[int], StreamingBody | None]) -> None:
        self._body: StreamingBody | None = body
        self._again = again
        self._position = 0
        self._resumes = _RESUMES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # typeshed's Buffer has no length
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _read(self, size: int) -> bytes:
        while self._body is not None:
            try:
                return self._body.read(size)
            except _BROKEN as error:
                # boto3 retries requests, never a body: a truncated one is asked for again from here.
                if self._resumes == 0:
                    raise StoreUnavailableError(
                        f"the store's answer breaks off again and again: {error}", next="run `akashi doctor`"
                    ) from error
                self._resumes -= 1
                self._body.close()
                self._body = self._again(self._position)
        return b""

    def close(self) -> None:
        if self._body is not None:
            self._body.close()
        super().close()


def resuming(body: StreamingBody, again: Callable[[int], StreamingBody | None]) -> BinaryIO:
    """A buffered stream of `body`; `again(n)` fetches from its n-th byte, None if nothing is left."""
    return cast("BinaryIO", io.BufferedReader(_Resuming(body, again), _BUFFER))

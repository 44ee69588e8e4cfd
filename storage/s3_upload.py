"""One create-only upload: a single PUT of the open file, or parts when S3's 5 GB limit is near.

A single PUT is atomic, leaves no orphans, and its `ChecksumSHA256` is the digest of the whole file,
checked by the server. Of parts the server only knows the digest of their digests, so that a
multipart object is read back whole. Sources: S3 API, PutObject and CompleteMultipartUpload.
"""

from __future__ import annotations

import hashlib
import io
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from evidence.digests import Digests
from storage.s3_errors import S3_ERRORS

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

_MOST_PARTS: Final = 9_000
"""S3 allows 10,000 parts."""


@dataclass(frozen=True, slots=True)
class Upload:
    """What is to be stored under which key, and how it is locked."""

    bucket: str
    key: str
    source: Path | bytes
    digests: Digests
    content_type: str
    lock: dict[str, Any]

    def put(self, client: S3Client) -> str:
        """Store it in one request; the version id (may be empty). Raises boto3's errors, OSError."""
        with self._stream() as body:
            answer = client.put_object(
                Bucket=self.bucket,
                Key=self.key,
                Body=body,
                ContentLength=self.digests.size,
                ContentType=self.content_type,
                ChecksumSHA256=b64encode(bytes.fromhex(self.digests.sha256)).decode(),
                IfNoneMatch="*",
                Metadata=self._metadata(),
                **self.lock,
            )
        return answer.get("VersionId", "")

    def put_parts(self, client: S3Client, part_size: int) -> str:
        """Store it in parts of at least `part_size` bytes, one in memory at a time; the version id."""
        target: dict[str, Any] = {"Bucket": self.bucket, "Key": self.key}
        upload = client.create_multipart_upload(
            **target,
            ContentType=self.content_type,
            ChecksumAlgorithm="SHA256",
            Metadata=self._metadata(),
            **self.lock,
        )["UploadId"]
        parts: list[CompletedPartTypeDef] = []
        try:
            for number, data in enumerate(self._parts(max(part_size, self.digests.size // _MOST_PARTS)), 1):
                checksum = b64encode(hashlib.sha256(data).digest()).decode()
                stored = client.upload_part(
                    **target, UploadId=upload, PartNumber=number, Body=data, ChecksumSHA256=checksum
                )
                parts.append({"PartNumber": number, "ETag": stored["ETag"], "ChecksumSHA256": checksum})
            answer = client.complete_multipart_upload(
                **target, UploadId=upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
            )
        except BaseException:
            with suppress(*S3_ERRORS):  # what could not be stored is what the caller hears of
                client.abort_multipart_upload(**target, UploadId=upload)
            raise
        return answer.get("VersionId", "")

    def _stream(self) -> BinaryIO:
        return io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source.open("rb")

    def _parts(self, size: int) -> Iterator[bytes]:
        with self._stream() as stream:
            while data := stream.read(size):
                yield data

    def _metadata(self) -> dict[str, str]:
        return {"sha256": self.digests.sha256, "sha512": self.digests.sha512}

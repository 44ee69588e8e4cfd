"""One create-only upload: a single PUT of the open file, or parts when S3's 5 GB limit is near.

A single PUT is atomic, leaves no orphans, and its `ChecksumSHA256` is the digest of the whole file,
checked by the server. Of parts the server only knows the digest of their digests, so that a
multipart object is read back whole. Sources: S3 API, PutObject and CompleteMultipartUpload.
"""

from __future__ import annotations

import hashlib
import io
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evidence.digests import Digests
from storage.s3_client import S3_ERRORS

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SINGLE_PUT: Final = 4 << 30
"""The most bytes that go in one request."""
PART_SIZE: Final = 64 << 20
_MOST_PARTS: Final = 9_000
"""S3 allows 10,000."""


def upload(
    client: S3Client, target: Mapping[str, Any], source: Path | bytes, digests: Digests, **told: Any
) -> str:
    """Store `source` at `target` (Bucket, Key) unless the key is taken; the version id (may be empty).

    Raises boto3's errors, OSError.
    """
    told["Metadata"] = {"sha256": digests.sha256, "sha512": digests.sha512}
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream:
        if digests.size > SINGLE_PUT:
            answer = _put_parts(client, target, stream, max(PART_SIZE, digests.size // _MOST_PARTS), told)
        else:
            checksum = b64encode(bytes.fromhex(digests.sha256)).decode()
            answer = client.put_object(
                **target,
                Body=stream,
                ContentLength=digests.size,
                ChecksumSHA256=checksum,
                IfNoneMatch="*",
                **told,
            )
    return str(answer.get("VersionId", ""))


def _put_parts(
    client: Any, target: Mapping[str, Any], stream: Any, size: int, told: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Store it in parts of `size` bytes, one in memory at a time; no orphan stays where that can be helped."""
    made = client.create_multipart_upload(**target, ChecksumAlgorithm="SHA256", **told)
    target = {**target, "UploadId": made["UploadId"]}
    parts: list[dict[str, Any]] = []
    try:
        while data := stream.read(size):
            checksum = b64encode(hashlib.sha256(data).digest()).decode()
            part = {"PartNumber": len(parts) + 1, "ChecksumSHA256": checksum}
            parts.append({**part, "ETag": client.upload_part(**target, **part, Body=data)["ETag"]})
        done: Mapping[str, Any] = client.complete_multipart_upload(
            **target, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
        )
    except BaseException:
        with suppress(*S3_ERRORS):  # what could not be stored is what the caller hears of
            client.abort_multipart_upload(**target)
        raise
    return done

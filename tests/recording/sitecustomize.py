"""Writes down what this process asks of AWS, or lets others ask by a presigned URL; the code does not know of it.

Python imports a module of this name at every start when its folder is on the path. Each call becomes one JSON line in a
file of the process's own in the folder `RECORD_AWS_CALLS`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

#: Parameters that decide which rights a call needs.
TELLING = ("Bucket", "QueueUrl", "IndexName")


def _key(parameters: Any) -> str:
    """The key of an object, or of the first of several."""
    several = parameters.get("Delete", {}).get("Objects", ())
    return str(next((each["Key"] for each in several), parameters.get("Key", "")))


def _record(folder: Path) -> None:
    from aiobotocore.client import AioBaseClient  # noqa: PLC0415 - half a second that only a recorded process pays

    client: Any = AioBaseClient
    file = (folder / f"{os.getpid()}.jsonl").open("a", buffering=1)
    emit = client._emit_api_params

    async def emit_and_record(self: Any, api_params: Any, operation_model: Any, context: Any) -> Any:
        if self.meta.service_model.service_name == "sts":  # it gives the credentials, and asks for no right
            return await emit(self, api_params, operation_model, context)
        credentials = await self._request_signer._credentials.get_frozen_credentials()
        call = {
            "accessKeyId": credentials.access_key,
            "operation": f"{self.meta.service_model.service_name}:{operation_model.name}",
            "signedOnly": bool(context.get("is_presign_request")),
            "parameters": {name: api_params[name] for name in TELLING if name in api_params},
            "folder": _key(api_params).split("/")[0],
            "copied": api_params.get("CopySource", {}).get("Key", "").split("/")[0],
            "transaction": [kind for part in api_params.get("TransactItems", ()) for kind in part],
        }
        file.write(json.dumps(call) + "\n")
        return await emit(self, api_params, operation_model, context)

    client._emit_api_params = emit_and_record


if "RECORD_AWS_CALLS" in os.environ:
    _record(Path(os.environ["RECORD_AWS_CALLS"]))

"""A table whose expressions moto carries out in this process: no socket, no server, no time but the test's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError
from moto.core.exceptions import JsonRESTError
from moto.dynamodb.models import DynamoDBBackend

from processor.stores.schema import table_definition

NAME = "table"


def _backend() -> DynamoDBBackend:
    definition = table_definition(NAME)
    backend = DynamoDBBackend("eu-central-1", "0" * 12)
    backend.create_table(
        NAME,
        schema=definition["KeySchema"],
        attr=definition["AttributeDefinitions"],
        billing_mode=definition["BillingMode"],
        throughput=None,
        global_indexes=None,
        indexes=None,
        streams=None,
        sse_specification=None,
        tags=[],
        deletion_protection_enabled=None,
        warm_throughput=None,
    )
    return backend


@dataclass
class InProcessDynamo:
    """The calls of a DynamoDB client that single records need, and `items` to look at what lies there."""

    backend: DynamoDBBackend = field(default_factory=_backend)

    def items(self) -> list[dict[str, Any]]:
        return [item.to_json()["Attributes"] for item in self.backend.get_table(NAME).all_items()]

    async def get_item(self, *, TableName: str, Key: Any, ConsistentRead: bool) -> dict[str, Any]:  # noqa: N803
        assert ConsistentRead
        found = self.backend.get_item(TableName, Key)
        return {} if found is None else {"Item": found.to_json()["Attributes"]}

    async def update_item(self, **request: Any) -> dict[str, Any]:
        with _answers("UpdateItem"):
            item = self.backend.update_item(
                request["TableName"],
                request["Key"],
                update_expression=request["UpdateExpression"],
                expression_attribute_names=request["ExpressionAttributeNames"],
                expression_attribute_values=request.get("ExpressionAttributeValues", {}),
                condition_expression=request["ConditionExpression"],
                return_values_on_condition_check_failure=request["ReturnValuesOnConditionCheckFailure"],
            )
        return {"Attributes": item.to_json()["Attributes"]}

    async def transact_write_items(self, *, TransactItems: Any, ClientRequestToken: str) -> None:  # noqa: N803
        with _answers("TransactWriteItems"):
            self.backend.transact_write_items(TransactItems)

    async def batch_write_item(self, *, RequestItems: Any) -> dict[str, Any]:  # noqa: N803
        for each in RequestItems[NAME]:
            self.backend.delete_item(NAME, each["DeleteRequest"]["Key"])
        return {}


@contextmanager
def _answers(operation: str) -> Iterator[None]:
    """An error as the SDK raises it."""
    try:
        yield
    except JsonRESTError as error:
        told = json.loads(error.description)
        code = told.pop("__type").partition("#")[2]
        response: Any = {"Error": {"Code": code, "Message": ""}, **told}
        raise ClientError(response, operation) from None

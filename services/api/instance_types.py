"""The instance types that the operator offers."""

from __future__ import annotations

from aiohttp import web

from schemas.views import InstanceTypeList, InstanceTypeView
from services.api.operations import Answer, Call, Operation
from services.api.parts import Parts
from services.api.requests import json_answer


def operations(parts: Parts) -> list[Operation]:
    views = tuple(
        InstanceTypeView(
            name=name,
            cpu_count=one.cpu_count,
            memory_bytes=one.memory_bytes,
            units_per_hour=one.units_per_hour,
        )
        for name, one in parts.settings.instance_types.items()
    )

    async def listed(_: Call[None, None]) -> web.Response:
        return json_answer(InstanceTypeList(instance_types=views))

    return [
        Operation(
            "GET",
            "/v1/instance-types",
            "The instance types that the operator offers, and what they cost",
            listed,
            id="listInstanceTypes",
            tag="instance types",
            answers=(Answer(200, "All of them", InstanceTypeList),),
            has_project=False,
        )
    ]

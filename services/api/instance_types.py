"""The instance types that the operator offers."""

from __future__ import annotations

from aiohttp import web

from schemas.instance_types import INSTANCE_TYPES
from schemas.views import InstanceTypeList, InstanceTypeView
from services.api.operations import Answer, Call, Operation
from services.api.parts import Parts
from services.api.requests import json_answer


def operations(_: Parts) -> list[Operation]:
    return [
        Operation(
            "GET",
            "/v1/instance-types",
            "The instance types that the operator offers, and what they cost",
            _list,
            id="listInstanceTypes",
            tag="instance types",
            answers=(Answer(200, "All of them", InstanceTypeList),),
            has_project=False,
        )
    ]


async def _list(_: Call[None, None]) -> web.Response:
    views = tuple(
        InstanceTypeView(
            name=name,
            cpu_count=one.cpu_count,
            memory_bytes=one.memory_bytes,
            units_per_hour=one.units_per_hour,
        )
        for name, one in INSTANCE_TYPES.items()
    )
    return json_answer(InstanceTypeList(instance_types=views))

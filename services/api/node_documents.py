"""What a node tells of itself: its OpenAPI document, and a page to try it with."""

from __future__ import annotations

from aiohttp import web
from pydantic import Field

from schemas.checkpoints import Manifest, parse_manifest
from schemas.errors import CheckpointFault
from schemas.ids import ProjectName
from services.api.documents import ETAG, IF_NONE_MATCH, NOT_MODIFIED, document_answer, encoded
from services.api.node_openapi import node_document
from services.api.operations import HTML_TYPE, Answer, Call, Operation, Query
from services.api.pages import headers, page
from services.api.parts import Parts
from services.api.problems import ApiProblem
from services.api.records import NodeRecords
from services.chassis.telemetry import logger

TAG = "documents"

log = logger("api.documents")


class ProjectQuery(Query):
    """A browser's address bar sends no headers."""

    project: ProjectName | None = Field(
        default=None, description="The project; wins over the header."
    )


def operations(parts: Parts) -> list[Operation]:
    return NodeDocuments(parts).operations()


class NodeDocuments:
    """The documents of nodes."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def operations(self) -> list[Operation]:
        return [
            Operation(
                "GET",
                "/v1/nodes/{node}/openapi.json",
                "What the node takes and answers, as an OpenAPI document",
                self._openapi,
                id="getNodeOpenApi",
                tag=TAG,
                answers=(Answer(200, "The document", headers=(ETAG,)), NOT_MODIFIED),
                query=ProjectQuery,
                headers=(IF_NONE_MATCH,),
                problems=("node-unknown", "projection-unavailable"),
            ),
            Operation(
                "GET",
                "/v1/nodes/{node}/docs",
                "A page to look at the node and to try a call",
                self._docs,
                id="getNodeDocs",
                tag=TAG,
                answers=(
                    Answer(200, "The page", media_type=HTML_TYPE, headers=(ETAG,)),
                    NOT_MODIFIED,
                ),
                query=ProjectQuery,
                headers=(IF_NONE_MATCH,),
            ),
        ]

    async def _openapi(self, call: Call[ProjectQuery, None]) -> web.Response:
        found = await self._records(call)
        manifest = await self._manifest(found.node.spec.checkpoint)
        return document_answer(call.request, encoded(node_document(found.node, manifest)))

    async def _docs(self, call: Call[ProjectQuery, None]) -> web.Response:
        """The same bytes for every node: the page itself asks for what it shows."""
        return document_answer(
            call.request, page("node"), media_type=HTML_TYPE, headers=headers("node")
        )

    async def _records(self, call: Call[ProjectQuery, None]) -> NodeRecords:
        place = f"{call.query.project or call.project}/{call.node}"
        found = await self._parts.projection.node(place)
        if found is None:
            raise ApiProblem(
                "node-unknown",
                f"there is no node {place}",
                remedy="see GET /v1/nodes for those there are",
            )
        return found

    async def _manifest(self, digest: str) -> Manifest | None:
        """None where it cannot be read: the document says so, and tells the rest."""
        try:
            raw = await self._parts.store.manifest(digest)
            return None if raw is None else parse_manifest(raw, digest)
        except (ApiProblem, CheckpointFault) as error:
            log.warning("a manifest cannot be read", checkpoint=digest, error=str(error))
            return None

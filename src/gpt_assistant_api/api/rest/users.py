"""Users: export and erase."""

from fastapi import Response
from fastapi.responses import StreamingResponse

from gpt_assistant_api.api.rest.call import Call
from gpt_assistant_api.api.rest.context import UserId, responses, router
from gpt_assistant_api.api.rest.threads import zip_response
from gpt_assistant_api.services import users

routes = router("Users")


@routes.get(
    "/users/{user_id}/export",
    operation_id="export_user",
    summary="Export everything of a user",
    response_class=StreamingResponse,
    responses=responses(404, ok={200: {"content": {"application/zip": {}}}}),
)
async def export_user(call: Call, user_id: UserId) -> StreamingResponse:
    """Send all threads, messages, runs and files of the user as one ZIP."""
    pieces = await users.export_user(call.runtime.database, call.runtime.blobs, call.actor, user_id)
    return zip_response(pieces, "export.zip")


@routes.delete(
    "/users/{user_id}",
    operation_id="delete_user",
    summary="Erase a user",
    status_code=204,
    responses=responses(404),
)
async def delete_user(call: Call, user_id: UserId) -> Response:
    """Erase the user with all threads, messages, runs and files."""
    runtime = call.runtime
    await users.delete_user(runtime.database, runtime.blobs, runtime.engine, call.actor, user_id)
    return Response(status_code=204)

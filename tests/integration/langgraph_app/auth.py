"""Two users by token, and nothing else: whoever has a token may use every thread and assistant."""

from __future__ import annotations

from langgraph_sdk import Auth

auth = Auth()


@auth.authenticate
async def authenticate(headers: dict[bytes, bytes]) -> Auth.types.MinimalUserDict:
    """The user of a token."""
    token = headers.get(b"authorization", b"").decode().removeprefix("Bearer ")
    if token not in ("token-of-ada", "token-of-bob"):
        raise Auth.exceptions.HTTPException(status_code=401, detail="no such token")
    return {"identity": token.removeprefix("token-of-")}

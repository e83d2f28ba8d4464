"""Turns the plain-text response of FastAPI's body limit into a problem."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import problem_responses

STATUS = 413
MEDIA_TYPE = problem_responses.MEDIA_TYPE.encode()


class BodyLimitProblems:
    """Surrounds FastAPI, whose own layer refuses large bodies before any handler of errors."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replaced = False

        async def send_problem(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] == STATUS:
                replaced = (b"content-type", MEDIA_TYPE) not in message["headers"]
                if replaced:
                    problem = problem_responses.too_large(scope)
                    await problem_responses.answer(problem)(scope, receive, send)
            if not replaced:
                await send(message)

        await self._app(scope, receive, send_problem)

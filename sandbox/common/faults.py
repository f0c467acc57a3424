"""Faults on order: the ASGI layer that lets them strike requests, and the same rules for what strikes inside a system."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable
from typing import Any
from urllib.parse import unquote_plus

from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.common.body import replayed, whole_body
from sandbox.common.fault_kinds import COMMON, Forms, Struck
from sandbox.common.fault_rules import Asked, Kind, Rule, Rules
from sandbox.common.journal import Journal

FAULT = "fault"


class Faults:
    """The rules of one sandbox and its strikes, each of which is an entry of the journal.

    The common kinds strike between the system and its caller, at most one of them each request: the first rule that
    means it and is due. `kinds` are those of the system, which asks for them itself (`strike`) where they take place;
    they can strike a request that one of the common kinds has struck, too.

    What takes effect later (`slow_commit`, the second run of `duplicate`) lives in this process only: when it stops
    before, the effect is lost, as with a server that is switched off.
    """

    def __init__(
        self,
        journal: Journal,
        forms: Forms,
        kinds: Iterable[Kind],
        *,
        in_transaction: Callable[[], bool] = lambda: False,
    ) -> None:
        self.rules = Rules([*(kind for kind, _ in COMMON), *kinds])
        self._acts = {kind.name: act for kind, act in COMMON}
        self._journal = journal
        self._forms = forms
        self._in_transaction = in_transaction
        self._untold: list[dict[str, Any]] = []
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def under_way(self) -> int:
        """How many effects are still to come although their callers have been told something."""
        return len(self._under_way)

    def strike(self, kinds: Collection[str], asked: Asked, suits: Callable[[Rule], bool] | None = None) -> Rule | None:
        """The rule of these kinds that strikes inside the system now, if any; it is in the journal already.

        `suits` says whether a rule finds what it is about; where it does not, the request does not count for it.

        Inside a transaction of the store (`in_transaction`), whose file the journal shares, the entry has to wait until
        the request is answered, so that it outlives a transaction that is undone.
        """
        rule = self.rules.striking(kinds, asked, suits)
        if rule is not None:
            self._tell(rule, asked)
        return rule

    def layer(self, app: ASGIApp, *, expire_tokens: Callable[[], int], admitted: Callable[[Scope], bool]) -> ASGIApp:
        """The application, or what a fault makes of it.

        `admitted` says whether a request would be let in now. The application finds it as `admitted` in the state of a
        request that acts later, and judges its token no more.
        """

        async def telling(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            finally:
                self._tell_the_rest()

        async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
            rule = None
            if self.rules.are_waiting and scope["type"] == "http":
                if self.rules.ask_for_bodies:
                    body = await whole_body(receive)
                    receive = replayed(body, receive)
                    scope["state"]["body"] = body
                asked = asked_of(scope)
                rule = self.rules.striking(self._acts, asked)
            if rule is None:
                await telling(scope, receive, send)
                return
            self._tell(rule, asked)
            body = await whole_body(receive)
            await self._acts[rule.kind](
                Struck(rule, self._forms, telling, scope, body, send, self._do_later, expire_tokens, admitted)
            )

        return faulty

    def _tell(self, rule: Rule, asked: Asked) -> None:
        self._untold.append(
            {
                "phase": FAULT,
                "request_id": asked.request_id,
                "method": asked.method,
                "path": asked.path,
                "effect": rule.kind,
                "values": rule.parameters or None,
            }
        )
        if not self._in_transaction():
            self._tell_the_rest()

    def _tell_the_rest(self) -> None:
        if self._untold:
            self._journal.record_many(self._untold)
            self._untold.clear()

    def _do_later(self, effect: Coroutine[Any, Any, None]) -> None:
        # The event loop keeps weak references only.
        task = asyncio.get_running_loop().create_task(effect)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)


def asked_of(scope: Scope) -> Asked:
    """The request of a scope, as rules see it."""
    query = unquote_plus(scope["query_string"].decode("latin-1"))
    path, state = scope["path"], scope["state"]
    target = f"{path}?{query}" if query else path
    return Asked(state["request_id"], scope["method"], path, target, state.get("body", b""))

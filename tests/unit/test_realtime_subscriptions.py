"""The subscriptions of a socket, where the socket may end between one step and the next."""

from types import SimpleNamespace
from typing import Any, cast

from gateway.realtime.hub import Audience, Subscription
from gateway.realtime.packets import array
from gateway.realtime.send_queue import SendQueue
from gateway.realtime.subscriptions import Subscriptions


class Hub:
    """Records who joined and who left."""

    seq = 7

    def __init__(self) -> None:
        self.joined: list[Subscription] = []
        self.left: list[Subscription] = []

    def subscription(self, addresses: Any, deliver: Any) -> Subscription:
        return Subscription(Audience(frozenset(addresses)), deliver)

    def admit(self, subscription: Subscription, after: int, principal: str) -> None:
        pass

    def join(self, subscription: Subscription) -> None:
        self.joined.append(subscription)

    def leave(self, subscription: Subscription) -> None:
        self.left.append(subscription)


async def _send(text: str) -> None:
    pass


def _of(hub: Hub) -> Subscriptions:
    queue = SendQueue(_send, lambda: None, array, max_events=10, max_bytes=1_000)
    return Subscriptions(cast("Any", SimpleNamespace(hub=hub)), queue, cast("Any", None), lambda closing: None)


async def test_one_that_is_up_to_date_joins_the_hub_when_it_is_started() -> None:
    hub = Hub()
    subscriptions = _of(hub)
    subscriptions.add("mine", {"log"}, hub.seq, "ann")
    assert hub.joined == []
    subscriptions.start("mine")
    assert len(hub.joined) == 1


async def test_one_whose_socket_ended_while_it_was_confirmed_does_not_join_the_hub() -> None:
    """It would get every event for as long as the process lives, for no client."""
    hub = Hub()
    subscriptions = _of(hub)
    subscriptions.add("mine", {"log"}, hub.seq, "ann")
    subscriptions.clear()
    subscriptions.start("mine")
    assert (len(hub.left), hub.joined) == (1, [])

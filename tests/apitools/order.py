"""A shop's own program, on the client that openapi-python-client makes of the document: places an order, reads it and
the event of it, and prints what it saw. Arguments: the gateway's URL, a token of staff, a SKU.
"""

import json
import sys

from tidegate_api import AuthenticatedClient
from tidegate_api.api.events import list_events
from tidegate_api.api.orders import get_order, place_order
from tidegate_api.models import LineBody, OrderBody, OrderPlacedEvent, PlacedView, ProblemView, ProductChangeBody

url, token, sku = sys.argv[1:]
client = AuthenticatedClient(url, token)


def wanted(quantity: int) -> OrderBody:
    return OrderBody(lines=[LineBody(sku=sku, quantity=quantity)])


placed = place_order.sync(client=client, body=wanted(2), prefer="wait=15")
assert isinstance(placed, PlacedView), placed
order = get_order.sync(placed.id, client=client)
refused = place_order.sync(client=client, body=wanted(1_000), prefer="wait=15")
assert isinstance(refused, ProblemView), refused
log = list_events.sync(client=client, limit=50)
events = [event for event in log.items if isinstance(event, OrderPlacedEvent) and event.data.order_id == order.id]

print(
    json.dumps(
        {
            "id": str(order.id),
            "status": order.status,
            "total_minor": order.total_minor,
            "available": refused.lines[0].available,
            "totals": [event.data.total_minor for event in events],
            "unchanged": ProductChangeBody().to_dict(),
        }
    )
)

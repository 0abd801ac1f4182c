"""`orders`, with people who want something that the shop has never had, so that every order is refused."""

from domain.model import Wanted
from loadtests.frame import baskets
from loadtests.scenarios.orders import Arrival, Customer

__all__ = ["Arrival", "Customer"]

baskets._random_lines = lambda: (Wanted("NOT-ON-SALE", 1),)

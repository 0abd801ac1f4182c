"""The people of the demo, one of each role, to sign in as. Everybody knows their passwords, so they are made in
development only; production refuses all that was.
"""

from typing import Final, NamedTuple

from domain.roles import ADMIN, CUSTOMER, STAFF


class DemoAccount(NamedTuple):
    """Somebody of the demo, as they sign in."""

    email: str
    password: str
    name: str
    role: str


DEMO_ACCOUNTS: Final = (
    DemoAccount("admin@tidegate.example", "demo-admin", "Ada Admin", ADMIN),
    DemoAccount("staff@tidegate.example", "demo-staff", "Sam Staff", STAFF),
    DemoAccount("customer@tidegate.example", "demo-customer", "Cora Customer", CUSTOMER),
)

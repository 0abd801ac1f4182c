"""The people of the demo, one of each role, to sign in as. Everybody knows their passwords, so production has none, and
lets nobody in as one that was left over from development.
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


def is_demo(email: str, password: str) -> bool:
    """Whether these are what everybody knows."""
    return any((account.email, account.password) == (email, password) for account in DEMO_ACCOUNTS)

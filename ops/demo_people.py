"""The demo's accounts, one for each role. Their passwords are public, so they are created only in development;
production rejects all accounts from there.
"""

from typing import Final, NamedTuple

from domain.roles import ADMIN, CUSTOMER, STAFF


class DemoAccount(NamedTuple):
    """A demo account and what it signs in with."""

    email: str
    password: str
    name: str
    role: str


DEMO_ACCOUNTS: Final = (
    DemoAccount("admin@tidegate.example", "demo-admin", "Ada Admin", ADMIN),
    DemoAccount("staff@tidegate.example", "demo-staff", "Sam Staff", STAFF),
    DemoAccount("customer@tidegate.example", "demo-customer", "Cora Customer", CUSTOMER),
)

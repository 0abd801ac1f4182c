"""`tidegate demo` and `tidegate user create`: how the first accounts are made."""

import subprocess
from typing import Any

import pytest

from ops.demo_people import DEMO_ACCOUNTS
from tests import pace
from tests.e2e.people import Person, ask_for_tokens, sign_in
from tests.e2e.shop import Shop
from tests.system import eventually_seen

pytestmark = pytest.mark.campaign


def create(shop: Shop, *arguments: str, password: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["tidegate", "user", "create", *arguments],
        input=password + "\n",
        env=shop.system.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=pace.seconds(60),
    )


def test_loading_the_demo_again_changes_nothing(shop: Shop) -> None:
    said = [shop.system.tidegate("demo").stdout for _ in range(2)]
    assert said[0].startswith("3 demo accounts posted.")
    assert "accounts" not in said[1] or said[1] == said[0]  # the first may still be waiting to be applied


@pytest.mark.parametrize("account", DEMO_ACCOUNTS, ids=lambda account: account.role)
async def test_the_demo_s_people_can_sign_in(shop: Shop, account: Any) -> None:
    shop.system.tidegate("demo")

    async def signs_in() -> bool:
        answer = await ask_for_tokens(shop, username=account.email, password=account.password)
        return answer.status == 200

    await eventually_seen("a sign-in", signs_in, within_seconds=10)
    tokens = await sign_in(shop, Person("", account.email, account.password))
    me = (await tokens.client.get("/me")).ok()
    assert (me["role"], me["name"]) == (account.role, account.name)


async def test_the_cli_creates_an_admin(shop: Shop) -> None:
    made = create(shop, "Root@Example.com", "--role", "admin", "--name", "Root", password="a root password")
    assert (made.returncode, made.stdout) == (0, "root@example.com can sign in, as admin.\n"), made.stderr
    tokens = await sign_in(shop, Person("", "root@example.com", "a root password"))
    (await tokens.client.get("/users")).ok()
    again = create(shop, "root@example.com", password="another password")
    assert again.returncode == 1
    assert again.stderr == "Error: An account with this e-mail address already exists\n"


@pytest.mark.parametrize(
    ("arguments", "password", "said"),
    [
        (["nobody"], "long enough", "not an e-mail address"),
        (["a@example.com"], "short", "8 to 256 characters"),
        (["a@example.com", "--role", "guest"], "long enough", "guest"),
        (["a@example.com", "--name", "\x1b[2J"], "long enough", "--name: This contains the control character U+001B."),
    ],
)
def test_invalid_accounts_are_refused(shop: Shop, arguments: list[str], password: str, said: str) -> None:
    refused = create(shop, *arguments, password=password)
    assert refused.returncode != 0
    assert said in refused.stderr

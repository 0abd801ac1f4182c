"""The key ring: which keys sign and verify, rotation while processes run, and what is published."""

import base64
import hmac
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from pydantic import SecretStr

from ops.cli.keys import keys as keys_command
from ops.cli.keys import new_jwk
from runtime.settings import DEVELOPMENT_SECRET, Settings
from runtime.signing_keys import EDDSA, RS256, BadKeys, KeyRing, key_ring, thumbprint
from runtime.tokens import AUDIENCE, ISSUER, Refresh, claims_of, mint, mint_refresh, refresh_of

NOW = 1_790_000_000
DAY = 86_400


def put(path: Path, *jwks: dict[str, Any]) -> Path:
    """Replaces the file, as a deployment does."""
    other = path.with_suffix(".new")
    other.write_text(json.dumps({"keys": jwks}))
    other.replace(path)
    return path


def token(ring: KeyRing) -> str:
    return mint(ring, "ada", ["customer"], lifetime_seconds=60)


def forged(header: dict[str, Any], key: Any, algorithm: str) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "eve", "roles": ["admin"], "iat": now, "exp": now + 60}
    return jwt.encode(claims, key, algorithm=algorithm, headers=header)


def signed_by_hand(header: dict[str, Any], secret: bytes) -> str:
    """An HS256 token signed with any secret at all: the library refuses one that looks like a public key."""
    _, claims, _ = forged({}, bytes(32), "HS256").split(".")
    said = f"{_part(json.dumps({'alg': 'HS256', 'typ': 'JWT', **header}).encode())}.{claims}"
    return f"{said}.{_part(hmac.digest(secret, said.encode(), 'sha256'))}"


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.mark.parametrize("algorithm", [EDDSA, RS256])
def test_the_first_key_signs_and_all_verify(path: Path, algorithm: str) -> None:
    first, second = new_jwk(EDDSA, NOW), new_jwk(algorithm, NOW)
    older = KeyRing.from_file(put(path, first))
    newer = KeyRing.from_file(put(path, second, first))
    signed = token(newer)
    assert jwt.get_unverified_header(signed) == {"alg": algorithm, "kid": second["kid"], "typ": "JWT"}
    for each in (signed, token(older)):
        assert claims_of(each, newer)["sub"] == "ada"


def test_a_running_process_notices_a_new_key_as_soon_as_it_meets_one(path: Path) -> None:
    first, second = new_jwk(EDDSA, NOW), new_jwk(EDDSA, NOW + DAY)
    ring = KeyRing.from_file(put(path, first))
    token(ring)  # it has just checked, and checks again in a second
    signed_elsewhere = token(KeyRing.from_file(put(path, second, first)))
    assert claims_of(signed_elsewhere, ring)["sub"] == "ada"
    assert ring.version == 1
    assert [key["kid"] for key in ring.public()["keys"]] == [second["kid"], first["kid"]]


def test_a_removed_key_no_longer_verifies(path: Path) -> None:
    first, second = new_jwk(EDDSA, NOW), new_jwk(EDDSA, NOW)
    ring = KeyRing.from_file(put(path, first))
    signed = token(ring)
    put(path, second)
    ring.find("an unknown kid")
    with pytest.raises(jwt.InvalidTokenError):
        claims_of(signed, ring)


def test_a_process_that_only_verifies_notices_a_removed_key(path: Path) -> None:
    """Such as a gateway that gets only refresh tokens: nothing else makes it check the file."""
    stolen = new_jwk(EDDSA, NOW)
    signed = token(KeyRing.from_file(put(path, stolen)))
    ring = KeyRing.from_file(path)
    put(path, new_jwk(EDDSA, NOW))
    with pytest.raises(jwt.InvalidTokenError):
        claims_of(signed, ring)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"keys": []}', '{"keys": [1]}', '{"keys": [{"kty": "oct"}]}'])
def test_an_invalid_file_does_not_affect_running_processes_but_prevents_a_start(path: Path, content: str) -> None:
    ring = KeyRing.from_file(put(path, new_jwk(EDDSA, NOW)))
    signed = token(ring)
    path.write_text(content)
    assert ring.find("an unknown kid") is None
    assert claims_of(signed, ring)["sub"] == "ada"
    with pytest.raises(BadKeys, match=str(path)):
        KeyRing.from_file(path)
    path.unlink()
    assert claims_of(signed, ring)["sub"] == "ada"
    with pytest.raises(BadKeys, match="No such file"):
        KeyRing.from_file(path)


def _small_rsa() -> dict[str, Any]:
    return RSAAlgorithm.to_jwk(rsa.generate_private_key(65_537, 1_024), as_dict=True)


@pytest.mark.parametrize(
    "jwk",
    [
        pytest.param(lambda: {"kty": "oct", "k": "c2VjcmV0"}, id="a_shared_secret"),
        pytest.param(lambda: {**new_jwk(EDDSA, NOW), "alg": RS256}, id="an_algorithm_that_is_not_its_own"),
        pytest.param(lambda: {**new_jwk(EDDSA, NOW), "alg": "none"}, id="no_algorithm"),
        pytest.param(lambda: {k: v for k, v in new_jwk(EDDSA, NOW).items() if k != "d"}, id="a_public_key"),
        pytest.param(_small_rsa, id="a_small_key", marks=pytest.mark.filterwarnings("ignore:.*RSA key")),
        pytest.param(lambda: {**new_jwk(EDDSA, NOW), "kid": 7}, id="a_kid_that_is_no_text"),
    ],
)
def test_keys_that_are_not_for_signing(path: Path, jwk: Any) -> None:
    with pytest.raises(BadKeys):
        KeyRing.from_file(put(path, jwk()))


def test_two_keys_with_the_same_kid(path: Path) -> None:
    with pytest.raises(BadKeys, match="two keys"):
        KeyRing.from_file(put(path, {**new_jwk(EDDSA, NOW), "kid": "a"}, {**new_jwk(EDDSA, NOW), "kid": "a"}))


@pytest.mark.parametrize("algorithm", [EDDSA, RS256])
def test_the_public_key_cannot_be_used_as_a_secret(path: Path, algorithm: str) -> None:
    """Algorithm confusion: the public key used as an HS256 secret."""
    jwk = new_jwk(algorithm, NOW)
    ring = KeyRing.from_file(put(path, jwk))
    key = ring.signer
    pem = key.verifies.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    public = json.dumps(key.public).encode()
    for secret in (pem, public, b"", bytes(32), DEVELOPMENT_SECRET.encode()):
        for header in ({"kid": jwk["kid"]}, {}):
            with pytest.raises(jwt.InvalidTokenError):
                claims_of(signed_by_hand(header, secret), ring)
    with pytest.raises(jwt.InvalidTokenError):
        claims_of(forged({"kid": jwk["kid"]}, None, "none"), ring)


def test_a_kid_of_another_key_or_an_unknown_one(path: Path, tmp_path: Path) -> None:
    ours, theirs = new_jwk(EDDSA, NOW), new_jwk(EDDSA, NOW)
    ring = KeyRing.from_file(put(path, ours))
    signer = KeyRing.from_file(put(tmp_path / "theirs.json", theirs)).signer
    for kid in (ours["kid"], theirs["kid"], "../../etc/passwd", "' OR 1=1", ""):
        with pytest.raises(jwt.InvalidTokenError):
            claims_of(forged({"kid": kid}, signer.signs, EDDSA), ring)
    with pytest.raises(jwt.InvalidTokenError):
        claims_of(forged({"jwk": signer.public, "jku": "http://evil.example"}, signer.signs, EDDSA), ring)


def test_a_shared_secret_has_no_kid_and_is_never_published() -> None:
    ring = KeyRing.shared(DEVELOPMENT_SECRET)
    assert ring.public() == {"keys": []}
    assert "kid" not in jwt.get_unverified_header(token(ring))
    with pytest.raises(jwt.InvalidTokenError):
        claims_of(forged({"kid": "any"}, DEVELOPMENT_SECRET, "HS256"), ring)


def test_the_public_set_holds_nothing_private(path: Path) -> None:
    jwks = [new_jwk(EDDSA, NOW), new_jwk(RS256, NOW)]
    public = KeyRing.from_file(put(path, *jwks)).public()["keys"]
    assert [set(key) for key in public] == [
        {"kty", "crv", "x", "kid", "alg", "use"},
        {"kty", "n", "e", "kid", "alg", "use"},
    ]
    assert [jwt.PyJWK(key).key_id for key in public] == [jwk["kid"] for jwk in jwks]


def test_the_default_kid_of_a_key_is_its_thumbprint() -> None:
    """The example in RFC 8037, appendix A.3."""
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert thumbprint(jwk) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_production_needs_signing_keys_or_a_secret_of_its_own(path: Path) -> None:
    put(path, new_jwk(EDDSA, NOW))
    with pytest.raises(ValueError, match="TIDEGATE_SIGNING_KEYS"):
        Settings(mode="production")
    ring = key_ring(Settings(mode="production", signing_keys=path))
    assert ring.signer.algorithm == EDDSA
    with pytest.raises(jwt.InvalidTokenError):
        claims_of(token(KeyRing.shared(DEVELOPMENT_SECRET)), ring)


class TestRotate:
    """`tidegate keys rotate`."""

    @pytest.fixture(autouse=True)
    def _named(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TIDEGATE_SIGNING_KEYS", str(path))
        monkeypatch.setenv("TIDEGATE_SESSION_SECONDS", str(30 * DAY))

    def rotate(self, *arguments: str) -> str:
        result = CliRunner().invoke(keys_command, ["rotate", *arguments])
        assert result.exit_code == 0, result.output
        return result.output

    def kids(self, path: Path) -> list[str]:
        return [jwk["kid"] for jwk in json.loads(path.read_text())["keys"]]

    def test_the_new_key_comes_first_for_its_owner_s_eyes_only(self, path: Path) -> None:
        self.rotate()
        (first,) = self.kids(path)
        self.rotate("--algorithm", RS256)
        assert self.kids(path)[1] == first
        assert path.stat().st_mode & 0o777 == 0o600
        assert KeyRing.from_file(path).signer.algorithm == RS256
        assert list(path.parent.iterdir()) == [path]

    def test_a_key_is_removed_when_no_session_can_depend_on_it(self, path: Path) -> None:
        now = int(time.time())
        ages = [1, 29, 31, 32]
        jwks = [new_jwk(EDDSA, now - days * DAY) for days in ages]
        put(path, *jwks)
        assert "3 older keys still verify, 1 removed" in self.rotate()
        # The one made 31 days ago signed until 29 days ago; the oldest, until 31 days ago.
        assert self.kids(path)[1:] == [jwk["kid"] for jwk in jwks[:3]]

    def test_it_needs_the_name_of_the_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("TIDEGATE_SIGNING_KEYS")
        result = CliRunner().invoke(keys_command, ["rotate"])
        assert (result.exit_code, result.output) == (
            1,
            "Error: set TIDEGATE_SIGNING_KEYS to the file that is to hold the keys\n",
        )

    def test_a_file_of_something_else_is_left_alone(self, path: Path) -> None:
        path.write_text("my diary")
        assert CliRunner().invoke(keys_command, ["rotate"]).exit_code == 1
        assert path.read_text() == "my diary"


def test_production_refuses_tokens_from_development_even_with_the_same_keys(path: Path) -> None:
    put(path, new_jwk(EDDSA, NOW))
    development, production = KeyRing.from_file(path, development=True), KeyRing.from_file(path)
    session = Refresh(UUID(int=1), UUID(int=2), 0)
    ends_at = datetime.now(UTC) + timedelta(hours=1)
    minted, refresh = token(development), mint_refresh(development, session, ends_at)
    assert claims_of(minted, development)["sub"] == "ada"
    with pytest.raises(jwt.InvalidTokenError, match="development"):
        claims_of(minted, production)
    with pytest.raises(jwt.InvalidTokenError, match="development"):
        refresh_of(refresh, production)
    assert claims_of(token(production), development)["sub"] == "ada"
    assert refresh_of(mint_refresh(production, session, ends_at), production) == session


def test_the_ring_takes_its_mode_from_the_settings() -> None:
    secret = SecretStr("a secret of thirty-two bytes or more")
    assert key_ring(Settings(jwt_secret=secret)).development
    assert not key_ring(Settings(jwt_secret=secret, mode="production")).development

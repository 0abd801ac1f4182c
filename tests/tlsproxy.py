"""A small proxy in front of a Postgres without TLS, which answers clients' SSLRequest as a server with TLS does; and
the certificates for it. It listens on 127.0.0.1 and ends with the `with` block.
"""

from __future__ import annotations

import datetime
import ipaddress
import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# https://www.postgresql.org/docs/current/protocol-message-formats.html: its length, then 1234 and 5679.
_SSL_REQUEST: Final = (8).to_bytes(4) + (1234).to_bytes(2) + (5679).to_bytes(2)
_CHUNK_BYTES: Final = 65_536


class Authority:
    """The test's own certificate authority. `root` is the file that clients trust."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = _certificate(name, self._key, name, self._key, None)
        self.root = folder / f"{name}.pem"
        self.root.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, address: str) -> ssl.SSLContext:
        """The certificate of a server with this IP address."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(address, key, self._name, self._key, ipaddress.ip_address(address))
        chain = self._folder / f"{self._name}-{address}.pem"
        chain.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        return context


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    address: ipaddress.IPv4Address | ipaddress.IPv6Address | None,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=address is None, path_length=None), critical=True)
    )
    if address is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(address)]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


class TlsProxy:
    """`url` of the database behind it, with TLS in between; `sessions` counts the encrypted clients, and `plain` those
    that started without TLS."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.sessions = 0
        self.plain = 0


@contextmanager
def tls_proxy(upstream_port: int, context: ssl.SSLContext) -> Iterator[TlsProxy]:
    """Serves in its own threads, so that tests may block."""
    proxy = TlsProxy(0)

    class Session(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if self.request.recv(8, socket.MSG_WAITALL) != _SSL_REQUEST:
                proxy.plain += 1
                return
            self.request.sendall(b"S")
            with suppress(OSError), context.wrap_socket(self.request, server_side=True) as client:
                proxy.sessions += 1
                with socket.create_connection(("127.0.0.1", upstream_port)) as upstream:
                    _forward(client, upstream)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session) as server:
        proxy.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, name="TLS proxy")
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


def _forward(client: ssl.SSLSocket, upstream: socket.socket) -> None:
    """Copies both ways until either side closes. In one thread: a TLS socket must not be read and written by two at
    once."""
    while True:
        readable = [client] if client.pending() else select.select([client, upstream], [], [])[0]
        for source, sink in ((client, upstream), (upstream, client)):
            if source in readable:
                data = source.recv(_CHUNK_BYTES)
                if not data:
                    return
                sink.sendall(data)

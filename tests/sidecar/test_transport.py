"""The transport against small servers, also over TLS: what httpx's users expect of one."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from llm_watchdog.transport import StreamTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@asynccontextmanager
async def server(answer: bytes, heard: list[bytes], tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Answers, and then says nothing more until the client has gone."""
    handling: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling.add(asyncio.current_task())  # type: ignore[arg-type]
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            while chunk := await reader.read(4096):
                heard.append(chunk)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await asyncio.gather(*handling)


def client(transport: StreamTransport | None = None, seconds: float = 30) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=transport or StreamTransport(), trust_env=False, timeout=seconds)


async def test_a_request_goes_out_whole_and_its_connection_is_closed_after_the_answer() -> None:
    heard: list[bytes] = []
    async with server(OK, heard) as port, client() as http:
        response = await http.post(f"http://127.0.0.1:{port}/a%20b?c=d", json={"x": 1})
    assert (response.status_code, response.text) == (200, "ok")
    request = b"".join(heard)
    assert request.startswith(b"POST /a%20b?c=d HTTP/1.1\r\n")
    assert request.endswith(b'{"x":1}')
    assert request.lower().count(b"connection: close\r\n") == 1
    assert b"keep-alive" not in request


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK, "ok"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\n\r\n", "ok!"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", ""),
    ],
)
async def test_bodies_of_all_kinds(answer: bytes, body: str) -> None:
    async with server(answer, []) as port, client() as http:
        assert (await http.get(f"http://127.0.0.1:{port}/")).text == body


async def test_a_stream_is_read_as_it_comes_and_closing_it_is_noticed() -> None:
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n"
    async with (
        server(answer, []) as port,
        client() as http,
        http.stream("GET", f"http://127.0.0.1:{port}/") as response,
    ):
        assert await anext(response.aiter_raw()) == b"ok"


async def test_silence_is_a_read_timeout_and_a_cut_is_a_protocol_error() -> None:
    async with server(b"", []) as port, client(seconds=0.1) as http:
        with pytest.raises(httpx.ReadTimeout):
            await http.get(f"http://127.0.0.1:{port}/")
    gone = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with gone, client() as http:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await http.get(f"http://127.0.0.1:{gone.sockets[0].getsockname()[1]}/")


async def test_nobody_there_is_a_connect_error_with_its_cause() -> None:
    async with server(OK, []) as port:
        pass
    async with client() as http:
        with pytest.raises(httpx.ConnectError) as raised:
            await http.get(f"http://127.0.0.1:{port}/")
    assert isinstance(raised.value.__cause__, ConnectionRefusedError)


async def test_a_header_that_cannot_be_sent_is_our_own_fault() -> None:
    async with server(OK, []) as port, client() as http:
        with pytest.raises(httpx.LocalProtocolError):
            await http.get(f"http://127.0.0.1:{port}/", headers={"x": "a\nb"})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    (folder / "key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert", folder / "key"


async def test_tls_trusts_the_given_authority_and_no_other(certificate: tuple[Path, Path]) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)
    async with server(OK, [], tls) as port:
        trusting = StreamTransport(ssl_context=ssl.create_default_context(cafile=str(certificate[0])))
        async with client(trusting) as http:
            assert (await http.get(f"https://localhost:{port}/")).text == "ok"
        async with client(StreamTransport(ssl_context=ssl.create_default_context())) as http:
            with pytest.raises(httpx.ConnectError):
                await http.get(f"https://localhost:{port}/")

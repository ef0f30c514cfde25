"""Where a configured URL may lead: every address is checked at the moment of connecting, so a name cannot move later.

Addresses inside our own network (private, loopback, link-local, the clouds' metadata) are refused unless
``TOCSIN_EGRESS_ALLOW`` names them. Redirects are not followed.
"""

import asyncio
import socket
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import aiohttp
import aiohttp.abc
import httpcore
import httpx

_GLOBAL = IPv6Network("2000::/3")  # all that is routed between networks; the rest is local, reserved or translated
_DOCUMENTED = IPv6Network("3fff::/20")
# Their last four bytes are the IPv4 address that is meant: mapped, translated, compatible, NAT64, a NAT64 of one's own.
_CARRIERS = tuple(map(IPv6Network, ("::ffff:0:0/96", "::ffff:0:0:0/96", "::/96", "64:ff9b::/96", "64:ff9b:1::/48")))
_ISATAP = (0x00005EFE, 0x02005EFE)  # the third group of four bytes, in any network: an IPv4 address follows
_LAST_FOUR_BYTES = 0xFFFFFFFF
KEPT_S = 5.0  # an idle connection

Address = IPv4Address | IPv6Address


class Refused(httpx.ConnectError):
    """The address is one that we do not call."""


class Egress:
    """``allow``: networks and host names that may be called though inside: ``10.1.0.0/16,alerts.internal``."""

    def __init__(self, allow: str = "") -> None:
        named = [each.strip().lower() for each in allow.split(",") if each.strip()]
        self._networks = [network for each in named if (network := _network(each)) is not None]
        self._hosts = frozenset(each for each in named if _network(each) is None)

    def refusal(self, host: str, address: str) -> str | None:
        """Why this address of ``host`` is not called, or None where it may be."""
        meant = _meant(address)
        if host.lower() in self._hosts or any(meant in network for network in self._networks):
            return None
        if meant.is_global and not meant.is_multicast and (isinstance(meant, IPv4Address) or _routed(meant)):
            return None
        return (
            f"{host} is at {meant}, which is inside our own network."
            f" If it may be called, name it in TOCSIN_EGRESS_ALLOW, for example {meant}"
        )

    def literal_refusal(self, host: str) -> str | None:
        """The same for a host that is written as an address; None for a name, which is judged when it is called."""
        try:
            ip_address(host)
        except ValueError:
            if ":" in host or host.replace(".", "").isdigit():  # clients differ over what these mean
                return f"{host} is no address. Write it as four numbers, such as 203.0.113.7"
            return self.refusal(host, "127.0.0.1") if host.lower().rstrip(".") == "localhost" else None
        return self.refusal(host, host)

    def client(self, timeout: httpx.Timeout, max_connections: int) -> httpx.AsyncClient:
        """A client that connects only where it may and raises ``Refused`` elsewhere. No proxies of the environment."""
        limits = httpx.Limits(max_connections=max_connections)
        return httpx.AsyncClient(transport=_Guarded(self, limits), timeout=timeout, follow_redirects=False)

    def session(self, timeout: aiohttp.ClientTimeout, max_connections: int) -> aiohttp.ClientSession:
        """The same for many messages: half the cost of one. Ask ``literal_refusal`` first, for a host that is written
        as an address is not resolved. Connecting elsewhere fails by ``RefusedAddress``."""
        connector = aiohttp.TCPConnector(
            limit=max_connections, keepalive_timeout=KEPT_S, resolver=_Resolver(self), use_dns_cache=False
        )
        jar = aiohttp.DummyCookieJar()
        return aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=jar, auto_decompress=False)


class RefusedAddress(OSError):
    """The address is one that we do not call."""


class _Resolver(aiohttp.abc.AbstractResolver):
    """Gives only addresses that may be called, to be connected to as they are."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[aiohttp.abc.ResolveResult]:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        results = []
        for family_, _, proto, _, address in found:
            if reason := self._egress.refusal(host, str(address[0])):
                raise RefusedAddress(reason)
            results.append(
                aiohttp.abc.ResolveResult(
                    hostname=host,
                    host=str(address[0]),
                    port=port,
                    family=family_,
                    proto=proto,
                    flags=socket.AI_NUMERICHOST,
                )
            )
        return results

    async def close(self) -> None:
        return None


class _Guarded(httpx.AsyncHTTPTransport):
    def __init__(self, egress: Egress, limits: httpx.Limits) -> None:
        super().__init__(limits=limits, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_Backend(egress),
        )


class _Backend(httpcore.AsyncNetworkBackend):
    """Resolves by itself and connects to what it has checked."""

    def __init__(self, egress: Egress) -> None:
        self._egress, self._inner = egress, httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await _resolve(host, port, timeout)
        for address in addresses:
            if reason := self._egress.refusal(host, address):
                raise Refused(reason)
        failed: Exception | None = None
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed or httpcore.ConnectError(f"{host} has no address")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise Refused(f"{path}: only addresses of the network are called")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


async def _resolve(host: str, port: int, limit_s: float | None) -> Sequence[str]:
    try:
        async with asyncio.timeout(limit_s):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # TimeoutError is an OSError
        raise httpcore.ConnectError(f"{host} cannot be resolved: {error}") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _network(text: str) -> Any:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _routed(address: IPv6Address) -> bool:
    return address in _GLOBAL and address not in _DOCUMENTED


def _meant(text: str) -> Address:
    """The address that a packet reaches in the end: IPv4 inside IPv6 is taken out."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        if address.sixtofour is not None:
            return address.sixtofour
        carried = any(address in network for network in _CARRIERS) and int(address) > 1
        if carried or (int(address) >> 32) & _LAST_FOUR_BYTES in _ISATAP:
            return IPv4Address(int(address) & _LAST_FOUR_BYTES)
    return address

"""The network for per-network limits: a home or office has one IPv4 address or one IPv6 /64."""

from ipaddress import IPv4Address, IPv6Network, ip_address


def network_of(address: str) -> str:
    """IPv4 (also IPv4-mapped): the address itself. IPv6: its /64, such as `2001:db8:1:2::/64`.

    Anything else is returned unchanged.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed), 64), strict=False))

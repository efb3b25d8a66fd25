"""The network that an address is counted under: a home or office has one IPv4 address or an IPv6 /64."""

from ipaddress import IPv4Address, IPv6Network, ip_address


def network_of(address: str) -> str:
    """An IPv4 address itself, also for an IPv4-mapped one; of IPv6 its /64, as in `2001:db8:1:2::/64`.

    What is not an address is returned as it is.
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

"""A network in which clients and servers are one namespace's: for programs that play both of them in one process."""

from .net import Net, _nodad
from .plan import FAMILIES


class OnePlace(Net):
    """`client` has a second link, into the lan, and all servers' addresses on it; there are no other servers."""

    SERVERS = 9

    def __init__(self):
        super().__init__(servers=0)
        self.direct_way()
        lines = []
        for family in FAMILIES.values():
            lines.append(f"route del {family.lan_network} via {family.wan}")
            for index in range(self.SERVERS):
                lines.append(f"addr add {family.on(family.lan_network, family.server(index))} dev back{_nodad(family)}")
        self.client.batch(*lines)

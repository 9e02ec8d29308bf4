//! `[p2p]`

use crate::quantity::Period;

section! {
    /// The network between nodes.
    pub struct P2pSection as "p2p" {
        /// Addresses to listen on, as multiaddresses. Port 0 takes a free port.
        listen: Vec<String> =
            vec!["/ip4/0.0.0.0/udp/7003/quic-v1".to_owned(), "/ip4/0.0.0.0/tcp/7003".to_owned()];
        /// Addresses under which other nodes reach this one when it stands behind a router or a load balancer.
        external: Vec<String> = Vec::new();
        /// Nodes to join by, such as "/dns4/a.example.org/udp/7003/quic-v1". One that answers is enough: it leads to all
        /// others. The part `/p2p/PEER-ID` is optional; with it, no other node is accepted at that address.
        bootstrap: Vec<String> = Vec::new();
        /// Most connections that others may open to this node at once; the validators' own are not counted. More of them
        /// cost memory, fewer of them turn observers away.
        connections_inbound_max: usize = 256;
        /// Most connections that this node opens to others at once, validators not counted.
        connections_outbound_max: usize = 64;
        /// For tests only: links that are slow on purpose, such as "NODE-ID=40ms": whatever that node sends is held back for so
        /// long before it is read. Lets nodes on one machine stand as if far apart; a real node has none.
        test_link_delays: Vec<String> = Vec::new();
        /// For tests only: the round-trip time that this node reports to everybody, such as "1ms", in the place of what it has
        /// measured: what a liar would say. "0s" is the truth.
        test_claimed_round_trip: Period = Period::from_secs(0);
    }
}

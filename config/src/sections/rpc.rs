//! `[rpc]`

use std::net::{Ipv4Addr, SocketAddr};

use crate::quantity::{ByteSize, OptionalPath, Period};

section! {
    /// The interface for clients: REST, gRPC and WebSocket on one port. Writes that the node signs need the bearer token in
    /// the home's file `rpc.token`; on an address that others can reach, reads need it too.
    pub struct RpcSection as "rpc" {
        /// Address to listen on. Anything but loopback needs `tls_certificate` and `tls_key`.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8003));
        /// PEM file with the certificate chain for TLS; relative paths start at the home. Empty: no TLS.
        tls_certificate: OptionalPath = OptionalPath::default();
        /// PEM file with the certificate's key.
        tls_key: OptionalPath = OptionalPath::default();
        /// Largest body of a request. One proposal takes up to 128 KiB, and a third more in base64.
        body_max: ByteSize = ByteSize::from_kib(256);
        /// Longest time for a read. Submissions add the time that they ask to wait.
        request_timeout: Period = Period::from_secs(10);
        /// Most connections at once; a further one is closed at once.
        connections_max: usize = 1_024;
        /// Most watchers at once. Each holds a bounded buffer of events.
        watchers_max: usize = 256;
        /// Most submissions and votes that wait at once. A further one is told that the node is busy.
        submissions_max: usize = 8_192;
        /// Most requests a second from one address, averaged; twice as many at once. A stream counts once.
        requests_per_second: u32 = 10_000;
    }
}

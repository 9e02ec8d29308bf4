//! The surfaces and the client over real sockets on loopback, in front of a scripted node.

mod fake_node;
mod fixture;

mod client;
mod grpc;
mod grpc_metrics;
mod limits;
mod metrics;
mod openapi;
mod problems;
mod rest;
mod safety;
mod tls;
mod watch;

//! Searches for inputs that break the target `node_wire`.
#![no_main]

aegis_fuzz::search!("node_wire");

//! Relays that die while nodes agree through them.

use std::time::{Duration, Instant};

use aegis_types::ProposalBody;

use crate::cluster::PATIENCE;
use crate::secrecy::allowed;
use crate::sockets::{SocketWatch, connected};
use crate::tor_network::{network, wait_connected};

/// Guards that die at once. The rest of the small network is still enough for circuits of all kinds.
const GUARDS: usize = 2;

fn put(index: u64) -> ProposalBody {
    ProposalBody::KvPut { key: "failures".to_owned(), value: index.to_be_bytes().to_vec() }
}

#[tokio::test]
async fn agreement_goes_on_or_comes_back_when_relays_die_and_nothing_falls_back() {
    let network = network();
    let cluster = network.start(4);
    wait_connected(&cluster).await;
    cluster.commit(put(0), "relays-live").await;
    let watch = SocketWatch::start(allowed(&cluster, &network));
    // Circuits of all nodes break at once, and introduction points and directories for descriptors go with them.
    let guards = network.kill_guards(&connected(&allowed(&cluster, &network)), GUARDS);
    assert_eq!(guards.len(), GUARDS, "the nodes use so many guards: {guards:?}");
    let killed = Instant::now();
    let mut index = 1;
    let mut slowest = Duration::ZERO;
    // Through the time in which directories, guards and introduction points are replaced.
    while killed.elapsed() < Duration::from_secs(45) {
        let began = Instant::now();
        tokio::time::timeout(PATIENCE, cluster.commit(put(index), &format!("relays-dead-{index}")))
            .await
            .expect("agreement comes back");
        slowest = slowest.max(began.elapsed());
        index += 1;
    }
    eprintln!("{index} commits; the slowest took {:.1} s", slowest.as_secs_f64());
    let contacts = watch.end();
    assert!(contacts.is_empty(), "contacts besides the relays: {contacts:#?}");
}

//! A relay that dies while nodes agree through it.

use std::time::{Duration, Instant};

use aegis_types::ProposalBody;

use crate::cluster::PATIENCE;
use crate::secrecy::allowed;
use crate::sockets::{SocketWatch, connected};
use crate::tor_network::{network, wait_connected};

/// Guards that die at once. The directory authorities list a relay as running for three quarters of an hour after its death, and
/// a Tor client keeps the second hops of its paths for a day at least, so what is dead stays on the paths. Of nine relays, two
/// dead ones broke nearly all paths to a meeting point, which takes some eight hops of both ends: three minutes brought no
/// connection back. On the public network two relays are one of thousands.
const GUARDS: usize = 1;

fn put(index: u64) -> ProposalBody {
    ProposalBody::KvPut { key: "failures".to_owned(), value: index.to_be_bytes().to_vec() }
}

#[tokio::test]
async fn agreement_goes_on_or_comes_back_when_the_most_used_guard_dies_and_nothing_falls_back() {
    let network = network();
    let cluster = network.start(4);
    wait_connected(&cluster).await;
    cluster.commit(put(0), "guard-lives").await;
    let watch = SocketWatch::start(allowed(&cluster, &network));
    // Circuits of several nodes break at once, and introduction points and directories for descriptors go with them.
    let guards = network.kill_guards(&connected(&allowed(&cluster, &network)), GUARDS);
    assert_eq!(guards.len(), GUARDS, "the nodes use so many guards: {guards:?}");
    let killed = Instant::now();
    let mut index = 1;
    let mut slowest = Duration::ZERO;
    // Through the time in which directories, guards and introduction points are replaced.
    while killed.elapsed() < Duration::from_secs(45) {
        let began = Instant::now();
        tokio::time::timeout(PATIENCE, cluster.commit(put(index), &format!("guard-dead-{index}")))
            .await
            .expect("agreement comes back");
        slowest = slowest.max(began.elapsed());
        index += 1;
    }
    eprintln!("{index} commits; the slowest took {:.1} s", slowest.as_secs_f64());
    let began = Instant::now();
    wait_connected(&cluster).await;
    eprintln!("{:.1} s later everybody is connected", began.elapsed().as_secs_f64());
    let contacts = watch.end();
    assert!(contacts.is_empty(), "contacts besides the relays: {contacts:#?}");
}

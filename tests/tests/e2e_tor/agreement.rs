//! Agreement among nodes that have nothing but Tor, and what they let others see meanwhile.

use std::time::{Duration, Instant};

use aegis_rpc::Status;
use aegis_types::{Height, ProposalBody};

use crate::cluster::{Cluster, Transport, binary};
use crate::secrecy::{allowed, assert_silent_about_the_host};
use crate::sockets::SocketWatch;
use crate::tor_network::{network, wait_connected, wait_status};

/// How long nodes are looked at after they have found each other: a few walks, pings and reports.
const LOOK: Duration = Duration::from_secs(20);

fn put(index: u64) -> ProposalBody {
    ProposalBody::KvPut { key: format!("tor/{index}"), value: format!("value {index}").into_bytes() }
}

#[tokio::test]
async fn validators_and_an_observer_agree_through_relays_alone_and_a_restarted_one_is_found_where_it_was() {
    let network = network();
    binary();
    let started = Instant::now();
    let mut cluster = network.start(4);
    let watch = SocketWatch::start(allowed(&cluster, &network));
    let height = agree_and_find_each_other(&cluster, started).await;
    tokio::time::sleep(LOOK).await;
    let contacts = watch.end();
    assert!(contacts.is_empty(), "contacts besides the relays: {contacts:#?}");
    cluster.wait_same_root(height).await;
    assert_silent_about_the_host(&cluster, &network).await;
    restart(&mut cluster, 1).await;
}

/// All know one onion address at first. The height of the last block that was asked for.
async fn agree_and_find_each_other(cluster: &Cluster, started: Instant) -> Height {
    let mut last = None;
    for index in 0..5 {
        let committed = cluster.commit(put(index), &format!("agreement-{index}")).await;
        if index == 0 {
            eprintln!("first commit {:.1} s after the first start", started.elapsed().as_secs_f64());
        }
        last = committed.height;
    }
    wait_connected(cluster).await;
    let is_published = |status: &Status| status.tor.as_ref().is_some_and(|tor| tor.reachable);
    wait_status(cluster, 0, "a published descriptor", is_published).await;
    eprintln!("all connected after {:.1} s", started.elapsed().as_secs_f64());
    let height = last.expect("a committed proposal has a height");
    wait_status(cluster, 4, "what was committed", |status| status.executed_height >= height).await;
    for index in 0..5 {
        let peers = cluster.client(index).peers().await.unwrap();
        assert!(peers.iter().all(|peer| peer.transport == "tor"), "{peers:#?}");
    }
    height
}

/// The address lasts, others agree meanwhile, and what was missed is learned.
async fn restart(cluster: &mut Cluster, index: usize) {
    let address = cluster.nodes[index].address(Transport::Tor).expect("an onion address");
    let shown = cluster.status(index).await.unwrap().tor.expect("a state of Tor");
    assert!(address.starts_with(&shown.onion_address), "{address} is not {}", shown.onion_address);
    cluster.stop(index);
    let committed = cluster.commit(put(5), "meanwhile").await;
    let restarted = Instant::now();
    cluster.start_node(index, &[Transport::Tor]);
    assert_eq!(cluster.nodes[index].address(Transport::Tor).as_ref(), Some(&address));
    let height = committed.height.expect("a height");
    wait_status(cluster, index, "what it has missed", |status| status.executed_height >= height).await;
    eprintln!("{:.1} s after its restart it has what it missed", restarted.elapsed().as_secs_f64());
    wait_connected(cluster).await;
    eprintln!("{:.1} s after its restart it is connected to all", restarted.elapsed().as_secs_f64());
    let tor = cluster.status(index).await.unwrap().tor.expect("a state of Tor");
    assert_eq!((tor.mode.as_str(), tor.percent, tor.blocked), ("only", 100, None));
    assert!(tor.circuits >= 4, "{} circuits", tor.circuits);
}

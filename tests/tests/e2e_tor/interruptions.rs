//! A node that sleeps, and a line that is cut.

use std::time::Instant;

use aegis_types::ProposalBody;

use crate::secrecy::allowed;
use crate::sockets::SocketWatch;
use crate::tor_network::{network, wait_connected, wait_status};

fn put(value: &str) -> ProposalBody {
    ProposalBody::KvPut { key: "interruptions".to_owned(), value: value.as_bytes().to_vec() }
}

#[tokio::test]
async fn a_node_that_slept_until_all_others_had_given_it_up_comes_back_by_itself() {
    let network = network();
    let cluster = network.start(4);
    wait_connected(&cluster).await;
    let watch = SocketWatch::start(allowed(&cluster, &network));
    let sleeper = 1;
    cluster.suspend(sleeper);
    let slept = Instant::now();
    for other in [0, 2, 3, 4] {
        wait_status(&cluster, other, "the loss of the sleeper", |status| status.peers < 4).await;
    }
    eprintln!("given up after {:.1} s", slept.elapsed().as_secs_f64());
    // Submissions go to all nodes in turn, and the sleeper would keep them waiting.
    let encoding = cluster.sign(put("meanwhile"), "slept");
    let submit = aegis_rpc::Submit { timeout_ms: 30_000, ..aegis_rpc::Submit::signed(encoding) };
    let height = cluster.client(0).submit(submit).await.expect("the others agree").height.expect("a height");
    cluster.resume(sleeper);
    let woke = Instant::now();
    wait_status(&cluster, sleeper, "what it has missed", |status| status.executed_height >= height).await;
    eprintln!("{:.1} s after it woke it has what it missed", woke.elapsed().as_secs_f64());
    wait_connected(&cluster).await;
    eprintln!("{:.1} s after it woke it is connected to all", woke.elapsed().as_secs_f64());
    let contacts = watch.end();
    assert!(contacts.is_empty(), "contacts besides the relays: {contacts:#?}");
}

#[tokio::test]
async fn an_outage_that_breaks_all_connections_ends_in_agreement_and_nothing_falls_back() {
    let network = network();
    let cluster = network.start(4);
    wait_connected(&cluster).await;
    cluster.commit(put("before"), "outage-before").await;
    let watch = SocketWatch::start(allowed(&cluster, &network));
    network.suspend();
    let cut = Instant::now();
    for index in 0..5 {
        let status = wait_status(&cluster, index, "the loss of all others", |status| status.peers == 0).await;
        let tor = status.tor.expect("a state of Tor");
        eprintln!(
            "node {index} has lost all after {:.1} s; Tor: {} %, service {}, reachable {}",
            cut.elapsed().as_secs_f64(),
            tor.percent,
            tor.service,
            tor.reachable
        );
    }
    network.resume();
    let back = Instant::now();
    cluster.commit(put("after"), "outage-after").await;
    eprintln!("{:.1} s after the outage something was committed", back.elapsed().as_secs_f64());
    wait_connected(&cluster).await;
    eprintln!("{:.1} s after the outage everybody is connected", back.elapsed().as_secs_f64());
    let contacts = watch.end();
    assert!(contacts.is_empty(), "contacts besides the relays: {contacts:#?}");
}

//! Peers that do not keep to the protocol.

mod common;

use aegis_p2p::{Lane, Multiaddr, NetworkEvent, Offence, Protocols};
use aegis_types::Hash;
use common::{Node, TCP, config, id, ids, in_time, key, start, until};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::swarm::NetworkBehaviour;
use libp2p::{StreamProtocol, Swarm, SwarmBuilder, identify, noise, tcp, yamux};

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    streams: libp2p_stream::Behaviour,
}

/// A peer made of bare libp2p, which can say what it likes.
fn bare_peer(byte: u8) -> Swarm<Behaviour> {
    bare_peer_of(byte, Protocols::new(&"test".parse().unwrap(), &Hash::ZERO).identity())
}

/// One that gives itself out for something.
fn bare_peer_of(byte: u8, chain: String) -> Swarm<Behaviour> {
    let identity = libp2p::identity::Keypair::ed25519_from_bytes(key(byte).seed().as_mut()).unwrap();
    SwarmBuilder::with_existing_identity(identity)
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|key| Behaviour {
            identify: identify::Behaviour::new(identify::Config::new(chain, key.public())),
            streams: libp2p_stream::Behaviour::new(),
        })
        .unwrap()
        .build()
}

/// Connects a bare peer and sends `bytes` on a lane as soon as its stream is accepted.
async fn send_raw(byte: u8, to: Multiaddr, lane: &str, bytes: &'static [u8]) -> tokio::task::JoinHandle<()> {
    let mut swarm = bare_peer(byte);
    let mut control = swarm.behaviour().streams.new_control();
    let lane = StreamProtocol::try_from_owned(format!("/aegis/test/00000000/direct/{lane}/3")).unwrap();
    swarm.dial(to.clone()).unwrap();
    let target = match to.iter().last() {
        Some(libp2p::multiaddr::Protocol::P2p(peer)) => peer,
        _ => panic!("the address has no peer id"),
    };
    let driver = tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    in_time("the stream to be taken", async {
        loop {
            if let Ok(mut stream) = control.open_stream(target, lane.clone()).await {
                let mut welcome = [0];
                if stream.read_exact(&mut welcome).await.is_ok() {
                    stream.write_all(bytes).await.unwrap();
                    stream.flush().await.unwrap();
                    return;
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    driver
}

async fn victim() -> Node {
    let victim = start(1, config(TCP)).await;
    victim.network.set_direct_peers(ids(&[7]));
    victim
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversized_length_costs_its_sender_score_and_then_a_ban() {
    let mut victim = victim().await;
    let attacker =
        send_raw(7, victim.address().await, "payload", b"\0\0\0\x02ok\xff\xff\xff\xff garbage").await;
    let mut is_connected = false;
    let mut has_frame = false;
    victim
        .next("the connection and the frame before the garbage", |event| {
            match event {
                NetworkEvent::PeerConnected { .. } => is_connected = true,
                NetworkEvent::Message { lane: Lane::Payload, frame, .. } => {
                    assert_eq!(frame, "ok");
                    has_frame = true;
                }
                _ => {}
            }
            (is_connected && has_frame).then_some(())
        })
        .await;
    until("the offence", || async { victim.peer(7).await.is_some_and(|peer| peer.score < -40.0) }).await;
    assert!(victim.network.is_connected(&id(7)));

    victim.network.report(&id(7), Offence::Malformed);
    victim.disconnected_from(7).await;
    attacker.abort();
    // Banned: it gets no connection that would count.
    let mut again = bare_peer(7);
    again.dial(victim.address().await).unwrap();
    in_time("the refusal", async {
        loop {
            if let libp2p::swarm::SwarmEvent::ConnectionClosed { .. } = again.select_next_some().await {
                return;
            }
        }
    })
    .await;
    assert!(!victim.network.is_connected(&id(7)));
    assert!(victim.network.join_error().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_frame_is_not_delivered_and_harms_nobody() {
    let mut victim = victim().await;
    let attacker = send_raw(7, victim.address().await, "consensus", b"\0\0\0\x09cut").await;
    victim.connected_to(7).await;
    attacker.abort();
    victim
        .next("the end of the connection, without a frame", |event| match event {
            NetworkEvent::Message { frame, .. } => panic!("a cut frame was delivered: {frame:?}"),
            NetworkEvent::PeerDisconnected { .. } => Some(()),
            _ => None,
        })
        .await;
    assert!(victim.network.join_error().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reported_peer_is_banned_and_let_back_in_later() {
    let mut config = config(TCP);
    config.discovery.ban = std::time::Duration::from_millis(500);
    let mut first = start(1, config).await;
    let mut second = common::join(2, TCP, &first).await;
    first.connected_to(2).await;
    second.connected_to(1).await;
    for _ in 0..2 {
        first.network.report(&id(2), Offence::Malformed);
    }
    first.disconnected_from(2).await;
    second.disconnected_from(1).await;
    // It goes on dialling its bootstrap address, and gets in when its time is up.
    first.connected_to(2).await;
    let score = first.peer(2).await.unwrap().score;
    assert!((-50.0..-40.0).contains(&score), "it returned with score {score}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_of_the_version_before_is_refused() {
    let mut victim = victim().await;
    let ours = Protocols::new(&"test".parse().unwrap(), &Hash::ZERO).identity();
    let before = ours.replace("/id/3", "/id/1");
    assert_ne!(ours, before);
    let mut old = bare_peer_of(7, before);
    old.dial(victim.address().await).unwrap();
    in_time("the refusal", async {
        loop {
            match old.select_next_some().await {
                libp2p::swarm::SwarmEvent::ConnectionClosed { .. } => return,
                event => drop(event),
            }
        }
    })
    .await;
    assert!(!victim.network.is_connected(&id(7)));
    // One of this version gets in, and is the first that did.
    let mut current = bare_peer(9);
    current.dial(victim.address().await).unwrap();
    let driver = tokio::spawn(async move {
        loop {
            current.select_next_some().await;
        }
    });
    let connected = victim
        .next("a connection", |event| match event {
            NetworkEvent::PeerConnected { peer } => Some(peer),
            _ => None,
        })
        .await;
    assert_eq!(connected, id(9));
    driver.abort();
}

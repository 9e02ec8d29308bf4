//! A node that joins by one bootstrap address.

use aegis_rpc::{Role, Submit};
use aegis_types::ProposalBody;

use crate::cluster::{Cluster, Transport};

async fn joins_over(transport: Transport) {
    let mut cluster = Cluster::new(&[1; 4], &[]);
    for index in 0..4 {
        cluster.start_node(index, &[transport]);
    }
    let value = ProposalBody::KvPut { key: "greeting".into(), value: b"hello".to_vec() };
    let done = cluster.commit(value, "greeting").await;
    let height = done.height.unwrap();
    let fifth = cluster.add_home();
    cluster.start_node(fifth, &[transport]);
    let status = cluster.wait_status(fifth, "all four peers", |status| status.peers >= 4).await;
    assert_eq!(status.role, Role::Observer);
    cluster.wait_same_root(height).await;
    let client = cluster.client(fifth);
    assert_eq!(client.kv_get("greeting").await.unwrap().value, b"hello");
    let name = if transport == Transport::Quic { "quic" } else { "tcp" };
    for peer in client.peers().await.unwrap() {
        assert_eq!(peer.transport, name, "{peer:?}");
    }
    // An observer takes proposals too: it hands them to a validator.
    let value = ProposalBody::KvPut { key: "reply".into(), value: b"hello, too".to_vec() };
    let done = client.submit(Submit::signed(cluster.sign(value, "reply"))).await.unwrap();
    cluster.wait_same_root(done.height.unwrap()).await;
    assert_eq!(cluster.client(0).kv_get("reply").await.unwrap().value, b"hello, too");
    for index in 0..5 {
        cluster.stop(index);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifth_node_joins_by_one_address_over_quic() {
    joins_over(Transport::Quic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifth_node_joins_by_one_address_over_tcp() {
    joins_over(Transport::Tcp).await;
}

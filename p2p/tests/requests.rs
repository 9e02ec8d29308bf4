//! Questions and answers.

mod common;

use std::time::Duration;

use aegis_p2p::{
    MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, NetworkEvent, NodeId, Reply, ReplyError, RequestError,
};
use bytes::Bytes;
use common::{Node, QUIC, TCP, config, id, join, pair, start};

async fn next_request(node: &mut Node) -> (NodeId, Bytes, Reply) {
    node.next("a request", |event| match event {
        NetworkEvent::Request { from, request, reply } => Some((from, request, reply)),
        _ => None,
    })
    .await
}

async fn asked(node: &Node, request: Bytes) -> Result<Bytes, RequestError> {
    node.network.request(&id(2), request).await
}

/// Asks the second node and lets `answer` deal with the request.
async fn ask(
    first: &Node,
    second: &mut Node,
    request: Bytes,
    answer: impl FnOnce(Bytes, Reply),
) -> Result<Bytes, RequestError> {
    let (result, ()) = tokio::join!(asked(first, request), async {
        let (from, request, reply) = next_request(second).await;
        assert_eq!(from, id(1));
        answer(request, reply);
    });
    result
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_is_answered_up_to_the_largest_sizes() {
    for listen in [QUIC, TCP] {
        let (first, mut second) = pair(listen).await;
        let echo = |request: Bytes, reply: Reply| reply.send(request).unwrap();
        let answer = ask(&first, &mut second, Bytes::from_static(b"question"), echo).await;
        assert_eq!(answer.unwrap(), "question");
        let largest = ask(&first, &mut second, Bytes::from(vec![1; MAX_REQUEST_BYTES]), |request, reply| {
            assert_eq!(request.len(), MAX_REQUEST_BYTES);
            reply.send(Bytes::from(vec![2; MAX_RESPONSE_BYTES])).unwrap();
        })
        .await;
        assert_eq!(largest.unwrap().len(), MAX_RESPONSE_BYTES);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oversized_questions_and_answers_are_refused() {
    let (first, mut second) = pair(QUIC).await;
    let actual = MAX_REQUEST_BYTES + 1;
    let too_large = first.network.request(&id(2), Bytes::from(vec![0; actual])).await;
    assert_eq!(too_large, Err(RequestError::TooLarge { actual, limit: MAX_REQUEST_BYTES }));
    let refused = ask(&first, &mut second, Bytes::new(), |_, reply| {
        let actual = MAX_RESPONSE_BYTES + 1;
        let error = reply.send(Bytes::from(vec![0; actual])).unwrap_err();
        assert_eq!(error, ReplyError::TooLarge { actual, limit: MAX_RESPONSE_BYTES });
    })
    .await;
    assert_eq!(refused, Err(RequestError::Refused));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unanswered_question_ends_in_time() {
    let mut impatient = config(QUIC);
    impatient.limits.request_timeout = Duration::from_millis(300);
    let mut second = start(2, config(QUIC)).await;
    impatient.bootstrap = second.network.listen_addresses().await;
    let mut first = start(1, impatient).await;
    first.connected_to(2).await;
    second.connected_to(1).await;
    let started = std::time::Instant::now();
    let kept = async {
        let (_, _, reply) = next_request(&mut second).await;
        reply
    };
    let (result, _reply) = tokio::join!(asked(&first, Bytes::new()), kept);
    assert_eq!(result, Err(RequestError::Timeout));
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_question_is_refused_and_an_unknown_node_is_not_asked() {
    let (first, mut second) = pair(TCP).await;
    let refused = ask(&first, &mut second, Bytes::new(), |_, reply| drop(reply)).await;
    assert_eq!(refused, Err(RequestError::Refused));
    let unknown = first.network.request(&id(9), Bytes::new()).await;
    assert_eq!(unknown, Err(RequestError::NotConnected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_questions_than_allowed_are_not_sent() {
    let (first, mut second) = pair(QUIC).await;
    let allowed = config(QUIC).limits.requests_per_peer;
    let mut answers = Vec::new();
    let mut held = Vec::new();
    for _ in 0..allowed {
        let network = first.network.clone();
        answers.push(tokio::spawn(async move { network.request(&id(2), Bytes::new()).await }));
        held.push(next_request(&mut second).await.2);
    }
    assert_eq!(first.network.request(&id(2), Bytes::new()).await, Err(RequestError::Busy));
    for reply in held {
        reply.send(Bytes::from_static(b"late")).unwrap();
    }
    for answer in answers {
        assert_eq!(answer.await.unwrap().unwrap(), "late");
    }
    assert!(
        ask(&first, &mut second, Bytes::new(), |_, reply| reply.send(Bytes::new()).unwrap()).await.is_ok()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_connection_ends_the_question() {
    let mut first = start(1, config(TCP)).await;
    let mut second = join(2, TCP, &first).await;
    first.connected_to(2).await;
    let stop = async {
        let (_, _, reply) = next_request(&mut second).await;
        second.network.shutdown().await;
        drop(reply);
    };
    let (result, ()) = tokio::join!(asked(&first, Bytes::new()), stop);
    assert!(matches!(result, Err(RequestError::Disconnected | RequestError::Refused)), "{result:?}");
}

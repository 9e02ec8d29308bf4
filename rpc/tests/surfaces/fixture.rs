//! A running server and plain requests to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aegis_rpc::{Client, ClientConfig, RpcConfig, Token, serve};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::fake_node::FakeNode;

/// The token of servers that have one.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Longest time that anything in these tests may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A server in front of a scripted node; stops when dropped.
pub struct Fixture {
    pub node: Arc<FakeNode>,
    pub address: SocketAddr,
    pub task: JoinHandle<()>,
    pub stop: oneshot::Sender<()>,
}

/// A reply as it came.
pub struct Reply {
    pub status: StatusCode,
    pub media: String,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// Asserts that this is a problem document with this status and code; returns its detail.
    pub fn problem(&self, status: u16, code: &str) -> String {
        let json = self.json();
        assert_eq!((self.status.as_u16(), &json["code"]), (status, &Value::from(code)), "{}", self.text);
        assert_eq!(self.media, "application/problem+json");
        assert_eq!(json["type"], format!("urn:aegis:error:{code}"));
        assert_eq!(json["status"], status);
        json["detail"].as_str().expect("a detail").to_owned()
    }
}

pub fn config() -> RpcConfig {
    RpcConfig { token: Some(Token::new(TOKEN).unwrap()), ..RpcConfig::loopback(0) }
}

pub async fn start() -> Fixture {
    start_with(config()).await
}

pub async fn start_with(config: RpcConfig) -> Fixture {
    let node = Arc::new(FakeNode::new());
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        let _ = stopped.await;
    };
    let (address, task) = serve(Arc::clone(&node) as _, config, shutdown).await.unwrap();
    Fixture { node, address, task, stop }
}

/// A plain HTTP client without anything of ours.
pub fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

impl Fixture {
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn client(&self) -> Client {
        let token = Some(TOKEN.to_owned());
        Client::connect(ClientConfig { token, ..ClientConfig::new(self.url("")) }).unwrap()
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], "").await
    }

    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        let json = [("content-type", "application/json")];
        let headers: Vec<_> = json.iter().chain(headers).copied().collect();
        self.send(Method::POST, path, &headers, &body.to_string()).await
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut request = http().request(method, self.url(path)).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let media = headers.get("content-type").map_or("", |value| value.to_str().unwrap()).to_owned();
        Reply { status, media, headers, text: response.text().await.unwrap() }
    }
}

//! Everything once more through TLS.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aegis_rpc::proto::node_client::NodeClient;
use aegis_rpc::{Client, ClientConfig, RpcConfig, RpcError, TlsFiles, Topic, WatchRequest, proto, serve};
use aegis_types::Height;
use futures::StreamExt;
use hyper_util::rt::TokioIo;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::Endpoint;

use crate::fake_node::{self, FakeNode};
use crate::fixture::{TOKEN, config, start_with};

fn certificate(folder: &Path, name: &str) -> (TlsFiles, CertifiedKey) {
    let certified = generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let files = TlsFiles {
        certificate: folder.join(format!("{name}.cert.pem")),
        key: folder.join(format!("{name}.key.pem")),
    };
    std::fs::write(&files.certificate, certified.cert.pem()).unwrap();
    std::fs::write(&files.key, certified.key_pair.serialize_pem()).unwrap();
    (files, certified)
}

fn with_tls(files: &TlsFiles) -> RpcConfig {
    RpcConfig { tls: Some(files.clone()), ..config() }
}

fn client(url: String, ca: Option<PathBuf>) -> Client {
    Client::connect(ClientConfig { ca, token: Some(TOKEN.to_owned()), ..ClientConfig::new(url) }).unwrap()
}

#[tokio::test]
async fn rest_and_websocket_work_through_tls_with_the_right_authority_only() {
    let folder = tempfile::tempdir().unwrap();
    let (files, _) = certificate(folder.path(), "server");
    let (other, _) = certificate(folder.path(), "other");
    let server = start_with(with_tls(&files)).await;
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{}", server.address.port());
        let trusting = client(url.clone(), Some(files.certificate.clone()));
        assert_eq!(trusting.status().await.unwrap(), fake_node::status());
        let request = WatchRequest {
            topics: BTreeSet::from(Topic::ALL),
            from_height: Some(Height(1)),
            key_prefix: None,
        };
        let mut watch = trusting.watch(request.clone()).await.unwrap();
        assert_eq!(watch.next().await.unwrap().unwrap(), fake_node::event(1));

        for ca in [Some(other.certificate.clone()), None] {
            let distrusting = client(url.clone(), ca);
            let error = distrusting.status().await.unwrap_err();
            assert!(error.is_unreachable() && error.to_string().contains("certificate"), "{error}");
            assert!(distrusting.watch(request.clone()).await.is_err());
        }
    }
    let plain = client(format!("http://{}", server.address), None);
    assert!(plain.status().await.is_err(), "plain HTTP is answered");
}

#[tokio::test]
async fn grpc_works_through_tls() {
    let folder = tempfile::tempdir().unwrap();
    let (files, certified) = certificate(folder.path(), "server");
    let server = start_with(with_tls(&files)).await;
    let mut roots = RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let (connector, address) = (TlsConnector::from(Arc::new(tls)), server.address);
    let connect = tower::service_fn(move |_| {
        let connector = connector.clone();
        async move {
            let stream = TcpStream::connect(address).await?;
            let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await?;
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        }
    });
    // The address names the scheme that the connector, not tonic, takes care of.
    let endpoint = Endpoint::from_static("http://localhost");
    let mut client = NodeClient::new(endpoint.connect_with_connector(connect).await.unwrap());
    let status = client.get_status(proto::GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.height, fake_node::NEWEST);
}

#[tokio::test]
async fn unusable_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (files, _) = certificate(folder.path(), "server");
    let (other, _) = certificate(folder.path(), "other");
    let absent = folder.path().join("absent.pem");
    let cases = [
        (TlsFiles { certificate: absent.clone(), ..files.clone() }, &absent),
        (TlsFiles { key: absent.clone(), ..files.clone() }, &absent),
        (TlsFiles { certificate: files.key.clone(), ..files.clone() }, &files.key),
        (TlsFiles { key: other.key.clone(), ..files.clone() }, &files.certificate),
    ];
    for (files, named) in cases {
        let error =
            serve(Arc::new(FakeNode::new()), with_tls(&files), std::future::pending()).await.unwrap_err();
        assert!(matches!(&error, RpcError::Tls { path, .. } if path == named), "{error}");
    }
    let ca = ClientConfig { ca: Some(absent), ..ClientConfig::new("https://127.0.0.1:1") };
    assert!(Client::connect(ca).unwrap_err().to_string().contains("absent.pem"));
}

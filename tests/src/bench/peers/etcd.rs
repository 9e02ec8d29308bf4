//! etcd, as Debian packages it: three members with default settings.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::bail;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use super::Plan;
use super::processes::{Processes, free_ports};
use super::round::{self, Putter, Round};

const MEMBERS: usize = 3;
/// How long the members may take to elect a leader.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);
const PUT: &str = "/etcdserverpb.KV/Put";

/// The fields of etcd's `PutRequest` that are used here.
#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// etcd's `PutResponse`, of which nothing is used.
#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

struct Member {
    grpc: Grpc<Channel>,
    name: String,
    value: Vec<u8>,
}

impl Member {
    async fn send(&mut self, key: String) -> Result<(), Status> {
        self.grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let request = PutRequest { key: key.into_bytes(), value: self.value.clone() };
        let codec = ProstCodec::<PutRequest, PutResponse>::default();
        self.grpc.unary(Request::new(request), PathAndQuery::from_static(PUT), codec).await.map(drop)
    }
}

impl Putter for Member {
    async fn put(&mut self, number: u64) -> anyhow::Result<()> {
        Ok(self.send(format!("bench/{}/{number}", self.name)).await?)
    }
}

pub(super) async fn measure(plan: &Plan, folder: &Path) -> anyhow::Result<Round> {
    let ports = free_ports(2 * MEMBERS)?;
    let (client_ports, peer_ports) = ports.split_at(MEMBERS);
    let url = |port: &u16| format!("http://127.0.0.1:{port}");
    let cluster: Vec<String> =
        peer_ports.iter().enumerate().map(|(index, port)| format!("m{index}={}", url(port))).collect();
    let mut processes = Processes::new(folder);
    for (index, (client, peer)) in client_ports.iter().zip(peer_ports).enumerate() {
        let mut command = Command::new("etcd");
        command.args(["--name", &format!("m{index}"), "--initial-cluster", &cluster.join(",")]);
        command
            .args(["--initial-cluster-state", "new"])
            .arg("--data-dir")
            .arg(folder.join(format!("m{index}")));
        command.args(["--listen-client-urls", &url(client), "--advertise-client-urls", &url(client)]);
        command.args(["--listen-peer-urls", &url(peer), "--initial-advertise-peer-urls", &url(peer)]);
        processes.start(command, "etcd-server")?;
    }
    let member = |index: usize, port: &u16| -> anyhow::Result<Member> {
        let channel = Endpoint::from_shared(url(port))?.connect_lazy();
        Ok(Member { grpc: Grpc::new(channel), name: index.to_string(), value: vec![0x5A; plan.payload] })
    };
    wait_ready(&mut member(0, &client_ports[0])?, &processes).await?;
    let clients = (0..plan.clients)
        .zip(client_ports.iter().cycle())
        .map(|(index, port)| member(index, port))
        .collect::<anyhow::Result<Vec<_>>>()?;
    round::run(plan, "etcd", clients, &processes.ids()).await
}

async fn wait_ready(member: &mut Member, processes: &Processes) -> anyhow::Result<()> {
    let begun = Instant::now();
    while let Err(status) = member.send("bench/ready".to_owned()).await {
        if begun.elapsed() > PATIENCE {
            bail!("etcd takes no puts: {status}; its log ends so:\n{}", processes.log());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

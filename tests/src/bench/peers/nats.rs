//! NATS, as Debian packages it: three servers, and one stream on disk with three replicas.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::bail;
use async_nats::jetstream::{self, stream};

use super::Plan;
use super::processes::{Processes, free_ports};
use super::round::{self, Putter, Round};

const SERVERS: usize = 3;
/// How long the servers may take to elect a leader.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);

struct Publisher {
    context: jetstream::Context,
    subject: String,
    value: bytes::Bytes,
}

impl Putter for Publisher {
    async fn put(&mut self, _number: u64) -> anyhow::Result<()> {
        self.context.publish(self.subject.clone(), self.value.clone()).await?.await?;
        Ok(())
    }
}

pub(super) async fn measure(plan: &Plan, folder: &Path) -> anyhow::Result<Round> {
    let ports = free_ports(2 * SERVERS)?;
    let (client_ports, route_ports) = ports.split_at(SERVERS);
    let routes: Vec<String> = route_ports.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
    let mut processes = Processes::new(folder);
    for (index, (client, route)) in client_ports.iter().zip(&routes).enumerate() {
        let mut command = Command::new("nats-server");
        command.args(["--addr", "127.0.0.1", "--port", &client.to_string(), "--name", &format!("s{index}")]);
        command.args(["--cluster_name", "bench", "--cluster", route, "--routes", &routes.join(",")]);
        command.arg("--jetstream").arg("--store_dir").arg(folder.join(format!("s{index}")));
        processes.start(command, "nats-server")?;
    }
    wait_ready(client_ports, &processes).await?;
    let mut clients = Vec::with_capacity(plan.clients);
    for (index, port) in (0..plan.clients).zip(client_ports.iter().cycle()) {
        let client = async_nats::connect(format!("nats://127.0.0.1:{port}")).await?;
        clients.push(Publisher {
            context: jetstream::new(client),
            subject: format!("bench.{index}"),
            value: vec![0x5A; plan.payload].into(),
        });
    }
    round::run(plan, "nats", clients, &processes.ids()).await
}

/// Makes the stream, as soon as the servers let it be made.
async fn wait_ready(ports: &[u16], processes: &Processes) -> anyhow::Result<()> {
    let begun = Instant::now();
    while let Err(error) = make_stream(ports).await {
        if begun.elapsed() > PATIENCE {
            bail!("NATS makes no stream: {error}; its log ends so:\n{}", processes.log());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn make_stream(ports: &[u16]) -> anyhow::Result<()> {
    let servers: Vec<String> = ports.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
    let client = async_nats::connect(servers).await?;
    let config = stream::Config {
        name: "bench".to_owned(),
        subjects: vec!["bench.>".to_owned()],
        storage: stream::StorageType::File,
        num_replicas: SERVERS,
        ..stream::Config::default()
    };
    jetstream::new(client).create_stream(config).await?;
    Ok(())
}

//! `aegis status`

use aegis_config::ByteSize;
use aegis_rpc::api::{Role, SnapshotProgress, Status, TorState};
use clap::Args;

use super::session::Session;
use super::table::Fields;
use super::{Failure, Global};
use crate::calendar::{length, time};
use crate::node::unix_ms;

/// Where the node stands: height, epoch, view, leader, weights, sync
#[derive(Debug, Args)]
pub struct StatusCommand {}

impl StatusCommand {
    /// Prints it.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let session = Session::open(global)?;
        let status = session.client.status().await.map_err(|error| session.failure(error))?;
        session.output.document(&status, text)
    }
}

/// How far a snapshot is taken over, in words.
fn snapshot(progress: &SnapshotProgress) -> String {
    let SnapshotProgress { height, done_bytes, total_bytes, bytes_per_second, .. } = progress;
    let left = progress.left_ms.map_or_else(String::new, |left| format!(", {} left", length(left)));
    let bytes = |bytes: &u64| approximate(*bytes).to_string();
    format!(
        "{} the snapshot of height {height}: {} of {}, {}/s{left}",
        progress.phase.name(),
        bytes(done_bytes),
        bytes(total_bytes),
        bytes(bytes_per_second),
    )
}

fn text(status: &Status) -> String {
    let role = match status.role {
        Role::Validator => {
            let silent = if status.silent.is_some() { "silent, " } else { "" };
            format!("validator, {silent}weight {} of {}", status.weight, status.total_weight)
        }
        Role::Observer => "observer".to_owned(),
    };
    let view = if status.view_changing { " (changing)" } else { "" };
    let leader = status.leader.map_or_else(|| "unknown".to_owned(), |leader| leader.to_string());
    let sync = match (status.syncing.active, status.syncing.target_height) {
        _ if status.syncing.snapshot.is_some() => {
            status.syncing.snapshot.as_ref().map(snapshot).unwrap_or_default()
        }
        (true, Some(target)) => format!("catching up to {target} from {} peers", status.syncing.peers),
        (true, None) => format!("catching up from {} peers", status.syncing.peers),
        (false, _) if status.peers == 0 && status.weight != status.total_weight => {
            "cut off: no peer is connected".to_owned()
        }
        (false, _) => "up to date".to_owned(),
    };
    let alive = if status.weight_alive < status.quorum {
        format!("weight {}: agreement has stopped, {} are needed", status.weight_alive, status.quorum)
    } else {
        format!(
            "weight {}; {} more may fail before agreement stops (designed for {})",
            status.weight_alive, status.weight_may_still_fail, status.max_faulty
        )
    };
    let age = unix_ms().saturating_sub(status.agreed_time_ms);
    let agreed_time = format!("{} ({} ago)", time(status.agreed_time_ms), length(age));
    let store = match status.first_height {
        Some(first) => format!("{}, blocks from {first} on", approximate(status.store_bytes)),
        None => format!("{}, no blocks", approximate(status.store_bytes)),
    };
    let mut fields = Fields::new()
        .field("chain", &status.chain_id)
        .field("genesis", status.genesis)
        .field("node id", status.node_id)
        .field("peer id", &status.peer_id)
        .field("account", status.account)
        .field("role", role)
        .optional("  silent", status.silent.as_ref())
        .field("version", &status.version)
        .field("height", format!("{} (executed {})", status.height, status.executed_height))
        .field("block", status.block_digest)
        .field("state root", status.state_root)
        .field("agreed time", agreed_time)
        .field("epoch", status.epoch)
        .field("view", format!("{}{view}", status.view))
        .field("leader", leader)
        .field("quorum", format!("{} of weight {}", status.quorum, status.total_weight))
        .field("alive", alive)
        .field("sync", sync)
        .field("peers", status.peers);
    fields = fields
        .optional("read-only", status.read_only.as_ref())
        .optional("unpruned", status.unpruned.as_ref());
    for address in &status.listen_addresses {
        fields = fields.field("p2p", address);
    }
    if let Some(tor) = &status.tor {
        fields = tor_fields(fields, tor);
    }
    fields
        .field("rest", &status.rest_endpoint)
        .field("grpc", &status.grpc_endpoint)
        .field(
            "pending",
            format!("{} proposals in {} batches", status.mempool.proposals, status.mempool.batches),
        )
        .field("store", store)
        .field("uptime", length(status.uptime_ms))
        .render()
}

fn tor_fields(fields: Fields, tor: &TorState) -> Fields {
    let way = match &tor.blocked {
        Some(reason) => format!("stuck at {} %: {reason}", tor.percent),
        None => format!("{} %: {}", tor.percent, tor.phase),
    };
    // A descriptor that was published serves while it is published anew, and none does without a way into the network.
    let found = match (tor.reachable, tor.service.as_str()) {
        (true, _) => "published",
        (false, "published") => "cut off",
        (false, service) => service,
    };
    fields
        .field("tor", format!("{}; {way}", tor.mode))
        .field("onion service", format!("{found}; {} connections through Tor", tor.circuits))
        .optional("onion problem", tor.problem.as_ref().filter(|_| !tor.reachable))
        .field("tor client key", &tor.client_key)
}

/// A size in whole KiB or MiB, whichever is shorter to read.
fn approximate(bytes: u64) -> ByteSize {
    if bytes < 10 << 20 { ByteSize::from_kib(bytes >> 10) } else { ByteSize::from_mib(bytes >> 20) }
}

//! `aegis kv get --prove`

use std::path::Path;
use std::time::{Duration, Instant};

use aegis_light::{LightClient, LightError, ProofFile};
use aegis_rpc::api::KvProof;
use aegis_rpc::{ClientError, ErrorCode};
use aegis_types::{Canonical, CertifiedHeader, Epoch, Genesis, Handover, StateProof, TypesError};

use crate::cli::proof::{proved_text, trusted_genesis, unproved};
use crate::cli::session::Session;
use crate::cli::{Failure, Global};

/// How long a node may take to know a certified state: a few idle intervals, as after its start.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait between two questions when the node does not say.
const RETRY: Duration = Duration::from_millis(500);

/// Obtains a proof, checks it, and prints it.
///
/// # Errors
/// When no node answers, or what it answers does not hold.
pub async fn run(
    global: &Global,
    key: &str,
    file: Option<&Path>,
    genesis: Option<&Path>,
) -> Result<(), Failure> {
    let genesis = trusted_genesis(global, genesis)?;
    let session = Session::open(global)?;
    let answer = ask(&session, key).await?;
    let certified: CertifiedHeader = read(&session, &answer.certified_header_base64.0)?;
    let proof: StateProof = read(&session, &answer.proof_base64.0)?;
    let handovers = handovers_to(&session, &genesis, certified.header.epoch).await?;
    let record = answer.record_base64.map(|record| record.0);
    let proof_file = ProofFile {
        chain: genesis.chain.clone(),
        genesis: genesis.hash(),
        handovers,
        certified,
        key: key.to_owned(),
        record,
        proof,
    };
    let verified = proof_file.verify(&genesis).map_err(|error| wrong(&session, &error))?;
    let json = proof_file.to_json().map_err(|error| wrong(&session, &error))?;
    if let Some(path) = file {
        std::fs::write(path, &json).map_err(|error| Failure::file(path, error))?;
        session.output.note(&format!("the proof is in {}; `aegis verify` checks it", path.display()));
    }
    if session.output.is_json() {
        return crate::cli::output::write_bytes(json.as_bytes());
    }
    let text = format!("{}\n{}", proved_text(&verified), way_text(&proof_file));
    crate::cli::output::write_bytes(text.as_bytes())
}

/// Asks until the node knows a certified state.
async fn ask(session: &Session, key: &str) -> Result<KvProof, Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match session.client.kv_proof(key).await {
            Ok(proof) => return Ok(proof),
            Err(ClientError::Api(error))
                if error.code == ErrorCode::NotReady && Instant::now() < deadline =>
            {
                let pause = error.retry_after_ms.map_or(RETRY, Duration::from_millis);
                tokio::time::sleep(pause.min(PATIENCE)).await;
            }
            Err(error) => return Err(session.failure(error)),
        }
    }
}

/// The handovers of all epochs before `epoch`. Each is checked as it comes, so a node cannot make this go on for ever.
async fn handovers_to(session: &Session, genesis: &Genesis, epoch: Epoch) -> Result<Vec<Handover>, Failure> {
    let mut client = LightClient::new(genesis);
    let (mut handovers, mut bytes) = (Vec::new(), 0_usize);
    while client.epoch() < epoch {
        let page = session.client.handovers(client.epoch()).await.map_err(|error| session.failure(error))?;
        if page.handovers_base64.is_empty() {
            let reason = format!("the node does not say how epoch {} ended", client.epoch());
            return Err(Failure::new(reason).help("ask another node: --rpc URL"));
        }
        for encoding in page.handovers_base64 {
            if client.epoch() >= epoch {
                break;
            }
            bytes = bytes.saturating_add(encoding.0.len());
            if bytes > ProofFile::BYTES_MAX {
                let error = LightError::FileTooLarge { actual: bytes, limit: ProofFile::BYTES_MAX };
                return Err(Failure::new(error.to_string()));
            }
            let handover: Handover = read(session, &encoding.0)?;
            client.follow(&handover).map_err(|error| wrong(session, &error))?;
            handovers.push(handover);
        }
    }
    Ok(handovers)
}

fn read<T: Canonical>(session: &Session, encoding: &[u8]) -> Result<T, Failure> {
    T::decode(encoding).map_err(|error: TypesError| {
        Failure::new(format!("the node at {} answered with a bad {}: {error}", session.url, T::NAME))
            .help("ask another node: --rpc URL")
    })
}

fn wrong(session: &Session, error: &LightError) -> Failure {
    unproved(error)
        .help(format!("the node at {} may be of another network, or lie: ask another one", session.url))
}

/// The proof in a few words; its bytes are for programs.
fn way_text(proof: &ProofFile) -> String {
    format!(
        "The proof takes {} bytes and leads over {} handovers from the genesis to these signers; --file FILE or \
         --output json keeps it.\n",
        proof.proof.encode().len(),
        proof.handovers.len()
    )
}

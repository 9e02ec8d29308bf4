//! `aegis kv get --prove`

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aegis_light::{LightClient, LightError, ProofFile};
use aegis_rpc::api::KvProof;
use aegis_rpc::{ClientError, Consistency, ErrorCode};
use aegis_types::{Canonical, CertifiedHeader, Epoch, Genesis, Handover, StateProof, TypesError};

use crate::cli::proof::{proved_text, read_checkpoint, trusted_genesis, unproved, write_checkpoint};
use crate::cli::session::Session;
use crate::cli::{Failure, Global};

/// How long a node may take to know a certified state that is new enough: some blocks, as after its start.
const PATIENCE: Duration = Duration::from_secs(20);
/// Most bytes of a file that handovers take. The largest value with the largest bucket and certificate takes less than the
/// rest.
const HANDOVERS_BYTES_MAX: usize = ProofFile::BYTES_MAX - (4 << 20);
/// How long to wait between two questions when the node does not say.
const RETRY: Duration = Duration::from_millis(500);

/// What is to be proved, and how.
pub struct Request<'a> {
    /// The key.
    pub key: &'a str,
    /// How fresh what is proved must be.
    pub consistency: Consistency,
    /// Where the proof is to be kept.
    pub file: Option<&'a Path>,
    /// The genesis that is trusted; the home's without.
    pub genesis: Option<&'a Path>,
    /// The epoch of the first handover in the proof.
    pub from_epoch: Option<Epoch>,
}

/// Obtains a proof, checks it, and prints it.
///
/// The validators that it leads to are kept in the home: a later proof that is not to be kept is followed from there on.
///
/// # Errors
/// When no node answers, or what it answers does not hold.
pub async fn run(global: &Global, request: Request<'_>) -> Result<(), Failure> {
    let Request { key, consistency, file, genesis, from_epoch } = request;
    let genesis = trusted_genesis(global, genesis)?;
    let known = Known::read(global, &genesis)?;
    let session = Session::open(global)?.reading(consistency);
    let answer = ask(&session, key).await?;
    let certified: CertifiedHeader = read(&session, &answer.certified_header_base64.0)?;
    let proof: StateProof = read(&session, &answer.proof_base64.0)?;
    let is_kept = file.is_some() || session.output.is_json();
    let first_epoch = from_epoch.unwrap_or(if is_kept { Epoch::ZERO } else { known.client.epoch() });
    if let Some(asked) = from_epoch.filter(|asked| *asked > certified.header.epoch) {
        return Err(Failure::usage(format!(
            "epoch {asked} has not begun: the state that proves the key was signed in epoch {}",
            certified.header.epoch
        ))
        .help(format!("name an epoch up to {} with --from-epoch, or leave it out", certified.header.epoch)));
    }
    let first_epoch = first_epoch.min(certified.header.epoch);
    let start = known.client_at(&genesis, first_epoch);
    let way = Way::follow(&session, start, first_epoch, certified.header.epoch);
    let Way { mut client, handovers } = way.await.map_err(|error| match error {
        WayError::TooLong { reached } => too_long(&known, reached),
        WayError::Other(failure) => failure,
    })?;
    let record = answer.record_base64.map(|record| record.0);
    let proof_file = ProofFile {
        chain: genesis.chain.clone(),
        genesis: genesis.hash(),
        first_epoch,
        handovers,
        certified,
        key: key.to_owned(),
        record,
        proof,
    };
    let verified = proof_file.verify_with(&genesis, &mut client).map_err(|error| wrong(&session, &error))?;
    known.keep(&genesis, &client)?;
    let json = proof_file.to_json().map_err(|error| wrong(&session, &error))?;
    if let Some(path) = file {
        std::fs::write(path, &json).map_err(|error| Failure::file(path, error))?;
        session.output.note(&kept_text(path, first_epoch, &known));
    }
    if session.output.is_json() {
        return crate::cli::output::write_bytes(json.as_bytes());
    }
    let text = format!("{}\n{}", proved_text(&verified), way_text(&proof_file));
    crate::cli::output::write_bytes(text.as_bytes())
}

/// What earlier proofs have shown.
struct Known {
    path: PathBuf,
    /// A client that stands where the home's checkpoint does, or at the genesis.
    client: LightClient,
    /// Whether the home may keep a checkpoint: it exists, and keeps none of another network.
    is_ours: bool,
}

impl Known {
    fn read(global: &Global, genesis: &Genesis) -> Result<Self, Failure> {
        let (path, is_home) = (global.home().checkpoint_path(), global.home().path().is_dir());
        let new = LightClient::new(genesis);
        if !path.exists() {
            return Ok(Self { path, client: new, is_ours: is_home });
        }
        let checkpoint = read_checkpoint(&path)
            .map_err(|failure| failure.help("delete the file: it is made again, from the genesis on"))?;
        if checkpoint.genesis() != genesis.hash() {
            return Ok(Self { path, client: new, is_ours: false });
        }
        let client = checkpoint.client(genesis).map_err(|error| unproved(&error))?;
        Ok(Self { path, client, is_ours: true })
    }

    /// A client from which an epoch's handover can be reached.
    fn client_at(&self, genesis: &Genesis, epoch: Epoch) -> LightClient {
        if self.client.epoch() <= epoch { self.client.clone() } else { LightClient::new(genesis) }
    }

    fn keep(&self, genesis: &Genesis, client: &LightClient) -> Result<(), Failure> {
        if self.is_ours && client.epoch() > self.client.epoch() {
            return write_checkpoint(&self.path, genesis, client);
        }
        Ok(())
    }
}

fn too_long(known: &Known, reached: Epoch) -> Failure {
    let from = known.client.epoch().max(reached);
    Failure::new(format!(
        "the chain of handovers is too long for one proof: those up to epoch {reached} have {} bytes already",
        HANDOVERS_BYTES_MAX
    ))
    .help(format!(
        "leave out the first ones with --from-epoch {from}, and check the proof with `aegis verify --checkpoint FILE`; the \
         checkpoint that this command keeps in its home, {}, will do. Without --file and JSON, nothing is too long",
        known.path.display()
    ))
}

/// Asks until the node knows a certified state that is new enough.
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

/// The way to a header's validators.
struct Way {
    /// Stands at the first epoch of `handovers`.
    client: LightClient,
    handovers: Vec<Handover>,
}

enum WayError {
    /// No file holds the handovers, those of this epoch included.
    TooLong {
        reached: Epoch,
    },
    Other(Failure),
}

impl From<Failure> for WayError {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

impl Way {
    /// The handovers from the epoch `first` to the one before `end`. Each is checked as it comes, from where `client` stands,
    /// so a node cannot make this go on for ever.
    async fn follow(
        session: &Session,
        mut client: LightClient,
        first: Epoch,
        end: Epoch,
    ) -> Result<Self, WayError> {
        let mut begin = client.clone();
        let (mut handovers, mut bytes) = (Vec::new(), 0_usize);
        while client.epoch() < end {
            let page =
                session.client.handovers(client.epoch()).await.map_err(|error| session.failure(error))?;
            if page.handovers_base64.is_empty() {
                let reason = format!("the node does not say how epoch {} ended", client.epoch());
                return Err(Failure::new(reason).help("ask another node: --rpc URL").into());
            }
            for encoding in page.handovers_base64 {
                if client.epoch() >= end {
                    break;
                }
                let handover: Handover = read(session, &encoding.0)?;
                let epoch = client.epoch();
                client.follow(&handover).map_err(|error| wrong(session, &error))?;
                if epoch < first {
                    begin = client.clone();
                    continue;
                }
                bytes = bytes.saturating_add(line_bytes(encoding.0.len()));
                if bytes > HANDOVERS_BYTES_MAX {
                    return Err(WayError::TooLong { reached: epoch });
                }
                handovers.push(handover);
            }
        }
        Ok(Self { client: begin, handovers })
    }
}

/// How many bytes of a file a handover of so many bytes takes: in base64, with quotes, comma and indentation.
fn line_bytes(bytes: usize) -> usize {
    const AROUND: usize = 16;
    bytes.div_ceil(3).saturating_mul(4).saturating_add(AROUND)
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

/// How to check a proof that was kept.
fn kept_text(path: &Path, first_epoch: Epoch, known: &Known) -> String {
    let shown = path.display();
    if first_epoch == Epoch::ZERO {
        return format!(
            "the proof is in {shown}; `aegis verify {shown}` checks it from the genesis on, or, with --checkpoint FILE, from \
             validators on that were verified before"
        );
    }
    let checkpoint = if known.is_ours { known.path.display().to_string() } else { "FILE".to_owned() };
    format!(
        "the proof is in {shown} and begins at epoch {first_epoch}; `aegis verify {shown} --checkpoint {checkpoint}` checks \
         it, with a checkpoint of epoch {first_epoch} up to that of the proof"
    )
}

/// The proof in a few words; its bytes are for programs.
fn way_text(proof: &ProofFile) -> String {
    format!(
        "The proof takes {} bytes and leads over {} from {} to these signers; --file FILE or --output json keeps \
         it.\n",
        proof.proof.encode().len(),
        match proof.handovers.len() {
            1 => "1 handover".to_owned(),
            several => format!("{several} handovers"),
        },
        if proof.first_epoch == Epoch::ZERO {
            "the genesis".to_owned()
        } else {
            format!("the validators of epoch {}, which were followed before,", proof.first_epoch)
        }
    )
}

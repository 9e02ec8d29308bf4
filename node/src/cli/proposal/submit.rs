//! `aegis proposal submit`

mod kind;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aegis_config::Period;
use aegis_rpc::api::{ProposalState, Submission, Wait};
use aegis_rpc::{ClientError, ErrorCode};
use aegis_types::{Canonical as _, Domain, Keypair, Proposal, ProposalBody};
use clap::{Args, ValueEnum};

use crate::cli::session::Session;
use crate::cli::table::Fields;
use crate::cli::{Exit, Failure, Global};

/// Bytes of randomness in an idempotency key: enough never to meet twice.
const KEY_BYTES: usize = 16;

/// Sign a proposal with the account key and submit it
#[derive(Debug, Args)]
pub struct Submit {
    #[command(subcommand)]
    kind: kind::KindArgs,
    #[command(flatten)]
    delivery: Delivery,
    /// Key file to sign with [default: the account key of the home]
    #[arg(long = "key", global = true, value_name = "FILE")]
    signer: Option<PathBuf>,
}

/// How a proposal is delivered.
#[derive(Debug, Clone, Args)]
pub struct Delivery {
    /// What to wait for
    #[arg(long, global = true, value_enum, default_value = "commit")]
    wait: WaitFor,
    /// How long to wait
    #[arg(long, global = true, value_name = "TIME", default_value = "30s")]
    timeout: Period,
    /// Of all proposals of one account with one key, the first takes effect; so running again with the same key is safe
    /// [default: a random one, which is printed]
    #[arg(long, global = true, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// After this time the proposal has no effect
    #[arg(long, global = true, value_name = "TIME", default_value = "10m")]
    expires_in: Period,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WaitFor {
    /// Until it is in a committed block
    Commit,
    /// Until a node has checked and admitted it; until a block orders it, it is held in that node's memory only
    Admit,
    /// Not at all
    None,
}

impl WaitFor {
    const fn wait(self) -> Wait {
        match self {
            Self::Commit => Wait::Commit,
            Self::Admit => Wait::Admit,
            Self::None => Wait::None,
        }
    }
}

impl Submit {
    /// Signs and submits.
    ///
    /// # Errors
    /// When it was refused, or its outcome is unknown.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let body = self.kind.body()?;
        body.check()?;
        let session = Session::open(global)?;
        let key = session.account_key(self.signer.as_deref())?;
        let domain = session.domain().await?;
        let submitted = self.delivery.deliver(&session, body, &key, &domain).await?;
        submitted.report(&session)
    }
}

/// A submission that a node has answered.
#[derive(Debug)]
pub(crate) struct Submitted {
    submission: Submission,
}

impl Delivery {
    /// What to wait for and how long, in milliseconds.
    pub fn wait(&self) -> (Wait, u64) {
        (self.wait.wait(), millis(self.timeout.get()))
    }

    /// Signs a proposal and delivers it.
    ///
    /// # Errors
    /// When it was refused, or its outcome is unknown: then the message names the idempotency key.
    pub async fn deliver(
        &self,
        session: &Session,
        body: ProposalBody,
        key: &Keypair,
        domain: &Domain,
    ) -> Result<Submitted, Failure> {
        let idempotency_key = self.idempotency_key.clone().unwrap_or_else(random_key);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let expires_at_ms = millis(now.saturating_add(self.expires_in.get()));
        let proposal = Proposal::sign(body, expires_at_ms, idempotency_key.clone(), key, domain)?;
        // Said before it is needed: whoever interrupts the wait can still try again safely.
        session.output.note(&format!("idempotency key {idempotency_key}"));
        let (wait, timeout_ms) = self.wait();
        let mut request = aegis_rpc::api::Submit::signed(proposal.encode());
        (request.wait, request.timeout_ms) = (wait, timeout_ms);
        let result = session.client.submit(request).await;
        result
            .map(|submission| Submitted { submission })
            .map_err(|error| unknown_or_refused(session, error, &idempotency_key))
    }
}

/// A refusal means that nothing happened; anything that broke after sending leaves the outcome open.
fn unknown_or_refused(session: &Session, error: ClientError, idempotency_key: &str) -> Failure {
    let is_open = match &error {
        ClientError::Api(error) => error.code == ErrorCode::OutcomeUnknown,
        error => !error.is_unreachable(),
    };
    let failure = session.failure(error);
    if is_open {
        failure.exit(Exit::OutcomeUnknown).help(format!(
            "the outcome is unknown; run the same command again with --idempotency-key {idempotency_key}: safe, it takes \
             effect at most once"
        ))
    } else {
        failure
    }
}

impl Submitted {
    /// Prints the result.
    ///
    /// # Errors
    /// `Refused` when the proposal was ordered and had no effect, after it was printed.
    pub fn report(&self, session: &Session) -> Result<(), Failure> {
        session.output.document(&self.submission, describe)?;
        let Some(outcome) = &self.submission.outcome else { return Ok(()) };
        match outcome.state {
            ProposalState::Rejected | ProposalState::Failed => {
                let code = outcome.code.as_deref().unwrap_or("no effect");
                Err(Failure::new(format!("the proposal had no effect: {} ({code})", outcome.message))
                    .exit(Exit::Refused)
                    .help("a changed proposal needs a new idempotency key"))
            }
            ProposalState::Open => {
                let id = self.submission.id;
                session.output.note(&format!(
                    "note: validators now vote on it with `aegis proposal vote {id} yes`; `aegis proposal watch {id}` follows it"
                ));
                Ok(())
            }
            ProposalState::Admitted | ProposalState::Applied | ProposalState::Passed => Ok(()),
        }
    }
}

/// A submission's result for people.
pub(crate) fn describe(submission: &Submission) -> String {
    let state = serde_json::to_value(submission.state).unwrap_or_default();
    let place = submission.height.map(|height| match submission.position {
        Some(position) => format!("{height}, position {position}"),
        None => height.to_string(),
    });
    let outcome =
        submission.outcome.as_ref().map(|outcome| format!("{}: {}", outcome.state.name(), outcome.message));
    let version = submission.outcome.as_ref().and_then(|outcome| outcome.version);
    let certificate = submission.certificate.as_ref().map(|certificate| {
        format!(
            "weight {} of {} (quorum {}), epoch {}, view {}",
            certificate.weight,
            certificate.total_weight,
            certificate.quorum,
            certificate.epoch,
            certificate.view
        )
    });
    Fields::new()
        .field("proposal", submission.id)
        .field("key", &submission.idempotency_key)
        .field("state", state.as_str().unwrap_or_default())
        .optional("block", place)
        .optional("outcome", outcome)
        .optional("version", version)
        .optional("certificate", certificate)
        .optional("duplicate", submission.duplicate.then_some("yes: this is the first submission's result"))
        .field("time", format!("{} ms", submission.elapsed_ms))
        .render()
}

fn random_key() -> String {
    hex::encode(rand::random::<[u8; KEY_BYTES]>())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

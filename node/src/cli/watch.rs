//! Following a node's changes.

use aegis_rpc::api::{WatchEvent, WatchRequest};
use aegis_rpc::{ClientError, ErrorCode};
use aegis_types::Height;
use futures::StreamExt as _;

use super::Failure;
use super::session::Session;

/// Hands each event to `show` until that says `false`.
///
/// When the node closes the watch because we were too slow, it goes on from where the node says.
///
/// # Errors
/// When the watch is refused, the connection breaks, or `show` fails.
pub async fn follow(
    session: &Session,
    mut request: WatchRequest,
    mut show: impl FnMut(&WatchEvent) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let mut newest: Option<Height> = None;
    loop {
        let mut events = match session.client.watch(request.clone()).await {
            Ok(events) => events,
            Err(error) => return Err(session.failure(error)),
        };
        let resume_from = loop {
            match events.next().await {
                Some(Ok(event)) => {
                    newest = Some(event.height);
                    if !show(&event)? {
                        return Ok(());
                    }
                }
                Some(Err(ClientError::Api(error))) if error.code == ErrorCode::SlowReader => {
                    break error.resume_from;
                }
                Some(Err(error)) => return Err(resumable(session.failure(error), newest)),
                None => {
                    let ended = Failure::new(format!("{} closed the connection", session.url));
                    return Err(resumable(ended, newest));
                }
            }
        };
        request.from_height = resume_from.or(newest);
    }
}

fn resumable(failure: Failure, newest: Option<Height>) -> Failure {
    match newest {
        Some(height) => failure.help(format!("go on with --from-height {height}")),
        None => failure,
    }
}

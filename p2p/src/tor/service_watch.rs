//! Following whether peers can find the onion service, and telling the operator when they cannot.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::{Instant, sleep};
use tor_hsservice::RunningOnionService;
use tor_hsservice::status::{OnionServiceStatus, Problem, State};

use super::state::{OnionServiceState, TorState, TorStatus};
use crate::error::chain_of;

/// Between two looks when the service tells of nothing: the client may have lost or found the network meanwhile.
const LOOK: Duration = Duration::from_secs(5);

/// The Tor client calls a service broken or unreachable for a moment when some directories or introduction points fail; what
/// lasts longer is told.
const TROUBLE_PATIENCE: Duration = Duration::from_secs(60);

/// Publishing takes a minute or two on the public network, and after a restart some minutes.
const PUBLICATION_PATIENCE: Duration = Duration::from_secs(300);

/// Longest description of a problem that is kept, in characters: the causes of one failure.
const PROBLEM_CHARS_MAX: usize = 400;

/// Keeps the state up to date. It owns the service, which ends with it.
pub(super) async fn follow_service(service: Arc<RunningOnionService>, state: Arc<TorState>) {
    let mut events = service.status_events();
    let mut watch = ServiceWatch::new(Instant::now());
    loop {
        note(&service.status(), &state);
        let status = state.status();
        if let Some(news) = watch.news(&status, state.is_ready(), Instant::now()) {
            tell(news, &status);
        }
        tokio::select! {
            event = events.next() => if event.is_none() { return },
            () = sleep(LOOK) => {}
        }
    }
}

fn note(service: &OnionServiceStatus, state: &TorState) {
    let problem = service.current_problem();
    let (found, is_published) = match (service.state(), problem) {
        // A new directory makes a new publication due. Until it is done the one before serves, and peers who come show that
        // they find the node. Without a failure, what is missing is the descriptor of the period before or after this one.
        (State::Bootstrapping, _) | (State::DegradedUnreachable, None) => {
            (OnionServiceState::Publishing, None)
        }
        (State::Running | State::DegradedReachable, _) => (OnionServiceState::Published, Some(true)),
        (State::DegradedUnreachable, Some(_)) => (OnionServiceState::Unreachable, Some(false)),
        (State::Broken, _) => (OnionServiceState::Broken, Some(false)),
        (State::Shutdown, _) => (OnionServiceState::Stopped, Some(false)),
        // The library may come to know further ones.
        _ => (OnionServiceState::Recovering, Some(false)),
    };
    let problem = problem.filter(|_| found != OnionServiceState::Published).map(text_of);
    state.change(|known| {
        let is_news = std::mem::replace(&mut known.status.service, found) != found;
        known.status.problem = problem;
        // Who has come since the last change knows better than the directories.
        if is_news {
            known.is_published = is_published.unwrap_or(known.is_published);
        }
    });
}

/// What failed, in words.
fn text_of(problem: &Problem) -> String {
    let first = |what: &str, count: usize, first: Option<&dyn Error>| {
        let causes = first.map_or_else(String::new, |error| format!(": {}", chain_of(error)));
        format!("{count} {what}{causes}")
    };
    let text = match problem {
        Problem::Runtime(error) => chain_of(error),
        Problem::DescriptorUpload(errors) => {
            let error = errors.first().map(|error| error as &dyn Error);
            first("directories did not take the descriptor", errors.len(), error)
        }
        Problem::Ipt(errors) => {
            let error = errors.first().map(|error| error as &dyn Error);
            first("introduction points failed", errors.len(), error)
        }
        // The library may come to know further ones.
        other => format!("{other:?}"),
    };
    text.chars().filter(|c| !c.is_control()).take(PROBLEM_CHARS_MAX).collect()
}

/// What an operator is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    /// Peers can find the service.
    Found,
    /// They could, and now some may not.
    Lost,
    /// They cannot for so long that somebody should look.
    Trouble,
}

/// What was told last, so that nothing is said twice.
struct ServiceWatch {
    was_reachable: bool,
    is_told: bool,
    /// Since when the client is in the network and the service cannot be found.
    missing_since: Instant,
    /// Since when the Tor client itself sees trouble.
    trouble_since: Instant,
}

impl ServiceWatch {
    fn new(now: Instant) -> Self {
        Self { was_reachable: false, is_told: false, missing_since: now, trouble_since: now }
    }

    fn news(&mut self, status: &TorStatus, is_ready: bool, now: Instant) -> Option<News> {
        // Of a client that is out of the network the operator is told otherwise.
        if status.is_reachable || !is_ready {
            self.missing_since = now;
        }
        let has_trouble = match status.service {
            OnionServiceState::Broken | OnionServiceState::Unreachable | OnionServiceState::Stopped => true,
            OnionServiceState::Publishing | OnionServiceState::Published | OnionServiceState::Recovering => {
                false
            }
        };
        if !has_trouble || status.is_reachable || !is_ready {
            self.trouble_since = now;
        }
        let is_overdue = now.duration_since(self.missing_since) >= PUBLICATION_PATIENCE
            || now.duration_since(self.trouble_since) >= TROUBLE_PATIENCE;
        let was_reachable = std::mem::replace(&mut self.was_reachable, status.is_reachable);
        if status.is_reachable {
            let is_news = !was_reachable || self.is_told;
            self.is_told = false;
            is_news.then_some(News::Found)
        } else if is_overdue && !self.is_told {
            self.is_told = true;
            Some(News::Trouble)
        } else {
            was_reachable.then_some(News::Lost)
        }
    }
}

fn tell(news: News, status: &TorStatus) {
    let TorStatus { service, problem, .. } = status;
    match news {
        News::Found => tracing::info!("the onion service can be found by peers"),
        News::Lost => tracing::info!(state = %service, "some peers may not find the onion service for now"),
        News::Trouble => tracing::warn!(
            state = %service,
            problem = problem.as_deref().unwrap_or("none is known"),
            "peers cannot find the onion service: check the clock and the internet connection; if it stays so, restart the node"
        ),
    }
}

#[cfg(test)]
mod tests {
    use libp2p::Multiaddr;

    use super::*;
    use crate::tor::TorMode;

    struct Scene {
        state: TorState,
        watch: ServiceWatch,
        now: Instant,
    }

    impl Scene {
        fn new() -> Self {
            let now = Instant::now();
            let state = TorState::new(TorMode::Only, Multiaddr::empty(), String::new());
            state.change(|known| known.is_ready = true);
            Self { state, watch: ServiceWatch::new(now), now }
        }

        /// The news after the service has been in a state for so long.
        fn after(&mut self, seconds: u64, service: OnionServiceState) -> Option<News> {
            self.state.change(|known| {
                known.status.service = service;
                known.is_published = service == OnionServiceState::Published;
            });
            let (status, is_ready) = (self.state.status(), self.state.is_ready());
            let news = self.watch.news(&status, is_ready, self.now);
            self.now += Duration::from_secs(seconds);
            news.or_else(|| self.watch.news(&status, is_ready, self.now))
        }
    }

    #[test]
    fn a_broken_service_is_told_once_and_so_is_its_return() {
        let mut scene = Scene::new();
        assert_eq!(scene.after(20, OnionServiceState::Publishing), None);
        assert_eq!(scene.after(10, OnionServiceState::Published), Some(News::Found));
        assert_eq!(scene.after(10, OnionServiceState::Broken), Some(News::Lost));
        assert_eq!(scene.after(70, OnionServiceState::Broken), Some(News::Trouble));
        assert_eq!(scene.after(500, OnionServiceState::Broken), None);
        assert_eq!(scene.after(10, OnionServiceState::Published), Some(News::Found));
    }

    #[test]
    fn a_service_that_is_published_for_ever_is_told_after_minutes() {
        let mut scene = Scene::new();
        assert_eq!(scene.after(200, OnionServiceState::Publishing), None);
        assert_eq!(scene.after(101, OnionServiceState::Publishing), Some(News::Trouble));
    }

    #[test]
    fn trouble_of_a_moment_and_a_client_without_network_are_not_told() {
        let mut scene = Scene::new();
        assert_eq!(scene.after(50, OnionServiceState::Unreachable), None);
        assert_eq!(scene.after(50, OnionServiceState::Recovering), None);
        scene.state.change(|known| known.is_ready = false);
        assert_eq!(scene.after(1000, OnionServiceState::Broken), None);
    }
}

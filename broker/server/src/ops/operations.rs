//! What operators may ask of a broker that opens, serves, or ends.

use std::{
    sync::{
        Arc, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use flotilla_core::durability::Durability;
use flotilla_store::{Progress, State, UncleanStop};
use serde_json::{Value, json};
use tokio::{sync::oneshot, time::timeout};

use crate::{
    clock::Clock,
    config::{Settings, Sync},
    net::{listener::Listener, mailbox::Inbound},
    worker::{Report, Shared},
};

/// A worker that does not answer within this time is reported as stalled.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// What is known from the first moment on.
pub(crate) struct Operations {
    /// For people.
    pub(crate) node_name: String,
    /// When what nobody waits for is on the disk.
    pub(crate) sync: Sync,
    /// When an acknowledged message is.
    pub(crate) durability: Durability,
    /// Since the start.
    pub(crate) clock: Clock,
    /// How far opening has come.
    pub(crate) progress: Arc<Progress>,
    /// Whether clients may connect.
    pub(crate) is_ready: AtomicBool,
    /// Empty while the store is being opened.
    pub(crate) serving: OnceLock<Serving>,
}

/// What there is once everything is open.
pub(crate) struct Serving {
    /// Open ones.
    pub(crate) listeners: Vec<Arc<Listener>>,
    /// Everything that is counted.
    pub(crate) shared: Arc<Shared>,
    /// How the broker before this one ended, if not in order.
    pub(crate) unclean_stop: Option<UncleanStop>,
}

impl Operations {
    /// Of a broker that has just begun to open.
    pub(crate) fn new(settings: &Settings, clock: Clock, progress: Arc<Progress>) -> Self {
        let (is_ready, serving) = (AtomicBool::new(false), OnceLock::new());
        let (node_name, sync) = (settings.node_name.clone(), settings.sync);
        let durability = settings.durability.clone();
        Self { node_name, sync, durability, clock, progress, is_ready, serving }
    }

    /// From now on clients may connect.
    pub(crate) fn opened(&self, serving: Serving) {
        assert!(self.serving.set(serving).is_ok(), "a broker opens once");
        self.is_ready.store(true, Ordering::Release);
    }

    /// What `/health` says, and whether all is well.
    pub(crate) async fn health(&self) -> (bool, Value) {
        let Some(serving) = self.serving.get() else {
            let mut page = self.page("opening");
            page["opening"] = json!({
                "phase": self.progress.phase().name(),
                "done": self.progress.done(),
                "expected": self.progress.expected(),
            });
            return (true, page);
        };
        let has_answered = serving.report().await.is_some();
        let state = serving.shared.engine.state();
        let is_well = has_answered && state == State::Healthy;
        let damage = serving.shared.engine.damage();
        // Degraded serves: whoever asks only whether to start it anew must hear that all is well.
        let mut page = self.page(match &state {
            _ if !has_answered => "stalled",
            State::Full { .. } | State::Failing { .. } => state.name(),
            State::Healthy if damage.is_empty() => "ok",
            State::Healthy => "degraded",
        });
        if state != State::Healthy {
            page["reason"] = json!(state.to_string());
        }
        page["workers"] = json!(serving.shared.mailboxes.len());
        let rules = self.durability.rules().iter();
        let rules = rules.map(|(filter, class)| json!({ "filter": filter, "class": class.name() }));
        page["store"] = json!({
            "state": state.name(),
            "sync": self.sync.to_string(),
            "durability": {
                "default": self.durability.default_class().name(),
                "rules": rules.collect::<Vec<_>>(),
            },
            "uncommitted_bytes": serving.shared.engine.uncommitted_bytes(),
            "unclean_stop": serving.unclean_stop.as_ref().map(|stop| json!({
                "machine_stopped": stop.machine_stopped,
                "wal_bytes": stop.wal_bytes,
                "seconds": stop.took.as_secs_f64(),
                "cut_off": stop.cut_off,
                "damaged_wal": stop.damaged_wal,
            })),
            "damaged": damage,
        });
        (is_well, page)
    }

    fn page(&self, status: &str) -> Value {
        json!({
            "status": status,
            "version": env!("CARGO_PKG_VERSION"),
            "node": self.node_name,
            "uptime_seconds": self.clock.elapsed().as_secs(),
            "ready": self.is_ready.load(Ordering::Acquire),
        })
    }
}

impl Serving {
    /// The sum over all workers; `None`: one of them does not answer.
    pub(crate) async fn report(&self) -> Option<Report> {
        let mut answers = Vec::new();
        for mailbox in self.shared.mailboxes.iter() {
            let (question, answer) = oneshot::channel();
            mailbox.push(Inbound::Asked(question));
            answers.push(answer);
        }
        let sum = async {
            let mut sum = Report::default();
            for answer in answers {
                sum += &answer.await.ok()?;
            }
            Some(sum)
        };
        timeout(ANSWER_TIME, sum).await.ok().flatten()
    }

    /// What the router holds.
    pub(crate) fn routed(&self) -> Routed {
        let router = self.shared.router.read().unwrap_or_else(PoisonError::into_inner);
        Routed {
            shared_groups: router.shared_groups(),
            retained_messages: router.retained_messages(),
            retained_bytes: router.retained_bytes(),
        }
    }
}

/// How much of what the router holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Routed {
    pub(crate) shared_groups: usize,
    pub(crate) retained_messages: usize,
    pub(crate) retained_bytes: usize,
}

#[cfg(test)]
mod tests {
    use flotilla_store::Phase;

    use super::*;
    use crate::config::{Overrides, load};

    #[tokio::test]
    async fn says_how_far_opening_has_come() {
        let progress = Arc::<Progress>::default();
        let settings = load(None, &Overrides::default()).unwrap();
        let operations = Operations::new(&settings, Clock::start(), Arc::clone(&progress));
        progress.begin(Phase::ReadingSessions, 7);
        progress.step();
        let (is_well, page) = operations.health().await;
        assert!(is_well, "it is alive, so nobody should start it anew");
        assert_eq!((&page["status"], &page["ready"]), (&json!("opening"), &json!(false)));
        let opening = json!({ "phase": "reading sessions", "done": 1, "expected": 7 });
        assert_eq!(page["opening"], opening);
    }
}

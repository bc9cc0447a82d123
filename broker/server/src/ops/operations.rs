//! What operators may ask of a broker that opens, serves, or ends.

use std::{
    sync::{
        Arc, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use flotilla_store::Progress;
use serde_json::{Value, json};
use tokio::{sync::oneshot, time::timeout};

use crate::{
    clock::Clock,
    config::Sync,
    net::{listener::Listener, mailbox::Inbound},
    worker::{Report, Shared},
};

/// A worker that does not answer within this time is reported as stalled.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// What is known from the first moment on.
pub(crate) struct Operations {
    /// For people.
    pub(crate) node_name: String,
    /// Durability in force.
    pub(crate) sync: Sync,
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
}

impl Operations {
    /// Of a broker that has just begun to open.
    pub(crate) fn new(
        node_name: String,
        sync: Sync,
        clock: Clock,
        progress: Arc<Progress>,
    ) -> Self {
        let (is_ready, serving) = (AtomicBool::new(false), OnceLock::new());
        Self { node_name, sync, clock, progress, is_ready, serving }
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
        let is_well = serving.report().await.is_some();
        let mut page = self.page(if is_well { "ok" } else { "stalled" });
        page["workers"] = json!(serving.shared.mailboxes.len());
        page["store"] = json!({
            "sync": self.sync.to_string(),
            "uncommitted_bytes": serving.shared.engine.uncommitted_bytes(),
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

    /// How many retained messages there are, and how many bytes they hold.
    pub(crate) fn retained(&self) -> (usize, usize) {
        let router = self.shared.router.read().unwrap_or_else(PoisonError::into_inner);
        (router.retained_messages(), router.retained_bytes())
    }
}

#[cfg(test)]
mod tests {
    use flotilla_store::Phase;

    use super::*;

    #[tokio::test]
    async fn says_how_far_opening_has_come() {
        let progress = Arc::<Progress>::default();
        let (name, clock) = ("site-a".to_owned(), Clock::start());
        let operations = Operations::new(name, Sync::Always, clock, Arc::clone(&progress));
        progress.begin(Phase::ReadingSessions, 7);
        progress.step();
        let (is_well, page) = operations.health().await;
        assert!(is_well, "it is alive, so nobody should start it anew");
        assert_eq!((&page["status"], &page["ready"]), (&json!("opening"), &json!(false)));
        let opening = json!({ "phase": "reading sessions", "done": 1, "expected": 7 });
        assert_eq!(page["opening"], opening);
    }
}

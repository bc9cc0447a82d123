//! Why the broker ends, and who says so.

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

/// Lets any thread end the broker.
#[derive(Clone, Debug)]
pub(crate) struct Alarm {
    sender: mpsc::UnboundedSender<String>,
}

impl Alarm {
    /// An alarm with the one who hears it.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<String>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender }, receiver)
    }

    /// Ends the broker with exit code 1: what it promised it could no longer keep. `why` is a
    /// sentence for the log.
    pub(crate) fn raise(&self, why: impl Into<String>) {
        // Without a hearer the broker ends already.
        let _ = self.sender.send(why.into());
    }
}

/// Lets a panic in any thread end the process, as release builds do anyhow: a half-applied turn must
/// not go on, and nobody may wait for a thread that is gone. The store brings the sessions back.
pub(crate) fn abort_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::abort();
    }));
}

/// What operators tell a running broker.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// SIGTERM or SIGINT, its name.
    End(&'static str),
    /// SIGHUP.
    Reload,
}

impl Signals {
    /// From now on these signals do not end the process.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::End("SIGTERM"),
            _ = self.interrupt.recv() => Order::End("SIGINT"),
            _ = self.hang_up.recv() => Order::Reload,
        }
    }
}

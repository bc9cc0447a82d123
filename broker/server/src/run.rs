//! A running broker: signals, the end.

use std::{
    mem,
    pin::pin,
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::{
    FAILURE,
    auth::Passwords,
    config::{Refusal, Settings},
    files::Files,
    net::{acceptor::Acceptor, mailbox::Inbound},
    ops::{
        shutdown::{Order, Signals},
        sys,
    },
    start::Broker,
};

/// How long the workers have for their last bytes; a little more than they take themselves.
const WORKERS_END_TIME: Duration = Duration::from_secs(4);
/// How long the store has for its last commit.
const STORE_END_TIME: Duration = Duration::from_secs(5);

impl Broker {
    /// Runs until somebody ends it. `reread`: the configuration as it is now.
    pub(crate) async fn run(
        mut self,
        mut signals: Signals,
        reread: &dyn Fn() -> Result<Settings, Refusal>,
    ) -> ExitCode {
        let listeners = mem::take(&mut self.listeners);
        let mailboxes = Arc::clone(&self.shared.mailboxes);
        let acceptor = match Acceptor::start(listeners, mailboxes, self.alarm.clone()) {
            Ok(acceptor) => acceptor,
            Err(error) => {
                error!("connections cannot be accepted: {error}");
                return ExitCode::from(FAILURE);
            }
        };
        let sys = sys::say(Arc::clone(&self.operations), self.settings.sys_interval);
        let mut sys = pin!(sys);
        loop {
            tokio::select! {
                () = &mut sys => {}
                order = signals.next() => match order {
                    Order::Reload => self.reload(reread),
                    Order::End(name) => {
                        info!("{name}: the broker ends");
                        break;
                    }
                },
                Some(why) = self.alarms.recv() => {
                    error!("{why}");
                    return ExitCode::from(FAILURE);
                }
            }
        }
        self.operations.is_ready.store(false, Ordering::Release);
        self.control.close();
        acceptor.end();
        tokio::select! {
            code = self.end() => code,
            order = impatience(&mut signals) => {
                error!("{order} again: the broker ends at once; what was acknowledged is stored");
                ExitCode::from(FAILURE)
            }
        }
    }

    async fn end(mut self) -> ExitCode {
        let start = Instant::now();
        for mailbox in self.shared.mailboxes.iter() {
            mailbox.push(Inbound::ShutDown);
        }
        let workers = async {
            while !self.workers.iter().all(JoinHandle::is_finished) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let clean = tokio::select! {
            end = timeout(WORKERS_END_TIME, workers) => end.is_ok(),
            Some(why) = self.alarms.recv() => {
                error!("{why}");
                return ExitCode::from(FAILURE);
            }
        };
        if !clean {
            warn!("some clients did not take their last bytes in time");
        }
        let engine = Arc::clone(&self.shared.engine);
        let close = tokio::task::spawn_blocking(move || engine.close());
        match timeout(STORE_END_TIME, close).await {
            Ok(Ok(Ok(()))) => {
                info!("ended after {} ms", start.elapsed().as_millis());
                ExitCode::SUCCESS
            }
            Ok(Ok(Err(error))) => {
                error!("the store did not close: {error}");
                ExitCode::from(FAILURE)
            }
            Ok(Err(_)) | Err(_) => {
                error!("the store did not close in time; what was acknowledged is stored");
                ExitCode::from(FAILURE)
            }
        }
    }

    /// Takes up what has changed in the files, all of it or nothing.
    fn reload(&self, reread: &dyn Fn() -> Result<Settings, Refusal>) {
        match reread() {
            Ok(settings) if settings != self.settings => warn!(
                "SIGHUP: the configuration has changed; that takes effect when the broker is \
                 started again, only certificates and passwords are reloaded"
            ),
            Ok(_) => {}
            Err(refusal) => {
                warn!("SIGHUP: {refusal}; the broker would not start with this configuration");
            }
        }
        match Files::read(&self.settings) {
            Ok(files) => {
                let users = files.passwords.as_ref().map(Passwords::len);
                let mut certificates = 0;
                let serving = self.operations.serving.get();
                let listeners = serving.map_or(&[][..], |serving| &serving.listeners);
                for (listener, config) in listeners.iter().zip(files.tls) {
                    if let Some(config) = config {
                        listener.replace_tls(config);
                        certificates += 1;
                    }
                }
                self.shared.checker.replace(files.passwords);
                info!(
                    "SIGHUP: reloaded the certificates of {certificates} listeners and {} users; \
                     connections that are open stay",
                    users.unwrap_or(0)
                );
            }
            Err(sentence) => {
                error!("SIGHUP: nothing was reloaded, everything stays as it was: {sentence}");
            }
        }
    }
}

async fn impatience(signals: &mut Signals) -> &'static str {
    loop {
        if let Order::End(name) = signals.next().await {
            return name;
        }
    }
}

//! A broker as a process: that it is ready, that it ends.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    compare::{
        case::Setup,
        pin,
        recipe::{Places, Recipe},
    },
    error::Error,
};

/// How long a broker may take until its port accepts.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How long it may take to end when it is told to.
const END_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked whether it is so far.
const LOOK: Duration = Duration::from_millis(20);

/// A broker that runs. Dropped, it is ended.
pub(crate) struct Broker {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Removed behind it.
    _dir: TempDir,
}

impl Broker {
    /// Starts it on a free port of the loopback and waits until that accepts. In `certificates` are
    /// those of the broker.
    ///
    /// # Errors
    /// When it ends, or does not accept in time.
    pub(crate) fn start(
        recipe: &Recipe,
        setup: Setup,
        certificates: &Path,
        is_pinned: bool,
    ) -> Result<Self, Error> {
        let failed = |reason: String| Error::Broker {
            name: recipe.name.clone(),
            command: recipe.command.clone(),
            reason,
        };
        let dir = tempfile::tempdir().map_err(|error| failed(error.to_string()))?;
        let port = free_port().map_err(|error| failed(error.to_string()))?;
        let places = Places { port, dir: dir.path(), certificates, setup };
        if let Some((name, text)) = recipe.file(&places) {
            fs::write(dir.path().join(name), text).map_err(|error| failed(error.to_string()))?;
        }
        let command = places.fill(&recipe.command);
        let mut words = command.split_whitespace();
        let program = words.next().ok_or_else(|| failed("the command is empty".into()))?;
        let mut command = Command::new(program);
        command.args(words).current_dir(dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // What is started inherits the core.
        pin::to(is_pinned.then_some(pin::BROKER))?;
        let child = command.spawn();
        pin::to(is_pinned.then_some(pin::TOOL))?;
        let child = child.map_err(|error| failed(error.to_string()))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut broker = Self { child, address, _dir: dir };
        let end = Instant::now() + READY_WITHIN;
        while TcpStream::connect(address).is_err() {
            if let Ok(Some(status)) = broker.child.try_wait() {
                return Err(failed(format!("it ended with {status}")));
            }
            if Instant::now() > end {
                return Err(failed(format!("nobody accepts connections on {address}")));
            }
            thread::sleep(LOOK);
        }
        Ok(broker)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            // It may have ended already.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let end = Instant::now() + END_WITHIN;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > end {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            thread::sleep(LOOK);
        }
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_at_once_is_told() {
        let recipe = Recipe::parse("false=false {port}").unwrap();
        let ended = Broker::start(&recipe, Setup::default(), Path::new(""), false).err().unwrap();
        assert!(ended.to_string().contains("it ended with"), "{ended}");
    }
}

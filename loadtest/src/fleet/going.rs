//! How connections go, and come again.

use std::time::{Duration, Instant};

use crate::{
    client::{Client, Phase, Role},
    error::Error,
    fleet::{Fleet, WAIT, broken},
};

/// How long a broker may take to close what has said goodbye; then it is closed from here.
const LEFT_WITHIN: Duration = Duration::from_secs(2);

impl Fleet {
    /// Says DISCONNECT on all connections, and waits until the broker has closed them.
    ///
    /// # Errors
    /// When one ends otherwise.
    pub(crate) fn leave(&mut self) -> Result<(), Error> {
        let (version, address) = (self.target.version, self.target.address);
        for client in self.clients.iter_mut().flatten() {
            client.leave(version)?;
            client.link.flush().map_err(|source| broken(client, address, source))?;
        }
        self.until_closed()
    }

    /// Waits until all that have said DISCONNECT are closed.
    ///
    /// # Errors
    /// When another connection ends.
    pub(crate) fn until_closed(&mut self) -> Result<(), Error> {
        let has_left =
            |it: &Option<Client>| it.as_ref().is_some_and(|client| client.phase == Phase::Left);
        let end = Instant::now() + LEFT_WITHIN;
        while self.clients.iter().any(has_left) && Instant::now() < end {
            self.turn(WAIT)?;
        }
        for client in self.clients.iter_mut().filter(|client| has_left(client)) {
            *client = None;
        }
        Ok(())
    }

    /// Says DISCONNECT on one connection.
    ///
    /// # Errors
    /// When it has broken.
    pub(crate) fn depart(&mut self, number: usize) -> Result<(), Error> {
        let Some(client) = &mut self.clients[number] else { return Ok(()) };
        client.leave(self.target.version)?;
        let address = self.target.address;
        client.link.flush().map_err(|source| broken(client, address, source))
    }

    /// Reads nothing more on a connection, as when a device hangs before it dies.
    pub(crate) fn deafen(&mut self, number: usize) {
        if let Some(client) = &mut self.clients[number] {
            client.phase = Phase::Deaf;
        }
    }

    /// Ends a connection without DISCONNECT: closes it as when a program is killed.
    pub(crate) fn cut(&mut self, number: usize) {
        self.clients[number] = None;
    }

    /// The same with RST, as when a device comes back from a loss of power: what is on its way on
    /// the connection is thrown away on both sides.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub(crate) fn reset(&mut self, number: usize) -> Result<(), Error> {
        if let Some(client) = self.clients[number].take() {
            let what = "a connection cannot be reset";
            client.link.reset_at_end().map_err(|source| Error::System { what, source })?;
        }
        Ok(())
    }

    /// Lets a connection that has gone be opened again in one of the next turns.
    pub(crate) fn open_again(&mut self, number: usize, role: Role) {
        self.clients[number] = None;
        self.waiting.push_back((number, role));
    }

    /// Whether messages may flow on it.
    pub(crate) fn is_ready(&self, number: usize) -> bool {
        self.clients[number].as_ref().is_some_and(|client| client.phase == Phase::Ready)
    }
}

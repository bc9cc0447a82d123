//! The TLS of one connection.
//!
//! Records are decrypted where they were read and encrypted where all connections' are, so an idle
//! connection holds its keys and no buffer.

#[cfg(test)]
mod tests;

use std::{
    io::{self, Write},
    mem,
    sync::Arc,
};

use mio::net::TcpStream;
use rustls::{
    ServerConfig,
    pki_types::CertificateDer,
    server::UnbufferedServerConnection,
    unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus},
};

/// Bytes that are encrypted at once: four full records.
const PLAIN_MAX: usize = 64 * 1024;
/// What they take, with room for whatever goes before them.
pub(crate) const SEALED_MAX: usize = PLAIN_MAX + 1024;
/// Largest handshake message that is taken: a chain of certificates.
const UNREAD_MAX: usize = 64 * 1024;
/// Room for a close_notify in its record.
const ALERT_MAX: usize = 64;

/// Keys, with what of the stream is between the records.
pub(crate) struct Encryption {
    connection: UnbufferedServerConnection,
    /// The beginning of a record.
    unread: Vec<u8>,
    /// Records that the socket has not taken yet.
    unsent: Vec<u8>,
    has_said_goodbye: bool,
}

/// Why a stream of records ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("{0}")]
    Tls(#[from] rustls::Error),
    #[error("a handshake message has more than {UNREAD_MAX} bytes")]
    TooLarge,
}

impl Encryption {
    /// Waits for the peer's first message.
    ///
    /// # Errors
    /// When the configuration does not fit together.
    pub(crate) fn new(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        let connection = UnbufferedServerConnection::new(config)?;
        let (unread, unsent) = (Vec::new(), Vec::new());
        Ok(Self { connection, unread, unsent, has_said_goodbye: false })
    }

    /// Whether the handshake is done.
    pub(crate) fn is_open(&self) -> bool {
        !self.connection.is_handshaking()
    }

    /// The peer's certificate, where it showed one.
    pub(crate) fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.connection.peer_certificates()?.first()
    }

    /// Decrypts what came, in place; says whether the peer has ended the stream.
    ///
    /// # Errors
    /// What the peer did wrong; the alert that tells it is ready to be sent.
    pub(crate) fn unseal(
        &mut self,
        came: &mut [u8],
        mut take: impl FnMut(&[u8]),
    ) -> Result<bool, Broken> {
        if self.unread.is_empty() {
            let (used, is_over) = self.process(came, &mut take);
            self.unread.extend_from_slice(came.get(used..).unwrap_or_default());
            return is_over;
        }
        let mut unread = mem::take(&mut self.unread);
        unread.extend_from_slice(came);
        let (used, is_over) = self.process(&mut unread, &mut take);
        if used < unread.len() {
            unread.drain(..used);
            self.unread = unread;
        }
        if self.unread.len() > UNREAD_MAX {
            return Err(Broken::TooLarge);
        }
        is_over
    }

    /// Goes through whole records; says how many bytes they were.
    fn process(
        &mut self,
        records: &mut [u8],
        take: &mut impl FnMut(&[u8]),
    ) -> (usize, Result<bool, Broken>) {
        let Self { connection, unsent, .. } = self;
        let (mut used, mut is_over) = (0, false);
        loop {
            let rest = records.get_mut(used..).unwrap_or_default();
            let UnbufferedStatus { mut discard, state } = connection.process_tls_records(rest);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        discard += record.discard;
                        take(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(message)) => encode(message, unsent),
                Ok(ConnectionState::TransmitTlsData(sent)) => sent.done(),
                Ok(ConnectionState::PeerClosed) => is_over = true,
                Ok(_) => return (used + discard, Ok(is_over)),
                Err(error) => {
                    used += discard;
                    let rest = records.get_mut(used..).unwrap_or_default();
                    take_alert(connection, rest, unsent);
                    return (used, Err(error.into()));
                }
            }
            used += discard;
        }
    }

    /// Encrypts the beginning of `plain` and writes it; says how much of it is on its way: sent, or
    /// kept here.
    ///
    /// # Errors
    /// `WouldBlock`: nothing is, there is no room. Any other: nothing reaches the peer any more.
    pub(crate) fn write(
        &mut self,
        plain: &[u8],
        stream: &mut TcpStream,
        sealed: &mut [u8],
    ) -> io::Result<usize> {
        if !self.flush(stream)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let plain = plain.get(..PLAIN_MAX).unwrap_or(plain);
        let bytes = self.seal(plain, sealed)?;
        let mut sealed = sealed.get(..bytes).unwrap_or_default();
        if !self.unsent.is_empty() {
            // Something of the encryption's own, which must leave first.
            self.unsent.extend_from_slice(sealed);
            self.flush(stream)?;
            return Ok(plain.len());
        }
        while !sealed.is_empty() {
            match stream.write(sealed) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => sealed = sealed.get(bytes..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.unsent.extend_from_slice(sealed);
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(plain.len())
    }

    fn seal(&mut self, plain: &[u8], sealed: &mut [u8]) -> io::Result<usize> {
        let Self { connection, unread, unsent, .. } = self;
        loop {
            // What was not a whole record before is none now: nothing of it is used up.
            let status = connection.process_tls_records(unread);
            match status.state.map_err(io::Error::other)? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    return traffic.encrypt(plain, sealed).map_err(io::Error::other);
                }
                ConnectionState::EncodeTlsData(message) => encode(message, unsent),
                ConnectionState::TransmitTlsData(sent) => sent.done(),
                _ => return Err(io::ErrorKind::NotConnected.into()),
            }
        }
    }

    /// Whether there are records that the socket has not taken.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends them; says whether all have left.
    ///
    /// # Errors
    /// Nothing reaches the peer any more.
    pub(crate) fn flush(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        let mut sent = 0;
        let outcome = loop {
            let rest = self.unsent.get(sent..).unwrap_or_default();
            if rest.is_empty() {
                break Ok(true);
            }
            match stream.write(rest) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => sent += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        if sent == self.unsent.len() {
            self.unsent = Vec::new();
        } else {
            self.unsent.drain(..sent);
        }
        outcome
    }

    /// Adds a close_notify, once.
    pub(crate) fn say_goodbye(&mut self) {
        if mem::replace(&mut self.has_said_goodbye, true) {
            return;
        }
        let Self { connection, unread, unsent, .. } = self;
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) =
            connection.process_tls_records(unread).state
        {
            let mut alert = [0; ALERT_MAX];
            match traffic.queue_close_notify(&mut alert) {
                Ok(bytes) => unsent.extend_from_slice(alert.get(..bytes).unwrap_or_default()),
                // Too many bytes were encrypted with these keys: it ends without.
                Err(EncryptError::EncryptExhausted | EncryptError::InsufficientSize(_)) => {}
            }
        }
    }
}

/// What tells the peer why the stream ends. Nothing more is read from `rest`.
fn take_alert(connection: &mut UnbufferedServerConnection, rest: &mut [u8], unsent: &mut Vec<u8>) {
    while connection.wants_write() {
        match connection.process_tls_records(rest).state {
            Ok(ConnectionState::EncodeTlsData(message)) => encode(message, unsent),
            Ok(_) | Err(_) => return,
        }
    }
}

fn encode<T>(mut message: EncodeTlsData<'_, T>, unsent: &mut Vec<u8>) {
    let begin = unsent.len();
    let mut length = 0;
    loop {
        unsent.resize(begin + length, 0);
        match message.encode(unsent.get_mut(begin..).unwrap_or_default()) {
            Err(EncodeError::InsufficientSize(needed)) if needed.required_size > length => {
                length = needed.required_size;
            }
            Ok(_) | Err(_) => return,
        }
    }
}

impl std::fmt::Debug for Encryption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encryption").finish_non_exhaustive()
    }
}

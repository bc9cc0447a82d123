//! A connection's byte stream, encrypted or not.

use std::{
    io::{self, IoSlice, Read as _, Write as _},
    net::Shutdown,
};

use mio::{Interest, Registry, Token, net::TcpStream};
use rustls::pki_types::CertificateDer;

use super::encryption::{Encryption, SEALED_MAX};

/// Bytes read from one socket before others have their turn.
pub(crate) const READ_MAX: usize = 64 * 1024;

/// What all sockets of a worker are read into, encrypted into.
#[derive(Debug)]
pub(crate) struct Scratch {
    read: Box<[u8]>,
    sealed: Box<[u8]>,
}

impl Default for Scratch {
    fn default() -> Self {
        let zeroes = |length| vec![0; length].into_boxed_slice();
        Self { read: zeroes(READ_MAX), sealed: zeroes(SEALED_MAX) }
    }
}

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    /// Bytes that the operating system had, at most [`READ_MAX`]. Fewer: it has no more for now.
    pub(crate) bytes: usize,
    /// The peer has ended the stream, properly or not.
    pub(crate) is_over: bool,
}

/// What a listener's scheme makes of a TCP connection. Nothing here waits.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    /// `tls://`; boxed, because it is large.
    encryption: Option<Box<Encryption>>,
}

impl Socket {
    /// For a connection that was accepted.
    pub(crate) fn new(stream: TcpStream, encryption: Option<Encryption>) -> Self {
        Self { stream, encryption: encryption.map(Box::new) }
    }

    /// Lets `registry` tell each time something comes. Closing the socket ends that.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn watch(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.stream, token, Interest::READABLE)
    }

    /// Lets it also tell when there is room again. Most sockets never need that; each new one would
    /// be told of the room that it has.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn watch_room(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.reregister(&mut self.stream, token, both)
    }

    /// Whether the handshake is done, if there is one.
    pub(crate) fn is_open(&self) -> bool {
        self.encryption.as_ref().is_none_or(|encryption| encryption.is_open())
    }

    /// The peer's certificate, where it showed one.
    pub(crate) fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.encryption.as_ref()?.peer_certificate()
    }

    /// Reads once; `take` gets what the peer said. With it goes what the handshake has to answer.
    ///
    /// # Errors
    /// Nothing reaches the peer any more.
    pub(crate) fn read(
        &mut self,
        scratch: &mut Scratch,
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<Read> {
        let bytes = loop {
            match self.stream.read(&mut scratch.read) {
                Ok(bytes) => break bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Read { bytes: 0, is_over: false });
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        let read = scratch.read.get_mut(..bytes).unwrap_or_default();
        if bytes == 0 {
            return Ok(Read { bytes, is_over: true });
        }
        let Some(encryption) = &mut self.encryption else {
            take(read);
            return Ok(Read { bytes, is_over: false });
        };
        let unsealed = encryption.unseal(read, take);
        // An alert that says what was wrong goes too.
        let flushed = encryption.flush(&mut self.stream);
        let is_over = unsealed.map_err(io::Error::other)?;
        flushed?;
        Ok(Read { bytes, is_over })
    }

    /// Writes the beginning of `slices`, as much as the socket takes.
    ///
    /// # Errors
    /// `WouldBlock`: it takes nothing for now. Any other: nothing reaches the peer any more.
    pub(crate) fn write(
        &mut self,
        slices: &[IoSlice<'_>],
        scratch: &mut Scratch,
    ) -> io::Result<usize> {
        loop {
            let written = match (&mut self.encryption, slices) {
                (None, [one]) => self.stream.write(one),
                (None, _) => self.stream.write_vectored(slices),
                (Some(encryption), _) => {
                    let first = slices.iter().find(|slice| !slice.is_empty());
                    let first = first.map_or(&[][..], |slice| slice);
                    encryption.write(first, &mut self.stream, &mut scratch.sealed)
                }
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => return written,
            }
        }
    }

    /// Whether the socket owes the peer bytes that it has taken already.
    pub(crate) fn has_unsent(&self) -> bool {
        self.encryption.as_ref().is_some_and(|encryption| encryption.has_unsent())
    }

    /// Sends what the encryption still holds; says whether that was everything.
    ///
    /// # Errors
    /// Nothing reaches the peer any more.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        match &mut self.encryption {
            None => Ok(true),
            Some(encryption) => encryption.flush(&mut self.stream),
        }
    }

    /// Tells the peer that nothing more comes; `tls://`: with close_notify [RFC 8446, 6.1]. Says
    /// whether it is told; if not, to be asked again when there is room.
    ///
    /// # Errors
    /// Nothing reaches the peer any more.
    pub(crate) fn shut_down(&mut self) -> io::Result<bool> {
        if let Some(encryption) = &mut self.encryption {
            encryption.say_goodbye();
            if !encryption.flush(&mut self.stream)? {
                return Ok(false);
            }
        }
        self.stream.shutdown(Shutdown::Write)?;
        Ok(true)
    }
}

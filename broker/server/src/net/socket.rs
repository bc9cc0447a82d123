//! A connection's byte stream: over TCP or TLS, as it is or in the frames of a WebSocket.

use std::{
    io::{self, IoSlice, Read as _, Write as _},
    net::{Shutdown, SocketAddr},
};

use mio::{Interest, Registry, Token, net::TcpStream};
use rustls::pki_types::CertificateDer;

use super::{
    encryption::{Encryption, SEALED_MAX},
    framing::{Framing, Heard, frame_packets},
};

/// Bytes read from one socket before others have their turn.
pub(crate) const READ_MAX: usize = 64 * 1024;
/// Bytes that go into one frame.
const FRAME_MAX: usize = 60 * 1024;

/// What all sockets of a worker are read into, encrypted into, framed into.
#[derive(Debug)]
pub(crate) struct Scratch {
    read: Box<[u8]>,
    sealed: Box<[u8]>,
    said: Vec<u8>,
    framed: Vec<u8>,
}

impl Default for Scratch {
    fn default() -> Self {
        let zeroes = |length| vec![0; length].into_boxed_slice();
        let (said, framed) = (Vec::new(), Vec::new());
        Self { read: zeroes(READ_MAX), sealed: zeroes(SEALED_MAX), said, framed }
    }
}

/// What a read came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    /// Bytes that the operating system had, at most [`READ_MAX`]. Fewer: it has no more for now.
    pub(crate) bytes: usize,
    /// The peer has ended the stream, properly or not.
    pub(crate) is_over: bool,
    /// Why the peer is not listened to any more. It has been told; the stream is to be ended.
    pub(crate) refusal: Option<String>,
}

/// What a listener's scheme makes of a TCP connection. Nothing here waits.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    /// Boxed: most connections of `tcp://` are idle, and these are large.
    layers: Option<Box<Layers>>,
}

/// What is between the packets and the TCP connection.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    /// `tls://`, `wss://`
    pub(crate) encryption: Option<Encryption>,
    /// `ws://`, `wss://`
    pub(crate) framing: Option<Box<Framing>>,
}

impl Socket {
    /// For a connection that was accepted.
    pub(crate) fn new(stream: TcpStream, layers: Layers) -> Self {
        let is_plain = layers.encryption.is_none() && layers.framing.is_none();
        Self { stream, layers: (!is_plain).then(|| Box::new(layers)) }
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

    /// Whether the TLS handshake is done, if there is one.
    pub(crate) fn is_secure(&self) -> bool {
        let encryption = self.layers.as_ref().and_then(|layers| layers.encryption.as_ref());
        encryption.is_none_or(Encryption::is_open)
    }

    /// Whether packets can go both ways.
    pub(crate) fn is_open(&self) -> bool {
        let framing = self.layers.as_ref().and_then(|layers| layers.framing.as_ref());
        self.is_secure() && framing.is_none_or(|framing| framing.is_open())
    }

    /// The other end; `None`: it has gone.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
    }

    /// The peer's certificate, where it showed one.
    pub(crate) fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.layers.as_ref()?.encryption.as_ref()?.peer_certificate()
    }

    /// Reads once; `take` gets what the peer said. With it goes what the layers have to answer.
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
                    return Ok(Read { bytes: 0, is_over: false, refusal: None });
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        if bytes == 0 {
            return Ok(Read { bytes, is_over: true, refusal: None });
        }
        let Some(layers) = &mut self.layers else {
            take(scratch.read.get(..bytes).unwrap_or_default());
            return Ok(Read { bytes, is_over: false, refusal: None });
        };
        let heard = layers.hear(bytes, scratch, take);
        // An alert that says what was wrong goes, too.
        let flushed = layers.flush(&mut self.stream, &mut scratch.sealed);
        let (is_over, refusal) = heard?;
        flushed?;
        Ok(Read { bytes, is_over, refusal })
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
            let written = match (&mut self.layers, slices) {
                (None, [one]) => self.stream.write(one),
                (None, _) => self.stream.write_vectored(slices),
                (Some(layers), _) => {
                    let first = slices.iter().find(|slice| !slice.is_empty());
                    layers.write(first.map_or(&[], |slice| slice), &mut self.stream, scratch)
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
        self.layers.as_ref().is_some_and(|layers| {
            let framing = layers.framing.as_ref();
            layers.encryption.as_ref().is_some_and(Encryption::has_unsent)
                || framing.is_some_and(|framing| !framing.unsent.is_empty())
        })
    }

    /// Sends what the layers still hold; says whether that was everything.
    ///
    /// # Errors
    /// Nothing reaches the peer any more.
    pub(crate) fn flush(&mut self, scratch: &mut Scratch) -> io::Result<bool> {
        match &mut self.layers {
            None => Ok(true),
            Some(layers) => layers.flush(&mut self.stream, &mut scratch.sealed),
        }
    }

    /// Tells the peer that nothing more comes: `ws://` with a close frame [RFC 6455, 5.5.1],
    /// `tls://` with close_notify [RFC 8446, 6.1]. Says whether it is told; if not, to be asked
    /// again when there is room.
    ///
    /// # Errors
    /// Nothing reaches the peer any more.
    pub(crate) fn shut_down(&mut self, scratch: &mut Scratch) -> io::Result<bool> {
        if let Some(layers) = &mut self.layers {
            if let Some(framing) = &mut layers.framing {
                framing.say_goodbye();
            }
            if !layers.flush(&mut self.stream, &mut scratch.sealed)? {
                return Ok(false);
            }
            if let Some(encryption) = &mut layers.encryption {
                encryption.say_goodbye();
                if !encryption.flush(&mut self.stream)? {
                    return Ok(false);
                }
            }
        }
        self.stream.shutdown(Shutdown::Write)?;
        Ok(true)
    }
}

impl Layers {
    /// Takes off what is around the first `bytes` bytes that were read. Says whether the peer has
    /// ended the stream, or why it is not listened to any more.
    fn hear(
        &mut self,
        bytes: usize,
        scratch: &mut Scratch,
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<(bool, Option<String>)> {
        let Scratch { read, said, .. } = scratch;
        let read = read.get_mut(..bytes).unwrap_or_default();
        let Some(framing) = &mut self.framing else {
            let Some(encryption) = &mut self.encryption else { return Ok((false, None)) };
            let is_over = encryption.unseal(read, take).map_err(io::Error::other)?;
            return Ok((is_over, None));
        };
        said.clear();
        let mut heard = Heard::Well;
        let mut listen = |bytes: &[u8]| {
            // Behind an end it is deaf.
            if heard == Heard::Well {
                heard = framing.unframe(bytes, said);
            }
        };
        let is_over = match &mut self.encryption {
            Some(encryption) => encryption.unseal(read, listen).map_err(io::Error::other)?,
            None => {
                listen(read);
                false
            }
        };
        if !said.is_empty() {
            take(said);
        }
        Ok(match heard {
            Heard::Well => (is_over, None),
            Heard::End => (true, None),
            Heard::Wrong(reason) => (is_over, Some(reason)),
        })
    }

    fn write(
        &mut self,
        bytes: &[u8],
        stream: &mut TcpStream,
        scratch: &mut Scratch,
    ) -> io::Result<usize> {
        let Scratch { sealed, framed, .. } = scratch;
        if !self.flush(stream, sealed)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let Some(framing) = &self.framing else { return self.write_below(bytes, stream, sealed) };
        if !framing.may_speak() {
            // The peer has closed: it would not look at it.
            return Ok(bytes.len());
        }
        let bytes = bytes.get(..FRAME_MAX).unwrap_or(bytes);
        framed.clear();
        frame_packets(bytes, framed);
        let written = match self.write_below(framed, stream, sealed) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            written => written?,
        };
        if let Some(framing) = &mut self.framing {
            framing.unsent.extend_from_slice(framed.get(written..).unwrap_or_default());
        }
        Ok(bytes.len())
    }

    /// Writes what is framed already.
    fn write_below(
        &mut self,
        bytes: &[u8],
        stream: &mut TcpStream,
        sealed: &mut [u8],
    ) -> io::Result<usize> {
        match &mut self.encryption {
            None => stream.write(bytes),
            Some(encryption) => encryption.write(bytes, stream, sealed),
        }
    }

    fn flush(&mut self, stream: &mut TcpStream, sealed: &mut [u8]) -> io::Result<bool> {
        if self.framing.as_ref().is_some_and(|framing| !framing.unsent.is_empty()) {
            let unsent = self.framing.as_mut().map(|framing| std::mem::take(&mut framing.unsent));
            let mut unsent = unsent.unwrap_or_default();
            let mut sent = 0;
            while let Some(rest @ [_, ..]) = unsent.get(sent..) {
                match self.write_below(rest, stream, sealed) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(bytes) => sent += bytes,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        unsent.drain(..sent);
                        if let Some(framing) = &mut self.framing {
                            framing.unsent = unsent;
                        }
                        return Ok(false);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        match &mut self.encryption {
            None => Ok(true),
            Some(encryption) => encryption.flush(stream),
        }
    }
}

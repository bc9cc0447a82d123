//! One TLS connection over a socket that does not wait.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;
use rustls::{ClientConnection, HandshakeKind};

use crate::tls::Tls;

/// The client's side.
#[derive(Debug)]
pub(crate) struct Session {
    tls: ClientConnection,
}

impl Session {
    /// # Errors
    /// When rustls refuses the settings.
    pub(crate) fn new(tls: &Tls) -> io::Result<Self> {
        tls.connection().map(|tls| Self { tls }).map_err(as_io)
    }

    /// Whether it began with a ticket of an earlier one.
    pub(crate) fn is_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Reads once from the socket into `wire`, and decrypts into `room`, which is no smaller; answers
    /// what is to be answered. How many bytes came out, which may be none; whether there may be more.
    ///
    /// # Errors
    /// `UnexpectedEof` when the peer has closed; `InvalidData` when it does not speak TLS as it
    /// should, or has no certificate that is trusted.
    pub(crate) fn read(
        &mut self,
        stream: &mut TcpStream,
        wire: &mut [u8],
        room: &mut [u8],
    ) -> io::Result<(usize, bool)> {
        let len = stream.read(wire)?;
        let mut rest = &wire[..len];
        let mut filled = 0;
        while !rest.is_empty() {
            self.tls.read_tls(&mut rest)?;
            if let Err(error) = self.tls.process_new_packets() {
                // The alert tells the peer why; whether it hears it does not matter.
                let _ = self.flush(stream);
                return Err(as_io(error));
            }
            filled += self.take(&mut room[filled..])?;
        }
        if len == 0 && filled == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.flush(stream)?;
        Ok((filled, len == wire.len()))
    }

    /// Takes what is decrypted.
    fn take(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        loop {
            match self.tls.reader().read(&mut room[filled..]) {
                Ok(0) if filled == 0 => return Err(ErrorKind::UnexpectedEof.into()),
                // What came before the end counts; the end is met again.
                Ok(0) => return Ok(filled),
                Ok(len) => filled += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(filled),
                Err(error) => return Err(error),
            }
        }
    }

    /// Encrypts what there is room for, writes what the socket takes.
    ///
    /// # Errors
    /// `WouldBlock` when nothing more is taken now.
    pub(crate) fn write(&mut self, stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
        let len = self.tls.writer().write(bytes)?;
        self.flush(stream)?;
        if len == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(len) }
    }

    /// Writes what is encrypted already, as far as the socket takes it.
    pub(crate) fn flush(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(stream) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn as_io(error: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

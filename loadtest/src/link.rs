//! One socket: bytes in, bytes out, without waiting.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr},
};

use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

/// Bytes that one read takes at most.
pub(crate) const READ_LEN: usize = 64 * 1024;

/// A connection that is opened, or open.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    /// What is to be sent.
    out: Vec<u8>,
    /// How much of it the socket has taken.
    sent: usize,
    /// The front of a packet whose rest has not come.
    partial: Vec<u8>,
    is_open: bool,
}

/// What one read brought.
pub(crate) enum Filled {
    /// This many bytes are in the scratch buffer. The flag: there may be more.
    Bytes(usize, bool),
    /// Nothing now.
    Nothing,
    /// The peer has closed.
    End,
}

impl Link {
    /// Begins to open a connection, from this address if one is given.
    ///
    /// # Errors
    /// When the operating system refuses at once.
    pub(crate) fn open(address: SocketAddr, source: Option<IpAddr>) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        if let Err(error) = socket.connect(&address.into())
            && error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error())
        {
            return Err(error);
        }
        let stream = TcpStream::from_std(socket.into());
        Ok(Self { stream, out: Vec::new(), sent: 0, partial: Vec::new(), is_open: false })
    }

    pub(crate) const fn source(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Where to append what is to be sent.
    pub(crate) const fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Bytes that wait to be sent.
    pub(crate) const fn backlog(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Reads once into the scratch buffer, behind what was left of the read before.
    pub(crate) fn fill(&mut self, scratch: &mut [u8]) -> io::Result<Filled> {
        let before = self.partial.len();
        scratch[..before].copy_from_slice(&self.partial);
        let room = &mut scratch[before..];
        loop {
            match self.stream.read(room) {
                Ok(0) => return Ok(Filled::End),
                Ok(len) => {
                    self.partial.clear();
                    return Ok(Filled::Bytes(before + len, len == room.len()));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_for_later(&error) => return Ok(Filled::Nothing),
                Err(error) => return Err(error),
            }
        }
    }

    /// Keeps what was read and is not a whole packet.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        if !rest.is_empty() {
            self.partial.extend_from_slice(rest);
        }
    }

    /// Writes what the socket takes.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if !self.is_open {
            if let Some(error) = self.stream.take_error()? {
                return Err(error);
            }
            match self.stream.peer_addr() {
                Ok(_) => self.is_open = true,
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(len) => self.sent += len,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_for_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected)
}

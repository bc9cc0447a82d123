//! One socket: bytes in, bytes out, without waiting.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use mio::net::TcpStream;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::{fleet::Target, tls::Session, websocket::WebSocket};

/// Bytes that one read takes at most.
pub(crate) const READ_LEN: usize = 64 * 1024;

/// A connection that is opened, or open.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    /// Between the bytes here and those of the socket; boxed, it is ten times as large.
    tls: Option<Box<Session>>,
    /// Between MQTT and what the socket, or TLS, has.
    websocket: Option<Box<WebSocket>>,
    /// What is to be sent.
    out: Vec<u8>,
    /// How much of what is to be written the socket has taken.
    sent: usize,
    /// The front of a packet whose rest has not come.
    partial: Vec<u8>,
    is_open: bool,
    /// Whether anything was written since that was last asked.
    is_written: bool,
}

/// Room for one read of any connection.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// The front of a packet, and what has just come.
    pub(crate) bytes: Vec<u8>,
    /// The same, as it was on the wire of TLS.
    wire: Vec<u8>,
}

impl Scratch {
    /// For packets with payloads of this many bytes.
    pub(crate) fn new(payload_len: usize) -> Self {
        // One read behind the largest part of a packet.
        Self { bytes: vec![0; 2 * READ_LEN + 2 * payload_len], wire: vec![0; READ_LEN] }
    }
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
    pub(crate) fn open(target: &Target, source: Option<IpAddr>) -> io::Result<Self> {
        let address = target.address;
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
        let tls = target.tls.as_ref().map(Session::new).transpose()?.map(Box::new);
        let websocket = target.websocket.as_ref();
        let websocket = websocket.map(|(host, path)| WebSocket::new(host, path));
        Ok(Self {
            stream,
            tls,
            websocket: websocket.map(Box::new),
            out: Vec::new(),
            sent: 0,
            partial: Vec::new(),
            is_open: false,
            is_written: false,
        })
    }

    pub(crate) const fn source(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Lets the connection end with RST when it is dropped.
    pub(crate) fn reset_at_end(&self) -> io::Result<()> {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))
    }

    /// Where to append what is to be sent.
    pub(crate) const fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Bytes that wait to be sent.
    pub(crate) fn backlog(&self) -> usize {
        let framed = self.websocket.as_ref().map_or(0, |websocket| websocket.len());
        self.out.len() + framed - self.sent
    }

    /// Whether anything was written since the last time that this was asked.
    pub(crate) const fn take_written(&mut self) -> bool {
        std::mem::replace(&mut self.is_written, false)
    }

    /// Whether TLS began with a ticket of an earlier connection.
    pub(crate) fn is_resumed(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_resumed())
    }

    /// Reads once into the scratch buffer, behind what was left of the read before.
    pub(crate) fn fill(&mut self, scratch: &mut Scratch) -> io::Result<Filled> {
        let before = self.partial.len();
        scratch.bytes[..before].copy_from_slice(&self.partial);
        let room = &mut scratch.bytes[before..];
        loop {
            let read = match &mut self.tls {
                Some(tls) => tls.read(&mut self.stream, &mut scratch.wire, room),
                None => match self.stream.read(room) {
                    Ok(0) => return Ok(Filled::End),
                    read => read.map(|len| (len, len == room.len())),
                },
            };
            let read = match (read, &mut self.websocket) {
                (Ok((len, is_more)), Some(websocket)) => {
                    let len = websocket.unwrap_frames(&mut room[..len])?;
                    if len == 0 && websocket.is_ended {
                        return Ok(Filled::End);
                    }
                    Ok((len, is_more))
                }
                (read, _) => read,
            };
            match read {
                Ok((0, false)) => return Ok(Filled::Nothing),
                Ok((0, true)) => {}
                Ok((len, is_more)) => {
                    self.partial.clear();
                    return Ok(Filled::Bytes(before + len, is_more));
                }
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Filled::End),
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
        if let Some(tls) = &mut self.tls {
            // What it took before, and its own handshake.
            tls.flush(&mut self.stream)?;
        }
        let out = match &mut self.websocket {
            Some(websocket) => websocket.wrap(&mut self.out),
            None => &mut self.out,
        };
        while self.sent < out.len() {
            let rest = &out[self.sent..];
            let written = match &mut self.tls {
                Some(tls) => tls.write(&mut self.stream, rest),
                None => self.stream.write(rest),
            };
            match written {
                Ok(len) => {
                    self.sent += len;
                    self.is_written = true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_for_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        out.clear();
        self.sent = 0;
        Ok(())
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected)
}

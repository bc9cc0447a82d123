//! A connection's byte stream, encrypted or not.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

/// What a listener's scheme makes of a TCP connection.
#[derive(Debug)]
pub(crate) enum Socket {
    /// `tcp://`
    Tcp(TcpStream),
    /// `tls://`; boxed, it is ten times as large.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// Reads into `buffer`; 0 bytes: the peer has ended the stream, properly or not.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        let read = match self {
            Self::Tcp(stream) => ready!(Pin::new(stream).poll_read(context, &mut buffer)),
            Self::Tls(stream) => ready!(Pin::new(stream).poll_read(context, &mut buffer)),
        };
        Poll::Ready(read.map(|()| buffer.filled().len()))
    }

    /// Writes the beginning of `slices`, as much as the socket takes.
    pub(crate) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match (self, slices) {
            (Self::Tcp(stream), [one]) => Pin::new(stream).poll_write(context, one),
            (Self::Tcp(stream), _) => Pin::new(stream).poll_write_vectored(context, slices),
            (Self::Tls(stream), _) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    /// Sends what the encryption still holds.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    /// Tells the peer that nothing more comes; `tls://`: with close_notify [RFC 8446, 6.1].
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

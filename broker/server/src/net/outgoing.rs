//! Bytes on their way to one socket.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    task::{Context, Poll, ready},
};

use super::socket::Socket;

/// Buffers for one system call; a turn gives a connection one, so more pile up only behind a slow
/// peer.
const SLICES_MAX: usize = 8;

/// Whole buffers in the order in which they must leave.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    buffers: VecDeque<Vec<u8>>,
    /// Bytes of the first buffer that have left.
    written: usize,
    /// The encryption may hold bytes.
    is_unflushed: bool,
}

impl Outgoing {
    /// Adds a buffer at the end.
    pub(crate) fn push(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.buffers.push_back(bytes);
        }
    }

    /// Writes until everything has left or the socket takes no more. Adds the bytes it took to
    /// `taken`; hands every buffer that has left to `spent`.
    pub(crate) fn poll_drain(
        &mut self,
        socket: &mut Socket,
        context: &mut Context<'_>,
        taken: &mut usize,
        mut spent: impl FnMut(Vec<u8>),
    ) -> Poll<io::Result<()>> {
        while !self.buffers.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut used = 0;
            for (slice, buffer) in slices.iter_mut().zip(&self.buffers) {
                let skip = if used == 0 { self.written } else { 0 };
                *slice = IoSlice::new(buffer.get(skip..).unwrap_or_default());
                used += 1;
            }
            let bytes = ready!(socket.poll_write(context, slices.get(..used).unwrap_or_default()))?;
            if bytes == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *taken += bytes;
            self.is_unflushed = true;
            self.advance(bytes, &mut spent);
        }
        if self.is_unflushed {
            ready!(socket.poll_flush(context))?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, bytes: usize, spent: &mut impl FnMut(Vec<u8>)) {
        self.written += bytes;
        while let Some(first) = self.buffers.front()
            && self.written >= first.len()
        {
            self.written -= first.len();
            if let Some(buffer) = self.buffers.pop_front() {
                spent(buffer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
    };

    #[test]
    fn everything_leaves_in_order_through_a_slow_socket() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut socket = Socket::Tcp(listener.accept().await.unwrap().0);
            let mut outgoing = Outgoing::default();
            let expected: Vec<u8> = (0..8_000_000_u32).map(|n| (n / 7) as u8).collect();
            for chunk in expected.chunks(300_007) {
                outgoing.push(chunk.to_vec());
            }
            outgoing.push(Vec::new());
            let (mut taken, mut spent, mut pauses) = (0, 0, 0);
            let write = poll_fn(|context| {
                let poll = outgoing
                    .poll_drain(&mut socket, context, &mut taken, |buffer| spent += buffer.len());
                pauses += usize::from(poll.is_pending());
                poll
            });
            let mut received = vec![0; expected.len()];
            let (written, read) = tokio::join!(write, peer.read_exact(&mut received));
            written.unwrap();
            read.unwrap();
            assert!(received == expected && outgoing.buffers.is_empty() && pauses > 0);
            assert_eq!((taken, spent), (expected.len(), expected.len()));
        });
    }
}

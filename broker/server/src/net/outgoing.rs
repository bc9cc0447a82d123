//! Bytes on their way to one socket.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
};

use super::socket::{Scratch, Socket};

/// Buffers for one system call; a turn gives a connection one, so more pile up only behind a slow
/// peer.
const SLICES_MAX: usize = 8;

/// Whole buffers in the order in which they must leave.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// Boxed: it is there while the peer is slow.
    queue: Option<Box<Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    buffers: VecDeque<Vec<u8>>,
    /// Bytes of the first buffer that have left.
    written: usize,
}

impl Outgoing {
    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_none()
    }

    /// Adds a buffer at the end.
    pub(crate) fn push(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.queue.get_or_insert_default().buffers.push_back(bytes);
        }
    }

    /// Writes `bytes`, behind what waits; what the socket does not take waits. Adds the bytes it
    /// took to `taken`; hands every buffer that has left to `spent`. Says whether all has left.
    ///
    /// # Errors
    /// Nothing reaches the peer any more.
    pub(crate) fn send(
        &mut self,
        bytes: Vec<u8>,
        socket: &mut Socket,
        scratch: &mut Scratch,
        taken: &mut usize,
        mut spent: impl FnMut(Vec<u8>),
    ) -> io::Result<bool> {
        if !self.is_empty() {
            self.push(bytes);
            return self.drain(socket, scratch, taken, spent);
        }
        let mut written = 0;
        while let Some(rest @ [_, ..]) = bytes.get(written..) {
            match socket.write(&[IoSlice::new(rest)], scratch) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    written += bytes;
                    *taken += bytes;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let buffers = VecDeque::from([bytes]);
                    self.queue = Some(Box::new(Queue { buffers, written }));
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        spent(bytes);
        Ok(!socket.has_unsent())
    }

    /// Writes until everything has left or the socket takes no more, otherwise as [`Self::send`].
    ///
    /// # Errors
    /// Nothing reaches the peer any more.
    pub(crate) fn drain(
        &mut self,
        socket: &mut Socket,
        scratch: &mut Scratch,
        taken: &mut usize,
        mut spent: impl FnMut(Vec<u8>),
    ) -> io::Result<bool> {
        while let Some(queue) = &mut self.queue {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut used = 0;
            for (slice, buffer) in slices.iter_mut().zip(&queue.buffers) {
                let skip = if used == 0 { queue.written } else { 0 };
                *slice = IoSlice::new(buffer.get(skip..).unwrap_or_default());
                used += 1;
            }
            match socket.write(slices.get(..used).unwrap_or_default(), scratch) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    *taken += bytes;
                    queue.advance(bytes, &mut spent);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
            if queue.buffers.is_empty() {
                self.queue = None;
            }
        }
        socket.flush(scratch)
    }
}

impl Queue {
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
    use crate::net::socket::Layers;
    use std::{
        io::Read,
        net::{TcpListener, TcpStream},
        thread,
        time::Duration,
    };

    use mio::{Events, Poll, Token};

    #[test]
    fn everything_leaves_in_order_through_a_slow_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stream = listener.accept().unwrap().0;
        stream.set_nonblocking(true).unwrap();
        let mut socket = Socket::new(mio::net::TcpStream::from_std(stream), Layers::default());
        let mut poll = Poll::new().unwrap();
        socket.watch(poll.registry(), Token(0)).unwrap();
        socket.watch_room(poll.registry(), Token(0)).unwrap();

        // More than the operating system takes before somebody reads.
        let expected: Vec<u8> = (0..24_000_000_u32).map(|n| (n / 7) as u8).collect();
        let length = expected.len();
        let (mut outgoing, mut scratch) = (Outgoing::default(), Scratch::default());
        let (mut taken, mut spent) = (0, 0);
        let mut is_done = true;
        outgoing.push(Vec::new());
        for chunk in expected.chunks(300_007) {
            let count = |buffer: Vec<u8>| spent += buffer.len();
            is_done = outgoing
                .send(chunk.to_vec(), &mut socket, &mut scratch, &mut taken, count)
                .unwrap();
        }
        assert!(!is_done && taken < length);
        let reader = thread::spawn(move || {
            let mut received = vec![0; length];
            peer.read_exact(&mut received).unwrap();
            received
        });
        let mut events = Events::with_capacity(8);
        while !is_done {
            poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
            assert!(!events.is_empty(), "there is room at some time");
            let count = |buffer: Vec<u8>| spent += buffer.len();
            is_done = outgoing.drain(&mut socket, &mut scratch, &mut taken, count).unwrap();
        }
        assert!(reader.join().unwrap() == expected && outgoing.is_empty());
        assert_eq!((taken, spent), (length, length));
    }
}

//! What the worker relies on in its runtime.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    rc::Rc,
    task::{Poll, Waker},
    time::Duration,
};

use tokio::{
    io::AsyncReadExt,
    runtime::{Builder, LocalOptions},
    task::spawn_local,
};

/// What connections have done since the turn before, with the turn's waker.
#[derive(Default)]
struct Desk {
    reads: Cell<usize>,
    turn: RefCell<Option<Waker>>,
    reads_by_turn: RefCell<Vec<usize>>,
}

/// More than the 61 tasks after which the runtime looks for new events.
const SOCKETS: usize = 300;

#[test]
fn the_turn_comes_after_all_ready_sockets() {
    let runtime =
        Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    let desk = Rc::new(Desk::default());
    let mut peers = Vec::new();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for _ in 0..SOCKETS {
            peers.push(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
            let (stream, _) = listener.accept().unwrap();
            stream.set_nonblocking(true).unwrap();
            spawn_local(read(tokio::net::TcpStream::from_std(stream).unwrap(), Rc::clone(&desk)));
        }
        spawn_local(take_turns(Rc::clone(&desk)));
        // Every task waits for its socket now.
        tokio::time::sleep(Duration::from_millis(1)).await;
        desk.reads_by_turn.borrow_mut().clear();
        for peer in &mut peers {
            peer.write_all(b"x").unwrap();
        }
        while desk.reads_by_turn.borrow().iter().sum::<usize>() < SOCKETS {
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(*desk.reads_by_turn.borrow(), [SOCKETS]);
    drop(runtime);
    assert_eq!(peers.iter_mut().map(|peer| peer.read(&mut [0]).unwrap()).sum::<usize>(), 0);
}

async fn read(mut socket: tokio::net::TcpStream, desk: Rc<Desk>) {
    while let Ok(1..) = socket.read(&mut [0; 8]).await {
        desk.reads.set(desk.reads.get() + 1);
        if desk.reads.get() == 1
            && let Some(waker) = &*desk.turn.borrow()
        {
            waker.wake_by_ref();
        }
    }
}

async fn take_turns(desk: Rc<Desk>) {
    poll_fn(|context| {
        *desk.turn.borrow_mut() = Some(context.waker().clone());
        desk.reads_by_turn.borrow_mut().push(desk.reads.take());
        Poll::<()>::Pending
    })
    .await;
}

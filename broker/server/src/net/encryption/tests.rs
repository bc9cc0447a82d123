//! TLS with a peer of the same library over real sockets.

use crate::config::{ServerCertificate, TlsSettings};
use crate::net::{
    outgoing::Outgoing,
    socket::{Layers, Scratch, Socket},
    tls,
};
use std::{
    fs,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use flotilla_certs::Authority;
use mio::{Events, Poll, Token};
use rustls::{
    ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
    version::{TLS12, TLS13},
};

use super::Encryption;

/// A server's socket with its peer, who trusts it.
fn pair(version: &'static SupportedProtocolVersion) -> (Socket, TcpStream, ClientConnection) {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::generate("Test CA", 10).unwrap();
    let names = ["localhost".to_owned()];
    authority.issue_server(&names, 5).unwrap().save(dir.path(), "server").unwrap();
    let file = |name: &str| dir.path().join(name);
    let settings = TlsSettings {
        certificate: ServerCertificate::Files {
            certificate: file("server.pem"),
            key: file("server.key"),
        },
        client_ca: None,
    };
    let server = tls::configure(&settings, (Path::new(""), Path::new(""))).unwrap();
    fs::write(file("ca.pem"), authority.certificate_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("ca.pem")).unwrap()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let client = ClientConnection::new(Arc::new(client), name).unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_nodelay(true).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let stream = listener.accept().unwrap().0;
    stream.set_nonblocking(true).unwrap();
    let stream = mio::net::TcpStream::from_std(stream);
    let encryption = Some(Encryption::new(server).unwrap());
    let layers = Layers { encryption, framing: None };
    (Socket::new(stream, layers), peer, client)
}

/// Sends back what comes until the peer ends the stream, then ends it, too.
fn echo(mut socket: Socket) -> io::Result<()> {
    let mut poll = Poll::new()?;
    socket.watch(poll.registry(), Token(0))?;
    socket.watch_room(poll.registry(), Token(0))?;
    let (mut events, mut scratch) = (Events::with_capacity(8), Scratch::default());
    let (mut outgoing, mut has_read_all) = (Outgoing::default(), false);
    loop {
        poll.poll(&mut events, Some(Duration::from_secs(20)))?;
        assert!(!events.is_empty(), "nothing comes");
        while !has_read_all {
            let mut came = Vec::new();
            let read = socket.read(&mut scratch, |bytes| came.extend_from_slice(bytes))?;
            outgoing.push(came);
            has_read_all = read.is_over;
            if read.bytes == 0 {
                break;
            }
        }
        if socket.is_open()
            && outgoing.drain(&mut socket, &mut scratch, &mut 0, drop)?
            && has_read_all
        {
            return socket.shut_down(&mut scratch).map(|is_told| assert!(is_told));
        }
    }
}

/// A connection whose bytes come one by one.
struct Drip(TcpStream);

impl Read for Drip {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Drip {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes.get(..1).unwrap_or_default())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn much_through_a_slow_socket_and_proper_ends() {
    for (version, expected) in
        [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)]
    {
        let (socket, peer, client) = pair(version);
        let server = thread::spawn(|| echo(socket));
        let mut client = StreamOwned::new(client, peer);
        let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 7) as u8).collect();
        client.write_all(&sent).unwrap();
        client.conn.refresh_traffic_keys().ok();
        client.conn.send_close_notify();
        client.flush().unwrap();
        // Without close_notify this is an error.
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        assert!(received == sent, "{} bytes came back", received.len());
        assert_eq!(client.conn.protocol_version(), Some(expected));
        server.join().unwrap().unwrap();
    }
}

#[test]
fn records_that_come_byte_by_byte() {
    for version in [&TLS12, &TLS13] {
        let (socket, peer, client) = pair(version);
        let server = thread::spawn(|| echo(socket));
        let mut client = StreamOwned::new(client, Drip(peer));
        client.write_all(b"slowly").unwrap();
        let mut received = [0; 6];
        client.read_exact(&mut received).unwrap();
        assert_eq!(&received, b"slowly");
        client.conn.send_close_notify();
        client.flush().unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        server.join().unwrap().unwrap();
    }
}

#[test]
fn a_peer_hears_what_was_wrong() {
    for garbage in [&b"\x16\x03\x01\0\x04\x01\0\0\0"[..], b"\x15\x03\x01\x88\x88", b"GET / HTTP"] {
        let (socket, mut peer, _) = pair(&TLS13);
        peer.write_all(garbage).unwrap();
        let error = echo(socket).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Other, "{error}");
        let mut answer = Vec::new();
        peer.read_to_end(&mut answer).unwrap();
        assert!(matches!(answer[..], [0x15, 3, _, 0, 2, 2, _]), "{garbage:?}: {answer:?}");
    }
}

#[test]
fn a_damaged_record_is_an_error() {
    let (socket, peer, client) = pair(&TLS13);
    let server = thread::spawn(|| echo(socket));
    let mut client = StreamOwned::new(client, peer);
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    client.sock.write_all(b"\x17\x03\x03\0\x20________________________________").unwrap();
    let error = server.join().unwrap().unwrap_err();
    assert!(error.to_string().contains("decrypt"), "{error}");
    let error = client.read(&mut [0]).unwrap_err();
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
}

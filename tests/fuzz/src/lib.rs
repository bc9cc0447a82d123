//! What must hold for any bytes.
//!
//! Each [`Target`] takes bytes from whoever has some, a fuzzer or a committed corpus, and panics
//! when the broker breaks a rule.

mod operations;
mod packets;
mod passwords;
mod settings;
mod stored;
mod topics;
mod websocket;

/// Something that takes bytes.
pub struct Target {
    /// As its corpus is called.
    pub name: &'static str,
    /// Panics when something is wrong.
    pub body: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 7] = [
    Target { name: "packets", body: packets::decode_and_encode },
    Target { name: "topics", body: topics::route },
    Target { name: "websocket", body: websocket::listen },
    Target { name: "operations", body: operations::play_any },
    Target { name: "settings", body: settings::read_any },
    Target { name: "passwords", body: passwords::load_any },
    Target { name: "stored", body: stored::recover_damaged },
];

//! What must hold for any bytes.
//!
//! Each [`Target`] takes bytes from whoever has some, a fuzzer or a committed corpus, and panics
//! when the broker breaks a rule.

#[expect(dead_code, unused_imports, reason = "the broker's module, of which one function is used")]
#[path = "../../../broker/server/src/config/mod.rs"]
mod config;
mod operations;
mod packets;
mod settings;
mod stored;
mod topics;

/// Something that takes bytes.
pub struct Target {
    /// As its corpus is called.
    pub name: &'static str,
    /// Panics when something is wrong.
    pub body: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 5] = [
    Target { name: "packets", body: packets::decode_and_encode },
    Target { name: "topics", body: topics::route },
    Target { name: "operations", body: operations::play_any },
    Target { name: "settings", body: settings::read_any },
    Target { name: "stored", body: stored::recover_damaged },
];

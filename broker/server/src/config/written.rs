//! What a user wrote, with the default of every key that is left out.
//!
//! Meaning and unit of each key stand in `reference.toml`, which is what
//! `flotilla default-config` prints.

use std::path::PathBuf;

use serde::Deserialize;

use super::{
    bind::{Bind, OpsBind},
    choice::{IdentitySource, Level, Sync},
    durability::Rule,
    duration::Duration,
    size::Size,
};

/// The whole file.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Written {
    pub(crate) node: Node,
    pub(crate) listener: Vec<Listener>,
    pub(crate) auth: Auth,
    pub(crate) session: Session,
    pub(crate) limits: Limits,
    pub(crate) store: Store,
    pub(crate) durability: Vec<Rule>,
    pub(crate) retained: Retained,
    pub(crate) ops: Ops,
    pub(crate) log: Log,
}

impl Default for Written {
    fn default() -> Self {
        let default = |bind: &str| Listener::new(bind.parse().expect("a valid address"));
        Self {
            node: Node::default(),
            listener: vec![
                default("tcp://127.0.0.1:1883"),
                default("tls://127.0.0.1:8883"),
                default("ws://127.0.0.1:8083/mqtt"),
            ],
            auth: Auth::default(),
            session: Session::default(),
            limits: Limits::default(),
            store: Store::default(),
            durability: Vec::new(),
            retained: Retained::default(),
            ops: Ops::default(),
            log: Log::default(),
        }
    }
}

/// `[node]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) data: PathBuf,
    pub(crate) workers: u16,
    pub(crate) server_reference: String,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            name: String::new(),
            data: PathBuf::from("flotilla-data"),
            workers: 0,
            server_reference: String::new(),
        }
    }
}

/// `[[listener]]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    pub(crate) bind: Bind,
    #[serde(default)]
    pub(crate) certificate: Option<PathBuf>,
    #[serde(default)]
    pub(crate) key: Option<PathBuf>,
    #[serde(default)]
    pub(crate) client_ca: Option<PathBuf>,
    #[serde(default)]
    pub(crate) identity: IdentitySource,
    #[serde(default)]
    pub(crate) max_connections: usize,
}

impl Listener {
    /// A listener with nothing but an address.
    pub(crate) fn new(bind: Bind) -> Self {
        Self {
            bind,
            certificate: None,
            key: None,
            client_ca: None,
            identity: IdentitySource::default(),
            max_connections: 0,
        }
    }
}

/// `[auth]`
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Auth {
    pub(crate) anonymous: bool,
    pub(crate) password_file: Option<PathBuf>,
}

/// `[session]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Session {
    pub(crate) expiry_max: Duration,
    pub(crate) queue_messages_max: usize,
    pub(crate) queue_bytes_max: Size,
    pub(crate) inflight_max: u16,
    pub(crate) cursor_lag_max: usize,
    pub(crate) response_information: String,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            expiry_max: Duration::from_secs(7 * 24 * 3600),
            queue_messages_max: 100_000,
            queue_bytes_max: Size::from_kib(64 * 1024),
            inflight_max: 1024,
            cursor_lag_max: 256,
            response_information: String::new(),
        }
    }
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) packet_size_max: Size,
    pub(crate) topic_levels_max: u16,
    pub(crate) topic_aliases_max: u16,
    pub(crate) receive_max: u16,
    pub(crate) connect_timeout: Duration,
    pub(crate) keep_alive_max: Duration,
    pub(crate) subscriptions_max: usize,
    pub(crate) http_request_max: Size,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packet_size_max: Size::from_kib(1024),
            topic_levels_max: 32,
            topic_aliases_max: 64,
            receive_max: 1024,
            connect_timeout: Duration::from_secs(10),
            keep_alive_max: Duration::from_secs(0),
            subscriptions_max: 1000,
            http_request_max: Size::from_kib(8),
        }
    }
}

/// `[store]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Store {
    pub(crate) sync: Sync,
    pub(crate) disk_bytes_max: Size,
    pub(crate) age_max: Duration,
    pub(crate) disk_reserve: Size,
    pub(crate) cache_bytes_max: Size,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            sync: Sync::default(),
            disk_bytes_max: Size::from_kib(50 << 20),
            age_max: Duration::from_secs(7 * 24 * 3600),
            disk_reserve: Size::from_kib(512 << 10),
            cache_bytes_max: Size::from_kib(64 << 10),
        }
    }
}

/// `[retained]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retained {
    pub(crate) messages_max: usize,
    pub(crate) payload_max: Size,
    pub(crate) bytes_max: Size,
}

impl Default for Retained {
    fn default() -> Self {
        Self {
            messages_max: 1_000_000,
            payload_max: Size::from_kib(256),
            bytes_max: Size::from_kib(256 * 1024),
        }
    }
}

/// `[ops]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ops {
    pub(crate) bind: OpsBind,
    pub(crate) sys_interval: Duration,
}

impl Default for Ops {
    fn default() -> Self {
        Self {
            bind: "http://127.0.0.1:9883".parse().expect("a valid address"),
            sys_interval: Duration::from_secs(10),
        }
    }
}

/// `[log]`
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) level: Level,
}

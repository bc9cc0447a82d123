//! What the program needs to know, checked.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use flotilla_core::{durability::Durability, limits::Limits, words::Words};
use flotilla_store::Options;

use super::{
    Bind, IdentitySource, Level, Overrides, Refusal, Sync, durability,
    size::Size,
    written::{self, Written},
};

/// A configuration that makes sense. Paths are as the process sees them.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// For people.
    pub(crate) node_name: String,
    /// Everything the broker keeps.
    pub(crate) data: PathBuf,
    /// At least 1.
    pub(crate) workers: u16,
    /// At least one.
    pub(crate) listeners: Vec<ListenerSettings>,
    /// User Names with hashes.
    pub(crate) password_file: Option<PathBuf>,
    /// For the core.
    pub(crate) limits: Limits,
    /// What clients are told.
    pub(crate) words: Words,
    /// Bytes of the request for a WebSocket.
    pub(crate) request_bytes_max: usize,
    /// When what nobody waits for is on the disk.
    pub(crate) sync: Sync,
    /// Bytes of the disk that stay free.
    pub(crate) disk_reserve_bytes: u64,
    /// Bytes of memory for what the store has read.
    pub(crate) cache_bytes_max: usize,
    /// When an acknowledged message is.
    pub(crate) durability: Durability,
    /// Messages that are older go from the log; `None`: they stay.
    pub(crate) age_max: Option<Duration>,
    /// Bytes of the log; `None`: no limit.
    pub(crate) disk_bytes_max: Option<u64>,
    /// The operations listener; `None`: off.
    pub(crate) ops: Option<SocketAddr>,
    /// How often what has changed below `$SYS` is said; `None`: never.
    pub(crate) sys_interval: Option<Duration>,
    /// How much the log says.
    pub(crate) level: Level,
}

/// One listener.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ListenerSettings {
    /// Where.
    pub(crate) bind: Bind,
    /// Present: TLS.
    pub(crate) tls: Option<TlsSettings>,
    /// Who may connect.
    pub(crate) access: Access,
    /// Connections at a time.
    pub(crate) max_connections: usize,
    /// Web pages of other machines may connect.
    pub(crate) foreign_pages: bool,
}

/// The files behind a TLS listener.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TlsSettings {
    /// The broker's own certificate.
    pub(crate) certificate: ServerCertificate,
    /// Authorities of client certificates; present: every client must show one.
    pub(crate) client_ca: Option<PathBuf>,
}

/// Where the broker's certificate comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ServerCertificate {
    /// Made at first start.
    Development,
    /// Given by the user.
    Files {
        /// Certificate chain, PEM.
        certificate: PathBuf,
        /// Its private key, PEM.
        key: PathBuf,
    },
}

/// Who may connect at a listener, by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    /// Every client has shown a valid certificate; its identity comes from here.
    pub(crate) certificate: Option<IdentitySource>,
    /// There is a password file.
    pub(crate) passwords: bool,
    /// Clients without credentials are accepted.
    pub(crate) anonymous: bool,
}

const PACKET_SIZE_MAX: u64 = Limits::PACKET_SIZE_MAX as u64;
const PACKET_SIZE_MIN: u64 = 128;
/// A browser's request has some hundred bytes.
const REQUEST_MIN: u64 = 1024;
const REQUEST_MAX: u64 = 64 * 1024;

impl Settings {
    /// Checks what was written. Relative paths start at `directory`, those of the command line
    /// where the program was started.
    pub(super) fn new(
        written: Written,
        directory: &Path,
        overrides: &Overrides,
    ) -> Result<Self, Refusal> {
        let limits = limits(&written)?;
        let words = words(&written)?;
        let durability = durability::durability(written.durability, written.store.sync)?;
        let password_file = written.auth.password_file.map(|path| directory.join(path));
        let listeners = if overrides.listen.is_empty() {
            let from_file = written.listener.into_iter().enumerate();
            from_file
                .map(|(index, listener)| {
                    let key = format!("listener[{index}]");
                    let access = (written.auth.anonymous, password_file.is_some());
                    ListenerSettings::new(listener, &key, directory, access)
                })
                .collect::<Result<Vec<_>, _>>()?
        } else {
            let from_line = overrides.listen.iter().cloned().map(written::Listener::new);
            from_line
                .map(|listener| {
                    let access = (written.auth.anonymous, password_file.is_some());
                    ListenerSettings::new(listener, "--listen", directory, access)
                })
                .collect::<Result<Vec<_>, _>>()?
        };
        if listeners.is_empty() {
            return Err(Refusal::of_key(
                "listener",
                "there is none, so nobody could connect; add a [[listener]] table",
            ));
        }
        let node_name = if written.node.name.is_empty() { host_name() } else { written.node.name };
        Ok(Self {
            node_name,
            data: overrides.data.clone().unwrap_or_else(|| directory.join(written.node.data)),
            workers: match written.node.workers {
                0 => cores(),
                workers => workers,
            },
            listeners,
            password_file,
            limits,
            words,
            request_bytes_max: bytes(written.limits.http_request_max),
            sync: written.store.sync,
            age_max: Some(written.store.age_max.into()).filter(|age: &Duration| !age.is_zero()),
            disk_bytes_max: Some(written.store.disk_bytes_max.bytes()).filter(|bytes| *bytes > 0),
            disk_reserve_bytes: written.store.disk_reserve.bytes(),
            cache_bytes_max: bytes(written.store.cache_bytes_max),
            durability,
            ops: written.ops.bind.0,
            sys_interval: Some(written.ops.sys_interval.into())
                .filter(|it: &Duration| !it.is_zero()),
            level: overrides.level.unwrap_or(written.log.level),
        })
    }

    /// How the store is to be run.
    pub(crate) fn store_options(&self) -> Options {
        Options {
            sync_interval: self.sync.interval(),
            age_max: self.age_max,
            disk_bytes_max: self.disk_bytes_max,
            disk_reserve_bytes: self.disk_reserve_bytes,
            cache_bytes_max: self.cache_bytes_max,
            ..Options::default()
        }
    }

    /// Where the store is.
    pub(crate) fn store_dir(&self) -> PathBuf {
        self.data.join("store")
    }

    /// Where the development certificates are.
    pub(crate) fn certificates_dir(&self) -> PathBuf {
        self.data.join("certs")
    }

    /// Whether a listener needs the development certificates.
    pub(crate) fn needs_development_certificate(&self) -> bool {
        self.listeners
            .iter()
            .filter_map(|listener| listener.tls.as_ref())
            .any(|tls| matches!(tls.certificate, ServerCertificate::Development))
    }
}

impl ListenerSettings {
    fn new(
        written: written::Listener,
        key: &str,
        directory: &Path,
        (anonymous, passwords): (bool, bool),
    ) -> Result<Self, Refusal> {
        let path = |name: &str| format!("{key}.{name}");
        let bind = written.bind;
        if !bind.scheme.is_encrypted() {
            for (name, is_given) in [
                ("certificate", written.certificate.is_some()),
                ("key", written.key.is_some()),
                ("client_ca", written.client_ca.is_some()),
            ] {
                if is_given {
                    let encrypted = Bind { scheme: bind.scheme.encrypted(), ..bind };
                    let reason = format!(
                        "its bind does not encrypt, so it has no certificates; write {encrypted} \
                         or leave this key out"
                    );
                    return Err(Refusal::of_key(path(name), reason));
                }
            }
        }
        let certificate = match (written.certificate, written.key) {
            (Some(certificate), Some(key)) => ServerCertificate::Files {
                certificate: directory.join(certificate),
                key: directory.join(key),
            },
            (None, None) => ServerCertificate::Development,
            (Some(_), None) => {
                let reason = "its private key is missing; give it as `key`";
                return Err(Refusal::of_key(path("certificate"), reason));
            }
            (None, Some(_)) => {
                let reason = "the certificate it belongs to is missing; give it as `certificate`";
                return Err(Refusal::of_key(path("key"), reason));
            }
        };
        let client_ca = written.client_ca.map(|path| directory.join(path));
        if written.identity != IdentitySource::Username && client_ca.is_none() {
            let reason = "an identity from the certificate needs client certificates; give the \
                          authorities of the clients as `client_ca`";
            return Err(Refusal::of_key(path("identity"), reason));
        }
        let is_loopback = bind.address.ip().to_canonical().is_loopback();
        let access = Access {
            certificate: client_ca.is_some().then_some(written.identity),
            passwords,
            anonymous: anonymous || (is_loopback && !passwords && client_ca.is_none()),
        };
        if access.certificate.is_none() && !access.passwords && !access.anonymous {
            let key = if key.starts_with("--") { key.to_owned() } else { path("bind") };
            let or_client_ca = match bind.scheme.is_encrypted() {
                true => ", `client_ca` in this [[listener]]",
                false => "",
            };
            let reason = format!(
                "{bind} can be reached from other machines and would have no authentication; set \
                 `password_file` in [auth]{or_client_ca}, or `anonymous = true` in [auth] to \
                 accept everybody"
            );
            return Err(Refusal::of_key(key, reason));
        }
        let tls = bind.scheme.is_encrypted().then_some(TlsSettings { certificate, client_ca });
        let max_connections = match written.max_connections {
            0 => usize::MAX,
            connections => connections,
        };
        // Nobody has said that everybody may: it is taken for granted of this machine's programs.
        // A browser is one, and any page can make it connect.
        let foreign_pages = anonymous || passwords || access.certificate.is_some();
        Ok(Self { bind, tls, access, max_connections, foreign_pages })
    }
}

fn limits(written: &Written) -> Result<Limits, Refusal> {
    let packet_size_max = written.limits.packet_size_max;
    if !(PACKET_SIZE_MIN..=PACKET_SIZE_MAX).contains(&packet_size_max.bytes()) {
        let reason = format!("{packet_size_max} is not between 128B and 255MiB");
        return Err(Refusal::of_key("limits.packet_size_max", reason));
    }
    let http_request_max = written.limits.http_request_max;
    if !(REQUEST_MIN..=REQUEST_MAX).contains(&http_request_max.bytes()) {
        let reason = format!("{http_request_max} is not between 1KiB and 64KiB");
        return Err(Refusal::of_key("limits.http_request_max", reason));
    }
    let connect_timeout = written.limits.connect_timeout;
    if connect_timeout.as_millis() == 0 {
        let reason = "no client can connect in no time; write for example \"10s\"";
        return Err(Refusal::of_key("limits.connect_timeout", reason));
    }
    let keep_alive_max = written.limits.keep_alive_max;
    let Ok(keep_alive_max_s) = u16::try_from(keep_alive_max.as_millis().div_ceil(1000)) else {
        let reason = "MQTT can say at most 65535 seconds (18 hours)";
        return Err(Refusal::of_key("limits.keep_alive_max", reason));
    };
    for (key, value) in [
        ("limits.topic_levels_max", usize::from(written.limits.topic_levels_max)),
        ("limits.receive_max", usize::from(written.limits.receive_max)),
        ("limits.subscriptions_max", written.limits.subscriptions_max),
        ("session.queue_messages_max", written.session.queue_messages_max),
        ("session.inflight_max", usize::from(written.session.inflight_max)),
        ("session.cursor_lag_max", written.session.cursor_lag_max),
    ] {
        if value == 0 {
            return Err(Refusal::of_key(key, "it must be at least 1"));
        }
    }
    Ok(Limits {
        packet_size_max: u32::try_from(packet_size_max.bytes()).expect("at most 255 MiB"),
        topic_levels_max: written.limits.topic_levels_max,
        topic_aliases_max: written.limits.topic_aliases_max,
        receive_max: written.limits.receive_max,
        connect_timeout_ms: connect_timeout.as_millis(),
        keep_alive_max_s,
        subscriptions_max: written.limits.subscriptions_max,
        // The largest number means "never": so long a wish is cut one second before.
        expiry_max_s: u32::try_from(written.session.expiry_max.as_millis() / 1000)
            .unwrap_or(u32::MAX)
            .min(u32::MAX - 1),
        queue_messages_max: written.session.queue_messages_max,
        queue_bytes_max: bytes(written.session.queue_bytes_max),
        inflight_max: written.session.inflight_max,
        cursor_lag_max: written.session.cursor_lag_max,
        retained_messages_max: written.retained.messages_max,
        retained_payload_max: bytes(written.retained.payload_max),
        retained_bytes_max: bytes(written.retained.bytes_max),
        ..Limits::default()
    })
}

fn words(written: &Written) -> Result<Words, Refusal> {
    let word = |key: &str, text: &str| {
        // What a string of MQTT can hold.
        if text.len() > usize::from(u16::MAX) || text.contains('\0') {
            return Err(Refusal::of_key(key, "it is longer than 65535 bytes, or contains U+0000"));
        }
        Ok((!text.is_empty()).then(|| text.into()))
    };
    Ok(Words {
        response_information: word(
            "session.response_information",
            &written.session.response_information,
        )?,
        server_reference: word("node.server_reference", &written.node.server_reference)?,
    })
}

fn bytes(size: Size) -> usize {
    usize::try_from(size.bytes()).unwrap_or(usize::MAX)
}

fn cores() -> u16 {
    thread::available_parallelism()
        .map_or(1, |cores| u16::try_from(cores.get()).unwrap_or(u16::MAX))
}

fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "flotilla".to_owned())
}

//! Tables of configurations: what is read, what is refused with which words.

use std::path::{Path, PathBuf};

use flotilla_core::{
    durability::{Class, Durability},
    limits::Limits,
};

use super::{
    Overrides, REFERENCE, Refusal, ServerCertificate, Settings,
    choice::{IdentitySource, Level, Sync},
    source::{Source, fields_of, fields_of_section},
    written::Written,
};

fn variable(name: &str) -> Option<String> {
    (name == "SITE").then(|| "hamburg".to_owned())
}

fn read(text: &str) -> Result<Settings, Refusal> {
    read_with(text, &Overrides::default())
}

fn read_with(text: &str, overrides: &Overrides) -> Result<Settings, Refusal> {
    let file = Path::new("/etc/flotilla.toml");
    super::read(Some(file), text, Path::new("/etc"), overrides, &variable)
}

fn listen(bind: &str) -> Overrides {
    Overrides { listen: vec![bind.parse().unwrap()], ..Overrides::default() }
}

#[test]
fn reference_is_the_defaults() {
    let source = Source::parse(None, REFERENCE, &variable).unwrap();
    assert_eq!(source.written().unwrap(), Written::default());
    assert_eq!(read("").unwrap(), read(REFERENCE).unwrap());
}

#[test]
fn reference_names_every_key() {
    for section in fields_of::<Written>() {
        let header = format!("[{section}]");
        let body = REFERENCE.split(&header).skip(1).collect::<String>();
        let fields = fields_of_section(section).unwrap();
        assert!(!fields.is_empty(), "{section}");
        for field in fields {
            let is_named =
                |line: &str| line.trim_start_matches("# ").starts_with(&format!("{field} = "));
            assert!(body.lines().any(is_named), "{section}.{field}");
        }
    }
}

#[test]
fn defaults_of_core_are_ours() {
    assert_eq!(read("").unwrap().limits, Limits::default());
    assert_eq!(read("").unwrap().durability, Durability::default());
}

#[test]
fn everything_can_be_set() {
    let settings = read(
        r#"
        [node]
        name = "site-${SITE}-$$1"
        data = "/var/lib/flotilla"
        workers = 3
        server_reference = "b.example:8883"
        [[listener]]
        bind = "tls://0.0.0.0:8883"
        certificate = "server.pem"
        key = "/keys/server.key"
        client_ca = "fleet-ca.pem"
        identity = "common-name"
        max_connections = 10
        [auth]
        password_file = "passwords"
        [session]
        expiry_max = "1h"
        queue_messages_max = 5
        queue_bytes_max = "1MiB"
        inflight_max = 7
        cursor_lag_max = 5
        response_information = "answers/%c"
        [limits]
        packet_size_max = "64KiB"
        connect_timeout = "500ms"
        keep_alive_max = "10m"
        [store]
        sync = "100ms"
        disk_bytes_max = "1GiB"
        age_max = "0s"
        disk_reserve = "1GiB"
        cache_bytes_max = "4MiB"
        [[durability]]
        filter = "orders/#"
        class = "fsync"
        [[durability]]
        filter = "+/raw"
        class = "memory"
        [retained]
        payload_max = "1kB"
        bytes_max = "1MB"
        [ops]
        bind = "off"
        sys_interval = "1m"
        [log]
        level = "debug"
        "#,
    )
    .unwrap();
    assert_eq!(settings.node_name, "site-hamburg-$1");
    assert_eq!(settings.data, Path::new("/var/lib/flotilla"));
    assert_eq!(settings.workers, 3);
    assert_eq!(settings.password_file, Some(PathBuf::from("/etc/passwords")));
    assert_eq!(settings.limits.expiry_max_s, 3600);
    assert_eq!(settings.limits.packet_size_max, 65_536);
    assert_eq!(settings.limits.connect_timeout_ms, 500);
    assert_eq!(settings.limits.cursor_lag_max, 5);
    assert_eq!(settings.limits.queue_bytes_max, 1_048_576);
    assert_eq!(settings.limits.retained_payload_max, 1000);
    assert_eq!(settings.limits.retained_bytes_max, 1_000_000);
    assert!(matches!(settings.sync, Sync::Every(interval) if interval.as_millis() == 100));
    assert_eq!(settings.disk_reserve_bytes, 1 << 30);
    assert_eq!(settings.cache_bytes_max, 4 << 20);
    let of = |topic| settings.durability.class_of(topic);
    assert_eq!((of("orders/raw"), of("a/raw"), of("a")), (Class::Fsync, Class::Memory, Class::Os));
    assert_eq!((settings.disk_bytes_max, settings.age_max), (Some(1 << 30), None));
    assert_eq!(settings.ops, None);
    assert_eq!(settings.level, Level::Debug);
    let [listener] = settings.listeners.as_slice() else { panic!("{:?}", settings.listeners) };
    assert_eq!(settings.words.server_reference.as_deref(), Some("b.example:8883"));
    assert_eq!(settings.words.response_information.as_deref(), Some("answers/%c"));
    assert_eq!(settings.limits.keep_alive_max_s, 600);
    assert_eq!(settings.sys_interval, Some(std::time::Duration::from_secs(60)));
    let tls = listener.tls.as_ref().unwrap();
    assert_eq!(listener.max_connections, 10);
    assert_eq!(listener.access.certificate, Some(IdentitySource::CommonName));
    assert_eq!(tls.client_ca, Some(PathBuf::from("/etc/fleet-ca.pem")));
    let files = ServerCertificate::Files {
        certificate: PathBuf::from("/etc/server.pem"),
        key: PathBuf::from("/keys/server.key"),
    };
    assert_eq!(tls.certificate, files);
}

#[test]
fn refused_with_line_and_key() {
    for (text, line, key, words) in [
        (
            "[limits]\nrecieve_max = 3",
            2,
            "limits.recieve_max",
            "nearest known key is `receive_max`",
        ),
        ("[limits]\nkeep_alive_max = \"1d\"", 2, "limits.keep_alive_max", "65535 seconds"),
        ("\n[limit]\n", 2, "limit", "nearest known key is `limits`"),
        ("[limits]\nmax_connections = 3", 2, "limits.max_connections", "belongs into [listener]"),
        ("[store]\nxyzzyxyzzy = 1", 2, "store.xyzzyxyzzy", "known keys here: sync"),
        (
            "[[listener]]\nbind = \"tcp://127.0.0.1:1\"\nproxy_protocol = true",
            3,
            "listener.proxy_protocol",
            "unknown key",
        ),
        ("[limits]\n\nconnect_timeout = \"10\"", 3, "limits.connect_timeout", "not a duration"),
        ("[limits]\nconnect_timeout = 10", 2, "limits.connect_timeout", "such as \"30s\""),
        ("[limits]\nconnect_timeout = \"0s\"", 2, "limits.connect_timeout", "10s"),
        ("[limits]\npacket_size_max = \"64K\"", 2, "limits.packet_size_max", "not a size"),
        ("[limits]\npacket_size_max = \"1GiB\"", 2, "limits.packet_size_max", "255MiB"),
        ("[limits]\nreceive_max = 70000", 2, "limits.receive_max", "70000"),
        ("[limits]\nreceive_max = 0", 2, "limits.receive_max", "at least 1"),
        ("[session]\ninflight_max = \"many\"", 2, "session.inflight_max", "many"),
        ("[store]\nsync = \"often\"", 2, "store.sync", "\"always\""),
        (
            "[[durability]]\nfilter = \"a\"\nclass = \"fsnyc\"",
            3,
            "durability.class",
            "the nearest is \"fsync\"",
        ),
        (
            "[[durability]]\nfilter = \"a\"\nclass = \"os\"\n[[durability]]\nfilter = \"a#\"\nclass = \"os\"",
            5,
            "durability[1].filter",
            "`a#` is no Topic Filter",
        ),
        (
            "[[durability]]\nfilter = \"$share/g/a\"\nclass = \"os\"",
            2,
            "durability[0].filter",
            "write \"a\"",
        ),
        ("[[durability]]\nfilter = \"a\"", 1, "durability", "class"),
        ("[[durability]]\nfilters = \"a\"", 2, "durability.filters", "is `filter`"),
        ("[log]\nlevel = \"loud\"", 2, "log.level", "\"info\""),
        ("[node]\nname = \"${UNSET_ANYWHERE}\"", 2, "node.name", "UNSET_ANYWHERE is not set"),
        ("[node]\nname = \"${SITE\"", 2, "node.name", "without `}`"),
        ("[ops]\nbind = \"127.0.0.1:9\"", 2, "ops.bind", "http://"),
        ("[[listener]]\nbind = \"http://127.0.0.1:1/mqtt\"", 2, "listener.bind", "ws://"),
        ("[limits]\nhttp_request_max = \"1MiB\"", 2, "limits.http_request_max", "64KiB"),
        (
            "[[listener]]\nbind = \"ws://127.0.0.1:1\"\nkey = \"k\"",
            3,
            "listener[0].key",
            "write wss://127.0.0.1:1/mqtt",
        ),
        ("[[listener]]\nmax_connections = 1", 1, "listener", "bind"),
        ("[[listener]]\nbind = \"tcp://127.0.0.1:1\"\nkey = \"k\"", 3, "listener[0].key", "tls://"),
        (
            "[[listener]]\nbind = \"tcp://127.0.0.1:1\"\n[[listener]]\nbind = \"tls://127.0.0.1:2\"\n\
          certificate = \"c\"",
            5,
            "listener[1].certificate",
            "private key is missing",
        ),
        (
            "[[listener]]\nbind = \"tls://127.0.0.1:1\"\nidentity = \"subject\"",
            3,
            "listener[0].identity",
            "client_ca",
        ),
        (
            "[[listener]]\nbind = \"tls://127.0.0.1:1\"\nidentity = \"cn\"",
            3,
            "listener.identity",
            "common-name",
        ),
        ("limits = 3", 1, "limits", "expected"),
        ("[limits]\nreceive_max = ", 2, "", "not TOML"),
        ("listener = []", 1, "listener", "add a [[listener]]"),
    ] {
        let refusal = read(text).unwrap_err();
        assert_eq!(refusal.file, Some(PathBuf::from("/etc/flotilla.toml")), "{text}");
        assert_eq!((refusal.line, refusal.key.as_str()), (Some(line), key), "{text}: {refusal}");
        assert!(refusal.reason.contains(words), "{text}: {refusal}");
        assert!(refusal.to_string().starts_with(&format!("/etc/flotilla.toml:{line}: {key}")));
    }
}

#[test]
fn anonymous_only_on_loopback() {
    let bind = |text: &str| format!("[[listener]]\nbind = \"{text}\"\n");
    for loopback in
        ["tcp://127.0.0.1:1", "tcp://127.9.9.9:1", "tls://[::1]:1", "tcp://[::ffff:127.0.0.1]:1"]
    {
        let settings = read(&bind(loopback)).unwrap();
        assert!(settings.listeners[0].access.anonymous, "{loopback}");
    }
    for open in ["tcp://0.0.0.0:1", "tls://[::]:1", "tcp://192.0.2.1:1"] {
        let refusal = read(&bind(open)).unwrap_err();
        assert_eq!((refusal.line, refusal.key.as_str()), (Some(2), "listener[0].bind"));
        for key in ["password_file", "anonymous = true"] {
            assert!(refusal.reason.contains(key), "{refusal}");
        }
        assert_eq!(refusal.reason.contains("client_ca"), open.starts_with("tls"), "{refusal}");
        let allowed = read(&format!("{}[auth]\nanonymous = true", bind(open))).unwrap();
        assert!(allowed.listeners[0].access.anonymous);
        let passwords = read(&format!("{}[auth]\npassword_file = \"p\"", bind(open))).unwrap();
        assert!(
            !passwords.listeners[0].access.anonymous && passwords.listeners[0].access.passwords
        );
    }
    let fleet = read(&format!("{}client_ca = \"ca.pem\"", bind("tls://0.0.0.0:1"))).unwrap();
    assert!(!fleet.listeners[0].access.anonymous);
    let passwords = read(&format!("{}[auth]\npassword_file = \"p\"", bind("tcp://127.0.0.1:1")));
    assert!(!passwords.unwrap().listeners[0].access.anonymous);
}

#[test]
fn command_line_wins() {
    let file = "[node]\ndata = \"here\"\n[[listener]]\nbind = \"tcp://127.0.0.1:1\"";
    let overrides = Overrides {
        data: Some(PathBuf::from("there")),
        level: Some(Level::Trace),
        ..listen("tls://127.0.0.1:0")
    };
    let settings = read_with(file, &overrides).unwrap();
    assert_eq!(settings.data, Path::new("there"));
    assert_eq!(settings.level, Level::Trace);
    assert_eq!(settings.listeners.len(), 1);
    assert!(settings.needs_development_certificate());
    assert_eq!(read(file).unwrap().data, Path::new("/etc/here"));

    let refusal = read_with(file, &listen("tcp://0.0.0.0:1")).unwrap_err();
    assert!(refusal.to_string().starts_with("--listen: tcp://0.0.0.0:1 can be reached"));
}

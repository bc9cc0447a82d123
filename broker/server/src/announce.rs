//! What a broker says of itself when it has started.

use flotilla_core::id::Position;
use flotilla_store::UncleanStop;
use tracing::{error, info, warn};

use crate::{
    config::{ListenerSettings, ServerCertificate, Settings, Sync},
    net::{development::DevelopmentCertificate, listener::Listener},
    start::Broker,
};

impl Broker {
    /// One line a listener, where things are, what to try; the last line says "ready".
    pub(crate) fn announce(&self, sessions: usize, retained: usize, end: Position) {
        let settings = &self.settings;
        info!("flotilla {} as node {}", env!("CARGO_PKG_VERSION"), settings.node_name);
        for ((listener, _), settings) in self.listeners.iter().zip(&settings.listeners) {
            info!("listening on {}", listener.bind);
            let development = settings.tls.as_ref().map(|tls| &tls.certificate);
            let is_public = !listener.bind.address.ip().to_canonical().is_loopback();
            if is_public && development == Some(&ServerCertificate::Development) {
                warn!(
                    "{} shows a development certificate, which other machines do not trust; set \
                     certificate and key",
                    listener.bind
                );
            }
        }
        info!("data in {}, {}", settings.data.display(), durability(settings));
        info!(
            "{sessions} sessions and {retained} retained messages recovered, {} workers",
            settings.workers
        );
        if let Some(stop) = self.operations.serving.get().and_then(|it| it.unclean_stop.as_ref()) {
            warn!("{}", recovery(stop, end));
        }
        let damage = self.shared.engine.damage();
        if !damage.is_empty() {
            let counts: Vec<_> =
                damage.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            error!(
                "the store is damaged: {} set aside in '{}', everything else is served; check the \
                 disk, and see `flotilla verify`",
                counts.join(", "),
                settings.data.join("quarantine").display()
            );
        }
        for ((listener, _), of_listener) in self.listeners.iter().zip(&settings.listeners) {
            // For WebSockets the usual tool is a browser.
            if !listener.bind.scheme.is_websocket() {
                info!("try: {}", line_to_try(listener, of_listener, settings));
            }
        }
        info!("ready after {} ms", self.shared.clock.elapsed().as_millis());
    }
}

/// After a stop that was not clean.
fn recovery(stop: &UncleanStop, end: Position) -> String {
    let mut line = format!(
        "the last stop was not clean ({}): {:.1} MiB of write-ahead log repeated and the records read \
         in {:.1} s, the log ends at position {}",
        if stop.machine_stopped { "the machine stopped" } else { "the broker was killed" },
        stop.wal_bytes as f64 / f64::from(1 << 20),
        stop.took.as_secs_f64(),
        end.0
    );
    if let Some(place) = &stop.cut_off {
        line.push_str(&format!("; the last write was cut off in {place}, which is normal"));
    }
    line
}

fn durability(settings: &Settings) -> String {
    let default = match settings.sync {
        Sync::Always => {
            "durability fsync: synced to the disk before each acknowledgement".to_owned()
        }
        Sync::Every(interval) => format!(
            "durability os: synced to the disk every {interval}, so a power cut loses what was \
             acknowledged since"
        ),
        Sync::Never => "durability os: synced to the disk when the operating system likes, so a \
                        power cut may lose what was acknowledged"
            .to_owned(),
    };
    let rules = settings.durability.rules().iter();
    let rules: String =
        rules.map(|(filter, class)| format!("; {} for {filter}", class.name())).collect();
    default + &rules
}

fn line_to_try(listener: &Listener, of_listener: &ListenerSettings, settings: &Settings) -> String {
    let mut line = "mosquitto_sub".to_owned();
    let address = listener.bind.address;
    if !address.ip().is_unspecified() && !address.ip().to_canonical().is_loopback() {
        line.push_str(&format!(" -h {}", address.ip()));
    }
    if let Some(tls) = &of_listener.tls {
        if tls.certificate == ServerCertificate::Development {
            let files = DevelopmentCertificate::new(&settings.certificates_dir());
            line.push_str(&format!(" --cafile {}", files.authority.display()));
        } else {
            line.push_str(" --cafile CA.pem");
        }
        if tls.client_ca.is_some() {
            line.push_str(" --cert DEVICE.pem --key DEVICE.key");
        }
    }
    if listener.access.passwords && listener.access.certificate.is_none() {
        line.push_str(" -u USER -P PASSWORD");
    }
    format!("{line} -p {} -t '#' -v", address.port())
}

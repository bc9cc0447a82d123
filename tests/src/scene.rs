//! Where a test begins: a broker, a link, names that no other test uses.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, Ordering},
};

use crate::{Broker, Client, Connect, Endpoint, Link, Property, Settings, Version};

/// The broker that all tests share which neither stop it nor configure it.
static SHARED: OnceLock<Arc<Broker>> = OnceLock::new();
static SCENES: AtomicU32 = AtomicU32::new(0);

/// A broker, the way to it, a prefix for names.
#[derive(Debug)]
pub struct Scene {
    broker: Arc<Broker>,
    /// Version, transport.
    pub link: Link,
    prefix: String,
}

impl Scene {
    /// On the broker that many tests share.
    pub fn shared(link: Link) -> Self {
        let broker = SHARED.get_or_init(|| Arc::new(Broker::start(Settings::new())));
        Self::on(Arc::clone(broker), link)
    }

    /// On a broker of its own.
    pub fn alone(link: Link, settings: Settings) -> Self {
        Self::on(Arc::new(Broker::start(settings)), link)
    }

    fn on(broker: Arc<Broker>, link: Link) -> Self {
        let prefix = format!("t{}", SCENES.fetch_add(1, Ordering::Relaxed));
        Self { broker, link, prefix }
    }

    /// The broker.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The broker, to stop it.
    ///
    /// # Panics
    /// When it is the shared one.
    pub fn broker_mut(&mut self) -> &mut Broker {
        Arc::get_mut(&mut self.broker).expect("only a broker of one's own may be stopped")
    }

    /// A Client Identifier of this test.
    pub fn id(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A Topic Name or Topic Filter of this test.
    pub fn topic(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    /// Where the link leads.
    pub fn endpoint(&self) -> Endpoint {
        self.broker.endpoint(self.link.transport)
    }

    /// An open connection without CONNECT.
    ///
    /// # Panics
    /// When nobody listens.
    #[track_caller]
    pub fn open(&self) -> Client {
        self.open_as(self.link.version)
    }

    /// As [`Scene::open`], in a version of choice.
    ///
    /// # Panics
    /// When nobody listens.
    #[track_caller]
    pub fn open_as(&self, version: Version) -> Client {
        Client::try_open(&self.endpoint(), version).expect("the broker accepts connections")
    }

    /// What the broker wrote to stderr last.
    fn last_words(&self) -> String {
        let log = self.broker.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// A connected client whose session ends with the connection.
    ///
    /// # Panics
    /// When the broker refuses.
    #[track_caller]
    pub fn connect(&self, name: &str) -> Client {
        self.connect_with(&Connect::new(self.id(name))).0
    }

    /// As [`Scene::connect`], in a version of choice.
    ///
    /// # Panics
    /// When the broker refuses.
    #[track_caller]
    pub fn connect_as(&self, version: Version, name: &str) -> Client {
        let mut client = self.open_as(version);
        client.connect(&Connect::new(self.id(name)));
        client
    }

    /// A connected client with a session that stays, and Session Present.
    ///
    /// # Panics
    /// When the broker refuses.
    #[track_caller]
    pub fn resume(&self, name: &str) -> (Client, bool) {
        let (client, session_present, _) = self.connect_with(&Connect::persistent(self.id(name)));
        (client, session_present)
    }

    /// As [`Scene::resume`], for a session that is there: Session Present says so, where the version
    /// has it.
    ///
    /// # Panics
    /// When the broker refuses, or knows nothing of the session.
    #[track_caller]
    pub fn come_back(&self, name: &str) -> Client {
        let (client, session_present) = self.resume(name);
        let can_tell = self.link.version != Version::V31;
        assert_eq!(session_present, can_tell, "[MQTT-3.2.2-3] Session Present of {name}");
        client
    }

    /// A client connected as asked, Session Present, the properties of CONNACK.
    ///
    /// # Panics
    /// When the broker refuses.
    #[track_caller]
    pub fn connect_with(&self, connect: &Connect) -> (Client, bool, Vec<Property>) {
        let mut client = self.open();
        let (session_present, properties) = client.connect(connect);
        (client, session_present, properties)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // A broker of its own says so itself when it is dropped.
        if std::thread::panicking() && Arc::strong_count(&self.broker) > 1 {
            eprintln!("--- the shared broker said last:\n{}\n---", self.last_words());
        }
    }
}

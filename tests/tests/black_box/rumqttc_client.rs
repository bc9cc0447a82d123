//! rumqttc, a client library for Rust that we did not write.

use std::{fs, sync::Once, time::Duration};

use flotilla_tests::{DEADLINE, Link, Scene, Transport, stream_links};
use rumqttc::{TlsConfiguration, Transport as Carrier};

stream_links! { it_publishes_subscribes_and_comes_back }

/// Clean Session 0, every QoS, a wildcard; away, while another publishes; back again.
fn it_publishes_subscribes_and_comes_back(link: Link) {
    if link.is_v5() {
        v5::play(&Scene::shared(link));
    } else {
        v311::play(&Scene::shared(link));
    }
}

pub(crate) fn carrier(scene: &Scene) -> Carrier {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let installed = rustls::crypto::ring::default_provider().install_default();
        installed.expect("nobody else installs one");
    });
    if scene.link.transport == Transport::Tcp {
        return Carrier::Tcp;
    }
    let ca = fs::read(scene.broker().ca()).expect("the broker made an authority");
    Carrier::tls_with_config(TlsConfiguration::Simple { ca, alpn: None, client_auth: None })
}

macro_rules! conversation {
    ($version:ident, $($client:ident)::+, $packet:path, $qos:path, $persistent:expr) => {
        mod $version {
            use super::*;
            use $($client)::+::{Client, Connection, Event, MqttOptions};
            use $packet as Packet;
            use $qos as QoS;

            struct Talk {
                client: Client,
                connection: Connection,
                /// PUBREL, PUBCOMP that have come.
                ends_of_qos_2: usize,
            }

            impl Talk {
                /// Session Present, and the client.
                fn open(scene: &Scene) -> (bool, Self) {
                    let address = scene.endpoint().address;
                    let host = address.ip().to_string();
                    let mut options = MqttOptions::new(scene.id("rumqttc"), host, address.port());
                    options.set_keep_alive(Duration::from_secs(30));
                    options.set_transport(carrier(scene));
                    let persist: fn(&mut MqttOptions) = $persistent;
                    persist(&mut options);
                    let (client, connection) = Client::new(options, 100);
                    let mut talk = Self { client, connection, ends_of_qos_2: 0 };
                    let session_present = talk.wait(|packet| match packet {
                        Packet::ConnAck(connack) => Some(connack.session_present),
                        _ => None,
                    });
                    (session_present, talk)
                }

                /// The first packet that is wanted.
                fn wait<T>(&mut self, want: impl Fn(&Packet) -> Option<T>) -> T {
                    loop {
                        let event = self.connection.recv_timeout(DEADLINE).expect("a packet");
                        if let Event::Incoming(packet) = event.expect("the connection stays") {
                            if matches!(packet, Packet::PubRel(_) | Packet::PubComp(_)) {
                                self.ends_of_qos_2 += 1;
                            }
                            if let Some(wanted) = want(&packet) {
                                return wanted;
                            }
                        }
                    }
                }

                fn take(&mut self) -> (Vec<u8>, Vec<u8>, QoS) {
                    self.wait(|packet| match packet {
                        Packet::Publish(publish) => Some((
                            AsRef::<[u8]>::as_ref(&publish.topic).to_vec(),
                            publish.payload.to_vec(),
                            publish.qos,
                        )),
                        _ => None,
                    })
                }

                fn close(mut self) {
                    self.client.disconnect().expect("the client takes requests");
                    while let Ok(Ok(_)) = self.connection.recv_timeout(DEADLINE) {}
                }
            }

            pub(super) fn play(scene: &Scene) {
                const EACH: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
                let (session_present, mut talk) = Talk::open(scene);
                assert!(!session_present);
                talk.client.subscribe(scene.topic("+/x"), QoS::ExactlyOnce).expect("a request");
                talk.wait(|packet| matches!(packet, Packet::SubAck(_)).then_some(()));
                for qos in EACH {
                    let topic = scene.topic("live/x");
                    talk.client.publish(&topic, qos, false, "hello").expect("a request");
                    assert_eq!(talk.take(), (topic.into_bytes(), b"hello".to_vec(), qos));
                }
                // rumqttc forgets what is under way when it is dropped.
                while talk.ends_of_qos_2 < 2 {
                    talk.wait(|_| Some(()));
                }
                talk.close();

                let mut publisher = scene.connect("publisher");
                for number in 0..20 {
                    publisher.publish(&scene.topic("away/x"), number.to_string(), 1);
                }
                let (session_present, mut talk) = Talk::open(scene);
                assert!(session_present);
                for number in 0..20 {
                    let expected = (
                        scene.topic("away/x").into_bytes(),
                        number.to_string().into_bytes(),
                        QoS::AtLeastOnce,
                    );
                    assert_eq!(talk.take(), expected);
                }
                talk.close();
            }
        }
    };
}

conversation!(v311, rumqttc, rumqttc::Packet, rumqttc::QoS, |options| {
    options.set_clean_session(false);
});
conversation!(
    v5,
    rumqttc::v5,
    rumqttc::v5::mqttbytes::v5::Packet,
    rumqttc::v5::mqttbytes::QoS,
    |options| {
        options.set_clean_start(false).set_session_expiry_interval(Some(3600));
    }
);

//! Black-box tests: the broker as a program, over real sockets.
//!
//! One module a chapter. A test names the statements of the specification that it looks at
//! (`[MQTT-3.1.4-3]`) and runs once for each version over each transport. A broker that is shared
//! by many tests serves those that neither stop nor configure it.

mod announcements;
mod authentication;
mod bad_input;
mod cleaning;
mod conformance;
mod connect;
mod connect_format;
mod crash_rounds;
mod disk_full;
mod enhanced_authentication;
mod exchange;
mod expiry;
mod fleet_soak;
mod flipped_bits;
mod flow_control;
mod foreign_clients;
mod hostile;
mod integrity;
mod load;
mod mqtt_3_1;
mod mutual_tls;
mod operations;
mod persons_path;
mod power_cut;
mod publish;
mod publish_format;
mod redelivery;
mod restart;
mod resume_storm;
mod retained;
mod rumqttc_client;
mod rumqttc_tour;
mod session;
mod shared;
mod snapshot;
mod start_time;
mod storm;
mod stuck_sessions;
mod subscribe;
mod subscribe_format;
mod takeover;
mod tidy;
mod topic_alias;
mod topics;
mod websocket;
mod will;
mod wire_torture;

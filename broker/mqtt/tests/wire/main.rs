//! The wire format as tables of bytes, as round trips, as noise.

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod frame;
mod generator;
mod limits;
mod mqtt_3_1;
mod noise;
mod notation;
mod properties;
mod publish;
mod reason_codes;
mod round_trip;
mod second_opinions;
mod subscribe;
mod table;
mod topics;
mod unsubscribe;

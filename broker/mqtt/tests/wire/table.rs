//! How a table of bytes is checked.

use flotilla_mqtt::{DecodeError, Packet, Version, decode, decode_connect};

use crate::notation::bytes;

pub(crate) const SIZE_MAX: u32 = 1 << 20;

/// The versions that a row holds for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum In {
    V3_1,
    V3,
    V5,
    Both,
}

impl In {
    pub(crate) fn versions(self) -> &'static [Version] {
        match self {
            Self::V3_1 => &[Version::V3_1],
            Self::V3 => &[Version::V3_1_1],
            Self::V5 => &[Version::V5],
            Self::Both => &[Version::V3_1_1, Version::V5],
        }
    }
}

/// Clause with what is special, version, bytes of one legal packet.
pub(crate) type Accepted = (&'static str, In, &'static str);

/// Clause with what is special, version, bytes, the fault in them.
pub(crate) type Refused = (&'static str, In, &'static str, DecodeError);

/// Every legal packet of every table.
pub(crate) fn all_accepted() -> impl Iterator<Item = &'static Accepted> {
    let tables = [
        crate::ack::ACCEPTED,
        crate::auth::ACCEPTED,
        crate::connack::ACCEPTED,
        crate::connect::ACCEPTED,
        crate::disconnect::ACCEPTED,
        crate::frame::ACCEPTED,
        crate::publish::ACCEPTED,
        crate::subscribe::ACCEPTED,
        crate::unsubscribe::ACCEPTED,
    ];
    tables.into_iter().flatten()
}

/// Every illegal packet of every table.
pub(crate) fn all_refused() -> impl Iterator<Item = &'static Refused> {
    let tables = [
        crate::ack::REFUSED,
        crate::auth::REFUSED,
        crate::connack::REFUSED,
        crate::connect::REFUSED,
        crate::disconnect::REFUSED,
        crate::frame::REFUSED,
        crate::mqtt_3_1::REFUSED,
        crate::publish::REFUSED,
        crate::subscribe::REFUSED,
        crate::unsubscribe::REFUSED,
    ];
    tables.into_iter().flatten()
}

/// Decodes each row, encodes what came out, decodes that again: three times the same packet.
pub(crate) fn check_accepted(table: &[Accepted]) {
    let mut faults = String::new();
    for (clause, versions, notation) in table {
        for version in versions.versions() {
            if let Err(fault) = accept(*version, &bytes(notation)) {
                faults += &format!("MQTT {version}, {clause}: {notation}: {fault}\n");
            }
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}

fn accept(version: Version, bytes: &[u8]) -> Result<(), String> {
    let packet = decode_all(bytes, version)?;
    if let Packet::Connect(connect) = packet {
        let (first, len) = decode_connect(bytes, SIZE_MAX)
            .map_err(|error| format!("as first packet: {error}"))?
            .ok_or("as first packet: not all there")?;
        if (first, len) != (connect, bytes.len()) {
            return Err(format!("as first packet: {first:?}"));
        }
    }
    let mut again = Vec::new();
    packet.encode(version, &mut again).map_err(|error| error.to_string())?;
    if again.len() != packet.encoded_len(version) {
        return Err(format!("{} bytes, not {}", again.len(), packet.encoded_len(version)));
    }
    let twice = decode_all(&again, version)?;
    if twice == packet { Ok(()) } else { Err(format!("{packet:?}, then {twice:?}")) }
}

fn decode_all(bytes: &[u8], version: Version) -> Result<Packet<'_>, String> {
    match decode(bytes, version, SIZE_MAX) {
        Ok(Some((packet, len))) if len == bytes.len() => Ok(packet),
        Ok(Some((_, len))) => Err(format!("ended after {len} of {} bytes", bytes.len())),
        Ok(None) => Err("not all there".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Each row must be refused for the fault that it names.
pub(crate) fn check_refused(table: &[Refused]) {
    let mut faults = String::new();
    for (clause, versions, notation, error) in table {
        for version in versions.versions() {
            let decoded = decode(&bytes(notation), *version, SIZE_MAX).map(|_| "accepted");
            if decoded != Err(*error) {
                faults +=
                    &format!("MQTT {version}, {clause}: {notation}: {decoded:?}, not {error:?}\n");
            }
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}

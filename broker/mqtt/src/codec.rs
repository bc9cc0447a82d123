//! Bytes to packets, packets to bytes.

use crate::fixed_header::{FixedHeader, put_fixed_header, reserved_flags};
use crate::packet::Protocol;
use crate::wire::{Measure, Sink, variable_byte_integer_len};
use crate::{
    Ack, Auth, Connack, Connect, DecodeError, Disconnect, EncodeError, Packet, PacketId,
    PacketType, Publish, ReasonCode, Suback, Subscribe, Unsubscribe, Version,
};

/// Decodes the packet at the front of `bytes`; says how many bytes it took.
///
/// `Ok(None)`: it is not all there yet. `packet_size_max` counts all bytes of a packet, the fixed
/// header included; a packet that says it is larger is refused before it is there. A CONNECT is
/// decoded by the version that it names itself.
///
/// # Errors
/// At the first clause that the bytes break. What follows in `bytes` then has no meaning.
pub fn decode(
    bytes: &[u8],
    version: Version,
    packet_size_max: u32,
) -> Result<Option<(Packet<'_>, usize)>, DecodeError> {
    if let Some(packet) = plain_ack(bytes).filter(|_| packet_size_max as usize >= PLAIN_ACK_LEN) {
        return Ok(Some((packet, PLAIN_ACK_LEN)));
    }
    // Before MQTT 5 there was no AUTH.
    if !version.has_properties() && bytes.first().is_some_and(|first| first >> 4 == 15) {
        return Err(DecodeError::ReservedPacketType);
    }
    let Some(header) = FixedHeader::read(bytes, version, packet_size_max)? else {
        return Ok(None);
    };
    header.validate_length(version)?;
    let Some(body) = header.body(bytes) else { return Ok(None) };
    let packet_type = header.packet_type;
    let packet = match packet_type {
        PacketType::Connect => {
            let connect = Connect::read(body)?;
            header.validate_length(connect.version)?;
            Packet::Connect(connect)
        }
        PacketType::Connack => Packet::Connack(Connack::read(version, body)?),
        PacketType::Publish => Packet::Publish(Publish::read(header.flags, version, body)?),
        PacketType::Puback => Packet::Puback(Ack::read(packet_type, version, body)?),
        PacketType::Pubrec => Packet::Pubrec(Ack::read(packet_type, version, body)?),
        PacketType::Pubrel => Packet::Pubrel(Ack::read(packet_type, version, body)?),
        PacketType::Pubcomp => Packet::Pubcomp(Ack::read(packet_type, version, body)?),
        PacketType::Subscribe => Packet::Subscribe(Subscribe::read(version, body)?),
        PacketType::Suback => Packet::Suback(Suback::read(packet_type, version, body)?),
        PacketType::Unsubscribe => Packet::Unsubscribe(Unsubscribe::read(version, body)?),
        PacketType::Unsuback => Packet::Unsuback(Suback::read(packet_type, version, body)?),
        PacketType::Pingreq if body.is_empty() => Packet::Pingreq,
        PacketType::Pingresp if body.is_empty() => Packet::Pingresp,
        PacketType::Pingreq | PacketType::Pingresp => return Err(DecodeError::TrailingBytes),
        PacketType::Disconnect => Packet::Disconnect(Disconnect::read(version, body)?),
        PacketType::Auth => Packet::Auth(Auth::read(body)?),
    };
    Ok(Some((packet, header.packet_len())))
}

/// Bytes of an acknowledgement that is only a Packet Identifier.
const PLAIN_ACK_LEN: usize = 4;

/// The acknowledgement at the front of `bytes`, if it is only a Packet Identifier, as nearly all
/// are: in all versions the same, in every respect valid.
fn plain_ack(bytes: &[u8]) -> Option<Packet<'_>> {
    let &[first, 2, high, low, ..] = bytes else { return None };
    let packet: fn(_) -> _ = match first {
        0x40 => Packet::Puback,
        0x50 => Packet::Pubrec,
        0x62 => Packet::Pubrel,
        0x70 => Packet::Pubcomp,
        _ => return None,
    };
    let packet_id = PacketId::new(u16::from_be_bytes([high, low]))?;
    Some(packet(Ack::new(packet_id, ReasonCode::Success)))
}

/// Decodes the first packet of a connection, which tells the version of all others.
///
/// As [`decode`], but all that is not a CONNECT is refused as early as it shows: by its first byte
/// [MQTT-3.1.0-1], a wrong protocol name or version as soon as it can be seen.
///
/// # Errors
/// At the first clause that the bytes break. See [`connect_version`] for how to answer.
pub fn decode_connect(
    bytes: &[u8],
    packet_size_max: u32,
) -> Result<Option<(Connect<'_>, usize)>, DecodeError> {
    match bytes.first() {
        None => return Ok(None),
        Some(first) if first >> 4 != PacketType::Connect as u8 => {
            return Err(DecodeError::NotConnect);
        }
        Some(_) => {}
    }
    let Some(header) = FixedHeader::read(bytes, Version::V5, packet_size_max)? else {
        return Ok(None);
    };
    if let Some(version) = Protocol::of(header.visible_body(bytes)).supported()? {
        header.validate_length(version)?;
    }
    let Some(body) = header.body(bytes) else { return Ok(None) };
    let connect = Connect::read(body)?;
    Ok(Some((connect, header.packet_len())))
}

/// In what version to answer a CONNECT that was refused, so that its sender understands the
/// CONNACK. `None`: the bytes are no MQTT, an answer would mean nothing. [MQTT-3.1.2-1]
pub fn connect_version(bytes: &[u8]) -> Option<Version> {
    let header = FixedHeader::read(bytes, Version::V5, u32::MAX).ok()??;
    if header.packet_type != PacketType::Connect {
        return None;
    }
    match Protocol::of(header.visible_body(bytes)) {
        Protocol::Supported(version) => Some(version),
        Protocol::OtherLevel(level) if level > Version::V5.level() && level < 0x80 => {
            Some(Version::V5)
        }
        // One of old, or a bridge of mosquitto, which sets the highest bit to see who objects.
        Protocol::OtherLevel(_) => Some(Version::V3_1_1),
        Protocol::Unfinished | Protocol::OtherName => None,
    }
}

impl Packet<'_> {
    /// Appends the packet to `out`, without what the version cannot say. A CONNECT is encoded by
    /// the version in it, not by `version`; an AUTH before MQTT 5 is nothing at all.
    ///
    /// Values are taken as they are: to send a Topic Name without wildcards, Reason Codes that the
    /// packet may carry, one Topic Filter or more, is up to the caller. What would make the bytes
    /// unreadable is refused.
    ///
    /// # Errors
    /// If it cannot be encoded. `out` is then as before.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.is_unknown_to(version) {
            return Ok(());
        }
        if let Self::Puback(ack) | Self::Pubrec(ack) | Self::Pubrel(ack) | Self::Pubcomp(ack) = self
            && ack.is_plain()
        {
            // Nearly every acknowledgement: nothing to measure.
            let [high, low] = ack.packet_id.get().to_be_bytes();
            let first = (self.packet_type() as u8) << 4 | self.flags();
            out.put(&[first, PLAIN_ACK_LEN as u8 - 2, high, low]);
            return Ok(());
        }
        let mut measure = Measure::default();
        self.put_body(version, &mut measure);
        put_fixed_header(self.packet_type(), self.flags(), measure.finish()?, out)?;
        self.put_body(version, out);
        Ok(())
    }

    /// Bytes that [`encode`](Self::encode) appends; meaningless for a packet that it refuses.
    pub fn encoded_len(&self, version: Version) -> usize {
        if self.is_unknown_to(version) {
            return 0;
        }
        let mut measure = Measure::default();
        self.put_body(version, &mut measure);
        let length = u32::try_from(measure.len).unwrap_or(u32::MAX);
        1 + variable_byte_integer_len(length) + measure.len
    }

    fn is_unknown_to(&self, version: Version) -> bool {
        !version.has_properties() && self.packet_type() == PacketType::Auth
    }

    fn flags(&self) -> u8 {
        match self {
            Self::Publish(publish) => publish.flags(),
            other => reserved_flags(other.packet_type()).unwrap_or(0),
        }
    }

    fn put_body<S: Sink>(&self, version: Version, sink: &mut S) {
        match self {
            Self::Connect(connect) => connect.put_body(sink),
            Self::Connack(connack) => connack.put_body(version, sink),
            Self::Publish(publish) => publish.put_body(version, sink),
            Self::Puback(ack) | Self::Pubrec(ack) | Self::Pubrel(ack) | Self::Pubcomp(ack) => {
                ack.put_body(version, sink);
            }
            Self::Subscribe(subscribe) => subscribe.put_body(version, sink),
            Self::Suback(suback) | Self::Unsuback(suback) => {
                suback.put_body(self.packet_type(), version, sink);
            }
            Self::Unsubscribe(unsubscribe) => unsubscribe.put_body(version, sink),
            Self::Pingreq | Self::Pingresp => {}
            Self::Disconnect(disconnect) => disconnect.put_body(version, sink),
            Self::Auth(auth) => auth.put_body(sink),
        }
    }
}

//! Packets as text.

use flotilla_mqtt::Packet;

/// A packet in few words, for comparisons.
pub fn describe(packet: &Packet<'_>) -> String {
    let id = |packet_id: Option<flotilla_mqtt::PacketId>| {
        packet_id.map_or(String::new(), |packet_id| format!(" #{}", packet_id.get()))
    };
    match packet {
        Packet::Connack(connack) => {
            let code = connack.reason_code.code();
            // One of them is the same for all.
            let told = connack.properties.user_properties.iter();
            let told = told.filter(|(name, _)| *name != "durability");
            let told: String = told.map(|(name, value)| format!(" {name}={value}")).collect();
            format!("CONNACK {code:#04x} present={}{told}", connack.session_present)
        }
        Packet::Publish(publish) => {
            let dup = if publish.dup { " dup" } else { "" };
            let retain = if publish.retain { " retain" } else { "" };
            let ids: Vec<_> = publish.subscription_ids.iter().collect();
            let ids = if ids.is_empty() { String::new() } else { format!(" {ids:?}") };
            let payload = String::from_utf8_lossy(publish.payload);
            let (topic, qos) = (publish.topic, publish.qos.bits());
            format!("PUBLISH q{qos}{dup}{retain}{} {topic}={payload}{ids}", id(publish.packet_id))
        }
        Packet::Puback(ack) => {
            format!("PUBACK #{} {:#04x}", ack.packet_id.get(), ack.reason_code.code())
        }
        Packet::Pubrec(ack) => {
            format!("PUBREC #{} {:#04x}", ack.packet_id.get(), ack.reason_code.code())
        }
        Packet::Pubrel(ack) => {
            format!("PUBREL #{} {:#04x}", ack.packet_id.get(), ack.reason_code.code())
        }
        Packet::Pubcomp(ack) => {
            format!("PUBCOMP #{} {:#04x}", ack.packet_id.get(), ack.reason_code.code())
        }
        Packet::Suback(ack) => format!(
            "SUBACK #{} {:?}",
            ack.packet_id.get(),
            ack.reason_codes.iter().map(flotilla_mqtt::ReasonCode::code).collect::<Vec<_>>()
        ),
        Packet::Unsuback(ack) => format!(
            "UNSUBACK #{} {:?}",
            ack.packet_id.get(),
            ack.reason_codes.iter().map(flotilla_mqtt::ReasonCode::code).collect::<Vec<_>>()
        ),
        Packet::Disconnect(packet) => format!("DISCONNECT {:#04x}", packet.reason_code.code()),
        Packet::Auth(auth) => {
            let data = String::from_utf8_lossy(auth.authentication_data.unwrap_or_default());
            format!("AUTH {:#04x} {data}", auth.reason_code.code())
        }
        other => format!("{:?}", other.packet_type()),
    }
}

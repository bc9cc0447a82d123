//! Every property in every packet. [MQTT 5, table 2-4]

use flotilla_mqtt::{DecodeError, Version, decode};

use crate::notation::bytes;
use crate::table::SIZE_MAX;

/// Name, notation with a legal value, letters of the packets that may carry it.
#[rustfmt::skip]
const PROPERTIES: &[(&str, &str, &str)] = &[
    ("Payload Format Indicator", "01 01", "PW"),
    ("Message Expiry Interval", "02 0000000A", "PW"),
    ("Content Type", "03 ('t')", "PW"),
    ("Response Topic", "08 ('r')", "PW"),
    ("Correlation Data", "09 (FF)", "PW"),
    ("Subscription Identifier", "0B 01", "PS"),
    ("Session Expiry Interval", "11 0000000A", "CcD"),
    ("Assigned Client Identifier", "12 ('i')", "c"),
    ("Server Keep Alive", "13 000A", "c"),
    ("Authentication Method", "15 ('m')", "CcX"),
    ("Authentication Data", "16 (FF)", "CcX"),
    ("Request Problem Information", "17 01", "C"),
    ("Will Delay Interval", "18 0000000A", "W"),
    ("Request Response Information", "19 01", "C"),
    ("Response Information", "1A ('i')", "c"),
    ("Server Reference", "1C ('s')", "cD"),
    ("Reason String", "1F ('r')", "cAsuDX"),
    ("Receive Maximum", "21 000A", "Cc"),
    ("Topic Alias Maximum", "22 000A", "Cc"),
    ("Topic Alias", "23 000A", "P"),
    ("Maximum QoS", "24 01", "c"),
    ("Retain Available", "25 01", "c"),
    ("User Property", "26 ('k') ('v')", "CcPWASsUuDX"),
    ("Maximum Packet Size", "27 0000000A", "Cc"),
    ("Wildcard Subscription Available", "28 01", "c"),
    ("Subscription Identifier Available", "29 01", "c"),
    ("Shared Subscription Available", "2A 01", "c"),
];

/// Letter, packet around the properties.
#[rustfmt::skip]
const PACKETS: &[(char, &str)] = &[
    ('C', "10 { ('MQTT') 05 02 0000 { * } ('a') }"),
    ('W', "10 { ('MQTT') 05 06 0000 {} ('a') { * } ('w') () }"),
    ('c', "20 { 00 00 { * } }"),
    ('P', "30 { ('a') { * } 'x' }"),
    ('A', "40 { 0001 00 { * } }"),
    ('A', "50 { 0001 00 { * } }"),
    ('A', "62 { 0001 00 { * } }"),
    ('A', "70 { 0001 00 { * } }"),
    ('S', "82 { 0001 { * } ('a') 00 }"),
    ('s', "90 { 0001 { * } 00 }"),
    ('U', "A2 { 0001 { * } ('a') }"),
    ('u', "B0 { 0001 { * } 00 }"),
    ('D', "E0 { 00 { * } }"),
    ('X', "F0 { 18 { * } }"),
];

/// What decoding says to a packet with these properties.
fn verdict(packet: &str, properties: &str) -> Result<(), DecodeError> {
    let bytes = bytes(&packet.replace('*', properties));
    decode(&bytes, Version::V5, SIZE_MAX).map(|decoded| assert!(decoded.is_some(), "all is there"))
}

/// Beside Authentication Data must stand Authentication Method, in AUTH in any case.
fn completed(letter: char, property: &str) -> String {
    let needs_method = letter == 'X' || property.starts_with("16");
    if needs_method && !property.starts_with("15") && "CcX".contains(letter) {
        format!("15 ('m') {property}")
    } else {
        property.to_owned()
    }
}

#[test]
fn a_property_may_stand_where_its_row_says() {
    for (name, property, letters) in PROPERTIES {
        for (letter, packet) in PACKETS {
            let expected = if letters.contains(*letter) {
                Ok(())
            } else {
                Err(DecodeError::PropertyNotAllowed)
            };
            let properties = completed(*letter, property);
            assert_eq!(verdict(packet, &properties), expected, "{name} in {packet}");
        }
    }
}

#[test]
fn a_property_may_repeat_where_its_row_says() {
    for (name, property, letters) in PROPERTIES {
        for (letter, packet) in PACKETS.iter().filter(|(letter, _)| letters.contains(*letter)) {
            let may_repeat =
                *name == "User Property" || *name == "Subscription Identifier" && *letter == 'P';
            let expected = if may_repeat { Ok(()) } else { Err(DecodeError::DuplicateProperty) };
            let properties = format!("{} {property}", completed(*letter, property));
            assert_eq!(verdict(packet, &properties), expected, "{name} in {packet}");
        }
    }
}

#[test]
fn a_property_that_ends_too_early_is_malformed() {
    for (name, property, letters) in PROPERTIES {
        for (_, packet) in PACKETS.iter().filter(|(letter, _)| letters.contains(*letter)) {
            let whole = bytes(property);
            for end in 1..whole.len() {
                let hexadecimal: String =
                    whole[..end].iter().map(|byte| format!("{byte:02X}")).collect();
                let verdict = verdict(packet, &hexadecimal);
                assert_eq!(verdict, Err(DecodeError::Truncated), "{name} in {packet}");
            }
        }
    }
}

#[test]
fn identifiers_beside_the_table_do_not_exist() {
    let known: Vec<u8> = PROPERTIES.iter().map(|(_, property, _)| bytes(property)[0]).collect();
    assert_eq!(known.len(), 27);
    for id in (0..=u8::MAX).filter(|id| !known.contains(id)) {
        for (_, packet) in PACKETS {
            let verdict = verdict(packet, &format!("{id:02X} 00000000"));
            assert_eq!(verdict, Err(DecodeError::UnknownProperty), "{id:02X} in {packet}");
        }
    }
}

#[test]
fn flags_among_the_properties_are_0_or_1() {
    for (name, property, letters) in PROPERTIES {
        let [id, _] = bytes(property)[..] else { continue };
        if *name == "Subscription Identifier" {
            continue;
        }
        let error = match *name {
            "Maximum QoS" => DecodeError::MaximumQosInvalid,
            _ => DecodeError::PropertyNotBoolean,
        };
        for (_, packet) in PACKETS.iter().filter(|(letter, _)| letters.contains(*letter)) {
            for value in 0..=u8::MAX {
                let expected = if value < 2 { Ok(()) } else { Err(error) };
                let verdict = verdict(packet, &format!("{id:02X} {value:02X}"));
                assert_eq!(verdict, expected, "{name} {value} in {packet}");
            }
        }
    }
}

//! Every Reason Code in every packet. [MQTT 5, table 2-6]

use flotilla_mqtt::{DecodeError, ReasonCode, Version, decode};

use crate::notation::bytes;
use crate::table::SIZE_MAX;

/// Packet around the code, codes that it may carry.
#[rustfmt::skip]
const PACKETS: &[(&str, &[u8])] = &[
    ("20 { 00 * {} }", &[
        0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99,
        0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
    ]),
    ("40 { 0001 * }", &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]),
    ("50 { 0001 * {} }", &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]),
    ("62 { 0001 * }", &[0x00, 0x92]),
    ("70 { 0001 * {} }", &[0x00, 0x92]),
    ("90 { 0001 {} * }", &[0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2]),
    ("B0 { 0001 {} * }", &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91]),
    ("E0 { * }", &[
        0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95,
        0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
    ]),
    ("F0 { * { 15 ('m') } }", &[0x00, 0x18, 0x19]),
];

#[test]
fn a_packet_carries_the_codes_of_its_column() {
    for (packet, codes) in PACKETS {
        for code in 0..=u8::MAX {
            let bytes = bytes(&packet.replace('*', &format!("{code:02X}")));
            let decoded = decode(&bytes, Version::V5, SIZE_MAX).map(|decoded| decoded.is_some());
            let expected =
                if codes.contains(&code) { Ok(true) } else { Err(DecodeError::InvalidReasonCode) };
            assert_eq!(decoded, expected, "{code:02X} in {packet}");
        }
    }
}

#[test]
fn a_code_is_its_byte() {
    assert_eq!(ReasonCode::ALL.len(), 43);
    for code in 0..=u8::MAX {
        match ReasonCode::from_u8(code) {
            Some(reason_code) => {
                assert!(ReasonCode::ALL.contains(&reason_code));
                assert_eq!(reason_code.code(), code);
                assert_eq!(reason_code.is_error(), code >= 0x80);
                assert_eq!(reason_code.connect_return_code() == 0, code < 0x80);
                assert!(reason_code.connect_return_code() <= 5);
                let suback_code = |version| reason_code.suback_code(version);
                assert_eq!(suback_code(Version::V3_1), if code < 0x80 { code } else { 0 });
                assert_eq!(suback_code(Version::V3_1_1), code.min(0x80));
                assert_eq!(suback_code(Version::V5), code);
            }
            None => assert!(ReasonCode::ALL.iter().all(|known| known.code() != code)),
        }
    }
}

#[test]
fn return_codes_of_mqtt_3_1_1_go_there_and_back() {
    for return_code in 0..=u8::MAX {
        let reason_code = ReasonCode::from_connect_return_code(return_code);
        assert_eq!(reason_code.is_some(), return_code <= 5);
        if let Some(reason_code) = reason_code {
            assert_eq!(reason_code.connect_return_code(), return_code);
        }
    }
}

#[test]
fn a_code_reads_well() {
    assert_eq!(ReasonCode::NotAuthorized.to_string(), "Not authorized (0x87)");
    assert_eq!(ReasonCode::Success.to_string(), "Success (0x00)");
}

#[test]
fn every_fault_has_an_error_code_a_label_of_its_own_a_clause() {
    let mut names: Vec<_> = DecodeError::ALL.iter().map(DecodeError::name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), DecodeError::ALL.len());
    for error in DecodeError::ALL {
        assert!(error.reason_code().is_error(), "{error:?}");
        assert!(error.name().bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')));
        assert!(error.clause().contains("MQTT"), "{error:?}");
        assert!(error.to_string().ends_with(error.clause()));
        // The label is the variant in snake case, so that it is found by either.
        assert_eq!(error.name().replace('_', ""), format!("{error:?}").to_lowercase());
    }
}

#[test]
fn every_fault_is_shown_by_a_row_of_a_table() {
    let shown: Vec<_> = crate::table::all_refused().map(|(_, _, _, error)| *error).collect();
    // `NotConnect` concerns the first packet alone: see the tests of CONNECT.
    for error in DecodeError::ALL.iter().filter(|error| **error != DecodeError::NotConnect) {
        assert!(shown.contains(error), "no row shows {error:?}");
    }
}

//! Bytes that nobody meant: cut, changed, random.

use flotilla_mqtt::{DecodeError, Packet, Version, connect_version, decode, decode_connect};

use crate::generator::{Lists, Material, Random};
use crate::notation::bytes;
use crate::table::{SIZE_MAX, all_accepted, all_refused};

/// Asks everything that can be asked about `bytes`; what is accepted must go there and back.
fn decode_every_way(bytes: &[u8]) {
    for version in [Version::V3_1_1, Version::V5] {
        match decode(bytes, version, SIZE_MAX) {
            Ok(Some((packet, len))) => {
                assert!(len <= bytes.len());
                let mut again = Vec::new();
                packet.encode(version, &mut again).expect("what was decoded can be encoded");
                let decoded = decode(&again, version, u32::MAX);
                assert_eq!(decoded, Ok(Some((packet, again.len()))), "{bytes:02X?}");
                drop(format!("{packet:?}"));
            }
            Ok(None) => {}
            Err(error) => assert!(error.reason_code().is_error()),
        }
    }
    if let Ok(Some((connect, len))) = decode_connect(bytes, SIZE_MAX) {
        let decoded = decode(bytes, connect.version, SIZE_MAX);
        assert_eq!(decoded, Ok(Some((Packet::Connect(connect), len))));
    }
    let _: Option<Version> = connect_version(bytes);
}

#[test]
fn a_packet_that_is_cut_is_not_there_yet() {
    for (clause, versions, notation) in all_accepted() {
        let bytes = bytes(notation);
        for version in versions.versions() {
            for end in 0..bytes.len() {
                let decoded = decode(&bytes[..end], *version, SIZE_MAX);
                assert_eq!(decoded, Ok(None), "{clause}: {notation}, cut at {end}");
                if bytes[0] == 0x10 {
                    let decoded = decode_connect(&bytes[..end], SIZE_MAX);
                    assert_eq!(decoded, Ok(None), "{clause}: {notation}, cut at {end}");
                }
            }
        }
    }
}

#[test]
fn a_packet_that_is_cut_within_its_length_is_refused() {
    for (clause, versions, notation) in all_accepted() {
        let whole = bytes(notation);
        // A PUBLISH may end anywhere in its payload, the ends of others have short forms.
        if whole[0] >> 4 != 1 || whole[1] > 0x7F {
            continue;
        }
        for end in 2..whole.len() {
            let mut cut = whole[..end].to_vec();
            cut[1] = (end - 2) as u8;
            for version in versions.versions() {
                let decoded = decode(&cut, *version, SIZE_MAX);
                assert!(decoded.is_err(), "{clause}: {notation}, cut at {end}: {decoded:?}");
            }
        }
    }
}

#[test]
fn a_refused_packet_is_never_accepted_while_it_arrives() {
    for (clause, versions, notation, _) in all_refused() {
        let bytes = bytes(notation);
        for version in versions.versions() {
            for end in 0..bytes.len() {
                match decode(&bytes[..end], *version, SIZE_MAX) {
                    Ok(None) | Err(_) => {}
                    Ok(Some(packet)) => panic!("{clause}: {notation}, cut at {end}: {packet:?}"),
                }
            }
        }
    }
}

#[test]
fn every_byte_of_every_packet_may_be_anything() {
    let packets = all_accepted().map(|(_, _, notation)| notation);
    for notation in packets.chain(all_refused().map(|(_, _, notation, _)| notation)) {
        let mut bytes = bytes(notation);
        for at in 0..bytes.len() {
            let right = bytes[at];
            for bit in 0..8 {
                bytes[at] = right ^ 1 << bit;
                decode_every_way(&bytes);
            }
            for value in [0x00, 0x01, 0x7F, 0x80, 0xFF] {
                bytes[at] = value;
                decode_every_way(&bytes);
            }
            bytes[at] = right;
        }
    }
}

#[test]
fn random_bytes_do_no_harm() {
    for seed in 0..100_000 {
        let mut random = Random::new(seed);
        let len = random.below(40);
        let mut bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        // Half of them with a header that fits, to come further.
        if len >= 2 && random.flip() {
            bytes[1] = (len - 2) as u8;
        }
        decode_every_way(&bytes);
    }
}

#[test]
fn random_packets_that_were_damaged_do_no_harm() {
    let mut refused = 0;
    for seed in 0..10_000 {
        let mut random = Random::new(seed);
        let version = random.pick(&[Version::V3_1_1, Version::V5]);
        let material = Material::new(&mut random);
        let lists = Lists::new(version, &material, &mut random);
        let mut bytes = Vec::new();
        material.packet(&lists, &mut random).encode(version, &mut bytes).unwrap();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            match random.below(3) {
                0 => bytes[at] = random.next() as u8,
                1 => bytes.insert(at, random.next() as u8),
                _ if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => {}
            }
        }
        decode_every_way(&bytes);
        refused += usize::from(decode(&bytes, version, SIZE_MAX).is_err());
    }
    assert!(refused > 2_000, "the damage must be worth a test: {refused}");
}

#[test]
fn properties_without_end_cost_no_more_than_their_bytes() {
    // 300,000 empty User Properties: 1.5 MB, all legal. Decoding must stay linear.
    let section: Vec<u8> = [0x26, 0, 0, 0, 0].repeat(300_000);
    let mut bytes = vec![0x30];
    for length in [section.len() + 3 + 3, section.len()] {
        if bytes.len() > 1 {
            bytes.extend(b"\x00\x01a");
        }
        bytes.extend([
            length as u8 & 0x7F | 0x80,
            (length >> 7) as u8 & 0x7F | 0x80,
            (length >> 14) as u8,
        ]);
    }
    bytes.extend(section);
    let (packet, len) = decode(&bytes, Version::V5, u32::MAX).unwrap().unwrap();
    assert_eq!(len, bytes.len());
    let Packet::Publish(publish) = packet else { panic!("{:?}", packet.packet_type()) };
    assert_eq!(publish.forwarded.user_properties().iter().count(), 300_000);
    assert_eq!(decode(&bytes, Version::V5, 1_000_000), Err(DecodeError::PacketTooLarge));
}

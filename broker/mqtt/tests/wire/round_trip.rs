//! Random packets, there and back.

use flotilla_mqtt::{Packet, PacketType, Version, decode, decode_connect};

use crate::generator::{Lists, Material, Random};

#[test]
fn a_random_packet_decodes_to_what_was_encoded() {
    let mut seen = [0; 16];
    for seed in 0..10_000 {
        let mut random = Random::new(seed);
        let version = random.pick(&[Version::V3_1_1, Version::V5]);
        let material = Material::new(&mut random);
        let lists = Lists::new(version, &material, &mut random);
        let packet = material.packet(&lists, &mut random);
        seen[packet.packet_type() as usize] += 1;

        let mut bytes = Vec::new();
        packet.encode(version, &mut bytes).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(bytes.len(), packet.encoded_len(version), "seed {seed}");
        let decoded = decode(&bytes, version, u32::MAX);
        assert_eq!(decoded, Ok(Some((packet, bytes.len()))), "seed {seed}, MQTT {version}");
        if let Packet::Connect(connect) = packet {
            let decoded = decode_connect(&bytes, u32::MAX);
            assert_eq!(decoded, Ok(Some((connect, bytes.len()))), "seed {seed}");
        }

        // What was decoded points into `bytes`: encoding it again gives the same bytes.
        let mut again = vec![0xEE];
        let (decoded, _) = decoded.unwrap().unwrap();
        decoded.encode(version, &mut again).unwrap();
        assert_eq!(again[1..], bytes, "seed {seed}");
    }
    for packet_type in PacketType::ALL {
        assert!(seen[packet_type as usize] > 50, "{} is too rare", packet_type.name());
    }
}

#[test]
fn packets_in_a_row_come_out_one_by_one() {
    for seed in 0..500 {
        let mut random = Random::new(seed);
        let version = random.pick(&[Version::V3_1_1, Version::V5]);
        let material = Material::new(&mut random);
        let lists = Lists::new(version, &material, &mut random);
        let packets: Vec<_> = (0..10).map(|_| material.packet(&lists, &mut random)).collect();
        let mut bytes = Vec::new();
        for packet in &packets {
            packet.encode(version, &mut bytes).unwrap();
        }
        let mut rest = &bytes[..];
        for packet in &packets {
            let (decoded, len) = decode(rest, version, u32::MAX).unwrap().unwrap();
            assert_eq!(decoded, *packet, "seed {seed}");
            rest = &rest[len..];
        }
        assert!(rest.is_empty());
    }
}

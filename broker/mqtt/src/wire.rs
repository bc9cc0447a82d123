//! The data types of the wire: the only place that cuts bytes from the network.
//!
//! Every cut is a checked one, so bytes that end too early are an error, never a panic.

use crate::property::Section;
use crate::topic::{self, Filter, parse_filter};
use crate::{DecodeError, EncodeError, PacketId, PacketType, ReasonCode};

/// Takes fields off the front of a packet. [MQTT 5, section 1.5]
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) const fn len(&self) -> usize {
        self.rest.len()
    }

    /// Ends a packet: nothing may be left.
    pub(crate) const fn end(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes) }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A Variable Byte Integer in its shortest form. [MQTT-1.5.5-1]
    pub(crate) fn variable_byte_integer(&mut self) -> Result<u32, DecodeError> {
        let read = VariableByteInteger::read(self.rest)?.ok_or(DecodeError::Truncated)?;
        if !read.is_minimal() {
            return Err(DecodeError::VariableByteIntegerNotMinimal);
        }
        self.take(read.len)?;
        Ok(read.value)
    }

    pub(crate) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// A UTF-8 Encoded String. [MQTT-1.5.4-1] [MQTT-1.5.4-2] U+FEFF stays. [MQTT-1.5.4-3]
    pub(crate) fn string(&mut self) -> Result<&'a str, DecodeError> {
        let string = self.utf8()?;
        if has_any(string.as_bytes(), |byte| byte == 0) {
            return Err(DecodeError::NulCharacter);
        }
        Ok(string)
    }

    /// The Topic Name of a PUBLISH; empty where a Topic Alias stands for it. [MQTT-3.3.2-2]
    pub(crate) fn topic_name(&mut self) -> Result<&'a str, DecodeError> {
        let topic = self.utf8()?;
        if topic.is_empty() || topic::is_valid_name(topic) {
            return Ok(topic);
        }
        let has_nul = has_any(topic.as_bytes(), |byte| byte == 0);
        Err(if has_nul { DecodeError::NulCharacter } else { DecodeError::WildcardInTopic })
    }

    fn utf8(&mut self) -> Result<&'a str, DecodeError> {
        str::from_utf8(self.binary()?).map_err(|_| DecodeError::InvalidUtf8)
    }

    /// Not zero. [MQTT-2.2.1-3]
    pub(crate) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        PacketId::new(self.u16()?).ok_or(DecodeError::PacketIdZero)
    }

    /// A Reason Code that this packet may carry.
    pub(crate) fn reason_code(&mut self, packet: PacketType) -> Result<ReasonCode, DecodeError> {
        ReasonCode::from_u8(self.u8()?)
            .filter(|reason_code| reason_code.is_valid_in(packet))
            .ok_or(DecodeError::InvalidReasonCode)
    }

    /// A Topic Filter as it came, with what it means.
    pub(crate) fn filter(&mut self) -> Result<(&'a str, Filter<'a>), DecodeError> {
        let filter = self.string()?;
        match parse_filter(filter) {
            Ok(parsed) => Ok((filter, parsed)),
            Err(error) if error.is_about_share() => Err(DecodeError::InvalidSharedFilter),
            Err(_) => Err(DecodeError::InvalidTopicFilter),
        }
    }
}

/// Whether one of the bytes is `wanted`. Looks at all of them, which is what lets the compiler look
/// at many at a time: topics are short, most are valid.
pub(crate) fn has_any(bytes: &[u8], wanted: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(false, |found, byte| found | wanted(*byte))
}

/// A Variable Byte Integer as it came. [MQTT 5, section 1.5.5]
#[derive(Clone, Copy)]
pub(crate) struct VariableByteInteger {
    pub(crate) value: u32,
    /// Bytes it took.
    pub(crate) len: usize,
}

impl VariableByteInteger {
    /// `None`: it goes on behind the end of `bytes`.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let mut value = 0;
        for (at, byte) in bytes.iter().take(4).enumerate() {
            value |= u32::from(byte & 0x7F) << (7 * at);
            if byte & 0x80 == 0 {
                return Ok(Some(Self { value, len: at + 1 }));
            }
        }
        if bytes.len() >= 4 { Err(DecodeError::VariableByteIntegerTooLong) } else { Ok(None) }
    }

    pub(crate) const fn is_minimal(self) -> bool {
        self.len == variable_byte_integer_len(self.value)
    }
}

/// Bytes that the shortest form of a Variable Byte Integer takes.
pub(crate) const fn variable_byte_integer_len(value: u32) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// What packets are written to, twice: first to a [`Measure`], which finds the length and every
/// fault, then to bytes. So a packet is described once, and no packet is half written.
pub(crate) trait Sink {
    /// Appends bytes as they are.
    fn put(&mut self, bytes: &[u8]);

    /// Says that the packet cannot be encoded. The first fault counts.
    fn refuse(&mut self, fault: EncodeError);

    fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    /// A Variable Byte Integer; the caller keeps it to 28 bits.
    fn put_variable_byte_integer(&mut self, value: u32) {
        let mut rest = value;
        while rest > 0x7F {
            self.put_u8((rest & 0x7F) as u8 | 0x80);
            rest >>= 7;
        }
        self.put_u8(rest as u8);
    }

    /// Bytes behind their length; refused above 65,535.
    fn put_binary(&mut self, bytes: &[u8]) {
        match u16::try_from(bytes.len()) {
            Ok(len) => self.put_u16(len),
            Err(_) => self.refuse(EncodeError::FieldTooLong(bytes.len())),
        }
        self.put(bytes);
    }

    /// A string behind its length; refused above 65,535 bytes.
    fn put_string(&mut self, string: &str) {
        self.put_binary(string.as_bytes());
    }

    /// Properties behind their length. [MQTT-2.2.2-1]
    fn put_section(&mut self, section: &impl Section);
}

/// Counts what would be written, without writing it.
#[derive(Default)]
pub(crate) struct Measure {
    pub(crate) len: usize,
    fault: Option<EncodeError>,
}

impl Measure {
    /// The length, if all can be encoded.
    pub(crate) const fn finish(self) -> Result<usize, EncodeError> {
        match self.fault {
            None => Ok(self.len),
            Some(fault) => Err(fault),
        }
    }
}

impl Sink for Measure {
    fn put(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
    }

    fn refuse(&mut self, fault: EncodeError) {
        self.fault.get_or_insert(fault);
    }

    fn put_section(&mut self, section: &impl Section) {
        let before = self.len;
        section.put(self);
        // Above four bytes the whole packet is too long, which is found out at its end.
        let len = u32::try_from(self.len - before).unwrap_or(u32::MAX);
        self.len += variable_byte_integer_len(len);
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn refuse(&mut self, fault: EncodeError) {
        // `Measure` has seen the same packet before, so this is a fault of the encoder itself.
        unreachable!("a packet was measured and then refused: {fault}");
    }

    fn put_section(&mut self, section: &impl Section) {
        let len = u32::try_from(section.section_len()).expect("the whole packet was measured");
        self.put_variable_byte_integer(len);
        section.put(self);
    }
}

#[cfg(test)]
mod tests {
    use super::{Measure, Reader, Sink, VariableByteInteger, variable_byte_integer_len};
    use crate::DecodeError;

    /// The borders of MQTT 5, table 1-1.
    const BORDERS: &[(u32, &[u8])] = &[
        (0, &[0x00]),
        (127, &[0x7F]),
        (128, &[0x80, 0x01]),
        (16_383, &[0xFF, 0x7F]),
        (16_384, &[0x80, 0x80, 0x01]),
        (2_097_151, &[0xFF, 0xFF, 0x7F]),
        (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
        (268_435_455, &[0xFF, 0xFF, 0xFF, 0x7F]),
    ];

    #[test]
    fn variable_byte_integers_have_the_lengths_of_table_1_1() {
        for (value, bytes) in BORDERS {
            let mut written = Vec::new();
            written.put_variable_byte_integer(*value);
            assert_eq!(&written, bytes, "{value}");
            assert_eq!(variable_byte_integer_len(*value), bytes.len(), "{value}");
            let mut reader = Reader::new(bytes);
            assert_eq!(reader.variable_byte_integer(), Ok(*value));
            assert!(reader.is_empty());
            for end in 0..bytes.len() {
                assert!(VariableByteInteger::read(&bytes[..end]).unwrap().is_none());
            }
        }
    }

    #[test]
    fn variable_byte_integers_are_minimal_and_at_most_four_bytes_mqtt_1_5_5_1() {
        for bytes in [&[0x80, 0x00][..], &[0xFF, 0x00], &[0x80, 0x80, 0x00], &[0x81, 0x80, 0x80, 0]]
        {
            assert_eq!(
                Reader::new(bytes).variable_byte_integer(),
                Err(DecodeError::VariableByteIntegerNotMinimal),
                "{bytes:02X?}"
            );
        }
        for bytes in [&[0xFF, 0xFF, 0xFF, 0xFF][..], &[0x80, 0x80, 0x80, 0x80, 0x01]] {
            assert_eq!(
                Reader::new(bytes).variable_byte_integer(),
                Err(DecodeError::VariableByteIntegerTooLong),
                "{bytes:02X?}"
            );
        }
    }

    #[test]
    fn strings_keep_a_byte_order_mark_mqtt_1_5_4_3() {
        let mut reader = Reader::new(&[0, 4, 0xEF, 0xBB, 0xBF, b'a']);
        assert_eq!(reader.string(), Ok("\u{FEFF}a"));
    }

    #[test]
    fn strings_are_utf8_without_surrogates_or_nul_mqtt_1_5_4_1() {
        let refused: &[(&[u8], DecodeError)] = &[
            (&[0, 3, 0xED, 0xA0, 0x80], DecodeError::InvalidUtf8),
            (&[0, 3, 0xED, 0xBF, 0xBF], DecodeError::InvalidUtf8),
            (&[0, 2, 0xC0, 0x80], DecodeError::InvalidUtf8),
            (&[0, 1, 0xFF], DecodeError::InvalidUtf8),
            (&[0, 4, 0xF4, 0x90, 0x80, 0x80], DecodeError::InvalidUtf8),
            (&[0, 3, b'a', 0, b'b'], DecodeError::NulCharacter),
            (&[0, 3, b'a', b'b'], DecodeError::Truncated),
            (&[0], DecodeError::Truncated),
        ];
        for (bytes, error) in refused {
            assert_eq!(Reader::new(bytes).string(), Err(*error), "{bytes:02X?}");
        }
    }

    #[test]
    fn a_field_above_65535_bytes_is_refused_before_anything_is_written() {
        let mut measure = Measure::default();
        measure.put_binary(&vec![0; 65_535]);
        assert_eq!(measure.finish(), Ok(65_537));
        let mut measure = Measure::default();
        measure.put_binary(&vec![0; 65_536]);
        assert!(measure.finish().is_err());
    }
}

//! The notation in which the tables write bytes.

/// Bytes from their notation, which knows nothing of the crate under test:
///
/// * `30`, `000A`: bytes in hexadecimal
/// * `'a/b'`: the bytes of a text
/// * `( … )`: what is between, behind its length in two bytes
/// * `{ … }`: what is between, behind its length as a Variable Byte Integer
pub(crate) fn bytes(notation: &str) -> Vec<u8> {
    let mut opened = vec![(' ', Vec::new())];
    let mut rest = notation.chars().peekable();
    while let Some(sign) = rest.next() {
        match sign {
            ' ' => {}
            '(' | '{' => opened.push((sign, Vec::new())),
            ')' | '}' => {
                let (bracket, inner) = opened.pop().expect("a bracket was opened");
                let (_, outer) = opened.last_mut().expect("a bracket was opened");
                match (bracket, sign) {
                    ('(', ')') => {
                        let len = u16::try_from(inner.len()).expect("at most 65535 bytes");
                        outer.extend(len.to_be_bytes());
                    }
                    ('{', '}') => outer.extend(variable_byte_integer(inner.len())),
                    _ => panic!("brackets do not match in {notation}"),
                }
                outer.extend(inner);
            }
            '\'' => {
                let text: String = rest.by_ref().take_while(|sign| *sign != '\'').collect();
                opened.last_mut().expect("never empty").1.extend(text.bytes());
            }
            high => {
                let low = rest.next().expect("a byte has two digits");
                let byte = u8::from_str_radix(&format!("{high}{low}"), 16);
                let byte = byte.unwrap_or_else(|_| panic!("{high}{low} in {notation}"));
                opened.last_mut().expect("never empty").1.push(byte);
            }
        }
    }
    assert_eq!(opened.len(), 1, "a bracket is open in {notation}");
    opened.remove(0).1
}

/// Text book form, by division. [MQTT 5, section 1.5.5]
fn variable_byte_integer(mut value: usize) -> Vec<u8> {
    let mut encoded = Vec::new();
    loop {
        let byte = (value % 128) as u8;
        value /= 128;
        if value == 0 {
            encoded.push(byte);
            return encoded;
        }
        encoded.push(byte | 128);
    }
}

#[test]
fn the_notation_is_what_it_says() {
    assert_eq!(bytes("30 { ('a/b') 0102 }"), b"\x30\x07\x00\x03a/b\x01\x02");
    assert_eq!(bytes("{} ()"), [0, 0, 0]);
    assert_eq!(bytes(&format!("{{ '{}' }}", "x".repeat(200)))[..2], [0xC8, 0x01]);
}
